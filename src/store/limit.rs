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
/// `take` takes every charge or none, atomically. `now` in a charge is the caller's
/// clock; a store with a clock of its own uses that. A counter belongs to the subject,
/// the kind and the name of the limit; a limit that was edited
/// goes on with it and is not refilled. [`MemoryLimitStore`](crate::MemoryLimitStore)
/// is the reference.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitSubject {
    /// One key's.
    Key(KeyId),
    /// All keys' of one owner.
    Owner(String),
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
