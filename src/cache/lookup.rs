//! From an id to its record: out of memory, or by one read of the store for all.

use std::sync::atomic::Ordering;

use super::entry::Entry;
use super::flights::{Lead, Reading, Role};
use super::freshness::{Fresh, Instant};
use super::{KeyCache, micros};
use crate::error::{StoreError, StoreErrorKind};
use crate::record::KeyRecord;
use crate::scheme::Lane;
use crate::store::DEFAULT_MAX_STALENESS;
use crate::timestamp::Moment;
use crate::token::KeyId;

impl KeyCache {
    /// The record, if it is in memory and may be used, and the instant at which that was
    /// decided. It waits for nothing.
    #[inline]
    pub(crate) fn find(&self, id: KeyId) -> Option<(KeyRecord, Moment)> {
        let inner = &*self.0;
        let fresh = inner.freshness.read();
        let moment = inner.settings.clock.moment();
        let now = Instant::from(moment);
        if !fresh.holds(now) {
            return None;
        }
        let record = inner.shelf.with(fresh, id.as_bytes(), |entry| {
            let usable = entry.is_of_log(fresh) && entry.is_young(now);
            usable.then(|| entry.record.clone())
        });
        Some((record??, moment))
    }

    /// The record, from memory or from the store.
    pub(crate) async fn look_up(
        &self,
        id: KeyId,
        lane: impl FnOnce() -> Lane,
    ) -> Result<Option<KeyRecord>, StoreError> {
        if !self.0.settings.read_through {
            if self.wants_pass(id) {
                self.refresh().await;
            }
            if let Some((record, _)) = self.find(id) {
                return Ok(Some(record));
            }
        }
        match self.load(id, lane()).await {
            Err(error) if error.is_retryable() => self.stale(id).map(Some).ok_or(error),
            answer => answer,
        }
    }

    /// Whether a pass over the log would make a record usable, or any.
    fn wants_pass(&self, id: KeyId) -> bool {
        let fresh = self.0.freshness.read();
        let now = self.instant();
        let kept = |entry: &Entry| entry.is_of_log(fresh) && entry.is_young(now);
        let is_kept = || self.0.shelf.with(fresh, id.as_bytes(), kept).unwrap_or_default();
        !fresh.holds(now) && (fresh.at == Instant::NEVER || is_kept())
    }

    /// What the host has chosen to use while the store can't be asked.
    fn stale(&self, id: KeyId) -> Option<KeyRecord> {
        let slack = micros(self.0.settings.stale_if_error?);
        let fresh = self.0.freshness.read();
        let now = self.instant();
        let record = self.0.shelf.with(fresh, id.as_bytes(), |entry| {
            let usable = entry.is_of_log(fresh) && entry.is_fresh_within(fresh, now, slack);
            usable.then(|| entry.record.clone())
        });
        record.flatten()
    }

    async fn load(&self, id: KeyId, lane: Lane) -> Result<Option<KeyRecord>, StoreError> {
        let inner = &*self.0;
        loop {
            // One that began before a change of this node's, or longer ago than a record may
            // be used, is for those who wait for it already.
            let may_join = |reading: Reading| {
                let (fresh, now) = (inner.freshness.read(), self.instant());
                let is_young = now.since(reading.started).is_some_and(|age| age <= fresh.bound);
                !inner.settings.read_through
                    && reading.noted == inner.shelf.note(id.as_bytes())
                    && (fresh.holds(now) && is_young)
            };
            match inner.flights.enter(id, may_join) {
                Role::Lead(lead) => return self.read(lead, id, lane).await,
                Role::Join(joined) => match joined.await {
                    Some((Some(started), Ok(_))) if !self.is_timely(started) => {}
                    Some((_, answer)) => return answer,
                    None => {}
                },
            }
        }
    }

    /// Asks the store, and keeps the answer unless the key has changed meanwhile.
    async fn read(
        &self,
        lead: Lead<'_>,
        id: KeyId,
        lane: Lane,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let inner = &*self.0;
        let settings = &inner.settings;
        let waiting = self.instant();
        let leave = inner.lanes.enter(lane, waiting.monotonic, &settings.timer).await;
        let leave = match leave {
            Ok(leave) => leave,
            Err(error) => {
                lead.refused(&error);
                return Err(error);
            }
        };
        let fresh = inner.freshness.read();
        let noted = inner.shelf.note(id.as_bytes());
        let before = inner.shelf.with(fresh, id.as_bytes(), Entry::clone);
        let reading = Reading { noted, started: self.instant() };
        lead.reads(reading);
        let asked = inner.source.get_dyn(id);
        let answer = if settings.read_through {
            asked.await
        } else {
            let answer = settings.timer.within(self.limit(), asked).await;
            answer.unwrap_or_else(|| Err(late()))
        };
        drop(leave);
        let begun = inner.begun.load(Ordering::SeqCst);
        let took = self.instant().monotonic.saturating_sub(reading.started.monotonic);
        inner.lanes.took(took);
        let answer = match answer {
            Ok(_) if !self.is_timely(reading.started) => Err(late()),
            answer => answer,
        };
        if let Ok(Some(record)) = &answer
            && !settings.read_through
            // What is damaged may have been so on the way only.
            && (record.id() == id && record.is_readable())
        {
            let entry = self.entry(record, reading, begun, before.as_ref(), fresh);
            inner.shelf.fill(id.as_bytes(), noted, entry);
        }
        lead.done(reading, &answer);
        answer
    }

    /// `before` is what stood there when the reading began, `fresh` what had been heard.
    fn entry(
        &self,
        record: &KeyRecord,
        reading: Reading,
        begun: u64,
        before: Option<&Entry>,
        fresh: Fresh,
    ) -> Entry {
        // Read on both sides of a whole pass that said nothing of it.
        let confirmed = before.is_some_and(|before| {
            (before.confirmed || before.begun < fresh.pass) && is_same(&before.record, record)
        });
        let max_age = self.max_age(record.id(), reading.started);
        let record = record.clone();
        Entry { record, filled: reading.started, max_age, begun, confirmed }
    }

    /// Up to a quarter less than the greatest, so that what came together does not end
    /// together.
    fn max_age(&self, id: KeyId, at: Instant) -> u64 {
        let most = micros(self.0.settings.max_age);
        let [.., high, low] = *id.as_bytes();
        let mixed = at.monotonic.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let share = (u64::from(u16::from_be_bytes([high, low])) ^ mixed) % 1_024;
        most - most / 4 / 1_024 * share
    }

    /// Whether an answer to what was asked then is no older than a cached one may be.
    fn is_timely(&self, started: Instant) -> bool {
        self.0.settings.read_through
            || self.instant().since(started).is_some_and(|age| age <= self.limit())
    }

    /// How long an answer may take, in microseconds: the bound, as far as it is known.
    fn limit(&self) -> u64 {
        let fresh = self.0.freshness.read();
        if fresh.holds(self.instant()) {
            return fresh.bound;
        }
        let own = self.0.settings.max_staleness.unwrap_or(DEFAULT_MAX_STALENESS);
        let known = if fresh.pass > 0 { fresh.bound } else { u64::MAX };
        micros(own.min(DEFAULT_MAX_STALENESS)).min(known)
    }
}

fn is_same(one: &KeyRecord, other: &KeyRecord) -> bool {
    one.version() == other.version() && one.to_document() == other.to_document()
}

fn late() -> StoreError {
    let error = StoreError::new(StoreErrorKind::Unavailable);
    error.with_context("the store took longer to answer than a record may be used")
}
