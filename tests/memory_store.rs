//! The store in memory under threads: what readers see while others write.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keyward::{
    AccessRequest, Actor, Environment, KeyEdit, KeyId, KeyQuery, KeyRecord, KeyScheme, KeyService,
    KeyStore, ListPosition, LogQuery, ManageError, MemoryStore, NewKey, PepperRing, Reason,
    VerifyError,
};
use pollster::block_on;

fn service(store: &MemoryStore) -> KeyService {
    let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
    let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
    KeyService::new(scheme, store.clone())
}

/// 1, or what `KEYWARD_TEST_SCALE` says.
fn scale() -> usize {
    let scale = std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|scale| scale.parse().ok());
    scale.unwrap_or(1).max(1)
}

fn system() -> Actor {
    Actor::system("writer")
}

#[test]
fn readers_see_every_key_once_and_no_event_before_its_record() {
    const KEYS: usize = 40;
    let store = MemoryStore::new();
    let keys = service(&store);
    let issue = |n| {
        let new = NewKey::named(format!("key {n}")).owner(format!("org_{}", n % 3));
        block_on(keys.issue(&system(), new)).unwrap().view().id
    };
    let ids: Vec<KeyId> = (0..KEYS).map(issue).collect();
    let writing = AtomicBool::new(true);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (keys, ids) = (&keys, &ids);
                scope.spawn(move || {
                    for n in 0..400 * scale() {
                        let edit = KeyEdit::new().name(format!("writer {writer}, edit {n}"));
                        let id = ids[(7 * n + writer) % KEYS];
                        block_on(keys.update(&system(), id, edit)).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while writing.load(Ordering::Relaxed) {
                lists_are_whole(&store, KEYS);
            }
        });
        scope.spawn(|| {
            let mut next = 1;
            while writing.load(Ordering::Relaxed) {
                next = events_have_records(&store, next);
            }
        });
        let done: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        writing.store(false, Ordering::Relaxed);
        assert!(done.iter().all(Result::is_ok));
    });
}

/// Every page of a walk is in order, and the walk has every key once.
fn lists_are_whole(store: &MemoryStore, keys: usize) {
    let mut query = KeyQuery::new().limit(7);
    let mut all: Vec<KeyRecord> = Vec::new();
    loop {
        let page = block_on(store.list(&query)).unwrap();
        let full = page.len() == query.limit;
        all.extend(page);
        match all.last() {
            Some(last) if full => query = query.after(ListPosition::of(last)),
            _ => break,
        }
    }
    assert!(all.is_sorted_by(|a, b| ListPosition::of(a) > ListPosition::of(b)));
    assert_eq!(all.iter().map(KeyRecord::id).collect::<BTreeSet<_>>().len(), keys);
    assert_eq!(all.len(), keys);
}

/// Reads the log on from a position; the position to go on from.
fn events_have_records(store: &MemoryStore, next: u64) -> u64 {
    let entries = block_on(store.log(&LogQuery::from(next).limit(50))).unwrap();
    for ((position, event), expected) in entries.iter().zip(next..) {
        assert_eq!(*position, expected);
        let record = block_on(store.get(event.key)).unwrap().unwrap();
        assert!(record.version() >= event.version, "{event:?} came before its record");
    }
    next + entries.len() as u64
}

/// 20 histories by default, times `KEYWARD_TEST_SCALE`: what a verify saw lies between what
/// was acknowledged before it and what was asked before it ended.
#[test]
fn no_verify_allows_after_an_acknowledged_revoke() {
    const READ: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);
    let keys = service(&MemoryStore::new());
    let mut allowed = 0;
    for history in 0..20 * scale() {
        let issued =
            block_on(keys.issue(&system(), NewKey::named("history").owner("org_1"))).unwrap();
        let (id, key) = (issued.id(), issued.into_key());
        let clock = AtomicU64::new(1);
        let tick = || clock.fetch_add(1, Ordering::SeqCst);
        let [asked, acknowledged] = [(); 2].map(|()| AtomicU64::new(u64::MAX));
        let read = || {
            let (mut allowed, mut denied_at) = (0, u64::MAX);
            // Some more after the first that was denied.
            let mut left = 10;
            let end = Instant::now() + Duration::from_secs(60);
            while left > 0 {
                assert!(Instant::now() < end, "never denied");
                let began = tick();
                let verified = block_on(keys.verify(key.expose_secret(), &READ));
                let ended = tick();
                match verified {
                    Ok(_) => {
                        assert!(began < acknowledged.load(Ordering::SeqCst), "allowed after it");
                        assert!(began < denied_at, "allowed after it was denied");
                        allowed += 1;
                    }
                    Err(VerifyError::Rejected(_)) => {
                        assert!(ended > asked.load(Ordering::SeqCst), "denied before it");
                        denied_at = denied_at.min(ended);
                        left -= 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            allowed
        };
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3).map(|_| scope.spawn(read)).collect();
            let soon = 10 * (history as u64 % 10);
            let has_ended = thread::ScopedJoinHandle::is_finished;
            while clock.load(Ordering::SeqCst) < soon && !readers.iter().any(has_ended) {
                thread::yield_now();
            }
            asked.store(tick(), Ordering::SeqCst);
            block_on(keys.revoke(&system(), id, Reason::Unused)).unwrap();
            acknowledged.store(tick(), Ordering::SeqCst);
            allowed += readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>();
        });
    }
    assert!(allowed > 20 * scale(), "{allowed}: revokes came before the readers");
}

#[test]
fn threads_that_race_to_a_cap_get_exactly_as_many() {
    let store = MemoryStore::new();
    let keys = service(&store);
    let capped = system().key_cap(10);
    let issued: usize = thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|racer| {
                let (keys, capped) = (&keys, &capped);
                scope.spawn(move || {
                    let issue = |n| {
                        let new = NewKey::named(format!("{racer}, {n}")).owner("org_1");
                        match block_on(keys.issue(capped, new)) {
                            Ok(_) => true,
                            Err(ManageError::KeyLimitReached { max: 10 }) => false,
                            Err(error) => panic!("{error}"),
                        }
                    };
                    (0..20).filter(|n| issue(*n)).count()
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(issued, 10);
    assert_eq!(block_on(store.list(&KeyQuery::new())).unwrap().len(), 10);
}
