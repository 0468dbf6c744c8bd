//! Keys in an `SQLite` file.

mod answer;
mod commit;
mod failure;
mod hints;
mod identity;
mod in_place;
mod open;
mod options;
mod read;
mod reader;
mod roll;
mod schema;
mod stamp;
mod threads;
mod usage;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use self::hints::SqliteHints;
pub use self::options::SqliteOptions;

use self::commit::Commit;
use self::identity::Identity;
use self::in_place::{Pool, Turns};
use self::open::Place;
use self::reader::{Reader, Readers};
use self::stamp::stamp;
use self::threads::Threads;
use self::writer::{Write, Writer, Writes};
use crate::error::StoreError;
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::store::{
    Change, ChangeFeed, Changes, Heartbeat, KeyQuery, KeyStore, LogQuery, NodeRow, RollCall,
    UsageStore,
};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Keys in an `SQLite` file: the store for one machine.
///
/// Any number of processes may have the file open, with an `SQLite` of 3.51.3 or later (or
/// 3.50.7, or 3.44.6): [earlier ones](https://sqlite.org/wal.html#walresetbug) may lose what
/// two write at the same moment. It must be on a local disk: `SQLite`'s write-ahead log doesn't
/// work over a network. Clones share their connections.
///
/// ```
/// use keyward::{Actor, Environment, KeyScheme, KeyService, NewKey, PepperRing, SqliteStore};
///
/// # pollster::block_on(async {
/// # let folder = std::env::temp_dir().join(format!("keyward-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("keys.db");
/// let store = SqliteStore::open(&path)?;
/// let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// let keys = KeyService::new(scheme, store);
/// let issued = keys.issue(&Actor::system("setup"), NewKey::named("cron").owner("org_1")).await?;
/// let id = issued.view().id;
///
/// let other = SqliteStore::open(&path)?;
/// assert!(keyward::KeyStore::get(&other, id).await?.is_some());
/// # drop((keys, other));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Threads
///
/// The store needs no runtime. One thread writes, a few read, and one answers
/// [`ChangeFeed::changes`] alone; futures only wait for them, and block nobody. A write whose
/// future is dropped is carried out all the same. Commits that wait at the same time share a
/// transaction and one sync of the disk. When the last clone is dropped, the threads finish
/// what they were asked, and the drop waits for them; the file is then closed and whole, if
/// no other process has it open.
///
/// A program that blocks on its own threads, and has no executor to keep free, opens it with
/// [`SqliteOptions::in_place`] and is spared the threads.
///
/// # Durability
///
/// A commit that was acknowledged is on the disk (`synchronous = FULL`) and survives a power
/// cut, as far as the disk keeps what it says it has. Usage is written with
/// `synchronous = NORMAL`: it survives the end of the process, and a power cut may take what
/// no later commit has synced.
///
/// # The file
///
/// The tables are `keys`, `log`, `usage`, `usage_hours`, `settings` and `nodes`, all `STRICT`. A key is
/// its `id`, `version` and `document`; `owner`, `name`, `environment`, `state`, `created_at`,
/// `created_by` and `expires_at` are columns generated from the document, so
/// `sqlite3 keys.db "SELECT id, owner, name, state FROM keys"` shows what is, and nobody can
/// edit the one without the other. `PRAGMA application_id` is `0x6b657977` and
/// `PRAGMA user_version` the number of the schema; a file of an older one is brought up to
/// this release's when it is opened.
///
/// # Backup
///
/// While it is open, copy it with `VACUUM INTO` or the `.backup` of `sqlite3`, not with `cp`:
/// the newest commits are in the file beside it that ends in `-wal`. Close every process that
/// has it open before another file takes its place; on Unix, a store whose file was deleted or
/// replaced fails every call that begins a millisecond later.
///
/// # Security
///
/// The file holds no secret and no pepper, but who may do what, and when keys were used. It is
/// made with the permissions that the process gives to new files: set its `umask`, or the
/// folder's permissions.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    writes: Writes,
    readers: Readers,
    feed: Readers,
    place: Place,
    // Behind the senders, which are dropped first: without them the threads end.
    _threads: Threads,
}

impl SqliteStore {
    /// Opens the file at `path`, or makes it; the folder must exist. As
    /// [`SqliteOptions::new`] says.
    ///
    /// It blocks while it does so: open the store before the service starts.
    ///
    /// # Errors
    ///
    /// In each case the file is left as it was, and the error says what to do.
    ///
    /// - [`Other`](crate::StoreErrorKind::Other): the file is another application's, was
    ///   written by a newer release, can't be opened or written, or there is no room.
    /// - [`Corrupt`](crate::StoreErrorKind::Corrupt): it is no `SQLite` database, or a damaged
    ///   one.
    /// - [`Unavailable`](crate::StoreErrorKind::Unavailable): another process has it locked,
    ///   or the disk fails.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        SqliteOptions::new().open(path)
    }

    /// What wakes a cache when the file was written to, by whatever process.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn hints(&self) -> Result<SqliteHints, StoreError> {
        SqliteHints::start(self.0.place.clone())
    }

    /// Deletes entries at the old end of the log that are older than `before`, and says how
    /// many; the newest always stays.
    ///
    /// It deletes a thousand at a time, so commits wait no longer for it than for one
    /// another. A node that was away since before `before` finds its place gone, and starts
    /// with an empty cache.
    ///
    /// # Errors
    ///
    /// The store can't be written. What was deleted until then stays deleted.
    pub async fn trim_log(&self, before: Timestamp) -> Result<u64, StoreError> {
        const AT_A_TIME: u64 = 1_000;
        let before = stamp(before);
        let mut trimmed = 0;
        loop {
            let before = before.clone();
            let deleted =
                self.0.writes.order(|reply| Write::Trim(before, AT_A_TIME, reply)).await?;
            trimmed += deleted as u64;
            if (deleted as u64) < AT_A_TIME {
                return Ok(trimmed);
            }
        }
    }

    fn at(place: Place, readers: usize, in_place: bool) -> Result<Self, StoreError> {
        place.prepare()?;
        let identity = Identity::of(&place.path);
        let writer = Writer::open(&place, identity.clone())?;
        let reader = || Reader::open(&place, identity.clone());
        let feed = vec![reader()?];
        let readers = (0..readers).map(|_| reader()).collect::<Result<Vec<_>, _>>()?;
        let inner = if in_place {
            Inner {
                writes: Writes::InPlace(Turns::new(writer)),
                readers: Readers::InPlace(Pool::of(readers)),
                feed: Readers::InPlace(Pool::of(feed)),
                place,
                _threads: Threads::default(),
            }
        } else {
            let mut threads = Threads::default();
            Inner {
                writes: Writes::Thread(threads.write(writer)?),
                readers: Readers::Threads(threads.read(readers)?),
                feed: Readers::Threads(threads.read(feed)?),
                place,
                _threads: threads,
            }
        };
        Ok(Self(Arc::new(inner)))
    }
}

impl KeyStore for SqliteStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.0.readers.ask(move |reading| reading.record(id)).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let commit = Commit::new(&change)?;
        self.0.writes.order(|reply| Write::Commit(commit, reply)).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        let query = query.clone();
        self.0.readers.ask(move |reading| reading.list(&query)).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let query = query.clone();
        self.0.readers.ask(move |reading| reading.log(&query)).await
    }

    async fn unseen_for(&self) -> Result<Option<Duration>, StoreError> {
        let newest = LogQuery::before(u64::MAX).limit(1);
        Ok(Some(self.changes(&newest).await?.max_staleness))
    }
}

impl UsageStore for SqliteStore {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        let batch = batch.to_vec();
        self.0.writes.order(|reply| Write::Usage(batch, reply)).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        let keys = keys.to_vec();
        self.0.readers.ask(move |reading| reading.usage(&keys)).await
    }
}

/// A file has one place, so every read is of the primary.
impl ChangeFeed for SqliteStore {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        let query = query.clone();
        self.0.feed.ask(move |reading| reading.changes(&query)).await
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        self.0.writes.order(|reply| Write::MaxStaleness(micros, reply)).await
    }

    async fn set_heartbeats(&self, on: bool) -> Result<(), StoreError> {
        self.0.writes.order(|reply| Write::Heartbeats(on, reply)).await
    }

    async fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> Result<RollCall, StoreError> {
        let (beat, gone) = (beat.into(), gone.to_vec());
        self.0.writes.order(|reply| Write::Roll(beat, gone, reply)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.place.path).finish_non_exhaustive()
    }
}
