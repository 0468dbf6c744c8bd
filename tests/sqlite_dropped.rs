//! A caller may go away at any moment: what was being written to the file is written
//! wholly or not at all, and no commit suffers for another that waits beside it.
#![cfg(feature = "sqlite")]

mod common;
mod sqlite;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use common::{
    ALL, Done, READ, RowStore, START, Snapshot, World, builder, check_invariants, outcomes,
    poll_times, run, scheme, system,
};
use keyward::{
    ChangeFeed, FakeClock, KeyQuery, KeyService, KeyStore, LogQuery, ManageError, SqliteStore,
    StoreErrorKind, UsageStore,
};
use pollster::block_on;
use sqlite::Scratch;

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future at most so many times, each when it has been woken, and drops it.
fn drop_after<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    for poll in 1..=polls {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending if poll == polls => return None,
            Poll::Pending => thread::park_timeout(Duration::from_secs(5)),
        }
    }
    None
}

/// A closed file with what a world holds.
fn file_of(world: &World) -> Scratch {
    let scratch = Scratch::new();
    drop(scratch.open());
    let sql = scratch.sql();
    for (id, (version, document)) in &world.kept.rows {
        let row = (id.to_string(), i64::try_from(*version).unwrap(), document);
        sql.execute("INSERT INTO keys (id, version, document) VALUES (?1, ?2, ?3)", row).unwrap();
    }
    for event in &world.kept.log {
        let event = serde_json::to_string(event).unwrap();
        sql.execute("INSERT INTO log (event) VALUES (?1)", [event]).unwrap();
    }
    scratch
}

/// What a store holds, when it has done all that it was asked.
fn snapshot(store: &SqliteStore) -> Snapshot {
    block_on(store.set_max_staleness(Duration::from_secs(5))).unwrap();
    let all = block_on(store.list(&KeyQuery::new().with_revoked().limit(usize::MAX))).unwrap();
    let log = block_on(store.log(&LogQuery::from(0).limit(usize::MAX))).unwrap();
    let ids: Vec<_> = all.iter().map(keyward::KeyRecord::id).collect();
    let row = |record: &keyward::KeyRecord| (record.version(), record.to_document());
    Snapshot {
        rows: all.iter().map(|record| (record.id(), row(record))).collect(),
        log: log.into_iter().map(|(_, event)| event).collect(),
        usage: block_on(store.usage(&ids)).unwrap().into_iter().collect(),
    }
}

fn service(store: &SqliteStore, seed: u64) -> KeyService {
    builder(scheme(&[2, 1]), store.clone(), &FakeClock::at(START), seed).build()
}

#[test]
fn a_flow_dropped_at_any_await_leaves_the_file_whole() {
    let world = World::new();
    let seeded = file_of(&world);
    for flow in ALL {
        let after = {
            let store = world.store();
            assert!(run(flow.run(&World::service(&store, 7), &world)).is_ok(), "{flow:?}");
            run(outcomes(&World::service(&store, 8), &world))
        };
        let mut polls = 0;
        loop {
            let scratch = Scratch::new();
            std::fs::copy(seeded.file(), scratch.file()).unwrap();
            let store = scratch.open();
            let keys = service(&store, 7);
            let done = drop_after(flow.run(&keys, &world), polls);
            let case = format!("{flow:?} dropped after {polls} polls");
            check_invariants(&world, &RowStore::of(snapshot(&store)), &after, &case);
            if let Some(done) = done {
                let done = done.unwrap_or_else(|error| panic!("{case}: {error}"));
                if let Done::Issued(token) = done {
                    assert!(block_on(keys.verify(&token, &READ)).is_ok(), "{case}");
                }
                break;
            }
            polls += 1;
        }
        assert!(polls >= 1, "{flow:?} never waited");
    }
}

/// Many commits wait for a lock and then share a transaction, in which one fails.
#[test]
fn commits_that_share_a_transaction_fail_each_alone() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let sql = scratch.sql();
    sql.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON keys WHEN NEW.document LIKE '%unlucky%'
         BEGIN SELECT RAISE(ABORT, 'unlucky'); END",
    )
    .unwrap();
    let keys = service(&store, 1);
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let actor = system().key_cap(15);
    let name = |n: usize| if n % 10 == 3 { "unlucky" } else { "lucky" };
    let mut issues: Vec<_> = (0..20)
        .map(|n| {
            let new = keyward::NewKey::named(name(n)).owner("org_1").permissions(["read:assets"]);
            Box::pin(keys.issue(&actor, new))
        })
        .collect();
    for issue in &mut issues {
        assert!(poll_times(issue.as_mut(), 1).is_none());
    }
    sql.execute_batch("ROLLBACK").unwrap();
    let outcomes: Vec<_> = issues.into_iter().map(block_on).collect();
    let mut made = 0;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(key) => {
                made += 1;
                assert_ne!(name(n), "unlucky");
                let token = key.into_key();
                assert!(block_on(keys.verify(token.expose_secret(), &READ)).is_ok());
            }
            Err(ManageError::KeyLimitReached { max: 15 }) => assert_eq!(made, 15),
            Err(ManageError::Store(error)) => {
                assert_eq!((name(n), error.kind()), ("unlucky", StoreErrorKind::Other));
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert!(source.contains("unlucky"), "{source}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(made, 15);
    let kept = snapshot(&store);
    assert_eq!((kept.rows.len(), kept.log.len()), (15, 15));
}

/// The writer is behind a lock, and the last handle goes: what was asked is done.
#[test]
fn the_last_drop_waits_for_what_was_asked() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let sql = scratch.sql();
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let keys = service(&store, 1);
    let actor = system();
    let mut issue = Box::pin(keys.issue(&actor, common::new_key("new")));
    assert!(poll_times(issue.as_mut(), 1).is_none());
    drop(issue);
    let unlock = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        sql.execute_batch("ROLLBACK").unwrap();
    });
    drop((keys, store));
    let kept = snapshot(&scratch.open());
    assert_eq!((kept.rows.len(), kept.log.len()), (1, 1));
    unlock.join().unwrap();
}
