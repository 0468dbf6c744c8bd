//! A revoke in an `SQLite` file is seen by every verify that begins after it was
//! acknowledged, on either of two handles to the file, of which one works in place, and through
//! a cache that keeps nothing.
//!
//! 20 histories by default, times `KEYWARD_TEST_SCALE` (10 makes 200).
#![cfg(feature = "sqlite")]

mod common;
mod revoked;
mod sqlite;
#[path = "common/turns.rs"]
mod turns;

use std::thread;

use common::{READ, new_key, scale, system};
use keyward::{KeyCache, KeyService, SharedKeyStore, SqliteStore, VerifyError};
use pollster::block_on;
use revoked::{History, READERS, Seen, Stale};
use sqlite::Scratch;

/// A service on this handle; every second reader's goes through a cache.
fn service(store: &SqliteStore, reader: usize) -> KeyService {
    if reader.is_multiple_of(2) {
        over(store.clone())
    } else {
        over(KeyCache::builder(store.clone()).read_through().build())
    }
}

fn over(store: impl Into<SharedKeyStore>) -> KeyService {
    KeyService::new(common::scheme(&[1]), store)
}

/// A history of a new key, by readers with these services, and by two on these handles.
fn history(
    number: usize,
    handles: &[SqliteStore; 2],
    readers: &[KeyService],
) -> Result<Seen, String> {
    let keys = service(&handles[number % 2], 0);
    let issued = block_on(keys.issue(&system(), new_key("history"))).unwrap();
    let (id, key) = (issued.id(), issued.into_key());
    let (history, token) = (History::new(), key.expose_secret());
    let seen = thread::scope(|scope| {
        let history = &history;
        let read = |keys| scope.spawn(move || block_on(history.read(keys, token)));
        let readers: Vec<_> = readers.iter().map(read).collect();
        let revoker = service(&handles[(number + 1) % 2], 0);
        block_on(history.revoke(number, &revoker, id));
        revoked::together(readers.into_iter().map(|reader| reader.join().unwrap()).collect())
    });
    let verified = block_on(keys.verify(token, &READ));
    assert!(matches!(verified, Err(VerifyError::Rejected(_))));
    seen
}

#[test]
fn no_verify_allows_after_an_acknowledged_revoke() {
    let scratch = Scratch::new();
    let handles = sqlite::BOTH.map(|options| scratch.open_by(options));
    let readers: Vec<_> =
        (0..READERS).map(|reader| service(&handles[reader / 3], reader)).collect();
    let numbers = 0..20 * scale();
    revoked::check(&numbers.map(|number| history(number, &handles, &readers)).collect::<Vec<_>>());
}

#[test]
fn the_check_finds_a_stale_read_now_and_then() {
    let scratch = Scratch::new();
    let handles = sqlite::BOTH.map(|options| scratch.open_by(options));
    let readers: Vec<_> =
        (0..READERS).map(|reader| over(Stale::of(handles[reader / 3].clone()))).collect();
    let found = (0..20).find_map(|number| history(number, &handles, &readers).err());
    assert!(found.is_some_and(|error| error.starts_with("allowed after")));
}
