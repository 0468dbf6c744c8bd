use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::KeyCache;
use super::timer::Timer;
use crate::store::DynSharedStore;
use crate::timestamp::{Clock, SystemClock};

/// Chooses how a [`KeyCache`] behaves.
///
/// ```
/// use keyward::{KeyCache, MemoryStore};
/// use std::time::Duration;
///
/// let cache = KeyCache::builder(MemoryStore::new())
///     .max_staleness(Duration::from_secs(2))
///     .capacity(10_000)
///     .misses_at_once(16)
///     .build();
/// assert!(cache.is_empty());
/// ```
#[must_use]
pub struct KeyCacheBuilder {
    source: Arc<dyn DynSharedStore>,
    settings: Settings,
}

pub(super) struct Settings {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timer: Timer,
    pub(super) max_staleness: Option<Duration>,
    pub(super) stale_if_error: Option<Duration>,
    pub(super) max_age: Duration,
    pub(super) read_through: bool,
    pub(super) capacity: usize,
    pub(super) misses_at_once: usize,
    pub(super) strangers_per_second: u32,
}

impl KeyCacheBuilder {
    pub(super) fn new(source: Arc<dyn DynSharedStore>) -> Self {
        let settings = Settings {
            clock: Arc::new(SystemClock::new()),
            timer: Timer::default(),
            max_staleness: None,
            stale_if_error: None,
            max_age: Duration::from_secs(60),
            read_through: false,
            capacity: 100_000,
            misses_at_once: 5,
            strangers_per_second: 100,
        };
        Self { source, settings }
    }

    /// How stale a record may be on this node. The default is what the store says for all
    /// ([`ChangeFeed::set_max_staleness`](crate::ChangeFeed::set_max_staleness)); a node
    /// can be tighter, and never looser.
    pub fn max_staleness(self, bound: Duration) -> Self {
        self.with(|settings| settings.max_staleness = Some(bound))
    }

    /// How long *beyond* the bound a record may be used while the store answers with an
    /// error. The default is not at all: 503.
    ///
    /// # Security
    ///
    /// With it, a key that was revoked while this node can't reach the store goes on
    /// working here for so long, and no receipt on any node tells of it: the promise of
    /// [`Changed::everywhere_by`](crate::Changed::everywhere_by) does not hold for this
    /// node. Whoever can cut the node off the store can keep a revoked key alive.
    pub fn stale_if_error(self, longer: Duration) -> Self {
        self.with(|settings| settings.stale_if_error = Some(longer))
    }

    /// How old a record may become before it is read again, though nothing is heard of
    /// it. The default is 60 seconds; each lives up to a quarter less.
    ///
    /// It bounds what the log can't show: rows that were edited by hand, or restored
    /// below an unchanged log.
    pub fn max_age(self, age: Duration) -> Self {
        self.with(|settings| settings.max_age = age)
    }

    /// Keeps nothing: each verify reads the store, and sees every change that was
    /// acknowledged, by any node, before it was called.
    ///
    /// Lanes and permits stay, so that made-up keys don't keep real ones waiting.
    pub fn read_through(self) -> Self {
        self.with(|settings| settings.read_through = true)
    }

    /// The most records kept, about two kilobytes each. The default is 100,000; what was not
    /// asked for of late goes first. A thread that has verified holds on to the records that
    /// were kept then until it verifies again or ends: let few threads verify, and not each of
    /// a large pool once in a while.
    pub fn capacity(self, records: usize) -> Self {
        self.with(|settings| settings.capacity = records)
    }

    /// How many records are read from the store at once, at least 1. The default is 5,
    /// half of a pool of ten connections: leave the other half to everything else.
    ///
    /// A verify that finds them all taken waits for 50 ms and is then
    /// [`Unavailable`](crate::VerifyError::Unavailable).
    pub fn misses_at_once(self, reads: usize) -> Self {
        self.with(|settings| settings.misses_at_once = reads)
    }

    /// How many ids a second that anybody may have made up
    /// ([`Lane::Slow`](crate::Lane::Slow)) are looked for in the store, with at most a
    /// quarter of the reads at once. The default is 100.
    ///
    /// Imported keys and keys made under a pepper that left the ring are among them: when
    /// many of those are verified for the first time, it has to be more.
    pub fn strangers_per_second(self, reads: u32) -> Self {
        self.with(|settings| settings.strangers_per_second = reads)
    }

    /// The runtime's timer, such as `tokio::time::sleep`.
    ///
    /// Without one, whoever waits for a read is refused when others come after him or at
    /// the next [`catch_up`](KeyCache::catch_up), instead of after 50 ms exactly, and a
    /// read that hangs is ended by the store's own timeout only.
    pub fn timer<F>(self, sleep: impl Fn(Duration) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.with(|settings| settings.timer = Timer::new(sleep))
    }

    /// The clock. A [`KeyService`](crate::KeyService) that isn't given one takes this.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// The cache.
    pub fn build(self) -> KeyCache {
        KeyCache::with(self.source, self.settings)
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut self.settings);
        self
    }
}
