use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::line::Line;
use crate::limit::{Lease, Quota, RateLimit};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

const SHARDS: usize = 16;

/// The leases of this node on shared limits, by key and by owner.
///
/// They stay when a key is edited or read again: a lease belongs to a limit as it is, under
/// its name.
pub(super) struct Leases {
    longest: Duration,
    keys: Table<KeyId>,
    owners: Table<Box<str>>,
}

/// The leases on the limits of one key or owner, and where requests wait for them.
#[derive(Default)]
pub(super) struct Group {
    leases: Mutex<Vec<Arc<Lease>>>,
    pub(super) line: Arc<Line>,
}

impl Leases {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, keys: Table::default(), owners: Table::default() }
    }

    pub(super) fn of_key(&self, key: KeyId) -> Arc<Group> {
        self.keys.group(&key)
    }

    pub(super) fn of_owner(&self, owner: &str) -> Arc<Group> {
        self.owners.group(owner)
    }

    /// Drops the leases that hold nothing at `now` and that nobody uses.
    pub(super) fn prune(&self, now: Timestamp) {
        self.keys.prune(now);
        self.owners.prune(now);
    }

    /// The lease on a quota; a new one, without units, if the quota was edited.
    pub(super) fn on_quota(&self, group: &Group, quota: &Quota) -> Arc<Lease> {
        let fresh = || Lease::of_quota(quota, self.longest);
        group.lease((true, quota.name()), |lease| lease.is_of_quota(quota), fresh)
    }

    /// The lease on a rate limit; a new one, without units, if the limit was edited.
    pub(super) fn on_rate(&self, group: &Group, rate: &RateLimit) -> Arc<Lease> {
        let fresh = || Lease::of_rate(rate, self.longest);
        group.lease((false, rate.name()), |lease| lease.is_of_rate(rate), fresh)
    }
}

impl Group {
    fn lease(
        &self,
        (is_quota, name): (bool, &str),
        is_of: impl Fn(&Lease) -> bool,
        fresh: impl FnOnce() -> Lease,
    ) -> Arc<Lease> {
        let mut leases = self.leases();
        match leases.iter_mut().find(|lease| lease.is_named(is_quota, name)) {
            Some(lease) if is_of(lease) => Arc::clone(lease),
            Some(edited) => {
                *edited = Arc::new(fresh());
                Arc::clone(edited)
            }
            None => {
                let lease = Arc::new(fresh());
                leases.push(Arc::clone(&lease));
                lease
            }
        }
    }

    fn leases(&self) -> MutexGuard<'_, Vec<Arc<Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops idle leases; whether any are left.
    fn prune(&self, now: Timestamp) -> bool {
        let mut leases = self.leases();
        leases.retain(|lease| !lease.is_idle(now));
        !leases.is_empty()
    }
}

struct Table<K> {
    hasher: RandomState,
    shards: [RwLock<HashMap<K, Arc<Group>>>; SHARDS],
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| RwLock::default());
        Self { hasher: RandomState::new(), shards }
    }
}

impl<K: Hash + Eq> Table<K> {
    fn group<Q>(&self, key: &Q) -> Arc<Group>
    where
        K: Borrow<Q>,
        Q: ToOwned + Hash + Eq + ?Sized,
        Q::Owned: Into<K>,
    {
        let [first, ..] = self.hasher.hash_one(key).to_le_bytes();
        let Some(shard) = self.shards.get(usize::from(first) % SHARDS) else {
            return Arc::default();
        };
        let found = shard.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        found.unwrap_or_else(|| {
            let mut groups = shard.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(groups.entry(key.to_owned().into()).or_default())
        })
    }

    fn prune(&self, now: Timestamp) {
        for shard in &self.shards {
            let mut groups = shard.write().unwrap_or_else(PoisonError::into_inner);
            groups.retain(|_, group| Arc::strong_count(group) > 1 || group.prune(now));
            if groups.len() < groups.capacity() / 4 {
                groups.shrink_to_fit();
            }
        }
    }
}
