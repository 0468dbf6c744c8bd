//! One request carried out by two nodes at once, while they disagree on the current pepper
//! and so give it two ids: one live key, and one secret.

mod common;

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use common::{READ, RowStore, START, builder, new_key, run, scheme, system};
use keyward::{
    Action, Change, Event, FakeClock, IssuedKey, KeyId, KeyQuery, KeyRecord, KeyService, KeyStore,
    LogQuery, ManageError, NewKey, Status, StoreError, Usage, UsageDelta, UsageStore,
};

/// Answers nothing to the first look at each id: as if everybody looked before anybody wrote.
#[derive(Clone)]
struct LookedTooEarly {
    rows: RowStore,
    looks: Arc<Mutex<HashSet<KeyId>>>,
}

impl LookedTooEarly {
    fn over(rows: RowStore) -> Self {
        Self { rows, looks: Arc::default() }
    }
}

impl KeyStore for LookedTooEarly {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let found = self.rows.get(id).await?;
        let first = self.looks.lock().unwrap().insert(id);
        Ok(found.filter(|_| !first))
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.rows.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.rows.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.rows.log(query).await
    }
}

impl UsageStore for LookedTooEarly {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.rows.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.rows.usage(keys).await
    }
}

type Answer = Result<IssuedKey, ManageError>;

fn new() -> NewKey {
    new_key("once").idempotency_key("request-1")
}

/// Two nodes over one store, each with looks of its own: the first has the old pepper as
/// its current one, the second the new one.
fn nodes(rows: &RowStore) -> [KeyService; 2] {
    [([1, 2], 1), ([2, 1], 2)].map(|(peppers, seed)| {
        let store = LookedTooEarly::over(rows.clone());
        builder(scheme(&peppers), store, &FakeClock::at(START), seed).build()
    })
}

fn one_key_came_of_it(rows: &RowStore, keys: &KeyService, answers: [Answer; 2], case: &str) {
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(issued) => winners.push(issued),
            Err(ManageError::AlreadyIssued(view)) => losers.push(view),
            Err(error) => panic!("{case}: {error}"),
        }
    }
    assert_eq!((winners.len(), losers.len()), (1, 1), "{case}");
    let winner = winners.pop().unwrap();
    assert_eq!(losers[0].id, winner.id(), "{case}: the loser was told of another key");
    assert_eq!(losers[0].status, Status::Active, "{case}");
    let live: Vec<KeyId> = rows
        .snapshot()
        .records()
        .filter(|record| record.is_live(START))
        .map(|record| record.id())
        .collect();
    assert_eq!(live, [winner.id()], "{case}");
    for other in rows.snapshot().records().filter(|record| record.id() != winner.id()) {
        let events = run(keys.events(&system(), other.id())).unwrap();
        let told =
            |event: &Event| event.details.get("reason").map(String::as_str) == Some("superseded");
        assert!(events[0].action == Action::Revoked && told(&events[0]), "{case}: {events:?}");
    }
    // Whoever asks again is told of the key that lives, whichever pepper is current there.
    for peppers in [[1, 2], [2, 1]] {
        let store = rows.clone();
        let node = builder(scheme(&peppers), store, &FakeClock::at(START), 3).build();
        match run(node.issue(&system(), new())) {
            Err(ManageError::AlreadyIssued(view)) => assert_eq!(view.id, winner.id(), "{case}"),
            other => panic!("{case}: {other:?}"),
        }
    }
    let key = winner.into_key();
    run(keys.verify(key.expose_secret(), &READ)).unwrap();
}

#[test]
fn who_comes_second_revokes_its_own_key() {
    for order in [[0, 1], [1, 0]] {
        let rows = RowStore::default();
        let nodes = nodes(&rows);
        let first = run(nodes[order[0]].issue(&system(), new()));
        assert!(first.is_ok(), "{order:?}");
        let second = run(nodes[order[1]].issue(&system(), new()));
        assert!(second.is_err(), "{order:?}: two secrets of one request");
        assert_eq!(rows.snapshot().rows.len(), 2, "{order:?}: they were no racers");
        one_key_came_of_it(&rows, &nodes[0], [first, second], &format!("{order:?}"));
    }
}

/// Every interleaving in which one of them is `lead` calls ahead of the other, call by call.
#[test]
fn racers_in_lockstep_make_one_key() {
    let mut both_inserted = 0;
    for order in [[0, 1], [1, 0]] {
        for lead in 0..40 {
            let rows = RowStore::default().yielding();
            let nodes = nodes(&rows);
            let host = system();
            let mut context = Context::from_waker(Waker::noop());
            let mut ahead = pin!(nodes[order[0]].issue(&host, new()));
            let mut behind = pin!(nodes[order[1]].issue(&host, new()));
            let (mut first, mut second): (Option<Answer>, Option<Answer>) = (None, None);
            for turn in 0..10_000 {
                if first.is_none()
                    && let Poll::Ready(answer) = ahead.as_mut().poll(&mut context)
                {
                    first = Some(answer);
                }
                if turn >= lead
                    && second.is_none()
                    && let Poll::Ready(answer) = behind.as_mut().poll(&mut context)
                {
                    second = Some(answer);
                }
            }
            let case = format!("{order:?}, {lead} ahead");
            let answers = [first, second].map(|answer| answer.expect(&case));
            both_inserted += usize::from(rows.snapshot().rows.len() == 2);
            one_key_came_of_it(&rows.healed(), &plain(&rows), answers, &case);
        }
    }
    assert!(both_inserted > 20, "{both_inserted}: hardly anybody raced");
}

fn plain(rows: &RowStore) -> KeyService {
    builder(scheme(&[2, 1]), rows.healed(), &FakeClock::at(START), 9).build()
}

/// The manual's word: the old pepper made the id, and without it nobody finds it.
#[test]
fn once_the_old_pepper_is_gone_a_repeat_makes_a_new_key() {
    let rows = RowStore::default();
    let service = |peppers: &[u8], seed| {
        builder(scheme(peppers), rows.clone(), &FakeClock::at(START), seed).build()
    };
    let old = run(service(&[1], 1).issue(&system(), new())).unwrap().id();
    let error = run(service(&[2, 1], 2).issue(&system(), new())).unwrap_err();
    assert!(matches!(&error, ManageError::AlreadyIssued(view) if view.id == old), "{error}");
    let new = run(service(&[2], 3).issue(&system(), new())).unwrap();
    assert_ne!(new.id(), old);
}
