//! The entries, and the fence that what is put there has to pass.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::entry::Entry;
use super::fence::Fence;
use super::sync::{Mutex, MutexGuard, PoisonError};
use super::table::Table;

pub(super) struct Shelf {
    fence: Fence,
    table: Table,
    /// Whoever holds it writes; and how many changes of an id this node has under way.
    writing: Mutex<HashMap<[u8; 10], usize>>,
}

impl Shelf {
    pub(super) fn new(capacity: usize) -> Self {
        Self::with_fence(capacity, Fence::new())
    }

    pub(super) fn with_fence(capacity: usize, fence: Fence) -> Self {
        Self { fence, table: Table::new(capacity), writing: Mutex::new(HashMap::new()) }
    }

    #[inline]
    pub(super) fn with<R>(&self, id: &[u8; 10], ask: impl FnMut(&Entry) -> R) -> Option<R> {
        self.table.with(id, ask)
    }

    /// What to note before a record is read.
    pub(super) fn note(&self, id: &[u8; 10]) -> u64 {
        self.fence.note(id)
    }

    /// Puts an entry that was read after `noted`, unless something has changed since or
    /// is changing now.
    ///
    /// Reads may come back in another order than they were answered in: what is older than
    /// something that was seen is removed, whichever of the two stands here.
    pub(super) fn fill(&self, id: &[u8; 10], noted: u64, entry: Entry) -> bool {
        let changing = self.writing();
        let stands = self.fence.note(id) == noted && !changing.contains_key(id);
        let before = self.table.with(id, |before| before.version().cmp(&entry.version()));
        match before {
            Some(Ordering::Greater) => self.remove(id),
            Some(Ordering::Less) if !stands => self.remove(id),
            _ if stands => {
                self.table.put(id, entry);
                return true;
            }
            _ => {}
        }
        false
    }

    /// Removes an entry, and keeps what is being read now from taking its place.
    pub(super) fn evict(&self, id: &[u8; 10]) {
        let _turn = self.writing();
        self.remove(id);
    }

    /// The same, and nothing takes its place until the change has ended.
    pub(super) fn begin_change(&self, id: &[u8; 10]) {
        *self.writing().entry(*id).or_default() += 1;
        self.evict(id);
    }

    pub(super) fn end_change(&self, id: &[u8; 10]) {
        let mut changing = self.writing();
        match changing.get_mut(id) {
            Some(others) if *others > 1 => *others -= 1,
            _ => drop(changing.remove(id)),
        }
        self.remove(id);
    }

    pub(super) fn clear(&self) {
        let _turn = self.writing();
        self.fence.bump_all();
        self.table.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    fn remove(&self, id: &[u8; 10]) {
        self.fence.bump(id);
        self.table.remove(id);
    }

    fn writing(&self) -> MutexGuard<'_, HashMap<[u8; 10], usize>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
