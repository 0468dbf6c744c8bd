//! Real servers for the tests that need one: started from the installed programs, on free
//! loopback ports, in a folder of their own, and gone with the process that started them.
//!
//! - [`Postgres::shared`] is one server for all tests of a binary, each with a
//!   [schema](Postgres::schema) or a [database](Postgres::database) of its own;
//!   [`Postgres::start`] is one for a test that stops or kills it.
//! - [`PgBouncer::before`] pools transactions in front of a server.
//! - [`Proxy::before`] stands before any server, and cuts, delays, truncates or swallows
//!   what goes through.

#![allow(dead_code, unused_imports)]

mod pgbouncer;
pub(crate) mod postgres;
mod proxy;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use self::pgbouncer::PgBouncer;
pub(crate) use self::postgres::{PASSWORD, Postgres, url};
pub(crate) use self::proxy::Proxy;

/// The user that servers run as where they refuse to be root.
const SERVER_USER: &str = "postgres";

/// A folder for one server, and a shell that waits for this process to end, however it
/// does, to stop the server that the pid file names and to remove the folder.
pub(crate) struct Home {
    path: PathBuf,
    pid_file: PathBuf,
    warden: Child,
}

impl Home {
    /// An empty folder, owned by whoever the server runs as. The first line of its file
    /// `pid_file` is the server's process id.
    pub(crate) fn new(name: &str, pid_file: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("keyward-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&path).expect("a folder for the server");
        if is_root() {
            run(Command::new("chown").arg(SERVER_USER).arg(&path));
        }
        let pid_file = path.join(pid_file);
        // Its input ends with this process.
        let script = r#"trap "" INT TERM HUP; cat >/dev/null
            pid=$(head -n 1 "$1" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
            for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                [ -e "$1" ] && kill -0 "$pid" 2>/dev/null || break; sleep 0.1
            done
            kill -KILL "$pid" 2>/dev/null; rm -rf "$0""#;
        let warden = Command::new("sh")
            .args(["-c", script])
            .arg(&path)
            .arg(&pid_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self { path, pid_file, warden }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The process id of the server, if its file is there.
    pub(crate) fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(&self.pid_file).ok()?.lines().next()?.trim().parse().ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let _ = self.warden.wait();
    }
}

/// A command that runs as a user whom servers accept.
pub(crate) fn unprivileged(program: impl AsRef<Path>) -> Command {
    let program = program.as_ref();
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={SERVER_USER}"))
        .arg(format!("--regid={SERVER_USER}"))
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

/// What a command says, which must succeed.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).output();
}

/// A port of the loopback interface that nobody listens on, and that no connection is given
/// for its own end: a server that was killed finds it free again.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(61);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)))
        .map(|number| 10_000 + u16::try_from(number % 20_000).unwrap())
        .find(is_free)
        .unwrap()
}

/// Tries until it is so, for half a minute.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")) == b"0\n"
}
