//! Where keys are kept: the traits, their contract, and the store in memory.
//!
//! A whole store, over a map. It is readable rather than fast: the figures of a
//! list or a cap come from reading every row.
//!
//! ```
//! use std::cmp::Reverse;
//! use std::collections::{BTreeMap, HashMap};
//! use std::sync::{Arc, Mutex};
//!
//! use keyward::{
//!     Change, Event, Expect, KeyId, KeyQuery, KeyRecord, KeyStore, ListPosition, LogOrder, LogQuery,
//!     StoreError, StoreErrorKind, Usage, UsageDelta, UsageStore,
//! };
//!
//! #[derive(Clone, Default)]
//! struct MapStore(Arc<Mutex<Tables>>);
//!
//! #[derive(Default)]
//! struct Tables {
//!     /// By id: version and document.
//!     keys: BTreeMap<KeyId, (u64, String)>,
//!     log: Vec<Event>,
//!     usage: HashMap<KeyId, Usage>,
//! }
//!
//! impl Tables {
//!     fn records(&self) -> impl Iterator<Item = KeyRecord> {
//!         self.keys.iter().map(|(id, (version, text))| KeyRecord::from_row(*id, *version, text))
//!     }
//! }
//!
//! impl KeyStore for MapStore {
//!     async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
//!         let tables = self.0.lock().unwrap();
//!         let row = tables.keys.get(&id);
//!         Ok(row.map(|(version, text)| KeyRecord::from_row(id, *version, text)))
//!     }
//!
//!     async fn commit(&self, change: Change) -> Result<(), StoreError> {
//!         let Change { record, expect, event } = change;
//!         let mut tables = self.0.lock().unwrap();
//!         let stored = tables.keys.get(&record.id()).map(|(version, _)| *version);
//!         match (expect, stored) {
//!             (Expect::Absent { .. }, Some(_)) => {
//!                 return Err(StoreError::new(StoreErrorKind::AlreadyExists));
//!             }
//!             (Expect::Absent { cap: Some(cap) }, None) => {
//!                 let mine = tables.records().filter(|other| other.owner() == record.owner());
//!                 if mine.filter(|other| other.is_live(cap.now)).count() >= cap.max as usize {
//!                     return Err(StoreError::new(StoreErrorKind::OwnerCapReached));
//!                 }
//!             }
//!             (Expect::Version(expected), stored) if stored != Some(expected) => {
//!                 return Err(StoreError::new(StoreErrorKind::Conflict));
//!             }
//!             _ => {}
//!         }
//!         tables.keys.insert(record.id(), (record.version(), record.to_document()));
//!         tables.log.extend(event);
//!         Ok(())
//!     }
//!
//!     async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
//!         let mut found: Vec<_> = self.0.lock().unwrap().records().collect();
//!         found.retain(|record| query.matches(record));
//!         found.sort_by_key(|record| Reverse(ListPosition::of(record)));
//!         found.truncate(query.limit);
//!         Ok(found)
//!     }
//!
//!     async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
//!         let mut found: Vec<_> = (1..).zip(self.0.lock().unwrap().log.clone()).collect();
//!         found.retain(|(position, event)| query.matches(*position, event));
//!         if matches!(query.order, LogOrder::Before(_)) {
//!             found.reverse();
//!         }
//!         found.truncate(query.limit);
//!         Ok(found)
//!     }
//! }
//!
//! impl UsageStore for MapStore {
//!     async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
//!         let mut tables = self.0.lock().unwrap();
//!         for delta in batch {
//!             tables.usage.entry(delta.key).or_default().add(delta);
//!         }
//!         Ok(())
//!     }
//!
//!     async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
//!         let tables = self.0.lock().unwrap();
//!         Ok(keys.iter().filter_map(|key| Some((*key, tables.usage.get(key)?.clone()))).collect())
//!     }
//! }
//! # #[cfg(feature = "conformance")]
//! # pollster::block_on(async {
//! #     assert_eq!(keyward::conformance::violations(async || MapStore::default()).await, []);
//! # });
//! ```
//!
//! [`KeyService::new`](crate::KeyService::new) takes it as it takes any store that is
//! [`KeyStore`], [`UsageStore`] and `Clone`. The example `custom_store` runs it.
//!
//! # What a store keeps
//!
//! Of a record a store keeps its [id](KeyRecord::id), its [version](KeyRecord::version)
//! and its [document](KeyRecord::to_document), and gives them to [`KeyRecord::from_row`].
//! Columns to search by are best *generated* from the document, so that nobody can edit
//! the one without the other; nothing but these three is believed on the way back. A
//! document may be of a newer release or damaged: columns made from it must put up with
//! any text, and `NULL` where a field is missing.
//!
//! There is no remove. Without it no key comes back from the dead, and no version is
//! used twice.
//!
//! # The contract
//!
//! Each clause is a check of the feature `conformance`, and each check has a store that
//! breaks it and nothing else (`tests/broken_stores.rs`).
//!
//! - **C1** `Absent` creates, or fails with `AlreadyExists`; it never overwrites.
//! - **C2** `Version(v)` replaces the whole record only if the stored version is `v`; of
//!   several concurrent commits with one `v`, exactly one succeeds.
//! - **C3** A stale version or a missing row is `Conflict`, and nothing changes.
//! - **C4** The service assigns versions; the store never invents one.
//! - **C5** A commit that was awaited is seen by every later `get`, on any clone or
//!   connection.
//! - **C6** A commit whose future is dropped happened wholly or not at all.
//! - **C7** The store judges nothing and reads no clock; an instant it needs is in the
//!   argument.
//! - **C8** `list` gives what [`KeyQuery::matches`], newest first by (`created_at`, id);
//!   fewer than `limit` rows is the end. A row that is present for a whole walk appears
//!   exactly once. A store that orders by a column of its own gives it to
//!   [`KeyRecord::with_created_at`], or a damaged row stands out of order.
//! - **C9** Clones share state.
//! - **C10** The same document text comes back, hostile strings included. (No document
//!   that the service writes holds a NUL, not even as `\u0000`.)
//! - **C11** `Absent` with an [`OwnerCap`] counts the owner's live rows and inserts in one
//!   step: of 100 racers under a cap of 10, exactly 10 succeed.
//! - **C12** The event is in the log exactly when the record is visible.
//! - **C13** Once a reader has seen position n, no entry at or below n appears later.
//!   There may be gaps, and the log may be trimmed at its old end; what is left keeps its
//!   positions.
//!
//! Of usage:
//!
//! - **U1** Uses add up, in whatever order they arrive.
//! - **U2** The last use only moves forward, and its address with it.
//! - **U3** A batch may hold several keys, and one key several times.
//! - **U4** Usage never touches a record, its version, the list or the log.
//!
//! [`Usage::add`] is the model of all four. A store that a limit is counted in is
//! [`LimitStore`]: every charge or none.
//!
//! # Errors
//!
//! A refusal is [`AlreadyExists`](StoreErrorKind::AlreadyExists),
//! [`Conflict`](StoreErrorKind::Conflict) or
//! [`OwnerCapReached`](StoreErrorKind::OwnerCapReached), and means that nothing was
//! changed. When the answer to a commit is lost, the error is
//! [`Unavailable`](StoreErrorKind::Unavailable), never `Conflict`: the service tries a
//! conflict again. Keep the driver's error with
//! [`with_source`](crate::StoreError::with_source).
//!
//! # Notes for SQL
//!
//! - Positions of the log come from a row that each commit locks and counts up, not from
//!   a sequence: a sequence hands out 7 before 6 is committed, and breaks C13.
//! - Lock that row in the **first** statement of the transaction. Commits are then
//!   serial, verifies are not.
//! - Check the version and count for a cap in a **later** statement. At READ COMMITTED a
//!   statement sees what was committed when *it* began: eight racers under a cap of one
//!   made eight rows on Postgres when one statement did both, and one row when the
//!   count came after the lock. C2, C11, C12 and C13 then hold at READ COMMITTED.
//! - Compare owners byte by byte (`COLLATE "C"`, `BINARY`): `org_1` is not `ORG_1`.
//! - `json` columns change the text (C10): keep the document as text.
//! - `state <> 'revoked'` is not true where the state is `NULL`: an unreadable record
//!   would be missing from the list (C8).
//! - Read from the primary: a replica that lags breaks C5.
//! - A transaction whose future is dropped must be rolled back, or carried through by
//!   somebody else (C6).
//!
//! # Testing a store
//!
//! ```toml
//! [dev-dependencies]
//! keyward = { version = "0.1", features = ["conformance"] }
//! ```
//!
//! ```
//! # #[derive(Clone, Default)] struct MapStore;
//! #[cfg(test)]
//! mod contract {
//!     keyward::conformance_suite!(#[pollster::test] super::MapStore::default());
//! }
//! ```
//!
//! This makes one test of each clause, and of clauses that later releases add. A race
//! that passes proves nothing: that two transactions exclude each other must follow from
//! the isolation they run at, and the suite's proof is in the cases that are the same on
//! each run.

mod contract;
mod erased;
mod feed;
mod limit;
mod memory;
mod memory_limit;
mod memory_roll;
mod query;
mod roll;
mod table;

pub use self::contract::{Change, Expect, KeyStore, OwnerCap, UsageStore};
pub(crate) use self::erased::{DynSharedStore, DynStore};
pub(crate) use self::feed::LONGEST_STALENESS;
pub use self::feed::{ChangeFeed, Changes, DEFAULT_MAX_STALENESS, Hints};
pub use self::limit::{Charge, LimitStore, LimitSubject, SharedLimit, SharedLimitStore, Taken};
pub use self::memory::MemoryStore;
pub use self::memory_limit::MemoryLimitStore;
pub use self::query::{KeyQuery, ListPosition, LogOrder, LogQuery};
pub use self::roll::{Heartbeat, NodeRow, RollCall};

#[cfg(doc)]
use crate::error::StoreErrorKind;
#[cfg(doc)]
use crate::record::{KeyRecord, Usage};
