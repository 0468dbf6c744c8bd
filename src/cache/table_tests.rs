use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::Entry;
use super::fence::Fence;
use super::freshness::{Fresh, Instant};
use super::shelf::Shelf;
use super::table::Table;
use crate::record::KeyRecord;
use crate::token::KeyId;
use crate::token::tests::scale;

fn entry(id: [u8; 10], version: u64) -> Entry {
    Entry {
        record: KeyRecord::from_row(KeyId::from_bytes(id), version, ""),
        filled: Instant { wall: 0, monotonic: 0 },
        max_age: 0,
        begun: 0,
        confirmed: false,
    }
}

/// Few different ids, many of them neighbours: long runs of taken slots.
fn id(number: u64) -> [u8; 10] {
    let [.., low] = (number % 7).to_be_bytes();
    let [.., high] = (number / 7).to_be_bytes();
    [0, 0, 0, 0, 0, 0, high, low << 4, 0, low]
}

fn found(table: &Table, number: u64) -> Option<u64> {
    table.with(&id(number), |entry| entry.record.version())
}

#[test]
fn it_is_a_map_through_every_generation_as_long_as_there_is_room() {
    let (table, mut model) = (Table::new(4_000), HashMap::new());
    let mut state = 1_u64;
    for version in 1..=20_000 * scale() as u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let changed = (state >> 33) % 1_500;
        match (state >> 20) % 8 {
            0 => {
                table.remove(&id(changed));
                model.remove(&changed);
            }
            1 if state >> 55 == 0 => {
                table.clear();
                model.clear();
            }
            _ => {
                table.put(&id(changed), entry(id(changed), version));
                model.insert(changed, version);
            }
        }
        let asked = (state >> 40) % 1_700;
        assert_eq!(found(&table, asked), model.get(&asked).copied());
    }
    assert_eq!(table.len(), model.len());
}

#[test]
fn it_never_keeps_more_than_its_capacity_and_what_is_asked_for_stays() {
    for capacity in [4, 64, 100, 1_000] {
        let table = Table::new(capacity);
        table.put(&id(0), entry(id(0), 7));
        for number in 1..1_700 {
            table.put(&id(number), entry(id(number), number));
            assert!(table.len() <= capacity, "{} of {capacity}", table.len());
            assert_eq!(found(&table, number), Some(number), "what was put is there");
            if capacity > 4 {
                assert_eq!(found(&table, 0), Some(7), "{number} of {capacity}");
            }
        }
    }
}

#[test]
fn a_place_that_was_removed_is_taken_again_without_end() {
    let table = Table::new(8);
    for version in 1..10_000 {
        table.put(&id(version % 3), entry(id(version % 3), version));
        assert_eq!(found(&table, version % 3), Some(version));
        table.remove(&id(version % 3));
        assert_eq!((found(&table, version % 3), table.len()), (None, 0));
    }
}

#[test]
fn readers_never_see_a_version_go_back_or_what_was_removed() {
    let table = Table::new(64);
    // Odd versions are taken back before the next is put.
    let gone = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0;
                while last < 20_001 {
                    let gone = gone.load(Ordering::SeqCst);
                    if let Some(version) = found(&table, 3) {
                        assert!(version >= last && version > gone, "{version}, {last}, {gone}");
                        last = version;
                    }
                    last = last.max(gone);
                }
            });
        }
        for version in 1..=20_001 {
            table.put(&id(3), entry(id(3), version));
            if version % 2 == 1 {
                table.remove(&id(3));
                gone.store(version, Ordering::SeqCst);
            }
        }
    });
}

/// Reads that come back late, in another order than they were answered in.
#[test]
fn what_is_older_than_what_was_seen_is_not_kept() {
    let shelf = Shelf::with_fence(8, Fence::with(1));
    let one = id(1);
    let early = shelf.note(&one);
    shelf.evict(&id(2));
    let late = shelf.note(&one);
    assert!(!shelf.fill(&one, early, entry(one, 2)), "something changed on its counter");
    assert!(!shelf.fill(&one, late, entry(one, 1)), "older than what was seen");
    assert!(shelf.fill(&one, shelf.note(&one), entry(one, 2)));
    // It goes to make room, while an older read is under way.
    let under_way = shelf.note(&one);
    for number in 2..40 {
        shelf.fill(&id(number), shelf.note(&id(number)), entry(id(number), 1));
        // What was asked for stays rather than it.
        shelf.with(Fresh::NOTHING, &id(number), |_| ());
    }
    assert!(shelf.with(Fresh::NOTHING, &one, |_| ()).is_none(), "it had to go");
    assert!(!shelf.fill(&one, under_way, entry(one, 1)));
}
