use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StoreError;
use crate::limit::{Quota, RateLimit};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Where limits are counted that all processes share.
///
/// # Contract
///
/// Each clause is a check of the feature `conformance` (`conformance_limit_suite!`), and each
/// check has a store that breaks it and nothing else (`tests/broken_limit_stores.rs`).
///
/// - **L1** `take` takes every charge or none.
/// - **L2** A cost of 0 takes nothing and is never denied; no charges at all are taken.
/// - **L3** A counter belongs to the subject, the kind and the name of the limit: two keys,
///   a key and its owner, two owners, a quota and a rate limit, or two names never share
///   one.
/// - **L4** A limit that was edited, or went from one [`LimitMode`](crate::LimitMode) to
///   another, goes on with its counter, and no edit refills it.
/// - **L5** A denial names the first charge without room, and when there is room: never for
///   a cost above the burst of a rate limit or the limit of a quota. That of a quota says
///   when it starts anew, that of a rate limit doesn't.
/// - **L6** Callers at the same time never get more than there is.
/// - **L7** A limit that stands in the list twice is charged twice.
/// - **L8** A call whose future is dropped happened wholly or not at all.
/// - **L9** Clones share their counters.
/// - **L10** Time gives back: after the `retry_after` of a denial there is room, if nobody
///   else took it, also if the limit has just been edited: its counter goes on by the new
///   rule from the first call that names it, be that denied or not.
///
/// `now` in a charge is the caller's clock; a store with a clock of its own uses that, and
/// believes no caller's. A clock that steps back refills nothing. All charges of one call
/// have the same owner: a store that keeps owners in different places needs to look at one.
/// [`MemoryLimitStore`](crate::MemoryLimitStore) is the reference.
pub trait LimitStore: Send + Sync + 'static {
    /// Takes all of these charges, or none.
    ///
    /// # Errors
    ///
    /// The store can't be asked; whether the request goes through is then decided
    /// by each limit's [`OnFailure`](crate::OnFailure).
    fn take(&self, charges: &[Charge]) -> impl Future<Output = Result<Taken, StoreError>> + Send;
}

/// Units of one limit that a request wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// Whose key is used: all charges of one call have the same owner.
    pub owner: Arc<str>,
    /// Whose limit.
    pub subject: LimitSubject,
    /// The limit.
    pub limit: SharedLimit,
    /// How many units; 0 takes none and is never denied.
    pub cost: u32,
    /// The caller's time.
    pub now: Timestamp,
}

/// Whose limit a [`Charge`] is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitSubject {
    /// One key's.
    Key(KeyId),
    /// All keys' of the charge's owner together.
    Owner,
}

/// A limit that is counted in a [`LimitStore`].
#[derive(Clone, Debug, PartialEq)]
pub enum SharedLimit {
    /// Units in a calendar period.
    Quota(Quota),
    /// Units per time, with a burst.
    Rate(RateLimit),
}

/// What became of a list of charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Every one was taken.
    All,
    /// None was, because this one has no room.
    Denied {
        /// The place of the charge in the list, from 0.
        charge: usize,
        /// When there is room, if ever for this cost.
        retry_after: Option<Duration>,
        /// When a quota starts anew; `None` for a rate limit.
        resets_at: Option<Timestamp>,
    },
}

/// Any [`LimitStore`], with its type forgotten.
#[derive(Clone)]
pub struct SharedLimitStore(Arc<dyn DynLimitStore>);

impl<S: LimitStore> From<S> for SharedLimitStore {
    fn from(store: S) -> Self {
        Self(Arc::new(store))
    }
}

impl SharedLimitStore {
    /// As [`LimitStore::take`].
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        self.0.take_dyn(charges).await
    }
}

impl fmt::Debug for SharedLimitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedLimitStore(…)")
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Taken, StoreError>> + Send + 'a>>;

trait DynLimitStore: Send + Sync + 'static {
    fn take_dyn<'a>(&'a self, charges: &'a [Charge]) -> Answer<'a>;
}

impl<S: LimitStore> DynLimitStore for S {
    fn take_dyn<'a>(&'a self, charges: &'a [Charge]) -> Answer<'a> {
        Box::pin(self.take(charges))
    }
}
