//! A revoke in an `SQLite` file is seen by every verify that begins after it was
//! acknowledged, on either of two handles to the file, of which one works in place, and through
//! a cache that keeps nothing.
//!
//! 20 histories by default, times `KEYWARD_TEST_SCALE` (10 makes 200).
#![cfg(feature = "sqlite")]

mod common;
mod sqlite;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{READ, new_key, scale, system};
use keyward::{KeyCache, KeyService, Reason, SqliteStore, VerifyError};
use pollster::block_on;
use sqlite::Scratch;

/// A service on this handle; every second reader's goes through a cache.
fn service(store: &SqliteStore, reader: usize) -> KeyService {
    let scheme = common::scheme(&[1]);
    if reader.is_multiple_of(2) {
        KeyService::new(scheme, store.clone())
    } else {
        KeyService::new(scheme, KeyCache::builder(store.clone()).read_through().build())
    }
}

#[test]
fn no_verify_allows_after_an_acknowledged_revoke() {
    let scratch = Scratch::new();
    let handles = sqlite::BOTH.map(|options| scratch.open_by(options));
    for history in 0..20 * scale() {
        let keys = service(&handles[history % 2], 0);
        let issued = block_on(keys.issue(&system(), new_key("history"))).unwrap();
        let (id, key) = (issued.id(), issued.into_key());
        let clock = AtomicU64::new(1);
        let (asked, acknowledged) = (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX));
        thread::scope(|scope| {
            for reader in 0..6 {
                let keys = service(&handles[reader / 3], reader);
                let (key, clock, asked, acknowledged) = (&key, &clock, &asked, &acknowledged);
                scope.spawn(move || {
                    let mut denied_at = u64::MAX;
                    for _ in 0..30 {
                        let began = clock.fetch_add(1, SeqCst);
                        let verified = block_on(keys.verify(key.expose_secret(), &READ));
                        let ended = clock.fetch_add(1, SeqCst);
                        match verified {
                            Ok(_) => {
                                assert!(began < acknowledged.load(SeqCst), "allowed after it");
                                assert!(began < denied_at, "allowed after it was denied");
                            }
                            Err(VerifyError::Rejected(_)) => {
                                assert!(ended > asked.load(SeqCst), "denied before it");
                                denied_at = denied_at.min(ended);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            thread::sleep(Duration::from_micros(history as u64 % 10 * 200));
            asked.store(clock.fetch_add(1, SeqCst), SeqCst);
            let revoker = service(&handles[(history + 1) % 2], 0);
            block_on(revoker.revoke(&system(), id, Reason::Unused)).unwrap();
            acknowledged.store(clock.fetch_add(1, SeqCst), SeqCst);
        });
        let verified = block_on(keys.verify(key.expose_secret(), &READ));
        assert!(matches!(verified, Err(VerifyError::Rejected(_))));
    }
}
