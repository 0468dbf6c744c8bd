use std::path::Path;
use std::time::Duration;

use super::SqliteStore;
use super::open::Place;
use crate::error::StoreError;

/// How a file is opened.
///
/// ```no_run
/// use std::time::Duration;
///
/// use keyward::SqliteOptions;
///
/// let store = SqliteOptions::new()
///     .busy_timeout(Duration::from_secs(2))
///     .readers(2)
///     .open("/var/lib/assets/keys.db")?;
/// # Ok::<(), keyward::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    busy_timeout: Duration,
    readers: usize,
    max_size: Option<u64>,
    in_place: bool,
}

impl SqliteOptions {
    /// 5 seconds of waiting, 4 readers, no limit of size, threads of its own.
    pub const fn new() -> Self {
        Self { busy_timeout: Duration::from_secs(5), readers: 4, max_size: None, in_place: false }
    }

    /// How long a call waits for another process that is writing, before it fails as
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable). 5 seconds by default; whole
    /// milliseconds, up to 24 days.
    #[must_use]
    pub const fn busy_timeout(self, busy_timeout: Duration) -> Self {
        const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);
        let fits = busy_timeout.as_secs() < LONGEST.as_secs();
        Self { busy_timeout: if fits { busy_timeout } else { LONGEST }, ..self }
    }

    /// How many threads read at a time, each with a connection of its own; at least one,
    /// 4 by default. Another is kept for [`ChangeFeed::changes`](crate::ChangeFeed::changes)
    /// and one for writing.
    #[must_use]
    pub const fn readers(self, readers: usize) -> Self {
        Self { readers: if readers == 0 { 1 } else { readers }, ..self }
    }

    /// The most bytes that the file may grow to, in whole pages of 4,096; a change that
    /// needs more fails as on a full disk. The write-ahead log comes on top: up to 64 MiB
    /// are kept of it, more while a reader is slow. No limit by default.
    #[must_use]
    pub const fn max_size(self, bytes: u64) -> Self {
        Self { max_size: Some(bytes), ..self }
    }

    /// Does the work on the thread that polls for it, without threads of the store's own: no
    /// call waits for one thread to wake another and be woken by it. That is most of a read,
    /// and little of a commit, which waits for the disk.
    ///
    /// It is for programs that wait on their own threads: a command, a server with a thread
    /// for each request, `spawn_blocking`. What several threads commit at the same time still
    /// shares a transaction. A call of which the first poll has returned is done; one that
    /// was dropped before has not happened.
    ///
    /// Each first poll blocks: for microseconds if it reads, until the disk has synced if it
    /// commits, and up to [`busy_timeout`](Self::busy_timeout) while another process
    /// writes. Don't poll such calls on the threads of an executor, which can run nothing
    /// else meanwhile; of several calls in one task each waits for a sync of its own.
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("keyward-place-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// use keyward::{KeyQuery, KeyStore, SqliteOptions};
    ///
    /// let store = SqliteOptions::new().in_place().open(folder.join("keys.db"))?;
    /// let keys = pollster::block_on(store.list(&KeyQuery::new()))?;
    /// # assert!(keys.is_empty());
    /// # drop(store);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn in_place(self) -> Self {
        Self { in_place: true, ..self }
    }

    /// Opens the file, or makes it: see [`SqliteStore::open`].
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let place = Place::new(path.as_ref(), self.busy_timeout, self.max_size)?;
        SqliteStore::at(place, self.readers, self.in_place)
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}
