use std::future::{Future, ready};
use std::time::Duration;

use super::query::LogQuery;
use super::roll::{Heartbeat, NodeRow, RollCall};
use crate::error::{StoreError, StoreErrorKind};
use crate::record::Event;

/// How long a revoked key may still work on another node that keeps records in a cache,
/// unless the store says otherwise: 5 seconds.
pub const DEFAULT_MAX_STALENESS: Duration = Duration::from_secs(5);

/// The longest bound that any node takes, whatever a store says.
pub(crate) const LONGEST_STALENESS: Duration = Duration::from_secs(3_600);

/// What a node that keeps records in a cache asks of the store it shares with others.
///
/// # Contract
///
/// - **F1** `changes` answers from where commits are acknowledged (the primary), and sees
///   each commit that was awaited before it was called.
/// - **F2** It isn't kept waiting by other calls: a store with a pool gives it a connection
///   of its own. Else whoever fills the pool keeps every node from hearing of a revoke.
/// - **F3** The bound is one value for all nodes, kept with the keys: what
///   `set_max_staleness` was last called with, else [`DEFAULT_MAX_STALENESS`].
///
/// Of a store that has heartbeats, besides:
///
/// - **F4** Whether they are on is one value for all nodes, kept with the keys and off at
///   first. `changes` reads it together with the entries.
/// - **F5** `roll_call` is one step, at the primary and as durable as a commit: it removes
///   the rows that are exactly as `gone` says, beats, and gives every row.
/// - **F6** The epoch is another after each call of `set_heartbeats`, and when commits or
///   rows that were acknowledged may be lost: after a failover, a restore, a crash that
///   loses something. It never comes back.
///
/// The two methods have a body so that a store without them is whole: its nodes wait for
/// the bound.
pub trait ChangeFeed: Send + Sync + 'static {
    /// Entries of the log as [`KeyStore::log`](crate::KeyStore::log) gives them, and the
    /// bound that holds now.
    ///
    /// # Errors
    ///
    /// The store can't be read, or it isn't the primary.
    fn changes(&self, query: &LogQuery)
    -> impl Future<Output = Result<Changes, StoreError>> + Send;

    /// Sets for all nodes how long after its acknowledgement a change may go unseen.
    ///
    /// Nodes learn of it when they next catch up: a receipt promises the old bound until
    /// all have, so that a shorter one holds after the longer one has passed.
    ///
    /// # Errors
    ///
    /// The store can't be written.
    fn set_max_staleness(
        &self,
        bound: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Switches heartbeats on or off for all nodes: with them,
    /// [`KeyService::revoke_and_wait`](crate::KeyService::revoke_and_wait) comes back as
    /// soon as every node has said that it has heard. Each node then writes a row with each
    /// look at the log, and one that can't keeps nothing.
    ///
    /// # Errors
    ///
    /// The store can't be written, or has no heartbeats.
    fn set_heartbeats(&self, on: bool) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = on;
        ready(Err(no_heartbeats()))
    }

    /// Removes the rows that are exactly as `gone` says, notes the beat of one node, and
    /// gives the rows of all.
    ///
    /// # Errors
    ///
    /// The store can't be written, it isn't the primary, or it has no heartbeats.
    fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> impl Future<Output = Result<RollCall, StoreError>> + Send {
        let _ = (beat, gone);
        ready(Err(no_heartbeats()))
    }
}

fn no_heartbeats() -> StoreError {
    StoreError::new(StoreErrorKind::Other).with_context("this store has no heartbeats")
}

/// A stretch of the log, and the settings that held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Entries with their positions.
    pub entries: Vec<(u64, Event)>,
    /// How long after its acknowledgement a change may go unseen by any node.
    pub max_staleness: Duration,
    /// Whether a node must have beaten ([`ChangeFeed::roll_call`]) to use what it keeps.
    pub heartbeats: bool,
}

/// Something that wakes a node early when keys may have changed.
///
/// A hint carries nothing and is never believed: it may be lost, come late, come twice or
/// be made up. Nodes look at the log each second whether one came or not.
pub trait Hints: Send + 'static {
    /// Waits for the next hint. Dropping the future loses none that comes later.
    ///
    /// What hints come by may fail and come back in the meantime; this is its business
    /// alone, and after a failure it gives one hint, for those that were lost.
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}
