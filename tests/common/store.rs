use std::collections::{BTreeMap, HashMap};
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use keyward::{
    Change, ChangeFeed, Changes, DEFAULT_MAX_STALENESS, Event, Expect, KeyId, KeyQuery, KeyRecord,
    KeyStore, ListPosition, LogOrder, LogQuery, StoreError, StoreErrorKind, Usage, UsageDelta,
    UsageStore,
};

/// Rows of id, version and document, read anew at every call, as from a database.
#[derive(Clone, Default)]
pub(crate) struct RowStore(Arc<Mutex<Inner>>);

/// Everything that a store would have after the power came back.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) rows: BTreeMap<KeyId, (u64, String)>,
    pub(crate) log: Vec<Event>,
    pub(crate) usage: BTreeMap<KeyId, Usage>,
}

#[derive(Default)]
struct Inner {
    kept: Snapshot,
    calls: usize,
    /// Which call fails, counted from 0, and how.
    fault: Option<(usize, Fault)>,
    /// Whether every call waits once before it acts and once after.
    yields: bool,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call is dropped once it waits, if it does (of [`Faulty`](super::Faulty) alone).
    Dropped,
    /// Nothing happens, and this is said.
    Error(StoreErrorKind),
    /// It happens, and `Unavailable` is said.
    ErrorAfter,
    /// Nothing happens, and the call never ends.
    Hangs,
    /// It happens, and the call never ends.
    HangsAfter,
    /// A read gives another key's row.
    WrongRow,
    /// A read gives each row twice.
    Twice,
    /// A read gives half of the document.
    HalfRow,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::Error(StoreErrorKind::Unavailable),
        Self::Error(StoreErrorKind::Other),
        Self::Error(StoreErrorKind::Corrupt),
        Self::ErrorAfter,
        Self::Hangs,
        Self::HangsAfter,
        Self::WrongRow,
        Self::Twice,
        Self::HalfRow,
    ];
}

impl RowStore {
    pub(crate) fn of(kept: Snapshot) -> Self {
        Self(Arc::new(Mutex::new(Inner { kept, ..Inner::default() })))
    }

    pub(crate) fn failing(self, call: usize, fault: Fault) -> Self {
        self.0.lock().unwrap().fault = Some((call, fault));
        self
    }

    pub(crate) fn yielding(self) -> Self {
        self.0.lock().unwrap().yields = true;
        self
    }

    /// A store that works, with the same rows.
    pub(crate) fn healed(&self) -> Self {
        Self::of(self.snapshot())
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.0.lock().unwrap().kept.clone()
    }

    pub(crate) fn document(&self, id: KeyId) -> (u64, String) {
        self.0.lock().unwrap().kept.rows[&id].clone()
    }

    pub(crate) fn put(&self, id: KeyId, version: u64, document: &str) {
        self.0.lock().unwrap().kept.rows.insert(id, (version, document.to_owned()));
    }

    async fn call<T>(
        &self,
        act: impl FnOnce(&mut Snapshot, Option<Fault>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (fault, yields) = {
            let mut inner = self.0.lock().unwrap();
            let call = inner.calls;
            inner.calls += 1;
            (inner.fault.filter(|(at, _)| *at == call).map(|(_, fault)| fault), inner.yields)
        };
        if yields {
            yield_once().await;
        }
        match fault {
            Some(Fault::Error(kind)) => return Err(StoreError::new(kind)),
            Some(Fault::Hangs) => pending().await,
            _ => {}
        }
        let done = act(&mut self.0.lock().unwrap().kept, fault);
        if yields {
            yield_once().await;
        }
        match fault {
            Some(Fault::ErrorAfter) => Err(StoreError::new(StoreErrorKind::Unavailable)),
            Some(Fault::HangsAfter) => pending().await,
            _ => done,
        }
    }
}

async fn yield_once() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Snapshot {
    pub(crate) fn record(&self, id: KeyId) -> Option<KeyRecord> {
        let (version, document) = self.rows.get(&id)?;
        Some(KeyRecord::from_row(id, *version, document))
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = KeyRecord> {
        self.rows.keys().filter_map(|id| self.record(*id))
    }

    fn read(&self, id: KeyId, fault: Option<Fault>) -> Option<KeyRecord> {
        let (version, document) = self.rows.get(&id)?;
        match fault {
            Some(Fault::WrongRow) => self.records().find(|record| record.id() != id),
            Some(Fault::HalfRow) => {
                Some(KeyRecord::from_row(id, *version, &document[..document.len() / 2]))
            }
            _ => self.record(id),
        }
    }

    fn commit(&mut self, change: Change) -> Result<(), StoreError> {
        let record = &change.record;
        match (change.expect, self.rows.get(&record.id())) {
            (Expect::Absent { .. }, Some(_)) => {
                return Err(StoreError::new(StoreErrorKind::AlreadyExists));
            }
            (Expect::Absent { cap }, None) => {
                let live = |record: &KeyRecord, now| {
                    record.owner() == change.record.owner() && record.is_live(now)
                };
                let full = cap.is_some_and(|cap| {
                    self.records().filter(|record| live(record, cap.now)).count()
                        >= cap.max as usize
                });
                if full {
                    return Err(StoreError::new(StoreErrorKind::OwnerCapReached));
                }
            }
            (Expect::Version(version), Some((stored, _))) if *stored == version => {}
            (Expect::Version(_), _) => return Err(StoreError::new(StoreErrorKind::Conflict)),
        }
        self.rows.insert(record.id(), (record.version(), record.to_document()));
        self.log.extend(change.event);
        Ok(())
    }

    fn list(&self, query: &KeyQuery, fault: Option<Fault>) -> Vec<KeyRecord> {
        let mut found: Vec<_> = self.records().filter(|record| query.matches(record)).collect();
        found.sort_by_key(|record| std::cmp::Reverse(ListPosition::of(record)));
        found.truncate(query.limit);
        match fault {
            Some(Fault::HalfRow) => {
                let id = found.first().map(KeyRecord::id);
                found.splice(..1.min(found.len()), id.and_then(|id| self.read(id, fault)));
            }
            Some(Fault::Twice) => {
                found = found.iter().flat_map(|r| [r.clone(), r.clone()]).collect();
            }
            _ => {}
        }
        found
    }
}

impl KeyStore for RowStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.call(|kept, fault| Ok(kept.read(id, fault))).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.call(|kept, _| kept.commit(change)).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.call(|kept, fault| Ok(kept.list(query, fault))).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.call(|kept, _| {
            let entries = (1..).zip(kept.log.iter().cloned());
            let wanted = entries.filter(|(_, event)| query.key.is_none_or(|key| event.key == key));
            Ok(match query.order {
                LogOrder::From(from) => {
                    wanted.filter(|(at, _)| *at >= from).take(query.limit).collect()
                }
                LogOrder::Before(before) => {
                    let mut older: Vec<_> = wanted.filter(|(at, _)| *at < before).collect();
                    older.reverse();
                    older.truncate(query.limit);
                    older
                }
            })
        })
        .await
    }
}

impl ChangeFeed for RowStore {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        let entries = self.log(query).await?;
        Ok(Changes { entries, max_staleness: DEFAULT_MAX_STALENESS, heartbeats: false })
    }

    async fn set_max_staleness(&self, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }
}

impl UsageStore for RowStore {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.call(|kept, _| {
            for delta in batch {
                kept.usage.entry(delta.key).or_default().add(delta);
            }
            Ok(())
        })
        .await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.call(|kept, _| {
            Ok(keys.iter().filter_map(|key| Some((*key, kept.usage.get(key)?.clone()))).collect())
        })
        .await
    }
}
