//! The entries, and the fence that what is put there has to pass.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::entry::Entry;
use super::fence::Fence;
use super::freshness::Fresh;
use super::sync::{Mutex, MutexGuard, PoisonError};
use super::table::Table;

pub(super) struct Shelf {
    fence: Fence,
    table: Table,
    /// Whoever holds it writes.
    writing: Mutex<Writing>,
}

#[derive(Default)]
struct Writing {
    /// How many changes of an id this node has under way.
    changing: HashMap<[u8; 10], usize>,
    /// The newest version of an id that was read and not kept.
    seen: HashMap<[u8; 10], u64>,
}

/// The most versions that are remembered without being kept.
const MOST_SEEN: usize = 1_024;

impl Shelf {
    pub(super) fn new(capacity: usize) -> Self {
        Self::with_fence(capacity, Fence::new())
    }

    pub(super) fn with_fence(capacity: usize, fence: Fence) -> Self {
        Self { fence, table: Table::new(capacity), writing: Mutex::default() }
    }

    /// Asks the entry with this id something, on behalf of somebody who had `heard` so much
    /// before: what a pass has removed is gone here once that pass has been heard of, but
    /// whoever looks first and hears then may hold what was just removed.
    #[inline]
    pub(super) fn with<R>(
        &self,
        _heard: Fresh,
        id: &[u8; 10],
        ask: impl FnMut(&Entry) -> R,
    ) -> Option<R> {
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
        let mut writing = self.writing();
        let version = entry.version();
        let stands = self.fence.note(id) == noted && !writing.changing.contains_key(id);
        let newest = self.table.with(id, Entry::version).max(writing.seen.get(id).copied());
        match newest.map(|newest| newest.cmp(&version)) {
            Some(Ordering::Greater) => {
                // What was seen may be of a history that is lost: it is in the way once.
                writing.seen.remove(id);
                self.remove(id);
            }
            _ if stands => {
                writing.seen.remove(id);
                if self.table.put(id, entry) {
                    // What is read of those that went may be older than what they were.
                    self.fence.bump_all();
                }
                return true;
            }
            before => {
                if before == Some(Ordering::Less) {
                    self.remove(id);
                }
                self.saw(&mut writing, id, version);
            }
        }
        false
    }

    fn saw(&self, writing: &mut Writing, id: &[u8; 10], version: u64) {
        if writing.seen.len() >= MOST_SEEN {
            writing.seen.clear();
            self.fence.bump_all();
        }
        writing.seen.insert(*id, version);
    }

    /// Removes an entry, and keeps what is being read now from taking its place.
    pub(super) fn evict(&self, id: &[u8; 10]) {
        let _turn = self.writing();
        self.remove(id);
    }

    /// The same, and nothing takes its place until the change has ended.
    pub(super) fn begin_change(&self, id: &[u8; 10]) {
        *self.writing().changing.entry(*id).or_default() += 1;
        self.evict(id);
    }

    pub(super) fn end_change(&self, id: &[u8; 10]) {
        let mut writing = self.writing();
        match writing.changing.get_mut(id) {
            Some(others) if *others > 1 => *others -= 1,
            _ => drop(writing.changing.remove(id)),
        }
        self.remove(id);
    }

    pub(super) fn clear(&self) {
        let mut writing = self.writing();
        writing.seen.clear();
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

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
