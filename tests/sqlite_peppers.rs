//! Peppers change under processes over one SQLite file, which stop half-way and open it
//! again: no key is refused, and no key is left behind.
//!
//! 2 random histories by default, times `KEYWARD_TEST_SCALE`.

#![cfg(feature = "sqlite")]

mod common;
mod fleet;
mod sqlite;

use keyward::SqliteStore;
use sqlite::Scratch;

impl fleet::Place for Scratch {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        Scratch::open(self)
    }
}

#[pollster::test]
async fn processes_over_a_file_go_from_pepper_to_pepper_without_a_false_reject() {
    for seed in 0..2 * common::scale() as u64 {
        fleet::rotates_twice(Scratch::new(), seed, 24).await;
    }
}
