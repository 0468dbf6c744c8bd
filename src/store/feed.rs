use std::future::Future;
use std::time::Duration;

use super::query::LogQuery;
use crate::error::StoreError;
use crate::record::Event;

/// How long a revoked key may still work on another node that keeps records in a cache,
/// unless the store says otherwise: 5 seconds.
pub const DEFAULT_MAX_STALENESS: Duration = Duration::from_secs(5);

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
}

/// A stretch of the log, and the bound that held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Entries with their positions.
    pub entries: Vec<(u64, Event)>,
    /// How long after its acknowledgement a change may go unseen by any node.
    pub max_staleness: Duration,
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
