//! A folder of a test's own, and what is done to a file from outside.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
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

    /// A store whose file has no name any more, and goes when it is closed.
    pub(crate) fn into_store(self) -> SqliteStore {
        self.into_store_with(SqliteOptions::new())
    }

    pub(crate) fn into_store_with(self, options: SqliteOptions) -> SqliteStore {
        options.open(self.file()).unwrap()
    }

    /// What `sqlite3` would see and do.
    pub(crate) fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// 1, or what `KEYWARD_TEST_SCALE` says.
pub(crate) fn scale() -> usize {
    let scale = std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|scale| scale.parse().ok());
    scale.unwrap_or(1).max(1)
}

/// A pepper that every process of a test has.
pub(crate) const PEPPER: &str = "RESERVED";

pub(crate) fn scheme(peppers: &str) -> KeyScheme {
    let peppers = PepperRing::from_base64(peppers).unwrap();
    KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap()
}

pub(crate) fn service(store: &SqliteStore) -> KeyService {
    KeyService::new(scheme(&PepperRing::generate().unwrap()), store.clone())
}
