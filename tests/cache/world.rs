//! Two nodes of one store, and a clock that is moved by hand.

use std::time::Duration;

use keyward::{ApiKey, FakeClock, KeyCache, KeyCacheBuilder, KeyId, KeyService};

use crate::common::{READ, START, builder, new_key, run, scheme, system};
use crate::map_store::MapStore;

pub(crate) const BOUND: Duration = keyward::DEFAULT_MAX_STALENESS;
pub(crate) const A_LITTLE: Duration = Duration::from_millis(1);

pub(crate) struct World {
    pub(crate) store: MapStore,
    pub(crate) clock: FakeClock,
    /// The node that changes keys.
    pub(crate) admin: KeyService,
    /// The node that verifies them, and its cache.
    pub(crate) keys: KeyService,
    pub(crate) cache: KeyCache,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(MapStore::default(), |builder| builder)
    }

    pub(crate) fn with(store: MapStore, set: impl Fn(KeyCacheBuilder) -> KeyCacheBuilder) -> Self {
        let clock = FakeClock::at(START);
        let node =
            |seed, cache: &KeyCache| builder(scheme(&[1]), cache.clone(), &clock, seed).build();
        let cache = || set(KeyCache::builder(store.clone()).clock(clock.clone())).build();
        let own = cache();
        let (admin, keys) = (node(1, &cache()), node(2, &own));
        Self { admin, keys, cache: own, store, clock }
    }

    pub(crate) fn issue(&self, name: &str) -> (KeyId, ApiKey) {
        let issued = run(self.admin.issue(&system(), new_key(name))).unwrap();
        (issued.id(), issued.into_key())
    }

    pub(crate) fn status(&self, key: &ApiKey) -> u16 {
        let verified = run(self.keys.verify(key.expose_secret(), &READ));
        verified.map_or_else(|error| error.status(), |_| 200)
    }

    /// How many reads something takes.
    pub(crate) fn reads(&self, act: impl FnOnce()) -> u64 {
        let before = self.store.reads();
        act();
        self.store.reads() - before
    }
}
