//! A `redis-server` from the installed program: on a free loopback port, in a folder of its
//! own, gone with the process that started it.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running server; stopped when dropped.
pub(crate) struct Redis {
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
    warden: Option<Child>,
}

impl Redis {
    /// A server without a password that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same, with options such as `--requirepass`.
    pub(crate) fn with(options: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keyward-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port: free_port(), folder, options, warden: None };
        server.start_again();
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Kills the server, at once.
    pub(crate) fn stop(&mut self) {
        if let Some(mut warden) = self.warden.take() {
            drop(warden.stdin.take());
            let _ = warden.wait();
        }
    }

    /// Starts the server on its port, with nothing in it.
    pub(crate) fn start_again(&mut self) {
        self.stop();
        std::fs::create_dir_all(&self.folder).expect("a folder for the server");
        // The shell's input ends with this process, however it ends.
        let script = r#"trap "" INT TERM HUP; "$@" >/dev/null 2>&1 & pid=$!
            cat >/dev/null; kill -KILL $pid; wait $pid 2>/dev/null; rm -rf "$FOLDER""#;
        let warden = Command::new("sh")
            .args(["-c", script, "sh", "redis-server", "--save", "", "--appendonly", "no"])
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir"])
            .arg(&self.folder)
            .args(&self.options)
            .env("FOLDER", &self.folder)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        self.warden = Some(warden);
        for _ in 0..600 {
            if self.answers() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server does not start: is it installed?");
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut answer = [0; 1];
        stream.write_all(b"PING\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && matches!(&answer, b"+" | b"-")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}
