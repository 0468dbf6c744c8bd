use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::Line;
use crate::limit::{Lease, Quota, RateLimit, Shards};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// The leases of this node on shared limits, by key and by owner.
///
/// They stay when a key is edited or read again: a lease belongs to a limit as it is, under
/// its name.
pub(super) struct Leases {
    longest: Duration,
    keys: Shards<KeyId, Arc<Group>>,
    owners: Shards<Box<str>, Arc<Group>>,
}

/// The leases on the limits of one key or owner, and where requests wait for them.
#[derive(Default)]
pub(super) struct Group {
    leases: Mutex<Vec<Arc<Lease>>>,
    pub(super) line: Arc<Line>,
}

impl Leases {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, keys: Shards::default(), owners: Shards::default() }
    }

    pub(super) fn of_key(&self, key: KeyId) -> Arc<Group> {
        group(&self.keys, &key)
    }

    pub(super) fn of_owner(&self, owner: &str) -> Arc<Group> {
        group(&self.owners, owner)
    }

    /// Drops the leases that hold nothing at `now` and that nobody uses.
    pub(super) fn prune(&self, now: Timestamp) {
        let is_used = |group: &Arc<Group>| Arc::strong_count(group) > 1 || group.prune(now);
        self.keys.retain(is_used);
        self.owners.retain(is_used);
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

fn group<K, Q>(groups: &Shards<K, Arc<Group>>, of: &Q) -> Arc<Group>
where
    K: Borrow<Q> + Hash + Eq,
    Q: ToOwned + Hash + Eq + ?Sized,
    Q::Owned: Into<K>,
{
    let found = groups.read(of).and_then(|groups| groups.get(of).cloned());
    found.unwrap_or_else(|| match groups.write(of) {
        Some(mut groups) => Arc::clone(groups.entry(of.to_owned().into()).or_default()),
        None => Arc::default(),
    })
}
