//! The counters of this process: found by key, found by owner, dropped when idle.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::cells::LimitCells;
use super::rate::RateLimit;
use super::rules::LimitRules;
use super::shards::Shards;
use crate::error::FieldError;
use crate::timestamp::Timestamp;

/// The local limits of this process. Clones share their counters.
///
/// Counters live in memory: they start full with each process, and n processes
/// admit n times as much. They stay when a key is edited or read again; see
/// [`LocalLimits::cells`].
///
/// ```
/// use keyward::{LimitRules, LocalLimits, RateLimit, Timestamp};
///
/// let limits = LocalLimits::new().per_owner(RateLimit::per_second(50)?)?;
/// let rules = LimitRules::new(vec![RateLimit::per_minute(2)?], None).unwrap_or_default();
/// let now = Timestamp::from_unix_seconds(1_750_000_000);
///
/// let cells = limits.cells([0; 10], &rules, now);
/// assert!(cells.take(now, 2).is_ok());
/// assert!(cells.take(now, 1).is_err_and(|denied| denied.retry_after.is_some()));
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LocalLimits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: u64,
    owner_rules: LimitRules,
    keys: Table<[u8; 10]>,
    owners: Table<Box<str>>,
}

impl LocalLimits {
    /// No counters yet, and no limits for owners.
    pub fn new() -> Self {
        Self::with(LimitRules::default())
    }

    /// The same, with one more limit, shared by all keys of an owner.
    ///
    /// A rule of the same name is replaced. The counters start anew, under a new
    /// [`id`](LocalLimits::id).
    ///
    /// # Errors
    ///
    /// If there are more than eight.
    pub fn per_owner(self, rule: RateLimit) -> Result<Self, FieldError> {
        let rates = self.0.owner_rules.rates().iter();
        let mut rates: Vec<_> =
            rates.filter(|other| other.name() != rule.name()).cloned().collect();
        rates.push(rule);
        LimitRules::new(rates, None)
            .map(Self::with)
            .map_err(|_| FieldError::unshown("owner_rate_limits", "must be at most 8 rate limits"))
    }

    /// A number no other `LocalLimits` of this process has, its clones apart.
    ///
    /// Who keeps [`LimitCells`] keeps this beside them, and asks again if it differs.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The counters of a key for these rules.
    ///
    /// This takes a lock and may allocate: keep the answer as long as the rules
    /// are the same. When rules change, an unchanged rate or quota keeps its
    /// counter; a changed one that keeps its name starts with as long a wait as
    /// before, at most with nothing left. So no edit locks anybody out, and a single one
    /// to a higher rate refills nothing; but a wait that the new rule can't express is
    /// forgotten, and one that lasts as long is fewer units of a lower rate. A removed
    /// rule is forgotten.
    pub fn cells(&self, key: [u8; 10], rules: &LimitRules, now: Timestamp) -> Arc<LimitCells> {
        self.0.keys.cells(&key, rules, now)
    }

    /// The counters that a key would have for these rules, without putting them in
    /// place: for looking only. A cost of 0 reads them.
    pub(crate) fn look(&self, key: [u8; 10], rules: &LimitRules, now: Timestamp) -> LimitCells {
        self.0.keys.look(&key, rules, now)
    }

    /// The same for an owner; `None` if owners have no local limits.
    pub(crate) fn look_at_owner(&self, owner: &str, now: Timestamp) -> Option<LimitCells> {
        let rules = &self.0.owner_rules;
        rules.has_local().then(|| self.0.owners.look(owner, rules, now))
    }

    /// The counters of an owner; `None` if owners have no local limits.
    ///
    /// This takes a lock, and allocates only for an owner not seen before.
    pub fn owner_cells(&self, owner: &str, now: Timestamp) -> Option<Arc<LimitCells>> {
        let rules = &self.0.owner_rules;
        let cells = || self.0.owners.cells(owner, rules, now);
        rules.has_local().then(cells)
    }

    /// The limits shared by all keys of an owner.
    pub fn owner_rules(&self) -> &LimitRules {
        &self.0.owner_rules
    }

    /// Drops the counters that hold nothing at `now` and that nobody keeps.
    ///
    /// Nothing is lost with them. If the clock steps back afterwards, counters
    /// made before it has caught up with `now` start empty instead of full.
    pub fn prune(&self, now: Timestamp) {
        self.0.keys.prune(now);
        self.0.owners.prune(now);
    }

    /// How many keys and owners have counters.
    pub fn len(&self) -> usize {
        self.0.keys.len() + self.0.owners.len()
    }

    /// Whether nobody has counters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with(owner_rules: LimitRules) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(Shared {
            id: NEXT.fetch_add(1, Relaxed),
            owner_rules,
            keys: Table::default(),
            owners: Table::default(),
        }))
    }
}

impl Default for LocalLimits {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Table<K> {
    cells: Shards<K, Arc<LimitCells>>,
    nothing: Arc<LimitCells>,
    /// The latest instant, in microseconds, at which counters were dropped.
    pruned: AtomicI64,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { cells: Shards::default(), nothing: Arc::default(), pruned: AtomicI64::new(i64::MIN) }
    }
}

impl<K: Hash + Eq> Table<K> {
    fn cells<Q>(&self, key: &Q, rules: &LimitRules, now: Timestamp) -> Arc<LimitCells>
    where
        K: Borrow<Q>,
        Q: ToOwned + Hash + Eq + ?Sized,
        Q::Owned: Into<K>,
    {
        match self.cells.read(key).as_ref().and_then(|cells| cells.get(key)) {
            Some(cells) if cells.are_for(rules) => return Arc::clone(cells),
            None if !rules.has_local() => return Arc::clone(&self.nothing),
            _ => {}
        }
        let Some(mut cells) = self.cells.write(key) else {
            return Arc::default();
        };
        let before = cells.get(key).map(AsRef::as_ref);
        if let Some(cells) = cells.get(key).filter(|cells| cells.are_for(rules)) {
            return Arc::clone(cells);
        }
        if !rules.has_local() {
            cells.remove(key);
            return Arc::clone(&self.nothing);
        }
        let fresh = Arc::new(LimitCells::new(rules, before, self.floor(), now));
        cells.insert(key.to_owned().into(), Arc::clone(&fresh));
        fresh
    }

    fn look<Q>(&self, key: &Q, rules: &LimitRules, now: Timestamp) -> LimitCells
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shard = self.cells.read(key);
        let before = shard.as_ref().and_then(|cells| cells.get(key)).map(AsRef::as_ref);
        LimitCells::new(rules, before, self.floor(), now)
    }

    fn floor(&self) -> Timestamp {
        Timestamp::from_micros(self.pruned.load(Relaxed))
    }

    fn prune(&self, now: Timestamp) {
        self.pruned.fetch_max(now.as_micros(), Relaxed);
        self.cells.retain(|cells| Arc::strong_count(cells) > 1 || !cells.are_idle(now));
    }

    fn len(&self) -> usize {
        self.cells.len()
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
