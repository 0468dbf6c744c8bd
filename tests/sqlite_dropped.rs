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
use sqlite::{BOTH, Scratch};

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
    for (options, flow) in BOTH.into_iter().flat_map(|options| ALL.map(|flow| (options, flow))) {
        let after = {
            let store = world.store();
            assert!(run(flow.run(&World::service(&store, 7), &world)).is_ok(), "{flow:?}");
            run(outcomes(&World::service(&store, 8), &world))
        };
        let mut polls = 0;
        loop {
            let scratch = Scratch::new();
            std::fs::copy(seeded.file(), scratch.file()).unwrap();
            let store = scratch.open_by(options);
            let keys = service(&store, 7);
            let done = drop_after(flow.run(&keys, &world), polls);
            let case = format!("{flow:?} dropped after {polls} polls, {options:?}");
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

/// How many transactions are in the log before the file: a frame that ends one names the size
/// of the file (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
fn transactions(scratch: &Scratch) -> usize {
    let log = std::fs::read(scratch.file().with_extension("db-wal")).unwrap();
    let frames = log[32..].chunks(24 + 4_096);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[test]
fn commits_that_wait_at_the_same_time_share_a_transaction() {
    const CALLERS: usize = 20;
    for options in BOTH {
        let scratch = Scratch::new();
        let store = scratch.open_by(options);
        let keys = service(&store, 1);
        block_on(keys.issue(&system(), common::new_key("first"))).map(drop).unwrap();
        let before = transactions(&scratch);
        let sql = scratch.sql();
        sql.execute_batch("BEGIN IMMEDIATE").unwrap();
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| block_on(keys.issue(&system(), common::new_key("new"))).unwrap());
            }
            thread::sleep(Duration::from_millis(300));
            sql.execute_batch("ROLLBACK").unwrap();
        });
        let shared = transactions(&scratch) - before;
        assert!((1..=3).contains(&shared), "{CALLERS} commits by {shared} transactions");
        assert_eq!(snapshot(&store).rows.len(), CALLERS + 1);
    }
}

/// What is told of a change changes something itself.
#[test]
fn an_observer_may_write_in_place() {
    struct Again(SqliteStore);
    impl keyward::Observer for Again {
        fn changed(&self, _: &keyward::Event) {
            block_on(self.0.set_max_staleness(Duration::from_secs(7))).unwrap();
            assert!(block_on(self.0.list(&KeyQuery::new())).unwrap().len() == 1);
        }
    }
    let scratch = Scratch::new();
    let store = scratch.open_by(sqlite::BOTH[1].readers(1));
    let clock = FakeClock::at(START);
    let keys = builder(scheme(&[1]), store.clone(), &clock, 1).observer(Again(store.clone()));
    block_on(keys.build().issue(&system(), common::new_key("key"))).map(drop).unwrap();
    let changes = block_on(store.changes(&LogQuery::from(0))).unwrap();
    assert_eq!(changes.max_staleness, Duration::from_secs(7));
}

#[test]
fn a_call_in_place_is_done_by_its_first_poll() {
    let scratch = Scratch::new();
    let store = scratch.open_by(sqlite::BOTH[1]);
    let keys = service(&store, 1);
    let actor = system();
    drop(keys.issue(&actor, common::new_key("never polled")));
    let mut issue = Box::pin(keys.issue(&actor, common::new_key("polled")));
    let issued = poll_times(issue.as_mut(), 1).expect("it is done").unwrap();
    let mut verify =
        Box::pin(async { keys.verify(issued.into_key().expose_secret(), &READ).await });
    assert!(poll_times(verify.as_mut(), 1).expect("it is done").is_ok());
    let query = KeyQuery::new();
    let mut list = Box::pin(store.list(&query));
    assert_eq!(poll_times(list.as_mut(), 1).expect("it is done").unwrap().len(), 1);
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
