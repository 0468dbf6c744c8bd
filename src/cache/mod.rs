//! Records in this node's memory, for a store that several nodes share.
//!
//! What is promised: once a change has been acknowledged, no node accepts a key by what
//! was before it for longer than the bound, whatever is cut off, suspended, restarted or
//! failed over; a node that can't know any better answers *unavailable*.

mod builder;
mod entry;
mod fence;
mod flights;
mod freshness;
mod heartbeats;
mod lanes;
mod lookup;
mod pass;
mod permits;
mod promise;
mod shelf;
mod sync;
mod table;
#[cfg(test)]
mod table_tests;
mod timer;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::builder::KeyCacheBuilder;
use self::builder::Settings;
use self::flights::Flights;
use self::freshness::{Freshness, Instant};
use self::heartbeats::Heartbeats;
use self::lanes::Lanes;
pub use self::pass::CaughtUp;
use self::pass::{Head, Last};
use self::permits::Permits;
use self::promise::Promise;
use self::shelf::Shelf;
use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::scheme::Lane;
use crate::store::{
    Change, ChangeFeed, Changes, DynSharedStore, Heartbeat, KeyQuery, KeyStore, LONGEST_STALENESS,
    LogQuery, NodeRow, RollCall, UsageStore,
};
use crate::timestamp::{Clock, Moment};
use crate::token::KeyId;

/// A store that keeps the records it has read, with an enforced bound on their age.
///
/// It is a store itself: what is written goes to the store behind it, and is seen through
/// it at once. Clones share what they keep. The chapter [running many
/// nodes](crate::manual::_07_many_nodes) tells what is promised and what happens when
/// things fail.
///
/// ```
/// use keyward::{AccessRequest, Actor, Environment, KeyCache, KeyScheme, KeyService, MemoryStore};
/// use keyward::{NewKey, PepperRing, Reason};
///
/// # pollster::block_on(async {
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// // In earnest this is a database, and the two are on different machines.
/// let store = MemoryStore::new();
/// let one = KeyService::new(scheme.clone(), KeyCache::new(store.clone()));
/// let other = KeyService::new(scheme, KeyCache::new(store));
///
/// let admin = Actor::system("docs");
/// let issued = one.issue(&admin, NewKey::named("cron").owner("org_1")).await?;
/// let (id, key) = (issued.id(), issued.into_key());
/// let request = AccessRequest::new(Environment::PRODUCTION);
/// other.verify(key.expose_secret(), &request).await?;
///
/// let receipt = one.revoke(&admin, id, Reason::Unused).await?;
/// assert!(one.verify(key.expose_secret(), &request).await.is_err());
/// assert!(receipt.everywhere_by > one.now()); // by when the other node refuses it too,
/// other.maintain().await?; // or as soon as it looks at the log
/// assert!(other.verify(key.expose_secret(), &request).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Security
///
/// The bound is measured on the wall clock and on the monotonic one, and the one that
/// says more counts: a machine that was suspended or whose clock was set does not go on
/// with what it had. If both are wrong together, so is the bound.
#[derive(Clone)]
pub struct KeyCache(Arc<Inner>);

struct Inner {
    source: Arc<dyn DynSharedStore>,
    settings: Settings,
    shelf: Shelf,
    freshness: Freshness,
    flights: Flights,
    lanes: Lanes,
    promise: Promise,
    heartbeats: Heartbeats,
    /// One pass over the log at a time.
    turn: Permits,
    head: Mutex<Head>,
    /// How many passes have begun.
    begun: AtomicU64,
    last: Mutex<Last>,
    rewrites: AtomicU64,
}

impl KeyCache {
    /// A cache with defaults.
    pub fn new<S: KeyStore + UsageStore + ChangeFeed>(store: S) -> Self {
        Self::builder(store).build()
    }

    /// A cache whose settings are chosen.
    pub fn builder<S: KeyStore + UsageStore + ChangeFeed>(store: S) -> KeyCacheBuilder {
        KeyCacheBuilder::new(Arc::new(store))
    }

    fn with(source: Arc<dyn DynSharedStore>, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            source,
            shelf: Shelf::new(settings.capacity),
            freshness: Freshness::new(),
            flights: Flights::default(),
            lanes: Lanes::new(settings.misses_at_once, settings.strangers_per_second),
            promise: Promise::new(),
            heartbeats: Heartbeats::default(),
            turn: Permits::new(1),
            head: Mutex::new(Head::Unknown),
            begun: AtomicU64::new(0),
            last: Mutex::default(),
            rewrites: AtomicU64::new(0),
            settings,
        }))
    }

    /// How long ago the last whole pass over the log began: everything that was
    /// acknowledged before is in effect here. `None` before the first pass, or if a clock
    /// has run backwards since.
    ///
    /// This is what to watch: beyond [`max_staleness`](KeyCache::max_staleness), nothing is answered from
    /// memory.
    pub fn staleness(&self) -> Option<Duration> {
        let since = self.instant().since(self.0.freshness.read().at)?;
        Some(Duration::from_micros(since))
    }

    /// The bound that this node keeps: the store's, or its own if that is tighter. Zero
    /// before the store has told it.
    pub fn max_staleness(&self) -> Duration {
        Duration::from_micros(self.0.freshness.read().bound)
    }

    /// How many records are kept.
    pub fn len(&self) -> usize {
        self.0.shelf.len()
    }

    /// Whether no record is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many reads of the store are under way or wait for their turn.
    pub fn misses(&self) -> usize {
        self.0.flights.len()
    }

    /// How often the log was not the one that was read before.
    pub fn rewrites(&self) -> u64 {
        self.0.rewrites.load(Ordering::Relaxed)
    }

    /// The record as the store has it, whatever is kept here.
    pub(crate) async fn read_behind(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.0.source.get_dyn(id).await
    }

    pub(crate) fn reads_through(&self) -> bool {
        self.0.settings.read_through
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.settings.clock
    }

    fn instant(&self) -> Instant {
        self.0.settings.clock.moment().into()
    }
}

impl KeyStore for KeyCache {
    /// At most as stale as the bound; what was committed through this cache is seen at
    /// once.
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        if let Some((record, _)) = self.find(id) {
            return Ok(Some(record));
        }
        self.look_up(id, || Lane::Fast).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let _changing = Changing::begin(self, change.record.id());
        self.0.source.commit_dyn(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.0.source.list_dyn(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.0.source.log_dyn(query).await
    }

    async fn unseen_for(&self) -> Result<Option<Duration>, StoreError> {
        Ok(Some(KeyCache::unseen_for(self).await))
    }
}

impl UsageStore for KeyCache {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.0.source.add_dyn(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.0.source.usage_dyn(keys).await
    }
}

impl ChangeFeed for KeyCache {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        self.0.source.changes_dyn(query).await
    }

    /// At most an hour: no node takes a longer one, whatever the store says.
    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        if bound > LONGEST_STALENESS {
            let error = StoreError::new(StoreErrorKind::Other);
            return Err(error.with_context("`max_staleness` must be at most an hour"));
        }
        self.0.source.set_max_staleness_dyn(bound).await?;
        self.0.promise.told(micros(bound), self.instant());
        Ok(())
    }

    async fn set_heartbeats(&self, on: bool) -> Result<(), StoreError> {
        self.0.source.set_heartbeats_dyn(on).await
    }

    async fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> Result<RollCall, StoreError> {
        self.0.source.roll_call_dyn(beat, gone).await
    }
}

/// A change of this node's that is under way: it may happen at any moment until it has
/// ended, and may have happened whatever comes of it, also if nobody waits for it any more.
struct Changing<'a> {
    cache: &'a KeyCache,
    id: KeyId,
}

impl<'a> Changing<'a> {
    fn begin(cache: &'a KeyCache, id: KeyId) -> Self {
        cache.0.shelf.begin_change(id.as_bytes());
        Self { cache, id }
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.cache.0.shelf.end_change(self.id.as_bytes());
    }
}

impl From<Moment> for Instant {
    #[inline]
    fn from(moment: Moment) -> Self {
        Self { wall: moment.wall.as_micros(), monotonic: micros(moment.monotonic) }
    }
}

#[inline]
fn micros(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000);
    whole.saturating_add(u64::from(duration.subsec_micros()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("max_staleness", &self.max_staleness())
            .field("staleness", &self.staleness())
            .field("records", &self.len())
            .finish_non_exhaustive()
    }
}
