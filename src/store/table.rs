//! Records by id, read without a lock.

use std::cell::RefCell;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::record::KeyRecord;
use crate::token::KeyId;

/// A table that any number of threads read and one at a time writes.
///
/// A generation is filled in place and never moves anything: a slot once taken stays
/// with its id and only points to a newer record. When it is full, a new one takes its
/// place. Each thread keeps the generation it read last, and one load tells it whether
/// that is still the current one; so a read neither locks nor counts references, and
/// costs the record's own handle only. The old generation goes when the last thread
/// that read it reads again or ends.
pub(super) struct Table {
    /// Which table of this process it is.
    number: u64,
    epoch: AtomicU64,
    current: RwLock<Arc<Generation>>,
}

/// The generation that a thread read last, whatever table it is of.
struct Seen {
    table: u64,
    epoch: u64,
    generation: Arc<Generation>,
}

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

impl Table {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NEXT.fetch_add(1, Relaxed),
            epoch: AtomicU64::new(0),
            current: RwLock::new(Arc::new(Generation::new(0))),
        }
    }

    /// The record with this id. It sees every `put` that returned before.
    #[inline]
    pub(super) fn find(&self, id: KeyId) -> Option<KeyRecord> {
        let found = SEEN.try_with(|seen| {
            let mut seen = seen.try_borrow_mut().ok()?;
            let epoch = self.epoch.load(Acquire);
            match &*seen {
                Some(seen) if seen.table == self.number && seen.epoch == epoch => {
                    Some(seen.generation.find(id))
                }
                _ => Some(seen.insert(self.look()).generation.find(id)),
            }
        });
        // A thread that is ending has no memory of its own any more.
        found.ok().flatten().unwrap_or_else(|| self.look().generation.find(id))
    }

    /// Puts a record in the place of the one with its id, if there is one.
    ///
    /// Writers take turns by a lock of the caller's.
    pub(super) fn put(&self, record: KeyRecord) {
        let Err(record) = self.look().generation.put(record) else { return };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let next = current.compacted();
        // A compacted generation has room.
        let _ = next.put(record);
        *current = Arc::new(next);
        self.epoch.fetch_add(1, Release);
    }

    #[cold]
    fn look(&self) -> Seen {
        let generation = self.current.read().unwrap_or_else(PoisonError::into_inner);
        // The epoch moves under the lock only, so the two belong together.
        let epoch = self.epoch.load(Acquire);
        Seen { table: self.number, epoch, generation: Arc::clone(&generation) }
    }
}

/// Slots by id, and cells for the records they point to; both are filled and never emptied.
struct Generation {
    slots: Box<[Slot]>,
    cells: Box<[OnceLock<KeyRecord>]>,
    /// How many slots and how many cells are taken.
    taken: AtomicUsize,
    used: AtomicUsize,
}

/// An id, and where its record is: 16 bytes, four to a cache line.
#[derive(Default)]
struct Slot {
    /// The first eight bytes of the id.
    head: AtomicU64,
    /// The last two, and the number of the cell from 1; 0 is a free slot.
    rest: AtomicU64,
}

const CELL_BITS: u32 = 48;

impl Generation {
    /// A generation with room for `live` records and as many again, or for edits.
    fn new(live: usize) -> Self {
        let size = (live * 2).next_power_of_two().max(16);
        Self {
            slots: (0..size).map(|_| Slot::default()).collect(),
            cells: (0..size).map(|_| OnceLock::new()).collect(),
            taken: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn find(&self, id: KeyId) -> Option<KeyRecord> {
        let (_, cell) = self.probe(id)?;
        self.cells.get(cell?)?.get().cloned()
    }

    /// The slot of an id and its cell, or the free slot where it belongs.
    ///
    /// An id's own bits say where to begin: what is stored was made by a server, and
    /// whoever looks something up can't fill one place of the table.
    #[inline]
    fn probe(&self, id: KeyId) -> Option<(&Slot, Option<usize>)> {
        let (head, tail) = halves(id);
        let mask = self.slots.len() - 1;
        let home = usize::try_from(head >> 4).unwrap_or_default();
        for step in 0..self.slots.len() {
            let slot = self.slots.get((home.wrapping_add(step)) & mask)?;
            let rest = slot.rest.load(Acquire);
            if rest == 0 {
                return Some((slot, None));
            }
            if slot.head.load(Relaxed) == head && rest >> CELL_BITS == tail {
                let cell = rest & ((1 << CELL_BITS) - 1);
                return Some((slot, usize::try_from(cell - 1).ok()));
            }
        }
        None
    }

    /// Stores a record, or gives it back if there is no room.
    fn put(&self, record: KeyRecord) -> Result<(), KeyRecord> {
        let (head, tail) = halves(record.id());
        let used = self.used.load(Relaxed);
        let (Some(cell), Some((slot, known))) = (self.cells.get(used), self.probe(record.id()))
        else {
            return Err(record);
        };
        let taken = self.taken.load(Relaxed);
        if known.is_none() && taken >= self.slots.len() / 4 * 3 {
            return Err(record);
        }
        cell.set(record)?;
        self.used.store(used + 1, Relaxed);
        if known.is_none() {
            slot.head.store(head, Relaxed);
            self.taken.store(taken + 1, Relaxed);
        }
        slot.rest.store((tail << CELL_BITS) | (used as u64 + 1), Release);
        Ok(())
    }

    /// The same records, the newest of each id only, with room for more.
    fn compacted(&self) -> Self {
        let next = Self::new(self.taken.load(Relaxed));
        for slot in &self.slots {
            let cell = slot.rest.load(Acquire) & ((1 << CELL_BITS) - 1);
            let cell = usize::try_from(cell).ok().and_then(|cell| cell.checked_sub(1));
            let record = cell.and_then(|cell| self.cells.get(cell)?.get());
            if let Some(record) = record {
                let _ = next.put(record.clone());
            }
        }
        next
    }
}

#[inline]
fn halves(id: KeyId) -> (u64, u64) {
    let head = id.as_bytes().first_chunk().copied().unwrap_or_default();
    let tail = id.as_bytes().last_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(head), u64::from(u16::from_be_bytes(tail)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::token::tests::scale;

    fn record(id: [u8; 10], version: u64) -> KeyRecord {
        KeyRecord::from_row(KeyId::from_bytes(id), version, "")
    }

    /// Few different ids, many of them neighbours: long runs of taken slots.
    fn id(number: u64) -> [u8; 10] {
        let [.., low] = (number % 7).to_be_bytes();
        let [.., high] = (number / 7).to_be_bytes();
        [0, 0, 0, 0, 0, 0, high, low << 4, 0, low]
    }

    #[test]
    fn it_is_a_map_through_every_generation() {
        let (table, mut model) = (Table::new(), HashMap::new());
        let mut state = 1_u64;
        for version in 1..=20_000 * scale() as u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let id = id((state >> 33) % 1_500);
            table.put(record(id, version));
            model.insert(id, version);
            let asked = super::tests::id((state >> 20) % 1_700);
            let found = table.find(KeyId::from_bytes(asked)).map(|found| found.version());
            assert_eq!(found, model.get(&asked).copied());
        }
        for (id, version) in &model {
            assert_eq!(table.find(KeyId::from_bytes(*id)).map(|r| r.version()), Some(*version));
        }
    }

    #[test]
    fn two_tables_in_one_thread_do_not_mix() {
        let (one, other) = (Table::new(), Table::new());
        for number in 0..1_000 {
            one.put(record(id(number), 1));
            other.put(record(id(number), 2));
            let found = |table: &Table| table.find(KeyId::from_bytes(id(number)));
            assert_eq!(found(&one).map(|found| found.version()), Some(1));
            assert_eq!(found(&other).map(|found| found.version()), Some(2));
        }
    }

    #[test]
    fn readers_never_see_a_version_go_back_or_a_key_vanish() {
        let table = Table::new();
        let keys = 64;
        (0..keys).for_each(|number| table.put(record(id(number), 1)));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut last = vec![1; 64];
                    while last.iter().any(|version| *version < 2_000) {
                        for (number, last) in (0..keys).zip(&mut last) {
                            let version = table
                                .find(KeyId::from_bytes(id(number)))
                                .expect("every key is there")
                                .version();
                            assert!(version >= *last);
                            *last = version;
                        }
                    }
                });
            }
            for version in 2..=2_000 {
                (0..keys).for_each(|number| table.put(record(id(number), version)));
            }
        });
    }
}
