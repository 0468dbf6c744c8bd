use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::contract::{Change, Expect, KeyStore, UsageStore};
use super::feed::{ChangeFeed, Changes, DEFAULT_MAX_STALENESS};
use super::memory_roll::MemoryRoll;
use super::query::{KeyQuery, ListPosition, LogOrder, LogQuery};
use super::roll::{Heartbeat, NodeRow, RollCall};
use super::table::Table;
use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::token::KeyId;

/// Keys in this process's memory, gone when it ends: for tests, and for hosts that
/// fill it themselves.
///
/// Reads take no lock, writes and lists one for all. Clones share their keys.
/// The log is kept whole, as long as the store lives.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    records: Table,
    written: Mutex<Written>,
    usage: Mutex<HashMap<KeyId, Usage>>,
}

/// What only writers and lists need.
struct Written {
    order: BTreeSet<ListPosition>,
    owners: BTreeMap<Box<str>, BTreeSet<ListPosition>>,
    log: Vec<Event>,
    max_staleness: Duration,
    /// Whether anybody keeps its records in a cache: whoever does asks for changes.
    is_followed: bool,
    roll: MemoryRoll,
}

impl Default for Inner {
    fn default() -> Self {
        let written = Written {
            order: BTreeSet::new(),
            owners: BTreeMap::new(),
            log: Vec::new(),
            max_staleness: DEFAULT_MAX_STALENESS,
            is_followed: false,
            roll: MemoryRoll::default(),
        };
        Self { records: Table::new(), written: written.into(), usage: Mutex::default() }
    }
}

impl MemoryStore {
    /// A store without keys.
    pub fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub(crate) fn find(&self, id: KeyId) -> Option<KeyRecord> {
        self.0.records.find(id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyStore for MemoryStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.find(id))
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let mut written = lock(&self.0.written);
        let record = &change.record;
        let before = self.find(record.id());
        match (change.expect, &before) {
            (Expect::Absent { .. }, Some(_)) => {
                return Err(StoreError::new(StoreErrorKind::AlreadyExists));
            }
            (Expect::Absent { cap: Some(cap) }, None) => {
                let live = written.owners.get(record.owner()).into_iter().flatten();
                let live = live.filter(|at| self.find(at.id).is_some_and(|r| r.is_live(cap.now)));
                let max = usize::try_from(cap.max).unwrap_or(usize::MAX);
                if live.take(max).count() >= max {
                    return Err(StoreError::new(StoreErrorKind::OwnerCapReached));
                }
            }
            (Expect::Absent { cap: None }, None) => {}
            (Expect::Version(version), Some(before)) if before.version() == version => {}
            (Expect::Version(_), _) => return Err(StoreError::new(StoreErrorKind::Conflict)),
        }
        if let Some(before) = &before {
            written.forget(before);
        }
        written.remember(record);
        written.log.extend(change.event);
        self.0.records.put(change.record);
        Ok(())
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        let written = lock(&self.0.written);
        let end = query.after.unwrap_or(ListPosition::LAST);
        let positions = match &query.owner {
            Some(owner) => written.owners.get(owner.as_str()),
            None => Some(&written.order),
        };
        let newest_first = positions.into_iter().flat_map(|all| all.range(..=end).rev());
        Ok(newest_first
            .filter_map(|at| self.find(at.id))
            .filter(|record| query.matches(record))
            .take(query.limit)
            .collect())
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let written = lock(&self.0.written);
        let log = written.log.as_slice();
        let wanted = |entry: &(u64, &Event)| query.key.is_none_or(|key| entry.1.key == key);
        let owned = |(position, event): (u64, &Event)| (position, event.clone());
        Ok(match query.order {
            LogOrder::From(from) => {
                let first = from.max(1);
                let (_, entries) = log.split_at_checked(before(first)).unwrap_or_default();
                let numbered = entries.iter().zip(first..).map(|(event, at)| (at, event));
                numbered.filter(wanted).take(query.limit).map(owned).collect()
            }
            LogOrder::Before(end) => {
                let entries = log.get(..before(end)).unwrap_or(log);
                let newest_first = (1..=entries.len() as u64).rev().zip(entries.iter().rev());
                newest_first.filter(wanted).take(query.limit).map(owned).collect()
            }
        })
    }

    /// Zero, unless a clone is behind a cache.
    async fn unseen_for(&self) -> Result<Option<Duration>, StoreError> {
        let Written { max_staleness, is_followed, .. } = *lock(&self.0.written);
        Ok(Some(if is_followed { max_staleness } else { Duration::ZERO }))
    }
}

/// How many entries stand before a position of the log.
fn before(position: u64) -> usize {
    usize::try_from(position.saturating_sub(1)).unwrap_or(usize::MAX)
}

/// Whoever reads it through a cache gets what any store gives it; no other process does.
impl ChangeFeed for MemoryStore {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        let entries = self.log(query).await?;
        let mut written = lock(&self.0.written);
        written.is_followed = true;
        let Written { max_staleness, ref roll, .. } = *written;
        Ok(Changes { entries, max_staleness, heartbeats: roll.is_on() })
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        lock(&self.0.written).max_staleness = bound;
        Ok(())
    }

    async fn set_heartbeats(&self, on: bool) -> Result<(), StoreError> {
        lock(&self.0.written).roll.switch(on);
        Ok(())
    }

    async fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> Result<RollCall, StoreError> {
        Ok(lock(&self.0.written).roll.call(beat, gone))
    }
}

impl UsageStore for MemoryStore {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        let mut usage = lock(&self.0.usage);
        for delta in batch {
            usage.entry(delta.key).or_default().add(delta);
        }
        Ok(())
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        let usage = lock(&self.0.usage);
        Ok(keys.iter().filter_map(|key| Some((*key, usage.get(key)?.clone()))).collect())
    }
}

impl Written {
    fn remember(&mut self, record: &KeyRecord) {
        let position = ListPosition::of(record);
        self.order.insert(position);
        self.owners.entry(record.owner().into()).or_default().insert(position);
    }

    fn forget(&mut self, record: &KeyRecord) {
        let position = ListPosition::of(record);
        self.order.remove(&position);
        if let Some(positions) = self.owners.get_mut(record.owner()) {
            positions.remove(&position);
            if positions.is_empty() {
                self.owners.remove(record.owner());
            }
        }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}
