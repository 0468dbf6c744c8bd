//! The store of the documentation, over a map, with the feed that a cache needs.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use keyward::{
    Change, ChangeFeed, Changes, DEFAULT_MAX_STALENESS, Event, Expect, KeyId, KeyQuery, KeyRecord,
    KeyStore, ListPosition, LogOrder, LogQuery, StoreError, StoreErrorKind, Usage, UsageDelta,
    UsageStore,
};

#[derive(Clone, Default)]
pub(crate) struct MapStore {
    tables: Arc<Mutex<Tables>>,
    /// Whether every call waits before and after it acts.
    suspends: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Tables {
    keys: BTreeMap<KeyId, (u64, String)>,
    log: Vec<Event>,
    usage: HashMap<KeyId, Usage>,
    max_staleness: Option<Duration>,
    reads: u64,
    down: bool,
    deaf: bool,
    hangs: bool,
}

impl Tables {
    fn records(&self) -> impl Iterator<Item = KeyRecord> {
        self.keys.iter().map(|(id, (version, text))| KeyRecord::from_row(*id, *version, text))
    }
}

impl MapStore {
    pub(crate) fn suspending() -> Self {
        Self { suspends: true, ..Self::default() }
    }

    /// So many more entries in the log, about a key that nobody has.
    pub(crate) fn add_noise(&self, entries: usize) {
        let mut tables = self.tables.lock().unwrap();
        let mut event = tables.log.first().unwrap().clone();
        event.key = KeyId::from_bytes([0xee; 10]);
        tables.log.extend(std::iter::repeat_n(event, entries));
    }

    /// Leaves only so many entries of the log.
    pub(crate) fn trim(&self, left: usize) {
        let log = &mut self.tables.lock().unwrap().log;
        log.drain(..log.len() - left);
    }

    /// How often `get` was called.
    pub(crate) fn reads(&self) -> u64 {
        self.tables.lock().unwrap().reads
    }

    /// Whether every call fails.
    pub(crate) fn set_down(&self, down: bool) {
        self.tables.lock().unwrap().down = down;
    }

    /// Whether only what asks for changes fails.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.tables.lock().unwrap().deaf = deaf;
    }

    /// Whether a `get` never ends.
    pub(crate) fn set_hangs(&self, hangs: bool) {
        self.tables.lock().unwrap().hangs = hangs;
    }

    pub(crate) fn copy(&self) -> Tables {
        self.tables.lock().unwrap().clone()
    }

    pub(crate) fn restore(&self, copy: &Tables) {
        copy.clone_into(&mut self.tables.lock().unwrap());
    }

    async fn call<T>(&self, act: impl FnOnce(&mut Tables) -> T) -> Result<T, StoreError> {
        self.suspend().await;
        let done = {
            let mut tables = self.tables.lock().unwrap();
            if tables.down {
                return Err(StoreError::new(StoreErrorKind::Unavailable));
            }
            act(&mut tables)
        };
        self.suspend().await;
        Ok(done)
    }

    async fn suspend(&self) {
        let mut waits = self.suspends;
        poll_fn(|context| {
            if !std::mem::replace(&mut waits, false) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl KeyStore for MapStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let (row, hangs) = self
            .call(|tables| {
                tables.reads += 1;
                let row = tables.keys.get(&id);
                let row = row.map(|(version, text)| KeyRecord::from_row(id, *version, text));
                (row, tables.hangs)
            })
            .await?;
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(row)
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.call(|tables| {
            let Change { record, expect, event } = change;
            let stored = tables.keys.get(&record.id()).map(|(version, _)| *version);
            match (expect, stored) {
                (Expect::Absent { .. }, Some(_)) => {
                    return Err(StoreError::new(StoreErrorKind::AlreadyExists));
                }
                (Expect::Absent { cap: Some(cap) }, None) => {
                    let mine = tables.records().filter(|other| other.owner() == record.owner());
                    if mine.filter(|other| other.is_live(cap.now)).count() >= cap.max as usize {
                        return Err(StoreError::new(StoreErrorKind::OwnerCapReached));
                    }
                }
                (Expect::Version(expected), stored) if stored != Some(expected) => {
                    return Err(StoreError::new(StoreErrorKind::Conflict));
                }
                _ => {}
            }
            tables.keys.insert(record.id(), (record.version(), record.to_document()));
            tables.log.extend(event);
            Ok(())
        })
        .await?
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.call(|tables| {
            let mut found: Vec<_> = tables.records().collect();
            found.retain(|record| query.matches(record));
            found.sort_by_key(|record| Reverse(ListPosition::of(record)));
            found.truncate(query.limit);
            found
        })
        .await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.call(|tables| {
            let mut found: Vec<_> = (1..).zip(tables.log.clone()).collect();
            found.retain(|(position, event)| query.matches(*position, event));
            if matches!(query.order, LogOrder::Before(_)) {
                found.reverse();
            }
            found.truncate(query.limit);
            found
        })
        .await
    }

    async fn unseen_for(&self) -> Result<Option<Duration>, StoreError> {
        if self.tables.lock().unwrap().deaf {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        self.call(|tables| Some(tables.max_staleness.unwrap_or(DEFAULT_MAX_STALENESS))).await
    }
}

impl ChangeFeed for MapStore {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        if self.tables.lock().unwrap().deaf {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        let entries = self.log(query).await?;
        let max_staleness = self.tables.lock().unwrap().max_staleness;
        let max_staleness = max_staleness.unwrap_or(DEFAULT_MAX_STALENESS);
        Ok(Changes { entries, max_staleness, heartbeats: false })
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        self.call(|tables| tables.max_staleness = Some(bound)).await
    }
}

impl UsageStore for MapStore {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.call(|tables| {
            for delta in batch {
                tables.usage.entry(delta.key).or_default().add(delta);
            }
        })
        .await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.call(|tables| {
            keys.iter().filter_map(|key| Some((*key, tables.usage.get(key)?.clone()))).collect()
        })
        .await
    }
}
