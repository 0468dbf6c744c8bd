//! A folder of a test's own, and what is done to a file from outside.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use keyward::{Environment, KeyScheme, KeyService, PepperRing, SqliteOptions, SqliteStore};

/// A folder that is gone with this value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keyward-sqlite-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("keys.db")
    }

    pub(crate) fn open(&self) -> SqliteStore {
        SqliteStore::open(self.file()).unwrap()
    }

    pub(crate) fn open_by(&self, options: SqliteOptions) -> SqliteStore {
        options.open(self.file()).unwrap()
    }

    /// What `sqlite3` would see and do.
    pub(crate) fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).unwrap()
    }
}

/// Both ways of working: by threads of the store's, and on those of its callers.
pub(crate) const BOTH: [SqliteOptions; 2] = [SqliteOptions::new(), SqliteOptions::new().in_place()];

/// A store in a folder of the build, which the next run of the same test empties.
pub(crate) fn fresh(options: SqliteOptions) -> SqliteStore {
    let test = std::thread::current().name().unwrap_or("main").replace("::", "-");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sqlite").join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    options.open(folder.join("keys.db")).unwrap()
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn scheme(peppers: &str) -> KeyScheme {
    let peppers = PepperRing::from_base64(peppers).unwrap();
    KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap()
}

pub(crate) fn service(store: &SqliteStore) -> KeyService {
    KeyService::new(scheme(&PepperRing::generate().unwrap()), store.clone())
}

/// The environment variable that makes a test a process of another.
pub(crate) const ROLE: &str = "KEYWARD_SQLITE_ROLE";

/// What this process is to do, if it was started by [`Other::start`].
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The line that a process says to the one that started it.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // The harness has begun a line of its own.
    out.write_all(format!("\n> {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Another process, which runs one test of this binary.
pub(crate) struct Other {
    pub(crate) child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// Starts `test` as `role`, with an argument each in the variables given.
    pub(crate) fn start(test: &str, role: &str, variables: &[(&str, &str)]) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), test, role, variables)
    }

    pub(crate) fn run(
        mut command: Command,
        test: &str,
        role: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// The next thing it says; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let line = self.said.next()?.ok()?;
            if let Some(line) = line.strip_prefix("> ") {
                return Some(line.to_owned());
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended, and demands that it did so well.
    pub(crate) fn join(mut self) {
        while self.hear().is_some() {}
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.kill();
    }
}
