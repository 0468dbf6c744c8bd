//! Uses: none lost, none counted twice while the store works, and hours kept for 31 days.

mod common;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Fault, READ, RowStore, START, builder, new_key, run, scale, scheme, system};
use keyward::{
    Change, ClientIp, Clock, Event, FakeClock, KeyId, KeyQuery, KeyRecord, KeyService, KeyStore,
    LogQuery, MemoryStore, SharedKeyStore, StoreError, StoreErrorKind, Timestamp, Usage,
    UsageDelta, UsageStore,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn service(store: impl Into<SharedKeyStore>) -> (KeyService, FakeClock, KeyId, String) {
    let clock = FakeClock::at(START);
    let keys = builder(scheme(&[1]), store, &clock, 1).build();
    let issued = run(keys.issue(&system(), new_key("used"))).unwrap();
    let id = issued.id();
    (keys, clock, id, issued.into_key().expose_secret().to_owned())
}

fn hour(n: i64) -> Timestamp {
    Timestamp::from_unix_seconds(START.as_micros() / 1_000_000 / 3_600 * 3_600 + n * 3_600)
}

/// By age, not by number: a key that is used once a week keeps its last month too.
#[test]
fn hours_are_kept_for_31_days() {
    const KEPT: i64 = 31 * 24;
    for step in [1, 7, 24, 168] {
        let (keys, clock, id, token) = service(MemoryStore::new());
        let mut used = Vec::new();
        for n in 0..(3 * KEPT / step) {
            clock.set(hour(n * step));
            run(keys.verify(&token, &READ)).unwrap();
            used.push((hour(n * step), 1));
        }
        let usage = run(keys.usage(&system(), id)).unwrap();
        let (newest, _) = *used.last().unwrap();
        used.retain(|(at, _)| *at > newest.saturating_sub(HOUR * 31 * 24));
        assert_eq!(usage.hours, used, "every {step} hours");
        assert_eq!(usage.uses, u64::try_from(3 * KEPT / step).unwrap(), "the sum keeps all");
    }
}

#[test]
fn an_hour_that_comes_late_is_put_where_it_belongs_or_dropped() {
    let delta = |n: i64, uses: u64| {
        let mut slots = [keyward::SlotUsage::default(); 2];
        slots[1] = keyward::SlotUsage { uses, last_used_at: Some(hour(n)) };
        UsageDelta { key: KeyId::from_bytes([1; 10]), hour: hour(n), last_address: None, slots }
    };
    let mut usage = Usage::default();
    for (n, uses) in [(2_000, 1), (1_999, 2), (2_000, 3), (2_000 - 743, 4), (2_000 - 744, 5)] {
        usage.add(&delta(n, uses));
    }
    let hours = [(hour(2_000 - 743), 4), (hour(1_999), 2), (hour(2_000), 4)];
    assert_eq!((usage.hours.as_slice(), usage.uses), (hours.as_slice(), 15));
    assert_eq!(usage.last_used_at, Some(hour(2_000)));
}

fn hammer(store: impl Into<SharedKeyStore>, verifies: u64) {
    const THREADS: u64 = 8;
    let (keys, clock, id, token) = service(store);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                run(keys.flush()).unwrap();
                // Hours end under the threads' feet.
                clock.set(clock.now().saturating_add(Duration::from_secs(1_200)));
                run(keys.usage(&system(), id)).unwrap();
                run(keys.maintain()).unwrap();
            }
        });
        let hammer = || {
            for _ in 0..verifies {
                run(keys.verify(&token, &READ)).unwrap();
            }
        };
        let hammers: Vec<_> = (0..THREADS).map(|_| scope.spawn(hammer)).collect();
        for hammer in hammers {
            hammer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        flusher.join().unwrap();
    });
    let usage = run(keys.usage(&system(), id)).unwrap();
    assert_eq!(usage.uses, THREADS * verifies);
    assert_eq!(usage.slots.iter().map(|slot| slot.uses).sum::<u64>(), THREADS * verifies);
    assert_eq!(keys.dropped_uses(), 0);
    assert!(usage.hours.len() > 1, "nobody flushed meanwhile");
    assert!(usage.last_used_at.is_some_and(|at| at <= clock.now()));
}

/// A handle that stays, and one that is made anew by each read.
#[test]
fn of_eight_threads_and_a_flush_no_use_is_lost() {
    hammer(MemoryStore::new(), 4_000 * scale() as u64);
    hammer(RowStore::default(), 200 * scale() as u64);
}

#[test]
fn the_last_address_is_that_of_the_last_use() {
    let (keys, clock, id, token) = service(MemoryStore::new());
    let addresses = [
        "203.0.113.9",
        "203.0.113.10",
        "2001:db8::1",
        "2001:db8::2",
        "2001:db8:0:1::1",
        "203.0.113.9",
        "::1",
        "0.0.0.1",
    ];
    for flushed in [true, false] {
        for text in addresses {
            let address: IpAddr = text.parse().unwrap();
            for client in [ClientIp::Peer(address), ClientIp::Forwarded(address)] {
                clock.set(clock.now().saturating_add(Duration::from_secs(1)));
                run(keys.verify(&token, &READ.from(client))).unwrap();
                if flushed {
                    let usage = run(keys.usage(&system(), id)).unwrap();
                    assert_eq!(usage.last_address, Some(address));
                    assert_eq!(usage.last_used_at, Some(clock.now()));
                }
            }
        }
    }
    assert_eq!(run(keys.usage(&system(), id)).unwrap().last_address, "0.0.0.1".parse().ok());
    clock.set(clock.now().saturating_add(Duration::from_secs(1)));
    let mapped = ClientIp::Peer("::ffff:192.0.2.1".parse().unwrap());
    run(keys.verify(&token, &READ.from(mapped))).unwrap();
    let usage = run(keys.usage(&system(), id)).unwrap();
    assert_eq!(usage.last_address, "192.0.2.1".parse().ok(), "one spelling");
    clock.set(clock.now().saturating_add(Duration::from_secs(1)));
    run(keys.verify(&token, &READ)).unwrap();
    assert_eq!(run(keys.usage(&system(), id)).unwrap().last_address, None, "not known");
}

/// A store that can be read and not written for long: what waits is a delta for each key and
/// hour, however often it was tried.
#[test]
fn what_cannot_be_written_for_long_is_put_together() {
    let store = ReadOnly::default();
    let (keys, clock, id, token) = service(store.clone());
    store.full.store(true, Ordering::SeqCst);
    for _ in 0..100 {
        run(keys.verify(&token, &READ)).unwrap();
        clock.advance(Duration::from_secs(1));
        assert!(run(keys.maintain()).is_err());
    }
    clock.advance(HOUR);
    run(keys.verify(&token, &READ)).unwrap();
    store.full.store(false, Ordering::SeqCst);
    assert_eq!(run(keys.flush()).unwrap(), 2, "an hour and another");
    let usage = run(keys.usage(&system(), id)).unwrap();
    assert_eq!((usage.uses, usage.hours.len()), (101, 2));
    assert_eq!(keys.dropped_uses(), 0);
}

/// At least once: a store that wrote and couldn't say so has the batch twice; one that
/// didn't write has it once.
#[test]
fn a_flush_that_failed_is_made_again() {
    for (fault, uses) in [(Fault::Error(StoreErrorKind::Unavailable), 3), (Fault::ErrorAfter, 6)] {
        let rows = RowStore::default();
        let (_, _, id, token) = service(rows.clone());
        // Three reads go first, then the batch.
        let store = rows.healed().failing(3, fault);
        let keys = builder(scheme(&[1]), store.clone(), &FakeClock::at(START), 2).build();
        for _ in 0..3 {
            run(keys.verify(&token, &READ)).unwrap();
        }
        assert!(run(keys.flush()).is_err(), "{fault:?}");
        run(keys.flush()).unwrap();
        let usage = run(keys.usage(&system(), id)).unwrap();
        assert_eq!((usage.uses, usage.last_used_at), (uses, Some(START)), "{fault:?}");
    }
}

/// A store on a disk that may be full.
#[derive(Clone, Default)]
struct ReadOnly {
    rows: RowStore,
    full: Arc<AtomicBool>,
}

impl KeyStore for ReadOnly {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.rows.get(id).await
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

impl UsageStore for ReadOnly {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Other));
        }
        self.rows.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.rows.usage(keys).await
    }
}
