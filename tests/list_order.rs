//! Stores that list in another order than the contract's: the service sees every key, or
//! says that something is wrong. It neither hides keys nor walks for ever.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{START, builder, new_key, run, scheme, system};
use keyward::{
    Change, Clock, Event, FakeClock, KeyEdit, KeyId, KeyQuery, KeyRecord, KeyService, KeyStore,
    ListPosition, LogOrder, LogQuery, ManageError, MemoryStore, ReportOptions, StoreError,
    StoreErrorKind, Timestamp, Usage, UsageDelta, UsageStore,
};

/// Lists by a column of its own, as a database with an index does.
#[derive(Clone, Default)]
struct Columns {
    rows: MemoryStore,
    created: Arc<Mutex<BTreeMap<KeyId, Timestamp>>>,
    damaged: Arc<Mutex<Vec<KeyId>>>,
    /// Whether the record of a damaged row is told of the column.
    tells: bool,
    ignores_after: bool,
    repeats_log: bool,
    walked: Arc<AtomicUsize>,
}

impl Columns {
    /// No test needs so many pages.
    fn walk(&self) {
        assert!(self.walked.fetch_add(1, Ordering::Relaxed) < 500, "the walk never ends");
    }

    fn read(&self, record: KeyRecord) -> KeyRecord {
        let id = record.id();
        if !self.damaged.lock().unwrap().contains(&id) {
            return record;
        }
        let record = KeyRecord::from_row(id, record.version(), "{ damaged");
        if self.tells { record.with_created_at(self.created.lock().unwrap()[&id]) } else { record }
    }

    fn position(&self, record: &KeyRecord) -> ListPosition {
        let created_at = self.created.lock().unwrap()[&record.id()];
        ListPosition { created_at, id: record.id() }
    }
}

impl KeyStore for Columns {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.rows.get(id).await?.map(|record| self.read(record)))
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let (id, at) = (change.record.id(), change.record.created_at());
        self.created.lock().unwrap().entry(id).or_insert(at);
        self.rows.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.walk();
        let mut all = query.clone().limit(usize::MAX);
        all.after = None;
        let mut found = self.rows.list(&all).await?;
        found.sort_by_key(|record| std::cmp::Reverse(self.position(record)));
        if let Some(after) = query.after.filter(|_| !self.ignores_after) {
            found.retain(|record| self.position(record) < after);
        }
        found.truncate(query.limit);
        Ok(found.into_iter().map(|record| self.read(record)).collect())
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.walk();
        let mut asked = query.clone();
        if self.repeats_log {
            asked.order = match query.order {
                LogOrder::From(_) => LogOrder::From(1),
                LogOrder::Before(_) => LogOrder::Before(u64::MAX),
            };
        }
        self.rows.log(&asked).await
    }
}

impl UsageStore for Columns {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.rows.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.rows.usage(keys).await
    }
}

/// A service over `count` keys, one a second, and their ids, newest first.
fn service(store: &Columns, count: usize) -> (KeyService, Vec<KeyId>) {
    let clock = FakeClock::at(START);
    let keys = builder(scheme(&[1]), store.clone(), &clock, 1).build();
    let mut ids: Vec<KeyId> = (0..count)
        .map(|_| {
            clock.set(clock.now().saturating_add(Duration::from_secs(1)));
            run(keys.issue(&system(), new_key("k"))).unwrap().id()
        })
        .collect();
    ids.reverse();
    (keys, ids)
}

/// Every page in turn.
fn listed(keys: &KeyService, limit: usize) -> Result<Vec<KeyId>, ManageError> {
    let mut found = Vec::new();
    let mut query = KeyQuery::new().limit(limit);
    loop {
        let page = run(keys.list(&system(), &query))?;
        found.extend(page.data.iter().map(|view| view.id));
        match page.next {
            Some(next) => query = KeyQuery::new().limit(limit).cursor(&next).unwrap(),
            None => return Ok(found),
        }
    }
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T, ManageError>, case: &str) {
    match result {
        Err(ManageError::Store(error)) => {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{case}: {error}");
        }
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn damaged_rows_that_are_told_their_column_hide_nobody() {
    for damage in 0..7 {
        let store = Columns { tells: true, ..Columns::default() };
        let (keys, ids) = service(&store, 7);
        store.damaged.lock().unwrap().extend([ids[damage], ids[(damage + 1) % 7]]);
        for limit in 1..=8 {
            assert_eq!(listed(&keys, limit).unwrap(), ids, "{damage}, {limit}");
        }
        let reports = run(keys.reports(&system(), &ReportOptions::default())).unwrap();
        assert_eq!(reports.unreadable.len(), 2);
        assert_eq!(run(keys.check_peppers()).unwrap().unreadable, 2);
        let resealed = run(keys.reseal_all(&system())).unwrap();
        assert_eq!((resealed.current, resealed.refused.len()), (5, 2));
    }
}

/// Wherever the row stands, also at the end of a full page.
#[test]
fn damaged_rows_that_are_not_are_an_error_and_no_end() {
    for damaged in [vec![0], vec![2], vec![3], vec![2, 3], vec![0, 1, 2, 3, 4], vec![5]] {
        let store = Columns::default();
        let (keys, ids) = service(&store, 7);
        store.damaged.lock().unwrap().extend(damaged.iter().map(|place| ids[*place]));
        for limit in 1..=8 {
            is_corrupt(listed(&keys, limit), &format!("{damaged:?}, {limit}"));
        }
        is_corrupt(run(keys.reports(&system(), &ReportOptions::default())), "reports");
        is_corrupt(run(keys.check_peppers()), "check_peppers");
        is_corrupt(run(keys.reseal_all(&system())), "reseal_all");
    }
    let store = Columns::default();
    let (keys, ids) = service(&store, 7);
    store.damaged.lock().unwrap().push(ids[6]);
    for limit in 1..=8 {
        assert_eq!(listed(&keys, limit).unwrap(), ids, "the oldest stands where it should");
    }
}

#[test]
fn a_store_that_gives_one_page_for_ever_is_an_error() {
    let store = Columns { ignores_after: true, ..Columns::default() };
    let (keys, ids) = service(&store, 1_001);
    is_corrupt(listed(&keys, 2), "list");
    let (actor, options) = (system(), ReportOptions::default());
    is_corrupt(run(keys.check_peppers()), "check_peppers");
    is_corrupt(run(keys.reports(&actor, &options)), "reports");
    is_corrupt(run(keys.reseal_all(&actor)), "reseal_all");
    is_corrupt(run(keys.seal_unsealed(&actor)), "seal_unsealed");
    assert_eq!(ids.len(), 1_001);
}

#[test]
fn a_log_that_gives_one_page_for_ever_is_an_error() {
    let store = Columns { repeats_log: true, ..Columns::default() };
    let (keys, ids) = service(&store, 1);
    let (actor, id) = (system(), ids[0]);
    for round in 0..1_001 {
        let edit = KeyEdit::new().name(format!("round {round}"));
        run(keys.update(&actor, id, edit)).unwrap();
    }
    is_corrupt(run(keys.events(&actor, id)), "events");
    is_corrupt(run(keys.compromised(&actor, id)).unwrap().reached, "reached");
}
