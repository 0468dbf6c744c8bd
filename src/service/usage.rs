use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{KeyService, ManageError};
use crate::error::StoreError;
use crate::grant::ClientIp;
use crate::policy::Actor;
use crate::record::{KeyRecord, Usage, UsageCell, UsageDelta};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// The most keys whose uses wait for a flush, and the most deltas that wait beside them.
const MOST: usize = 1 << 22;

/// Uses that the store has not been told of.
pub(super) struct UsageBuffer {
    id: u64,
    cells: RwLock<HashMap<KeyId, Arc<UsageCell>>>,
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    cells: Vec<Arc<UsageCell>>,
    /// Of hours that have ended.
    ended: Vec<UsageDelta>,
    /// What could not be written: by key and hour, so that a store that takes nothing for long
    /// fills it no faster than keys are used.
    unwritten: BTreeMap<(KeyId, Timestamp), UsageDelta>,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.ended.len() + self.unwritten.len() >= MOST
    }
}

impl UsageBuffer {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            cells: RwLock::default(),
            waiting: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Counts one use. The record's handle remembers the cell.
    #[inline]
    pub(super) fn count(&self, record: &KeyRecord, slot: usize, now: Timestamp, client: &ClientIp) {
        match record.usage_cell().get() {
            Some(cell) if cell.owner() == self.id => self.count_in(cell, slot, now, client),
            _ => self.count_in(&self.cell(record), slot, now, client),
        }
    }

    #[inline]
    fn count_in(&self, cell: &Arc<UsageCell>, slot: usize, now: Timestamp, client: &ClientIp) {
        if cell.count(slot, now, client, |ended| self.keep(ended)) {
            self.put_on_list(cell);
        }
    }

    /// A cell that is not on the list would never be emptied, so beyond the bound it is
    /// emptied at once.
    fn put_on_list(&self, cell: &Arc<UsageCell>) {
        let mut waiting = self.waiting();
        if waiting.cells.len() < MOST {
            waiting.cells.push(Arc::clone(cell));
        } else if let Some(delta) = cell.take() {
            self.dropped.fetch_add(delta.uses(), Ordering::Relaxed);
        }
    }

    #[cold]
    fn cell(&self, record: &KeyRecord) -> Arc<UsageCell> {
        let id = record.id();
        let known = self.cells.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let cell = known.unwrap_or_else(|| self.new_cell(id));
        let _ = record.usage_cell().set(Arc::clone(&cell));
        cell
    }

    fn new_cell(&self, id: KeyId) -> Arc<UsageCell> {
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cells.entry(id).or_insert_with(|| Arc::new(UsageCell::new(id, self.id))))
    }

    /// Everything that waits, taken out.
    fn take(&self) -> Vec<UsageDelta> {
        let mut waiting = self.waiting();
        // With as much room as was needed this time, so that no use has to make it.
        let room = Vec::with_capacity(waiting.cells.len());
        let cells = std::mem::replace(&mut waiting.cells, room);
        let mut deltas = std::mem::take(&mut waiting.ended);
        let unwritten = std::mem::take(&mut waiting.unwritten);
        drop(waiting);
        deltas.extend(unwritten.into_values());
        deltas.extend(cells.iter().filter_map(|cell| cell.take()));
        deltas
    }

    /// What waits of these keys, taken out.
    fn take_of(&self, keys: &[KeyId]) -> Vec<UsageDelta> {
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<UsageDelta> =
            keys.iter().filter_map(|key| cells.get(key)?.take()).collect();
        let mut waiting = self.waiting();
        let asked: HashSet<&KeyId> = keys.iter().collect();
        taken.extend(waiting.ended.extract_if(.., |delta| asked.contains(&delta.key)));
        for key in keys {
            let hours = (*key, Timestamp::MIN)..=(*key, Timestamp::MAX);
            let waited: Vec<_> = waiting.unwritten.range(hours).map(|(at, _)| *at).collect();
            taken.extend(waited.iter().filter_map(|at| waiting.unwritten.remove(at)));
        }
        taken
    }

    /// Puts back what could not be written.
    fn put_back(&self, deltas: Vec<UsageDelta>) {
        for delta in deltas {
            let mut waiting = self.waiting();
            let is_full = waiting.is_full();
            match waiting.unwritten.entry((delta.key, delta.hour)) {
                Entry::Occupied(mut waits) => waits.get_mut().merge(&delta),
                Entry::Vacant(place) if !is_full => drop(place.insert(delta)),
                Entry::Vacant(_) => self.count_dropped(&delta),
            }
        }
    }

    #[cold]
    fn keep(&self, ended: UsageDelta) {
        let mut waiting = self.waiting();
        if waiting.is_full() {
            self.count_dropped(&ended);
        } else {
            waiting.ended.push(ended);
        }
    }

    fn count_dropped(&self, delta: &UsageDelta) {
        self.dropped.fetch_add(delta.uses(), Ordering::Relaxed);
    }

    /// Drops the cells that no record's handle remembers and that hold nothing.
    pub(super) fn forget_idle(&self) {
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|_, cell| Arc::strong_count(cell) > 1);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most deltas that go to the store in one call.
const BATCH: usize = 1_000;

impl KeyService {
    /// Writes every use counted so far to the store: call it before the process ends.
    ///
    /// # Errors
    ///
    /// The store's own; what was not written is kept for the next time. If the store wrote
    /// a batch and could not say so, its uses are counted twice, and instants stay right.
    pub async fn flush(&self) -> Result<usize, StoreError> {
        self.write_usage(self.0.usage.take()).await
    }

    /// The same for a few keys that are about to be looked at.
    pub(super) async fn flush_keys(&self, keys: &[KeyId]) -> Result<usize, StoreError> {
        self.write_usage(self.0.usage.take_of(keys)).await
    }

    async fn write_usage(&self, deltas: Vec<UsageDelta>) -> Result<usize, StoreError> {
        let mut unwritten = Unwritten { buffer: &self.0.usage, deltas };
        let mut written = 0;
        while !unwritten.deltas.is_empty() {
            let rest = unwritten.deltas.len().saturating_sub(BATCH);
            let batch = unwritten.deltas.get(rest..).unwrap_or_default();
            self.0.store.add(batch).await?;
            written += batch.len();
            unwritten.deltas.truncate(rest);
        }
        Ok(written)
    }

    /// How many uses were not counted because the buffer was full.
    pub fn dropped_uses(&self) -> u64 {
        self.0.usage.dropped.load(Ordering::Relaxed)
    }

    /// How a key has been used: in all, by secret, and by hour.
    ///
    /// # Errors
    ///
    /// No such key, no permission `api.key.view`, or the store's own.
    pub async fn usage(&self, actor: &Actor, id: KeyId) -> Result<Usage, ManageError> {
        self.permit(actor, "api.key.view")?;
        self.record(actor, id).await?;
        self.flush_keys(&[id]).await?;
        let mut usage = self.0.store.usage(&[id]).await?;
        Ok(usage.remove(&id).unwrap_or_default())
    }
}

/// Deltas that go back into the buffer if the flush fails or is dropped.
struct Unwritten<'a> {
    buffer: &'a UsageBuffer,
    deltas: Vec<UsageDelta>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.buffer.put_back(std::mem::take(&mut self.deltas));
    }
}
