use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::limit::{Charge, LimitStore, LimitSubject, SharedLimit, Taken};
use crate::error::StoreError;
use crate::limit::{LimitCells, LimitDenied};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Shared limits counted in this process's memory, exactly: for tests, and for hosts
/// of one process.
///
/// All services that are given clones count together. Counters start full with the
/// process; when a limit is edited, its counter goes on under its name, so that no
/// edit refills it. Those that hold nothing are dropped. A clock that steps back
/// refills nothing.
///
/// ```
/// use keyward::{Charge, LimitStore, LimitSubject, MemoryLimitStore, RateLimit, SharedLimit};
/// use keyward::{Taken, Timestamp};
///
/// # pollster::block_on(async {
/// let limits = MemoryLimitStore::new();
/// let charge = |cost| Charge {
///     owner: "org_1".into(),
///     subject: LimitSubject::Owner,
///     limit: SharedLimit::Rate(RateLimit::per_minute(60).unwrap().strict()),
///     cost,
///     now: Timestamp::from_unix_seconds(1_750_000_000),
/// };
/// assert_eq!(limits.take(&[charge(59)]).await?, Taken::All);
/// assert!(matches!(limits.take(&[charge(1), charge(1)]).await?, Taken::Denied { charge: 1, .. }));
/// assert_eq!(limits.take(&[charge(1)]).await?, Taken::All);
/// # Ok::<(), keyward::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct MemoryLimitStore(Arc<Mutex<Counters>>);

struct Counters {
    by_subject: HashMap<Subject, Vec<LimitCells>>,
    /// The latest instant at which counters were dropped.
    floor: Timestamp,
    /// How many subjects there may be before idle ones are looked for.
    roomy: usize,
}

#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Key(KeyId),
    Owner(Arc<str>),
}

/// The fewest subjects among which it is worth looking for idle ones.
const FEWEST: usize = 1_024;

impl MemoryLimitStore {
    /// Full counters for everyone.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys and owners have counters.
    pub fn len(&self) -> usize {
        self.counters(|counters| counters.by_subject.len())
    }

    /// Whether nobody has counters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn counters<T>(&self, use_them: impl FnOnce(&mut Counters) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LimitStore for MemoryLimitStore {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        Ok(self.counters(|counters| counters.take(charges)))
    }
}

impl Counters {
    /// Takes charge by charge, and gives back what was taken at the first without room.
    fn take(&mut self, charges: &[Charge]) -> Taken {
        let mut taken = Vec::with_capacity(charges.len());
        for (place, charge) in charges.iter().enumerate() {
            match self.with(charge, |cells| cells.take(charge.now, charge.cost)) {
                Ok(reservation) => taken.push((charge, reservation)),
                Err(LimitDenied { retry_after, resets_at, .. }) => {
                    for (charge, reservation) in taken {
                        self.with(charge, |cells| cells.undo(reservation, charge.now));
                    }
                    return Taken::Denied { charge: place, retry_after, resets_at };
                }
            }
        }
        Taken::All
    }

    /// Uses the counter of a limit, which is made, or made anew if the limit was edited.
    fn with<T>(&mut self, charge: &Charge, use_it: impl FnOnce(&LimitCells) -> T) -> T {
        let Charge { owner, subject, limit, now, .. } = charge;
        let subject = match subject {
            LimitSubject::Key(id) => Subject::Key(*id),
            LimitSubject::Owner => Subject::Owner(Arc::clone(owner)),
        };
        if !self.by_subject.contains_key(&subject) {
            self.make_room(*now);
        }
        let counters = self.by_subject.entry(subject).or_default();
        if let Some(cells) = counters.iter_mut().find(|cells| is_named(cells, limit)) {
            if !is_of(cells, limit) {
                *cells = new_cells(limit, Some(cells), self.floor, *now);
            }
            return use_it(cells);
        }
        let cells = new_cells(limit, None, self.floor, *now);
        let used = use_it(&cells);
        counters.push(cells);
        used
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.by_subject.len() < self.roomy {
            return;
        }
        self.floor = self.floor.max(now);
        self.by_subject.retain(|_, counters| {
            counters.retain(|cells| !cells.are_idle(now));
            !counters.is_empty()
        });
        self.roomy = FEWEST.max(2 * self.by_subject.len());
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self { by_subject: HashMap::new(), floor: Timestamp::MIN, roomy: FEWEST }
    }
}

impl fmt::Debug for MemoryLimitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryLimitStore")
    }
}

fn new_cells(
    limit: &SharedLimit,
    before: Option<&LimitCells>,
    floor: Timestamp,
    now: Timestamp,
) -> LimitCells {
    match limit {
        SharedLimit::Quota(rule) => LimitCells::of_quota(rule, before, floor, now),
        SharedLimit::Rate(rule) => LimitCells::of_rate(rule, before, floor, now),
    }
}

fn is_of(cells: &LimitCells, limit: &SharedLimit) -> bool {
    match limit {
        SharedLimit::Quota(rule) => cells.quota_rule() == Some(rule),
        SharedLimit::Rate(rule) => cells.rate_rules().any(|other| other == rule),
    }
}

fn is_named(cells: &LimitCells, limit: &SharedLimit) -> bool {
    match limit {
        SharedLimit::Quota(rule) => cells.quota_rule().is_some_and(|q| q.name() == rule.name()),
        SharedLimit::Rate(rule) => cells.rate_rules().any(|rate| rate.name() == rule.name()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::limit::{Quota, RateLimit, Refill};

    const START: i64 = 1_750_000_000_000_000;

    fn take(store: &MemoryLimitStore, charges: &[Charge]) -> Taken {
        pollster::block_on(store.take(charges)).unwrap()
    }

    fn charge(subject: u8, limit: usize, cost: u32, now: i64) -> Charge {
        let second = RateLimit::per_second(10).unwrap().burst(15).unwrap();
        let limits = [
            SharedLimit::Rate(second.strict()),
            SharedLimit::Rate(RateLimit::per_minute(60).unwrap().strict()),
            SharedLimit::Quota(Quota::new(40, Refill::Hour).unwrap().strict()),
        ];
        let subject = match subject {
            0 => LimitSubject::Owner,
            n => LimitSubject::Key(KeyId::from_bytes([n; 10])),
        };
        let now = Timestamp::from_micros(START + now);
        let owner = "org_1".into();
        Charge { owner, subject, limit: limits[limit % 3].clone(), cost, now }
    }

    /// Buckets in microseconds of debt, and used units by window; all or none by copying.
    #[derive(Clone, Default)]
    struct Model(BTreeMap<(u8, usize), (i64, i64)>);

    impl Model {
        fn take(&mut self, charges: &[(u8, usize, u32)], now: i64) -> Option<usize> {
            let mut after = self.clone();
            for (place, &(subject, limit, cost)) in charges.iter().enumerate() {
                let (at, used) = after.0.entry((subject, limit)).or_default();
                let cost = i64::from(cost);
                let fits = if limit == 2 {
                    let window = (START + now) / 3_600_000_000;
                    (*at, *used) = if window > *at { (window, 0) } else { (*at, *used) };
                    *used += cost;
                    *used <= 40
                } else {
                    let (step, burst) = [(100_000, 15), (1_000_000, 60)][limit];
                    *at = now.max(*at) + cost * step;
                    *at <= now + burst * step
                };
                if cost > 0 && !fits {
                    return Some(place);
                }
            }
            *self = after;
            None
        }
    }

    proptest! {
        #[test]
        fn lists_are_taken_as_by_the_model(
            lists in prop::collection::vec(
                (prop::collection::vec((0..3_u8, 0..3_usize, 0..20_u32), 0..4), 0..40_000_000_i64),
                1..60,
            ),
        ) {
            let store = MemoryLimitStore::new();
            let mut model = Model::default();
            let mut now = 0;
            for (charges, later) in lists {
                now += later;
                let list: Vec<Charge> =
                    charges.iter().map(|&(s, l, cost)| charge(s, l, cost, now)).collect();
                let denied = match take(&store, &list) {
                    Taken::All => None,
                    Taken::Denied { charge, .. } => Some(charge),
                };
                prop_assert_eq!(denied, model.take(&charges, now));
            }
        }
    }

    #[test]
    fn threads_get_exactly_what_there_is() {
        let store = MemoryLimitStore::new();
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let lists = [charge(1, 1, 1, 0), charge(0, 2, 1, 0)];
                        (0..50).filter(|_| take(&store, &lists) == Taken::All).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(won, 40);
        assert_eq!(take(&store, &[charge(1, 1, 20, 0)]), Taken::All);
        assert!(matches!(take(&store, &[charge(1, 1, 1, 0)]), Taken::Denied { .. }));
    }

    #[test]
    fn an_edited_limit_is_not_refilled() {
        let store = MemoryLimitStore::new();
        assert_eq!(take(&store, &[charge(1, 1, 60, 0)]), Taken::All);
        let wider = RateLimit::per_minute(60).unwrap().burst(61).unwrap().strict();
        let edited = Charge { limit: SharedLimit::Rate(wider), ..charge(1, 1, 2, 0) };
        assert!(matches!(take(&store, &[edited]), Taken::Denied { .. }));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn idle_counters_are_dropped_and_others_kept() {
        let store = MemoryLimitStore::new();
        let owner = |n: usize| format!("org_{n}").into();
        for n in 0..10 * FEWEST {
            let now = i64::try_from(n).unwrap() * 200_000;
            let one = Charge { owner: owner(n), ..charge(0, 0, 1, now) };
            assert_eq!(take(&store, &[charge(9, 2, u32::from(n == 0), now), one]), Taken::All);
        }
        assert!(store.len() <= 2 * FEWEST, "{}", store.len());
        let kept = [charge(9, 2, 40, 0)];
        assert!(matches!(take(&store, &kept), Taken::Denied { charge: 0, .. }));
    }
}
