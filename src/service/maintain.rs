use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::KeyService;
use crate::cache::CaughtUp;
use crate::error::StoreError;
use crate::record::Body;
use crate::store::{Change, Expect};
use crate::timestamp::Timestamp;
use crate::token::KeyId;
use crate::verify::{Authentic, Challenge, Retag};

/// The most tags that wait to be written under the current pepper.
const MOST_RETAGS: usize = 10_000;
/// The most of them that one pass writes.
const RETAGS_PER_PASS: usize = 100;

/// What [`KeyService::maintain`] remembers between passes.
pub(super) struct Upkeep {
    flush_every: Duration,
    flushed: AtomicI64,
    /// How many rewritten histories the observer has been told of.
    rewrites: AtomicU64,
    retags: Mutex<HashMap<(KeyId, usize), Retag>>,
}

/// What one pass of [`KeyService::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintained {
    /// Usage deltas written to the store.
    pub flushed: usize,
    /// Tags rewritten under the current pepper.
    pub retagged: usize,
    /// What the cache heard from the log, if there is one.
    pub caught_up: CaughtUp,
}

impl Upkeep {
    pub(super) fn new(flush_every: Duration) -> Self {
        Self {
            flush_every,
            flushed: AtomicI64::new(i64::MIN),
            rewrites: AtomicU64::new(0),
            retags: Mutex::default(),
        }
    }

    /// Makes the tag that a key should have under the current pepper, while the secret
    /// is at hand, and keeps the tag only.
    #[cold]
    pub(super) fn queue(&self, challenge: &Challenge<'_>, authentic: &Authentic<'_>) {
        let place = (authentic.record.id(), authentic.slot);
        let tag = authentic.tag();
        if self.retags().get(&place).is_some_and(|queued| Some(queued.old) == tag) {
            return;
        }
        if let Some(retag) = challenge.retag(authentic) {
            let mut retags = self.retags();
            if retags.len() < MOST_RETAGS || retags.contains_key(&place) {
                retags.insert(place, retag);
            }
        }
    }

    fn retags(&self) -> MutexGuard<'_, HashMap<(KeyId, usize), Retag>> {
        self.retags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn some_retags(&self) -> Vec<Retag> {
        self.retags().values().take(RETAGS_PER_PASS).cloned().collect()
    }

    fn forget(&self, retag: &Retag) {
        self.retags().remove(&(retag.id, retag.slot));
    }

    fn is_flush_due(&self, now: Timestamp) -> bool {
        let last = Timestamp::from_micros(self.flushed.load(Ordering::Relaxed));
        last.saturating_add(self.flush_every) <= now || now < last
    }
}

impl KeyService {
    /// One pass of upkeep: catches up with the log, writes usage when it is due, rewrites
    /// tags under the current pepper at a bounded rate, and forgets idle counters. Call it
    /// each second.
    ///
    /// # Errors
    ///
    /// The store's own; uses and tags that wait are kept, and the next pass goes on. What
    /// fails keeps nothing else from being done.
    pub async fn maintain(&self) -> Result<Maintained, StoreError> {
        let caught_up = self.catch_up().await;
        let flushed = self.flush_if_due().await;
        let retagged = self.rewrite_tags().await;
        Ok(Maintained { caught_up: caught_up?, flushed: flushed?, retagged: retagged? })
    }

    async fn flush_if_due(&self) -> Result<usize, StoreError> {
        let now = self.now();
        if !self.0.upkeep.is_flush_due(now) {
            return Ok(0);
        }
        let flushed = self.flush().await;
        if flushed.is_ok() {
            self.0.upkeep.flushed.store(now.as_micros(), Ordering::Relaxed);
        }
        self.0.usage.forget_idle();
        self.0.limits.prune(now);
        self.0.leases.prune(now);
        flushed
    }

    async fn rewrite_tags(&self) -> Result<usize, StoreError> {
        let mut rewritten = 0;
        for retag in self.0.upkeep.some_retags() {
            let written = self.write_tag(&retag).await;
            // One row that always fails must not stand in the way of the others: its
            // tag is made again at the key's next use.
            if written.as_ref().err().is_none_or(|error| !error.is_retryable()) {
                self.0.upkeep.forget(&retag);
            }
            rewritten += usize::from(written?);
        }
        Ok(rewritten)
    }

    /// Lets the cache read what is new in the log: call it when somebody hints that there
    /// is something. Without a cache there is nothing to do.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn catch_up(&self) -> Result<CaughtUp, StoreError> {
        let Some(cache) = self.0.store.cache() else { return Ok(CaughtUp::default()) };
        let caught_up = cache.catch_up().await;
        let rewrites = cache.rewrites();
        let told = self.0.upkeep.rewrites.fetch_max(rewrites, Ordering::Relaxed);
        if let Some(observer) = &self.0.observer {
            (told..rewrites).for_each(|_| observer.history_rewritten());
        }
        caught_up
    }

    /// Puts a tag in the place of the old one, if that is still there. No event: both
    /// tags prove the same secret, so nobody needs to hear of it.
    async fn write_tag(&self, retag: &Retag) -> Result<bool, StoreError> {
        let Some(record) = self.0.store.get(retag.id).await? else { return Ok(false) };
        let Ok(body) = self.believed(&record) else { return Ok(false) };
        let mut after = body.clone();
        match after.slots.get_mut(retag.slot).and_then(Option::as_mut) {
            Some(slot) if slot.tag == retag.old => {
                slot.tag = retag.new;
                slot.pepper = retag.pepper;
            }
            _ => return Ok(false),
        }
        self.replace(body, after).await
    }

    /// Commits a record that differs in tags or seal only; `false` if it has changed
    /// meanwhile.
    pub(super) async fn replace(&self, before: &Body, mut after: Body) -> Result<bool, StoreError> {
        after.version = before.version.saturating_add(1);
        let change = Change {
            record: self.0.scheme.sealed(after),
            expect: Expect::Version(before.version),
            event: None,
        };
        match self.0.store.commit(change).await {
            Ok(()) => Ok(true),
            Err(error) if super::error::lost_race(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
