//! Several processes and many threads on one file: no edit is lost, no cap is passed, and
//! each hears of the others.
//!
//! 8 writers make 100 edits each by default, times `KEYWARD_TEST_SCALE` (10 makes 1,000).
#![cfg(feature = "sqlite")]

mod common;
mod sqlite;

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::scale;
use keyward::{
    Actor, ChangeFeed, DEFAULT_MAX_STALENESS, Hints, KeyEdit, KeyId, KeyQuery, KeyService,
    KeyStore, LogQuery, ManageError, NewKey, PepperRing, SlotUsage, SqliteHints, SqliteStore,
    Timestamp, UsageDelta, UsageStore,
};
use pollster::block_on;
use sqlite::{Other, Scratch, role, say, scheme, service};

const WRITERS: u32 = 8;
const PEPPER: &str = "KEYWARD_SQLITE_PEPPER";
const KEY: &str = "KEYWARD_SQLITE_KEY";

fn edits() -> usize {
    100 * scale()
}

fn system() -> Actor {
    Actor::system("writer")
}

fn new() -> NewKey {
    NewKey::named("contended").owner("org_1")
}

/// Makes its edits of one key, and gives the revisions it was told of.
fn edit(keys: &KeyService, id: KeyId, writer: u32) -> Vec<u64> {
    let mut revisions = Vec::new();
    while revisions.len() < edits() {
        let edit = KeyEdit::new().name(format!("writer {writer}, edit {}", revisions.len()));
        match block_on(keys.update(&system(), id, edit)) {
            Ok(changed) => revisions.push(changed.key.revision),
            Err(ManageError::Conflict { .. }) => {}
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }
    revisions
}

/// Acknowledged is applied, once, with an event each.
fn check(store: &SqliteStore, id: KeyId, revisions: &[u64]) {
    let last = revisions.len() as u64 + 1;
    let distinct: BTreeSet<u64> = revisions.iter().copied().collect();
    assert!(distinct.into_iter().eq(2..=last), "two edits were told of one revision");
    assert_eq!(block_on(store.get(id)).unwrap().unwrap().version(), last);
    let query = LogQuery::from(0).key(id).limit(usize::MAX);
    let log = block_on(store.log(&query)).unwrap();
    assert!(log.iter().map(|(_, event)| event.version).eq(1..=last));
    let ids: BTreeSet<_> = log.iter().map(|(_, event)| event.id).collect();
    assert_eq!(ids.len(), log.len());
}

#[test]
fn threads_lose_no_edit() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let keys = service(&store);
    let id = block_on(keys.issue(&system(), new())).unwrap().view().id;
    let revisions: Vec<u64> = thread::scope(|scope| {
        let keys = &keys;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || edit(keys, id, writer))).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(revisions.len(), WRITERS as usize * edits());
    check(&store, id, &revisions);
}

#[test]
fn processes_lose_no_edit_and_pass_no_cap() {
    let pepper = std::env::var(PEPPER);
    if let Some(file) = role() {
        let keys = KeyService::new(scheme(&pepper.unwrap()), SqliteStore::open(file).unwrap());
        let id = std::env::var(KEY).unwrap().parse().unwrap();
        let issued = (0..5).filter(|_| {
            match block_on(keys.issue(&system().key_cap(10), new().owner("org_2"))) {
                Ok(_) => true,
                Err(ManageError::KeyLimitReached { max: 10 }) => false,
                Err(error) => panic!("{error}"),
            }
        });
        say(&format!("issued {}", issued.count()));
        for revision in edit(&keys, id, std::process::id()) {
            say(&format!("revision {revision}"));
        }
        return;
    }
    let scratch = Scratch::new();
    let pepper = PepperRing::generate().unwrap();
    let store = scratch.open();
    let keys = KeyService::new(scheme(&pepper), store.clone());
    let id = block_on(keys.issue(&system(), new())).unwrap().view().id;
    let file = scratch.file().to_str().unwrap().to_owned();
    let name = "processes_lose_no_edit_and_pass_no_cap";
    let key = id.to_string();
    let variables = [(PEPPER, pepper.as_str()), (KEY, key.as_str())];
    let others: Vec<Other> = (0..4).map(|_| Other::start(name, &file, &variables)).collect();
    let (mut issued, mut revisions) = (0, Vec::new());
    for mut other in others {
        while let Some(line) = other.hear() {
            match line.split_once(' ').unwrap() {
                ("issued", number) => issued += number.parse::<usize>().unwrap(),
                (_, revision) => revisions.push(revision.parse().unwrap()),
            }
        }
        other.join();
    }
    assert_eq!(issued, 10, "20 were asked for under a cap of 10");
    assert_eq!(block_on(store.list(&KeyQuery::new().owner("org_2"))).unwrap().len(), 10);
    assert_eq!(revisions.len(), 4 * edits());
    check(&store, id, &revisions);
}

/// Whether a hint comes within three seconds.
fn hinted(hints: SqliteHints) -> (bool, Option<SqliteHints>) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut hints = hints;
        block_on(hints.next());
        let _ = sender.send(hints);
    });
    match receiver.recv_timeout(Duration::from_secs(3)) {
        Ok(hints) => (true, Some(hints)),
        Err(_) => (false, None),
    }
}

#[test]
fn every_commit_gives_a_hint_and_silence_gives_none() {
    if let Some(file) = role() {
        let keys = service(&SqliteStore::open(file).unwrap());
        let _ = block_on(keys.issue(&system(), new())).unwrap();
        return;
    }
    let scratch = Scratch::new();
    let store = scratch.open();
    let hints = store.hints().unwrap();
    let (first, hints) = hinted(hints);
    assert!(first, "nobody knows what came before");

    let _ = block_on(service(&store).issue(&system(), new())).unwrap();
    let (own, hints) = hinted(hints.unwrap());
    assert!(own, "this process's commit gave no hint");

    let file = scratch.file().to_str().unwrap().to_owned();
    let name = "every_commit_gives_a_hint_and_silence_gives_none";
    Other::start(name, &file, &[]).join();
    let (others, hints) = hinted(hints.unwrap());
    assert!(others, "another process's commit gave no hint");
    // It was seen to open the file and to write it, perhaps at two times, but not for ever.
    let mut hints = hints;
    let silent = (0..5).any(|_| {
        let (hinted, left) = hinted(hints.take().unwrap());
        hints = left;
        !hinted
    });
    assert!(silent, "nothing was written");
}

#[test]
fn hints_come_back_after_a_failure() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let moved = scratch.folder().join("moved.db");
    std::fs::rename(scratch.file(), &moved).unwrap();
    let hints = store.hints().unwrap();
    let (failed, hints) = hinted(hints);
    assert!(failed);
    std::fs::rename(&moved, scratch.file()).unwrap();
    let (back, _) = hinted(hints.unwrap());
    let mut again = store.hints().unwrap();
    block_on(again.next());
    assert!(back, "what was lost meanwhile has no hint");
}

#[test]
fn the_bound_is_one_for_all_who_share_the_file() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.open(), scratch.open());
    let bound =
        |store: &SqliteStore| block_on(store.changes(&LogQuery::from(0))).unwrap().max_staleness;
    assert_eq!(bound(&one), DEFAULT_MAX_STALENESS);
    for wanted in [Duration::from_millis(1_500), Duration::ZERO, Duration::from_micros(7)] {
        block_on(one.set_max_staleness(wanted)).unwrap();
        assert_eq!((bound(&one), bound(&other)), (wanted, wanted));
        assert_eq!(block_on(other.unseen_for()).unwrap(), Some(wanted));
    }
    block_on(other.set_max_staleness(Duration::MAX)).unwrap();
    assert!(bound(&one) > Duration::from_secs(1 << 40));
    assert_eq!(bound(&scratch.open()), bound(&one));

    let _ = block_on(service(&one).issue(&system(), new())).unwrap();
    let changes = block_on(other.changes(&LogQuery::from(0))).unwrap();
    assert_eq!(changes.entries, block_on(one.log(&LogQuery::from(0))).unwrap());
    assert_eq!(changes.entries.len(), 1);
}

/// Whoever fills the readers keeps nobody from hearing of a revoke.
#[test]
fn changes_do_not_wait_for_other_reads() {
    let scratch = Scratch::new();
    let store = keyward::SqliteOptions::new().readers(1).open(scratch.file()).unwrap();
    let sql = scratch.sql();
    sql.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
         INSERT INTO keys (id, version, document) SELECT 'key_' || printf('%016d', i), 1, '{}'
         FROM n",
    )
    .unwrap();
    let query = KeyQuery::new().limit(usize::MAX);
    let mut lists = Vec::new();
    for _ in 0..20 {
        let mut list = Box::pin(store.list(&query));
        assert!(common::poll_times(list.as_mut(), 1).is_none());
        lists.push(list);
    }
    block_on(store.changes(&LogQuery::from(0))).unwrap();
    let waiting = lists.iter_mut().map(|list| common::poll_times(list.as_mut(), 1));
    assert!(
        waiting.filter(Option::is_none).count() > 10,
        "the lists were too quick to prove anything"
    );
}

#[test]
fn uses_from_many_threads_add_up_to_the_last_integer() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.open(), scratch.open());
    let key = KeyId::from_bytes([7; 10]);
    let delta = |uses| UsageDelta {
        key,
        hour: Timestamp::from_unix_seconds(3_600),
        last_address: None,
        slots: [SlotUsage { uses, last_used_at: None }, SlotUsage::default()],
    };
    thread::scope(|scope| {
        for writer in 0..4 {
            let store = if writer % 2 == 0 { &one } else { &other };
            scope.spawn(move || {
                for _ in 0..50 {
                    block_on(store.add(&[delta(1), delta(2)])).unwrap();
                }
            });
        }
    });
    let uses = || block_on(one.usage(&[key])).unwrap()[&key].uses;
    assert_eq!(uses(), 4 * 50 * 3);
    for _ in 0..3 {
        block_on(one.add(&[delta(u64::MAX / 2)])).unwrap();
    }
    assert_eq!(uses(), u64::MAX / 2);
}
