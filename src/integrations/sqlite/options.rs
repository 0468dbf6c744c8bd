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
}

impl SqliteOptions {
    /// 5 seconds of waiting, 4 readers, no limit of size.
    pub const fn new() -> Self {
        Self { busy_timeout: Duration::from_secs(5), readers: 4, max_size: None }
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

    /// Opens the file, or makes it: see [`SqliteStore::open`].
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let place = Place::new(path.as_ref(), self.busy_timeout, self.max_size)?;
        SqliteStore::at(place, self.readers)
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}
