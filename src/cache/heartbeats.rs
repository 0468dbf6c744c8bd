//! That this node says how far it has heard, and hears it of the others: so that who waits
//! until a change is in effect everywhere need not wait for the bound.
//!
//! Nothing here makes a node use anything for longer. What has to hold is that whoever
//! may use what it keeps has a row that says no more than it has applied:
//!
//! - A node beats after it has applied the log and before it takes itself for fresh. If its
//!   row is not as it left it, it enrols anew, and reads the log again after that.
//! - A row is removed only by who has seen it unchanged for as long as it says its node may
//!   go on, on the own monotonic clock; a node that was slow finds that out at its next beat.
//! - Rows are believed once the epoch has stood for the longest bound. Until then, nodes may
//!   be going on that looked at the log while heartbeats were off, or whose rows were lost
//!   with the last moments of another primary.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use super::pass::Head;
use super::{KeyCache, lock, micros};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Heartbeat, LONGEST_STALENESS, LogQuery, NodeRow, RollCall};

/// How often one pass tries to beat.
const MOST_BEATS: u32 = 5;
/// The first pause between two looks at what the others have heard, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];

#[derive(Default)]
pub(super) struct Heartbeats(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    /// This node's row, as the store said last.
    own: Option<NodeRow>,
    /// The epoch, and from when on its rows are believed.
    epoch: Option<(String, u64)>,
    /// The rows of all, and since when each has been seen as it is.
    rows: HashMap<String, (NodeRow, u64)>,
}

impl Heard {
    /// Takes note of what was said by `now`; nodes without a row may go on for `unseen`
    /// after that.
    fn hear(&mut self, said: &RollCall, now: u64, unseen: u64) {
        let known = self.epoch.take().filter(|(epoch, _)| Some(epoch) == said.epoch.as_ref());
        let anew = || Some((said.epoch.clone()?, now.saturating_add(unseen)));
        self.epoch = known.or_else(anew);
        let mut before = std::mem::take(&mut self.rows);
        self.rows.extend(said.nodes.iter().map(|row| {
            let seen = before.remove(&row.node).filter(|(seen, _)| seen == row);
            (row.node.clone(), seen.unwrap_or_else(|| (row.clone(), now)))
        }));
    }

    /// The rows of other nodes that have lapsed.
    fn gone(&self, now: u64) -> Vec<NodeRow> {
        let lapsed = |(row, since): &&(NodeRow, u64)| {
            now.saturating_sub(*since) > micros(row.lapses_after) && self.own.as_ref() != Some(row)
        };
        self.rows.values().filter(lapsed).map(|(row, _)| row.clone()).collect()
    }

    fn is_believed(&self, now: u64) -> bool {
        self.epoch.as_ref().is_some_and(|(_, from)| now > *from)
    }
}

impl KeyCache {
    /// Says that the log has been applied up to this node's place in it; `false` if this
    /// node had no row when it was read.
    pub(super) async fn beat(&self, bound: u64, beats: &mut u32) -> Result<bool, StoreError> {
        *beats += 1;
        if *beats > MOST_BEATS {
            let error = StoreError::new(StoreErrorKind::Unavailable);
            return Err(error.with_context("this node's heartbeats are lost again and again"));
        }
        let inner = &*self.0;
        // What was published before goes on until this pass has ended.
        let lapses_after = Duration::from_micros(bound.max(inner.freshness.read().bound));
        let position = match *lock(&inner.head) {
            Head::At(position, _) => position,
            Head::Start | Head::Unknown => 0,
        };
        let own = lock(&inner.heartbeats.0).own.clone();
        let beat = match &own {
            Some(row) => Heartbeat::Next { row, position, lapses_after },
            None => Heartbeat::Enroll { lapses_after },
        };
        let (said, _) = self.call_roll(beat).await?;
        let is_known = own.is_some() && said.own.is_some();
        lock(&inner.heartbeats.0).own = said.own;
        Ok(is_known)
    }

    /// Calls the roll, removes who has lapsed, and takes note of what is said and whether it
    /// is to be believed.
    async fn call_roll(&self, beat: Heartbeat<'_>) -> Result<(RollCall, bool), StoreError> {
        let inner = &*self.0;
        let gone = lock(&inner.heartbeats.0).gone(self.instant().monotonic);
        let said = inner.source.roll_call_dyn(beat, &gone).await?;
        // Not before: the rows were as they are at some moment until now.
        let now = self.instant();
        let unseen = micros(inner.promise.longest(now).unwrap_or(LONGEST_STALENESS));
        let mut heard = lock(&inner.heartbeats.0);
        heard.hear(&said, now.monotonic, unseen);
        Ok((said, heard.is_believed(now.monotonic)))
    }

    /// Waits until every change that was acknowledged before the call is in effect on every
    /// node: until all have said so by heartbeat, or `unseen` has passed
    /// ([`KeyCache::unseen_for`]). `true` if it did not take so long.
    ///
    /// `sleep` is the runtime's timer, such as `tokio::time::sleep`. Without heartbeats
    /// ([`ChangeFeed::set_heartbeats`](crate::ChangeFeed::set_heartbeats)) it waits for the
    /// whole time, and so it does on a node that has not looked at the log for as long
    /// before. A verify that was under way when this comes back may still end with what it
    /// read.
    pub async fn everywhere<F: Future<Output = ()>>(
        &self,
        unseen: Duration,
        sleep: impl Fn(Duration) -> F,
    ) -> bool {
        let began = self.instant().monotonic;
        // By the monotonic clock: somebody may set the other one.
        let left = || {
            let waited = self.instant().monotonic.saturating_sub(began);
            unseen.checked_sub(Duration::from_micros(waited)).filter(|left| !left.is_zero())
        };
        self.heard_within(left, sleep).await
    }

    /// The same, as long as some time is left.
    pub(crate) async fn heard_within<F: Future<Output = ()>>(
        &self,
        left: impl Fn() -> Option<Duration>,
        sleep: impl Fn(Duration) -> F,
    ) -> bool {
        let mut heard = pin!(self.heard_by_all(&sleep));
        while let Some(left) = left() {
            let mut slept = pin!(sleep(left));
            let is_heard = poll_fn(|context| {
                if heard.as_mut().poll(context).is_ready() {
                    return Poll::Ready(true);
                }
                slept.as_mut().poll(context).map(|()| false)
            });
            if is_heard.await {
                return true;
            }
        }
        false
    }

    /// Ends when every node has applied what is now in the log; never, if that can't be
    /// known.
    async fn heard_by_all<F: Future<Output = ()>>(&self, sleep: &impl Fn(Duration) -> F) {
        let [mut pause, longest] = PAUSES;
        let mut newest = None;
        loop {
            if newest.is_none() {
                newest = self.newest().await;
                // This node is one of them.
                let _ = self.catch_up().await;
            }
            match newest {
                Some(None) => return pending().await,
                Some(Some(position)) if self.has_heard(position).await => return,
                _ => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// The newest position of the log; within, `None` if heartbeats are off.
    async fn newest(&self) -> Option<Option<u64>> {
        let newest = self.changes_of(LogQuery::before(u64::MAX).limit(1)).await.ok()?;
        self.told(newest.max_staleness);
        let position = newest.entries.first().map(|(position, _)| *position);
        Some(position.filter(|_| newest.heartbeats))
    }

    async fn has_heard(&self, position: u64) -> bool {
        let Ok((said, is_believed)) = self.call_roll(Heartbeat::Look).await else { return false };
        is_believed && said.nodes.iter().all(|row| row.position >= position)
    }
}
