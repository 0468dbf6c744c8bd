//! Entries by id, read without a lock, at most so many.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use super::entry::Entry;
use super::sync::{AtomicU64, AtomicUsize, Ordering, PoisonError, RwLock};

/// A table that any number of threads read and one at a time writes.
///
/// It is made as that of the store in memory: a generation is filled in place and never
/// moves anything, and when it is full, another takes its place, with what was asked for
/// of late. Each thread keeps the generation it read last, and one load tells it whether
/// that is still the current one.
pub(super) struct Table {
    /// Which table of this process it is.
    number: u64,
    epoch: AtomicU64,
    current: RwLock<Arc<Generation>>,
    capacity: usize,
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
    pub(super) fn new(capacity: usize) -> Self {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let capacity = capacity.max(4);
        Self {
            number: NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            epoch: AtomicU64::new(0),
            current: RwLock::new(Arc::new(Generation::new(capacity.min(LEAST)))),
            capacity,
        }
    }

    /// Asks the entry with this id something. It sees every write that returned before.
    #[inline]
    pub(super) fn with<R>(&self, id: &[u8; 10], mut ask: impl FnMut(&Entry) -> R) -> Option<R> {
        let asked = SEEN.try_with(|seen| {
            let mut seen = seen.try_borrow_mut().ok()?;
            let epoch = self.epoch.load(Ordering::Acquire);
            match &*seen {
                Some(seen) if seen.table == self.number && seen.epoch == epoch => {
                    Some(seen.generation.with(id, &mut ask))
                }
                _ => Some(seen.insert(self.look()).generation.with(id, &mut ask)),
            }
        });
        // A thread that is ending has no memory of its own any more.
        asked.ok().flatten().unwrap_or_else(|| self.look().generation.with(id, ask))
    }

    /// Puts an entry in the place of the one with its id, if there is one. `true` if others
    /// had to go to make room.
    ///
    /// Writers take turns by a lock of the caller's.
    pub(super) fn put(&self, id: &[u8; 10], entry: Entry) -> bool {
        let generation = self.look().generation;
        let Err(entry) = generation.put(id, entry) else { return false };
        let next = generation.renewed(self.capacity);
        let loses = next.entries().count() < generation.entries().count();
        // A renewed generation has room.
        let _ = next.put(id, entry);
        self.replace(next);
        loses
    }

    pub(super) fn remove(&self, id: &[u8; 10]) {
        self.look().generation.remove(id);
    }

    pub(super) fn clear(&self) {
        self.replace(Generation::new(self.capacity.min(LEAST)));
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.look().generation.entries().count()
    }

    fn replace(&self, next: Generation) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(next);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    #[cold]
    fn look(&self) -> Seen {
        let generation = self.current.read().unwrap_or_else(PoisonError::into_inner);
        // The epoch moves under the lock only, so the two belong together.
        let epoch = self.epoch.load(Ordering::Acquire);
        Seen { table: self.number, epoch, generation: Arc::clone(&generation) }
    }
}

/// The room of the first generation.
const LEAST: usize = 64;

/// Slots by id, and cells for the entries they point to. A slot once taken stays with its
/// id; a cell once filled stays filled.
struct Generation {
    slots: Box<[Slot]>,
    cells: Box<[OnceLock<Entry>]>,
    /// How many slots and how many cells are taken.
    taken: AtomicUsize,
    used: AtomicUsize,
}

/// An id, and where its entry is: 16 bytes, four to a cache line.
struct Slot {
    /// The first eight bytes of the id.
    head: AtomicU64,
    /// The last two; whether it was asked for; the number of the cell from 1, or
    /// [`REMOVED`]. 0 is a free slot.
    rest: AtomicU64,
}

const TAIL_AT: u32 = 48;
const ASKED: u64 = 1 << 47;
const REMOVED: u64 = ASKED - 1;

impl Slot {
    fn free() -> Self {
        Self { head: AtomicU64::new(0), rest: AtomicU64::new(0) }
    }
}

impl Generation {
    fn new(room: usize) -> Self {
        let slots = (room + room / 2).next_power_of_two();
        Self {
            slots: (0..slots).map(|_| Slot::free()).collect(),
            cells: (0..room).map(|_| OnceLock::new()).collect(),
            taken: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn with<R>(&self, id: &[u8; 10], ask: impl FnOnce(&Entry) -> R) -> Option<R> {
        let (slot, rest) = self.probe(id)?;
        let entry = self.entry(rest)?;
        if rest & ASKED == 0 {
            slot.rest.fetch_or(ASKED, Ordering::Relaxed);
        }
        Some(ask(entry))
    }

    #[inline]
    fn entry(&self, rest: u64) -> Option<&Entry> {
        let cell = (rest & REMOVED).checked_sub(1)?;
        self.cells.get(usize::try_from(cell).ok()?)?.get()
    }

    /// The slot of an id and what it says, or the free slot where it belongs.
    ///
    /// An id's own bits say where to begin: what is stored was made by a server, and
    /// whoever looks something up can't fill one place of the table.
    #[inline]
    fn probe(&self, id: &[u8; 10]) -> Option<(&Slot, u64)> {
        let (head, tail) = halves(id);
        let mask = self.slots.len() - 1;
        let home = usize::try_from(head >> 4).unwrap_or_default();
        for step in 0..self.slots.len() {
            let slot = self.slots.get((home.wrapping_add(step)) & mask)?;
            let rest = slot.rest.load(Ordering::Acquire);
            if rest == 0 || (slot.head.load(Ordering::Relaxed) == head && rest >> TAIL_AT == tail) {
                return Some((slot, rest));
            }
        }
        None
    }

    /// Stores an entry, or gives it back if there is no room.
    fn put(&self, id: &[u8; 10], entry: Entry) -> Result<(), Entry> {
        let (head, tail) = halves(id);
        let used = self.used.load(Ordering::Relaxed);
        let (Some(cell), Some((slot, rest))) = (self.cells.get(used), self.probe(id)) else {
            return Err(entry);
        };
        cell.set(entry)?;
        self.used.store(used + 1, Ordering::Relaxed);
        if rest == 0 {
            slot.head.store(head, Ordering::Relaxed);
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        slot.rest.swap((tail << TAIL_AT) | (used as u64 + 1), Ordering::AcqRel);
        Ok(())
    }

    fn remove(&self, id: &[u8; 10]) {
        let (_, tail) = halves(id);
        if let Some((slot, rest)) = self.probe(id)
            && rest != 0
        {
            // Readers write here too: theirs comes before this or sees it.
            slot.rest.swap((tail << TAIL_AT) | REMOVED, Ordering::AcqRel);
        }
    }

    fn entries(&self) -> impl Iterator<Item = (bool, [u8; 10], &Entry)> {
        self.slots.iter().filter_map(|slot| {
            let rest = slot.rest.load(Ordering::Acquire);
            let entry = self.entry(rest)?;
            let id = whole(slot.head.load(Ordering::Relaxed), rest >> TAIL_AT);
            Some((rest & ASKED != 0, id, entry))
        })
    }

    /// The same entries with room for more; at most three quarters of the capacity, the
    /// ones that were asked for before the others.
    fn renewed(&self, capacity: usize) -> Self {
        let mut live: Vec<_> = self.entries().collect();
        live.sort_by_key(|(asked, ..)| !asked);
        let next = Self::new((live.len() * 2).clamp(LEAST.min(capacity), capacity));
        for (_, id, entry) in live.into_iter().take(capacity / 4 * 3) {
            let _ = next.put(&id, entry.clone());
        }
        next
    }
}

#[inline]
fn halves(id: &[u8; 10]) -> (u64, u64) {
    let head = id.first_chunk().copied().unwrap_or_default();
    let tail = id.last_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(head), u64::from(u16::from_be_bytes(tail)))
}

fn whole(head: u64, tail: u64) -> [u8; 10] {
    let mut id = [0; 10];
    let bytes = head.to_be_bytes().into_iter().chain(tail.to_be_bytes().into_iter().skip(6));
    for (byte, from) in id.iter_mut().zip(bytes) {
        *byte = from;
    }
    id
}
