//! One store for each clause of the contract, broken in one way: its clause, and no
//! other, must say so.

mod clauses;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use clauses::{assert_complete, assert_told_apart, turn};
use keyward::{
    Change, Clock, Event, Expect, KeyId, KeyQuery, KeyRecord, KeyStore, ListPosition, LogOrder,
    LogQuery, MemoryStore, OwnerCap, StoreError, StoreErrorKind, SystemClock, Usage, UsageDelta,
    UsageStore, conformance,
};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    AbsentOverwrites,
    AddsOnlyTheFirstOfABatch,
    AnswersFromACacheOfItsOwn,
    ChecksThenWrites,
    ClonesAreNewStores,
    CountsDeadKeys,
    CountsThenInserts,
    CountsVersionsItself,
    DropsLateCounts,
    EverythingFails,
    HidesExpiredKeys,
    IndexesAfterwards,
    LastUseIsThatOfTheLastBatch,
    LimitsBeforeItFilters,
    ListsOldestFirst,
    LogsRefusals,
    NumbersEntriesBeforeItWrites,
    NumbersEntriesAnewWhenItTrims,
    TrimsText,
    UsageTouchesTheRecord,
    UsageWritesToTheLog,
    VersionUpserts,
}

const CLAUSES: [(Fault, &str); 21] = [
    (Fault::AbsentOverwrites, "C1"),
    (Fault::ChecksThenWrites, "C2"),
    (Fault::VersionUpserts, "C3"),
    (Fault::CountsVersionsItself, "C4"),
    (Fault::AnswersFromACacheOfItsOwn, "C5"),
    (Fault::IndexesAfterwards, "C6"),
    (Fault::HidesExpiredKeys, "C7"),
    (Fault::LimitsBeforeItFilters, "C8"),
    (Fault::ListsOldestFirst, "C8"),
    (Fault::ClonesAreNewStores, "C9"),
    (Fault::TrimsText, "C10"),
    (Fault::CountsDeadKeys, "C11"),
    (Fault::CountsThenInserts, "C11"),
    (Fault::LogsRefusals, "C12"),
    (Fault::NumbersEntriesBeforeItWrites, "C13"),
    (Fault::NumbersEntriesAnewWhenItTrims, "C13"),
    (Fault::DropsLateCounts, "U1"),
    (Fault::LastUseIsThatOfTheLastBatch, "U2"),
    (Fault::AddsOnlyTheFirstOfABatch, "U3"),
    (Fault::UsageTouchesTheRecord, "U4"),
    (Fault::UsageWritesToTheLog, "U4"),
];

#[pollster::test]
async fn a_broken_store_fails_its_clause_and_no_other() {
    let mut found = Vec::new();
    for (fault, clause) in CLAUSES {
        found.push((fault, clause, conformance::violations(async || Broken::new(fault)).await));
    }
    assert_told_apart(&found);
}

#[pollster::test]
async fn every_clause_has_a_broken_store() {
    let broken = async || Broken::new(Fault::EverythingFails);
    assert_complete(&CLAUSES, &conformance::violations(broken).await);
}

#[pollster::test]
async fn a_violation_names_its_clause_and_what_was_seen() {
    let store = Broken::new(Fault::VersionUpserts);
    let violation = conformance::c3_stale_is_conflict(store).await.unwrap_err();
    let text = violation.to_string();
    assert_eq!(violation.clause(), "C3");
    assert!(text.contains("clause C3") && text.contains(violation.rule()), "{text}");
    assert!(text.contains("succeeded, not Conflict"), "{text}");
}

/// A store in memory with one fault.
struct Broken {
    fault: Fault,
    memory: MemoryStore,
    shared: Arc<Mutex<Shared>>,
    /// Not shared by clones.
    cache: Mutex<HashMap<KeyId, KeyRecord>>,
}

/// What some faults need beside the keys.
#[derive(Default)]
struct Shared {
    index: HashMap<KeyId, KeyRecord>,
    log: Vec<(u64, Event)>,
    next_position: u64,
    usage: HashMap<KeyId, Usage>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let (memory, shared) = (MemoryStore::new(), Arc::default());
        Self { fault, memory, shared, cache: Mutex::default() }
    }

    fn shared<T>(&self, use_it: impl FnOnce(&mut Shared) -> T) -> T {
        use_it(&mut self.shared.lock().unwrap())
    }

    fn own_log(&self) -> bool {
        matches!(
            self.fault,
            Fault::LogsRefusals
                | Fault::NumbersEntriesAnewWhenItTrims
                | Fault::NumbersEntriesBeforeItWrites
                | Fault::UsageWritesToTheLog
        )
    }

    /// Writes over whatever is there, with the change's event.
    async fn force(&self, mut change: Change) -> Result<(), StoreError> {
        let before = self.memory.get(change.record.id()).await?;
        change.expect = match before {
            Some(before) => Expect::Version(before.version()),
            None => Expect::Absent { cap: None },
        };
        self.memory.commit(change).await
    }

    /// Commits with the log apart, at a position that `position` chooses.
    async fn commit_apart(&self, mut change: Change) -> Result<(), StoreError> {
        let event = change.event.take();
        let mut place = self.shared(|shared| {
            shared.next_position += 1;
            shared.next_position
        });
        if self.fault == Fault::NumbersEntriesBeforeItWrites && place % 2 == 1 {
            for _ in 0..3 {
                turn().await;
            }
        }
        let committed = self.memory.commit(change).await;
        let refused = committed.is_err() && self.fault != Fault::LogsRefusals;
        if let Some(event) = event.filter(|_| !refused) {
            self.shared(|shared| {
                if self.fault == Fault::NumbersEntriesAnewWhenItTrims && shared.log.len() == 8 {
                    shared.log.remove(0);
                    shared.log.iter_mut().for_each(|(position, _)| *position -= 1);
                    shared.next_position -= 1;
                    place -= 1;
                }
                shared.log.push((place, event));
                shared.log.sort_by_key(|(position, _)| *position);
            });
        }
        committed
    }

    async fn count(&self, owner: &str, cap: OwnerCap) -> Result<usize, StoreError> {
        let query = KeyQuery::new().owner(owner).with_revoked().limit(usize::MAX);
        let keys = self.memory.list(&query).await?;
        let dead_too = self.fault == Fault::CountsDeadKeys;
        Ok(keys.iter().filter(|key| dead_too || key.is_live(cap.now)).count())
    }
}

impl Clone for Broken {
    fn clone(&self) -> Self {
        if self.fault == Fault::ClonesAreNewStores {
            return Self::new(self.fault);
        }
        let shared = Arc::clone(&self.shared);
        let memory = self.memory.clone();
        Self { fault: self.fault, memory, shared, cache: Mutex::default() }
    }
}

impl KeyStore for Broken {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let found = self.memory.get(id).await?;
        Ok(match self.fault {
            Fault::AnswersFromACacheOfItsOwn => {
                let mut cache = self.cache.lock().unwrap();
                found.map(|found| cache.entry(id).or_insert(found).clone())
            }
            Fault::HidesExpiredKeys => found.filter(|found| !has_expired(found)),
            Fault::EverythingFails => return Err(StoreError::new(StoreErrorKind::Other)),
            _ => found,
        })
    }

    async fn commit(&self, mut change: Change) -> Result<(), StoreError> {
        let id = change.record.id();
        let before = self.memory.get(id).await?;
        let version = before.as_ref().map(KeyRecord::version);
        match (self.fault, change.expect) {
            (Fault::EverythingFails, _) => Err(StoreError::new(StoreErrorKind::Other)),
            (Fault::AbsentOverwrites, Expect::Absent { .. }) if before.is_some() => {
                self.force(change).await
            }
            (Fault::ChecksThenWrites, Expect::Version(expected)) => {
                if version != Some(expected) {
                    return Err(StoreError::new(StoreErrorKind::Conflict));
                }
                turn().await;
                self.force(change).await
            }
            (Fault::VersionUpserts, Expect::Version(_)) if before.is_none() => {
                self.force(change).await
            }
            (Fault::CountsVersionsItself, _) => {
                change.record = with_version(&change.record, version.unwrap_or(0) + 1);
                self.memory.commit(change).await
            }
            (Fault::AnswersFromACacheOfItsOwn, _) => {
                self.cache.lock().unwrap().remove(&id);
                self.memory.commit(change).await
            }
            (Fault::IndexesAfterwards, _) => {
                let record = change.record.clone();
                self.memory.commit(change).await?;
                turn().await;
                self.shared(|shared| shared.index.insert(id, record));
                Ok(())
            }
            (Fault::TrimsText, _) => {
                let record = &change.record;
                let text = record.to_document();
                if text != text.trim() {
                    change.record = KeyRecord::from_row(id, record.version(), text.trim());
                }
                self.memory.commit(change).await
            }
            (
                Fault::CountsThenInserts | Fault::CountsDeadKeys,
                Expect::Absent { cap: Some(cap) },
            ) if before.is_none() => {
                if self.count(change.record.owner(), cap).await? >= cap.max as usize {
                    return Err(StoreError::new(StoreErrorKind::OwnerCapReached));
                }
                if self.fault == Fault::CountsThenInserts {
                    turn().await;
                }
                self.force(change).await
            }
            _ if self.own_log() => self.commit_apart(change).await,
            _ => self.memory.commit(change).await,
        }
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        match self.fault {
            Fault::EverythingFails => Err(StoreError::new(StoreErrorKind::Other)),
            Fault::HidesExpiredKeys => {
                let mut found = self.memory.list(query).await?;
                found.retain(|found| !has_expired(found));
                Ok(found)
            }
            Fault::IndexesAfterwards => {
                let all = self.shared(|shared| shared.index.values().cloned().collect::<Vec<_>>());
                let mut found: Vec<_> = all.into_iter().filter(|key| query.matches(key)).collect();
                found.sort_by_key(|key| std::cmp::Reverse(ListPosition::of(key)));
                found.truncate(query.limit);
                Ok(found)
            }
            Fault::LimitsBeforeItFilters => {
                let mut any = KeyQuery::new().with_revoked().limit(query.limit);
                any.after = query.after;
                let mut found = self.memory.list(&any).await?;
                found.retain(|key| query.matches(key));
                Ok(found)
            }
            Fault::ListsOldestFirst => {
                let mut found = self.memory.list(query).await?;
                found.reverse();
                Ok(found)
            }
            _ => self.memory.list(query).await,
        }
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        if self.fault == Fault::EverythingFails {
            return Err(StoreError::new(StoreErrorKind::Other));
        }
        if !self.own_log() {
            return self.memory.log(query).await;
        }
        let mut log = self.shared(|shared| shared.log.clone());
        log.retain(|(position, event)| {
            query.key.is_none_or(|key| key == event.key)
                && match query.order {
                    LogOrder::Before(before) => *position < before,
                    LogOrder::From(from) => *position >= from,
                }
        });
        if matches!(query.order, LogOrder::Before(_)) {
            log.reverse();
        }
        log.truncate(query.limit);
        Ok(log)
    }
}

impl UsageStore for Broken {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        match self.fault {
            Fault::EverythingFails => return Err(StoreError::new(StoreErrorKind::Other)),
            Fault::AddsOnlyTheFirstOfABatch => {
                return self.memory.add(batch.get(..1).unwrap_or_default()).await;
            }
            Fault::UsageTouchesTheRecord => {
                for delta in batch {
                    let Some(record) = self.memory.get(delta.key).await? else { continue };
                    let record = with_version(&record, record.version() + 1);
                    let expect = Expect::Version(record.version() - 1);
                    self.memory.commit(Change { record, expect, event: None }).await?;
                }
            }
            Fault::UsageWritesToTheLog => self.shared(|shared| {
                let again = shared.log.last().cloned();
                shared.next_position += 1;
                shared.log.extend(again.map(|(_, event)| (shared.next_position, event)));
            }),
            _ => {}
        }
        self.shared(|shared| {
            for delta in batch {
                let usage = shared.usage.entry(delta.key).or_default();
                let last_hour = usage.hours.last().map(|(hour, _)| *hour);
                let mut delta = delta.clone();
                if self.fault == Fault::DropsLateCounts && last_hour > Some(delta.hour) {
                    delta.slots.iter_mut().for_each(|slot| slot.uses = 0);
                }
                usage.add(&delta);
                if self.fault == Fault::LastUseIsThatOfTheLastBatch {
                    usage.last_used_at = delta.last_used_at();
                    usage.last_address = delta.last_address;
                }
            }
        });
        self.memory.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        match self.fault {
            Fault::EverythingFails => Err(StoreError::new(StoreErrorKind::Other)),
            Fault::DropsLateCounts | Fault::LastUseIsThatOfTheLastBatch => {
                let known = self.shared(|shared| shared.usage.clone());
                Ok(known.into_iter().filter(|(key, _)| keys.contains(key)).collect())
            }
            _ => self.memory.usage(keys).await,
        }
    }
}

/// The same record under another version.
fn with_version(record: &KeyRecord, version: u64) -> KeyRecord {
    let [before, after] = [record.version(), version].map(|v| format!("\"version\":{v},"));
    let document = record.to_document().replace(&before, &after);
    KeyRecord::from_row(record.id(), version, &document)
}

fn has_expired(record: &KeyRecord) -> bool {
    record.expires_at().is_some_and(|end| end <= SystemClock::new().now())
}
