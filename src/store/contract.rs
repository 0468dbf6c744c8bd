use std::collections::HashMap;
use std::future::{Future, ready};
use std::time::Duration;

use super::query::{KeyQuery, LogQuery};
use crate::error::StoreError;
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Where keys are kept.
///
/// # Contract
///
/// The clauses C1 to C13 of the [module](crate::store#the-contract) hold. The store
/// judges nothing, reads no clock and invents no version: what it needs is in the
/// arguments.
///
/// Every method but one is required, and has no meaning by default: what a later release
/// wants of a store beyond these is a trait of its own.
///
/// # Clone
///
/// A clone is a handle to the same keys.
///
/// # Wrappers
///
/// [`KeyService`](crate::KeyService) takes any store; where one value must hold
/// stores of several types, use [`SharedKeyStore`](crate::SharedKeyStore).
pub trait KeyStore: Send + Sync + 'static {
    /// The record with this id.
    ///
    /// - It sees every commit that was awaited before, on any clone (C5).
    /// - No row is `Ok(None)`.
    ///
    /// # Errors
    ///
    /// The store can't be read. A row whose document is damaged is no error:
    /// [`KeyRecord::from_row`] takes it.
    fn get(&self, id: KeyId) -> impl Future<Output = Result<Option<KeyRecord>, StoreError>> + Send;

    /// Checks what the change expects, writes its record, and appends its event, in
    /// one step. It is the only write.
    ///
    /// - The step happens wholly or not at all, also if the future is dropped (C6).
    /// - The record takes the place of the stored one whole, owner and creation
    ///   included (C2).
    /// - Its version is what the record says (C4), and any record is as good as
    ///   another (C7).
    /// - The event is seen exactly when the record is (C12), behind every entry that
    ///   anybody has seen (C13).
    ///
    /// # Errors
    ///
    /// `AlreadyExists` (C1), `Conflict` (C3) and `OwnerCapReached` (C11) change
    /// nothing; after `Unavailable` the outcome is unknown.
    fn commit(&self, change: Change) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Records that [`KeyQuery::matches`], newest first by (`created_at`, id), at most
    /// `limit` of them (C8).
    ///
    /// - Fewer than `limit` is the end of the list.
    /// - A record whose document can't be read is listed as what its accessors say.
    ///
    /// # Errors
    ///
    /// The store can't be read.
    fn list(
        &self,
        query: &KeyQuery,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, StoreError>> + Send;

    /// Entries of the log with their positions that [`LogQuery::matches`], in the
    /// order it asks for, at most `limit` of them (C12, C13).
    ///
    /// - An entry keeps its position. Positions start at 1 and may have gaps.
    /// - Old entries may have gone; those that are left are the newest, without a
    ///   hole.
    ///
    /// # Errors
    ///
    /// The store can't be read.
    fn log(
        &self,
        query: &LogQuery,
    ) -> impl Future<Output = Result<Vec<(u64, Event)>, StoreError>> + Send;

    /// How long after its acknowledgement a change may go unseen by a node that keeps this
    /// store's records in a cache: of a [`ChangeFeed`](crate::ChangeFeed) what
    /// [`Changes::max_staleness`](crate::Changes::max_staleness) is now.
    ///
    /// A service that has no cache itself asks, for its receipts. `None`, as the body has it,
    /// is a store that doesn't say, and is taken for
    /// [`DEFAULT_MAX_STALENESS`](crate::DEFAULT_MAX_STALENESS). A store around another passes
    /// it on.
    ///
    /// # Errors
    ///
    /// The store can't be read.
    fn unseen_for(&self) -> impl Future<Output = Result<Option<Duration>, StoreError>> + Send {
        ready(Ok(None))
    }
}

/// Where it is kept how keys are used: lossy, commutative, apart from the records.
///
/// # Contract
///
/// The clauses U1 to U4 of the [module](crate::store#the-contract) hold: deltas add up
/// in any order ([`Usage::add`] is the model), instants only move forward, and nothing
/// here touches a record or its version. It need not be as durable as a record.
pub trait UsageStore: Send + Sync + 'static {
    /// Adds what was counted since the last time. A batch may hold several keys, and
    /// one key several times; what it says of a key without a record may be dropped.
    ///
    /// # Errors
    ///
    /// The store can't be written; the caller keeps the batch and tries again. So write
    /// all of a batch or nothing: what an error hides is counted twice.
    fn add(&self, batch: &[UsageDelta]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How these keys have been used; those never used are left out. A key may be asked
    /// for twice.
    ///
    /// # Errors
    ///
    /// The store can't be read.
    fn usage(
        &self,
        keys: &[KeyId],
    ) -> impl Future<Output = Result<HashMap<KeyId, Usage>, StoreError>> + Send;
}

/// A change to one record.
///
/// Stores receive it from the service and have no need to make one.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record to write, version included.
    pub record: KeyRecord,
    /// What must hold before.
    pub expect: Expect,
    /// What to append to the log; nothing if no node needs to hear of the change.
    pub event: Option<Event>,
}

/// What a [`Change`] expects of the row it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none, else `AlreadyExists`; and the owner has room for one more live
    /// key, else `OwnerCapReached`.
    Absent {
        /// How many live keys the record's owner may have, this one included; `None`
        /// is any number.
        cap: Option<OwnerCap>,
    },
    /// There is one with this version, else `Conflict`.
    Version(u64),
}

/// How many live keys an owner may have, at an instant.
///
/// There is room while fewer than `max` of the owner's records are live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerCap {
    /// The most.
    pub max: u32,
    /// The instant at which [`KeyRecord::is_live`] is asked.
    pub now: Timestamp,
}
