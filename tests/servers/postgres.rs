use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::{Home, free_port, run, signal, unprivileged, wait_for};

/// The password of the user `postgres`, asked for on every connection over TCP.
pub(crate) const PASSWORD: &str = "Pa55-for-tests/only?";
/// The same as a URL spells it.
const PASSWORD_IN_URLS: &str = "Pa55-for-tests%2Fonly%3F";

/// A `PostgreSQL` server of the tests' own.
pub(crate) struct Postgres {
    home: Home,
    port: u16,
    settings: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl Postgres {
    /// The server that all tests of this binary share: nobody stops it, and it doesn't
    /// survive a power cut.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["fsync=off", "max_connections=300"]))
    }

    /// A server of one test's own, with settings such as `fsync=off`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let home = Home::new("postgres", "data/postmaster.pid");
        let (data, secret) = (home.path().join("data"), home.path().join("password"));
        std::fs::write(&secret, PASSWORD).unwrap();
        run(unprivileged(program("initdb"))
            .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres"])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .arg(format!("--pwfile={}", secret.display()))
            .arg("-D")
            .arg(data));
        Self::of(home, settings)
    }

    fn of(home: Home, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = Self { home, port: free_port(), settings, process: Mutex::new(None) };
        server.resume();
        server
    }

    /// A replica of this server, reading only, which follows it.
    pub(crate) fn replica(&self) -> Self {
        let home = Home::new("replica", "data/postmaster.pid");
        run(unprivileged(program("pg_basebackup"))
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-X", "stream"])
            .arg("-d")
            .arg(self.url())
            .arg("-D")
            .arg(home.path().join("data")));
        Self::of(home, &["fsync=off"])
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database `postgres`.
    pub(crate) fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database, as the user `postgres` with the right password.
    pub(crate) fn url_of(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// The name of a new schema in the database `postgres`.
    pub(crate) fn schema(&self) -> String {
        let name = unique("s");
        self.psql("postgres", &format!("CREATE SCHEMA \"{name}\""));
        name
    }

    /// The name of a new database.
    pub(crate) fn database(&self) -> String {
        let name = unique("d");
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\""));
        name
    }

    /// What `psql` says to a script: rows without frills, columns split by `|`.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let said = run(Command::new(program("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.url_of(database)));
        String::from_utf8(said).unwrap().trim_end().to_owned()
    }

    /// Runs what `pg_dump` wrote.
    pub(crate) fn psql_file(&self, database: &str, script: &[u8]) {
        let file = self.home.path().join(unique("script"));
        std::fs::write(&file, script).unwrap();
        run(Command::new(program("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(file)
            .arg(self.url_of(database)));
    }

    /// All of a database as `pg_dump` writes it.
    pub(crate) fn dump(&self, database: &str) -> Vec<u8> {
        run(Command::new(program("pg_dump")).arg(self.url_of(database)))
    }

    /// `kill -9` of the server and its children.
    pub(crate) fn kill(&self) {
        self.end("KILL");
    }

    /// Stops the server at once, cutting its connections.
    pub(crate) fn stop(&self) {
        self.end("INT");
    }

    /// Starts the server again, on the same port and folder.
    pub(crate) fn resume(&self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("log"))
            .unwrap();
        let socket = self.home.path().display();
        let mut running = self.process.lock().unwrap();
        // After a kill the last child may take a moment to let go of the shared memory.
        wait_for("PostgreSQL starts", || {
            let mut command = unprivileged(program("postgres"));
            command.arg("-D").arg(self.home.path().join("data"));
            command.arg("-p").arg(self.port.to_string());
            command.arg("-c").arg(format!("unix_socket_directories={socket}"));
            command.args(["-c", "listen_addresses=127.0.0.1"]);
            for setting in &self.settings {
                command.arg("-c").arg(setting);
            }
            let output = Stdio::from(log.try_clone().unwrap());
            let mut process = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(output)
                .spawn()
                .expect("PostgreSQL is installed");
            loop {
                if process.try_wait().unwrap().is_some() {
                    return false;
                }
                if self.home.pid() == Some(process.id()) && is_ready(self.port) {
                    *running = Some(process);
                    return true;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
    }

    fn end(&self, by: &str) {
        let Some(mut process) = self.process.lock().unwrap().take() else { return };
        // `setpriv` becomes the program it starts, so this is the server.
        signal(process.id(), by);
        process.wait().unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

/// The URL of a database behind any port.
pub(crate) fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres:{PASSWORD_IN_URLS}@127.0.0.1:{port}/{database}")
}

/// A name that no other test has.
fn unique(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{kind}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn is_ready(port: u16) -> bool {
    Command::new(program("pg_isready"))
        .args(["-q", "-h", "127.0.0.1", "-p"])
        .arg(port.to_string())
        .status()
        .is_ok_and(|status| status.success())
}

/// A program of the newest `PostgreSQL` that is installed.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let found = newest.map(|version| format!("/usr/lib/postgresql/{version}/bin/{name}"));
    found.map(PathBuf::from).filter(|path| path.exists()).unwrap_or_else(|| Path::new(name).into())
}
