use std::collections::HashMap;
use std::fmt;

use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Event, EventId, KeyRecord, Usage, UsageDelta};
use crate::store::{Change, KeyQuery, KeyStore, LogQuery, UsageStore};
use crate::token::KeyId;

/// A store broke a clause of its contract: which, and what was seen.
///
/// ```
/// use keyward::{MemoryStore, conformance};
///
/// # pollster::block_on(async {
/// let checked = conformance::c1_absent_never_overwrites(MemoryStore::new()).await;
/// if let Err(violation) = checked {
///     println!("{}: {violation}", violation.clause());
/// }
/// # });
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    clause: Clause,
    seen: String,
}

impl Violation {
    /// The clause's number, such as `C3`.
    pub fn clause(&self) -> &'static str {
        self.clause.number
    }

    /// What the clause demands.
    pub fn rule(&self) -> &'static str {
        self.clause.rule
    }

    /// What was seen instead.
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clause: Clause { number, rule }, seen } = self;
        write!(f, "clause {number} of the store contract is broken ({rule}): {seen}")
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Violation {}

/// A clause of the contract.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) number: &'static str,
    pub(super) rule: &'static str,
}

/// What became of one check.
pub(super) type Checked<T = ()> = Result<T, Violation>;

/// A store, asked on behalf of a clause.
pub(super) struct Probe<'a, S> {
    pub(super) clause: Clause,
    pub(super) store: &'a S,
}

impl Clause {
    pub(super) const fn new(number: &'static str, rule: &'static str) -> Self {
        Self { number, rule }
    }

    pub(super) fn probe<S>(self, store: &S) -> Probe<'_, S> {
        Probe { clause: self, store }
    }

    pub(super) fn violated(self, seen: impl Into<String>) -> Violation {
        Violation { clause: self, seen: seen.into() }
    }

    pub(super) fn ensure(self, holds: bool, seen: impl FnOnce() -> String) -> Checked {
        if holds { Ok(()) } else { Err(self.violated(seen())) }
    }

    fn ok<T>(self, result: Result<T, StoreError>, called: &str) -> Checked<T> {
        result.map_err(|error| self.violated(format!("{called} failed: {}", shown(&error))))
    }
}

impl<S: KeyStore> Probe<'_, S> {
    pub(super) async fn get(&self, id: KeyId) -> Checked<Option<KeyRecord>> {
        self.clause.ok(self.store.get(id).await, "`get`")
    }

    pub(super) async fn list(&self, query: &KeyQuery) -> Checked<Vec<KeyRecord>> {
        self.clause.ok(self.store.list(query).await, "`list`")
    }

    pub(super) async fn log(&self, query: &LogQuery) -> Checked<Vec<(u64, Event)>> {
        self.clause.ok(self.store.log(query).await, "`log`")
    }

    /// Commits what must be accepted.
    pub(super) async fn accepts(&self, change: Change) -> Checked {
        let called = format!("`commit` of {}", described(&change));
        self.clause.ok(self.store.commit(change).await, &called)
    }

    /// Commits what must be refused with an error of this kind.
    pub(super) async fn refuses(&self, change: Change, kind: StoreErrorKind) -> Checked {
        let called = format!("`commit` of {}", described(&change));
        match self.store.commit(change).await {
            Err(error) if error.kind() == kind => Ok(()),
            Err(error) => {
                let error = shown(&error);
                Err(self.clause.violated(format!("{called} failed with {error}, not {kind:?}")))
            }
            Ok(()) => Err(self.clause.violated(format!("{called} succeeded, not {kind:?}"))),
        }
    }

    /// Demands that `get` gives exactly this record.
    pub(super) async fn holds(&self, record: &KeyRecord) -> Checked {
        let found = self.get(record.id()).await?;
        self.same(found.as_ref(), record, "`get`")
    }

    /// Demands that there is no record with this id.
    pub(super) async fn lacks(&self, id: KeyId) -> Checked {
        let found = self.get(id).await?;
        self.clause.ensure(found.is_none(), || format!("`get` of {id} gave {found:?}, not nothing"))
    }

    /// Demands that a record, from wherever, is exactly this one.
    pub(super) fn same(&self, found: Option<&KeyRecord>, record: &KeyRecord, by: &str) -> Checked {
        let same = found.is_some_and(|found| is_same(found, record));
        self.clause.ensure(same, || {
            let found = found.map_or("nothing".to_owned(), full);
            format!("{by} gave {found}, not {}", full(record))
        })
    }

    /// The newest entries of the log, at most 100.
    pub(super) async fn newest(&self) -> Checked<Vec<(u64, Event)>> {
        self.log(&LogQuery::before(u64::MAX)).await
    }

    /// Whether an event is among the newest entries.
    pub(super) async fn logged(&self, event: EventId) -> Checked<bool> {
        Ok(self.newest().await?.iter().any(|(_, entry)| entry.id == event))
    }
}

impl<S: UsageStore> Probe<'_, S> {
    pub(super) async fn add(&self, batch: &[UsageDelta]) -> Checked {
        self.clause.ok(self.store.add(batch).await, "`add`")
    }

    pub(super) async fn usage(&self, keys: &[KeyId]) -> Checked<HashMap<KeyId, Usage>> {
        self.clause.ok(self.store.usage(keys).await, "`usage`")
    }
}

/// Whether two handles are of the same row: id, version and text.
pub(super) fn is_same(a: &KeyRecord, b: &KeyRecord) -> bool {
    a.id() == b.id() && a.version() == b.version() && a.to_document() == b.to_document()
}

fn full(record: &KeyRecord) -> String {
    format!("{} at version {} {}", record.id(), record.version(), record.to_document())
}

fn shown(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{:?} ({error}; {source})", error.kind()),
        None => format!("{:?} ({error})", error.kind()),
    }
}

fn described(change: &Change) -> String {
    let Change { record, expect, .. } = change;
    format!("{} at version {} over {expect:?}", record.id(), record.version())
}
