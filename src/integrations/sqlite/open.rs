//! Opening a file: whose it is, whether it can be written, and what it lacks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::failure::{failed, unprepared};
use super::schema::{APPLICATION_ID, STEPS, Step, advance};
use crate::error::{StoreError, StoreErrorKind};

/// `STRICT` tables are of 3.37, and JSON is always built in from 3.38 on.
const OLDEST_SQLITE: i32 = 3_038_000;

/// The log of changes that are not in the file yet is cut back to this when it can be.
const LONGEST_WAL: i64 = 64 << 20;

/// So many pages (16 MiB) are logged before they are written to the file: pages that many
/// commits write are then written once, and not each fourth of this.
const CHECKPOINT_PAGES: i64 = 4_000;

/// How much of the file each connection remembers.
const CACHE_KIB: i64 = 8_000;

/// What a connection has to be told.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) busy_timeout: Duration,
    pub(super) max_size: Option<u64>,
}

/// How much a commit of a connection has to survive.
#[derive(Clone, Copy)]
pub(super) enum Durability {
    /// A power cut.
    Full,
    /// The end of the process; the power cut only as far as others have synced.
    Normal,
}

/// Whose a file is.
enum Standing {
    /// It is empty, or has not been made.
    Fresh,
    /// It has so many steps of the schema behind it.
    Ours(usize),
}

impl Place {
    pub(super) fn new(
        path: &Path,
        busy_timeout: Duration,
        max_size: Option<u64>,
    ) -> Result<Self, StoreError> {
        if path.as_os_str().is_empty() || path == Path::new(":memory:") {
            return Err(refused("name a file; what keeps keys in memory is `MemoryStore`"));
        }
        let path = std::path::absolute(path).map_err(|error| {
            refused("the working folder, where the path begins, is gone").with_source(error)
        })?;
        Ok(Self { path, busy_timeout, max_size })
    }

    /// Makes the file what this release wants, or says why it can't. Nothing is written
    /// to a file that is another's.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(refused(
                "the SQLite library is older than 3.38; the feature `sqlite-bundled` brings one",
            ));
        }
        let connection = self.connect(OpenFlags::SQLITE_OPEN_CREATE).map_err(failed)?;
        // As it is at one moment: somebody else may be in the midst of making it.
        let moment = connection.unchecked_transaction().map_err(failed)?;
        standing(&moment)?;
        drop(moment);
        self.switch_to_wal(&connection)?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        let prepared = migrate(&connection, STEPS).and_then(|()| writable(&connection));
        let end = if prepared.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = connection.execute_batch(end).map_err(failed);
        prepared.and(ended)
    }

    /// A connection to a file that [`Place::prepare`] has seen.
    pub(super) fn open(&self, durability: Durability) -> Result<Connection, StoreError> {
        let connection = self.connect(OpenFlags::empty()).map_err(failed)?;
        let synchronous = match durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
        Ok(connection)
    }

    fn connect(&self, more: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")?;
        connection.execute_batch("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")?;
        connection.execute_batch(&format!("PRAGMA cache_size = -{CACHE_KIB}"))?;
        // These answer with a row.
        for (name, value) in
            [("journal_size_limit", LONGEST_WAL), ("wal_autocheckpoint", CHECKPOINT_PAGES)]
        {
            connection.query_row(&format!("PRAGMA {name} = {value}"), [], |_| Ok(()))?;
        }
        if let Some(bytes) = self.max_size {
            let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
            let pages = pages.clamp(1, i64::from(u32::MAX - 1));
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        }
        Ok(connection)
    }

    /// `SQLite` doesn't wait for a lock here, so this does.
    fn switch_to_wal(&self, connection: &Connection) -> Result<(), StoreError> {
        const NAP: Duration = Duration::from_millis(10);
        let mut left = self.busy_timeout;
        loop {
            let mode: Result<String, Error> =
                connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
            match mode {
                Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
                Ok(_) => {
                    return Err(refused(
                        "the file can't have a write-ahead log; it must be on a local disk",
                    ));
                }
                Err(error) => {
                    let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
                    if !busy || left.is_zero() {
                        return Err(failed(error));
                    }
                }
            }
            std::thread::sleep(NAP);
            left = left.saturating_sub(NAP);
        }
    }
}

/// Takes a file to the schema of these steps, within a transaction.
pub(super) fn migrate(connection: &Connection, steps: &[Step]) -> Result<(), StoreError> {
    // Somebody else may have made it since it was looked at.
    let done = match standing(connection)? {
        Standing::Ours(done) if done > steps.len() => {
            return Err(refused(
                "a newer release of keyward has written the file; run that release, or a newer one",
            ));
        }
        Standing::Ours(done) if done == steps.len() => return Ok(()),
        Standing::Ours(done) => done,
        Standing::Fresh => {
            connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
            0
        }
    };
    advance(connection, done, steps).map_err(failed)
}

/// A file that may only be read begins a transaction for writing without a word.
fn writable(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("DELETE FROM settings WHERE name = ''").map_err(unprepared)
}

fn standing(connection: &Connection) -> Result<Standing, StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    let done = number("PRAGMA user_version")?;
    if application == APPLICATION_ID {
        return usize::try_from(done).map(Standing::Ours).map_err(|_| {
            StoreError::new(StoreErrorKind::Corrupt)
                .with_context("the number of the schema, `user_version`, is negative")
        });
    }
    let tables = number("SELECT count(*) FROM sqlite_master")?;
    if application == 0 && done == 0 && tables == 0 {
        return Ok(Standing::Fresh);
    }
    Err(refused("the database is another application's; keys need a file of their own"))
}

fn refused(context: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Other).with_context(context)
}
