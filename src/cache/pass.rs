//! Catching up with the log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::freshness::Fresh;
use super::lanes::PATIENCE;
use super::permits::Patience;
use super::{KeyCache, lock, micros};
use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Event, EventId};
use crate::store::{Changes, LONGEST_STALENESS, LogQuery};

/// How many entries of the log one call asks for.
const PAGE: usize = 1_000;

/// How long a verify goes on with a pass, if there is a timer: 1 s, in microseconds. What a
/// pass has applied by then is not lost.
const PATIENCE_OF_A_VERIFY: u64 = 1_000_000;

/// The most that wait for a pass.
const MOST_WAITING: usize = 4_096;

/// What a pass over the log found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaughtUp {
    /// Entries that were new.
    pub entries: usize,
    /// Whether the log was not the one this node had read before: the database failed
    /// over to a copy that lagged, was restored, or its log was trimmed beyond this
    /// node's place. Everything was forgotten and is read anew.
    pub rewritten: bool,
}

/// The last entry that was applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Unknown,
    /// The log was empty.
    Start,
    At(u64, EventId),
}

/// How the last pass that ended went, and which it was.
pub(super) type Last = Option<(u64, Result<CaughtUp, StoreError>)>;

impl KeyCache {
    /// Reads what is new in the log, and forgets the keys it is about.
    ///
    /// [`KeyService::maintain`](crate::KeyService::maintain) does it with each pass; a
    /// host that hears of changes does it on each hint. Calls that come while a pass is
    /// under way share the one after it.
    ///
    /// # Errors
    ///
    /// The store's own. What is in the cache lapses when the bound has passed.
    pub async fn catch_up(&self) -> Result<CaughtUp, StoreError> {
        let inner = &*self.0;
        if inner.settings.read_through {
            return Ok(CaughtUp::default());
        }
        let asked = inner.begun.load(Ordering::SeqCst);
        let now = self.instant();
        inner.lanes.expire(now.monotonic);
        inner.turn.expire(now.monotonic);
        let turn = inner.turn.acquire(now.monotonic, None, MOST_WAITING);
        let Some(_turn) = turn.await else {
            let error = StoreError::new(StoreErrorKind::Unavailable);
            return Err(error.with_context("too many wait for the log already"));
        };
        if let Some(shared) = self.outcome_since(asked) {
            return shared;
        }
        self.run().await
    }

    /// Catches up on behalf of a verify, unless somebody else has just done so or tried.
    pub(super) async fn refresh(&self) {
        let inner = &*self.0;
        let asked = inner.begun.load(Ordering::SeqCst);
        let now = self.instant();
        let patience = Patience { since: now.monotonic, micros: PATIENCE };
        let turn = inner.turn.acquire(now.monotonic, Some(patience), MOST_WAITING);
        let Some(_turn) = inner.settings.timer.within(PATIENCE, turn).await.flatten() else {
            return;
        };
        let lapsed = !inner.freshness.read().holds(self.instant());
        if lapsed && self.outcome_since(asked).is_none() {
            // What goes wrong, or takes too long, is seen by the read that follows.
            let _ = inner.settings.timer.within(PATIENCE_OF_A_VERIFY, self.run()).await;
        }
    }

    /// How a pass that began after `asked` others went.
    fn outcome_since(&self, asked: u64) -> Option<Result<CaughtUp, StoreError>> {
        let last = lock(&self.0.last);
        let (_, outcome) = last.as_ref().filter(|(number, _)| *number > asked)?;
        Some(outcome.as_ref().copied().map_err(StoreError::echo))
    }

    async fn run(&self) -> Result<CaughtUp, StoreError> {
        let number = self.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let outcome = self.pass(number).await;
        let echo = outcome.as_ref().copied().map_err(StoreError::echo);
        *lock(&self.0.last) = Some((number, echo));
        outcome
    }

    /// One pass: everything that was acknowledged before it began is applied when it ends.
    async fn pass(&self, number: u64) -> Result<CaughtUp, StoreError> {
        let inner = &*self.0;
        let at = self.instant();
        let mut done = CaughtUp::default();
        let mut beats = 0;
        loop {
            let head = *lock(&inner.head);
            let read = match head {
                Head::Unknown => self.begin().await?,
                Head::Start => self.look_for_first().await?,
                Head::At(position, id) => self.read_on(position, id, &mut done).await?,
            };
            match read {
                Read::More => {}
                Read::End(settings) => {
                    let bound = self.told(settings.max_staleness);
                    // Before anything is used by this pass. Who had no row reads the log
                    // again now that it has one: nobody waited for it before.
                    if settings.heartbeats && !self.beat(bound, &mut beats).await? {
                        continue;
                    }
                    inner.freshness.publish(Fresh { at, bound, pass: number });
                    return Ok(done);
                }
                Read::Rewritten => {
                    inner.freshness.publish(inner.freshness.read().forgotten());
                    inner.shelf.clear();
                    *lock(&inner.head) = Head::Unknown;
                    inner.rewrites.fetch_add(1, Ordering::Relaxed);
                    done.rewritten = true;
                }
            }
        }
    }

    /// Takes the newest entry for the place to go on from.
    async fn begin(&self) -> Result<Read, StoreError> {
        let inner = &*self.0;
        let newest = self.changes_of(LogQuery::before(u64::MAX).limit(1)).await?;
        // Not before: what was read between the two and has changed since would be neither
        // removed now nor by any later pass.
        inner.shelf.clear();
        let head = newest.entries.first();
        *lock(&inner.head) = head.map_or(Head::Start, |(at, event)| Head::At(*at, event.id));
        Ok(Read::end(&newest))
    }

    /// A log that was empty says nothing of what it is now, so nothing is kept with it.
    async fn look_for_first(&self) -> Result<Read, StoreError> {
        let first = self.changes_of(LogQuery::from(0).limit(1)).await?;
        if first.entries.is_empty() {
            // It may have held entries, and been trimmed to its end.
            self.0.shelf.clear();
            return Ok(Read::end(&first));
        }
        *lock(&self.0.head) = Head::Unknown;
        Ok(Read::More)
    }

    /// Applies the entries behind the last one, which has to be there still.
    async fn read_on(
        &self,
        position: u64,
        id: EventId,
        done: &mut CaughtUp,
    ) -> Result<Read, StoreError> {
        let page = self.changes_of(LogQuery::from(position).limit(PAGE)).await?;
        let rest = match page.entries.split_first() {
            Some(((at, event), rest)) if (*at, event.id) == (position, id) => rest,
            _ => return Ok(Read::Rewritten),
        };
        for (at, event) in rest {
            self.apply(*at, event)?;
        }
        done.entries += rest.len();
        let is_end = page.entries.len() < PAGE;
        Ok(if is_end { Read::end(&page) } else { Read::More })
    }

    fn apply(&self, at: u64, event: &Event) -> Result<(), StoreError> {
        let mut head = lock(&self.0.head);
        if let Head::At(before, _) = *head
            && before >= at
        {
            let error = StoreError::new(StoreErrorKind::Corrupt);
            return Err(error.with_context("the positions of the log don't grow"));
        }
        self.0.shelf.evict(event.key.as_bytes());
        *head = Head::At(at, event.id);
        Ok(())
    }

    /// The bound that this node keeps, in microseconds, when the store says this one.
    pub(super) fn told(&self, max_staleness: Duration) -> u64 {
        let max_staleness = max_staleness.min(LONGEST_STALENESS);
        self.0.promise.told(micros(max_staleness), self.instant());
        let own = self.0.settings.max_staleness.unwrap_or(LONGEST_STALENESS);
        micros(max_staleness.min(own))
    }

    pub(super) async fn changes_of(&self, query: LogQuery) -> Result<Changes, StoreError> {
        self.0.source.changes_dyn(&query).await
    }

    /// How long from now a change that was acknowledged before the call may go unseen by
    /// another node.
    ///
    /// The bound is read anew, after the change: no node can be using a longer one that
    /// this one has not heard of.
    pub async fn unseen_for(&self) -> Duration {
        match self.changes_of(LogQuery::before(u64::MAX).limit(1)).await {
            Ok(changes) => self
                .0
                .promise
                .told(micros(changes.max_staleness.min(LONGEST_STALENESS)), self.instant()),
            // What can't be read may be the most that any node takes.
            Err(_) => LONGEST_STALENESS,
        }
    }
}

enum Read {
    More,
    End(Settings),
    Rewritten,
}

/// The settings of the store that were read with the end of the log.
struct Settings {
    max_staleness: Duration,
    heartbeats: bool,
}

impl Read {
    fn end(page: &Changes) -> Self {
        let Changes { max_staleness, heartbeats, .. } = *page;
        Self::End(Settings { max_staleness, heartbeats })
    }
}
