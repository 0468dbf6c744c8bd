//! Keeps a value that was read before a change from being stored after it.

use super::sync::{AtomicU64, Ordering};

const COUNTERS: usize = 1_024;

/// A counter per group of ids, moved by each change.
///
/// Who reads a record notes its counter before, and stores it only if that still stands.
pub(super) struct Fence(Box<[AtomicU64]>);

impl Fence {
    pub(super) fn new() -> Self {
        Self::with(COUNTERS)
    }

    pub(super) fn with(counters: usize) -> Self {
        Self((0..counters).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn note(&self, id: &[u8; 10]) -> u64 {
        self.counter(id).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }

    pub(super) fn bump(&self, id: &[u8; 10]) {
        if let Some(counter) = self.counter(id) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn bump_all(&self) {
        for counter in &self.0 {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Ids are random, so their own bits say which.
    fn counter(&self, id: &[u8; 10]) -> Option<&AtomicU64> {
        let [first, second, ..] = *id;
        self.0.get(usize::from(u16::from_be_bytes([first, second])) % self.0.len().max(1))
    }
}
