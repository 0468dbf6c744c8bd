use std::fmt;
use std::sync::Arc;

use crate::policy::{AccessRequest, Deny};
use crate::record::Event;
use crate::scheme::{KeyScheme, Lane};
use crate::timestamp::Timestamp;
use crate::token::KeyId;
use crate::verify::{Verified, VerifyError};

/// Hears of every verification and every change, as it happens.
///
/// # Contract
///
/// Calls come on the request's own thread: be quick, don't block, don't panic.
/// Nothing that is passed holds a secret.
///
/// ```
/// use keyward::{Event, Observer, Outcome};
///
/// struct Print;
///
/// impl Observer for Print {
///     fn verified(&self, outcome: &Outcome<'_>) {
///         if let (Some(key), Err(error)) = (outcome.key, outcome.result) {
///             println!("{key} {} (proven: {})", error.code(), outcome.is_authenticated());
///         }
///     }
///
///     fn changed(&self, event: &Event) {
///         println!("{} {} {:?} {}", event.at, event.actor, event.action, event.key);
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A verification ended.
    fn verified(&self, outcome: &Outcome<'_>) {
        let _ = outcome;
    }

    /// A change was committed.
    fn changed(&self, event: &Event) {
        let _ = event;
    }

    /// The log is not the one that the cache had read before: the database failed over to
    /// a copy that lagged, was restored, or its log was trimmed beyond this node's place.
    /// The cache has forgotten everything. It is told by
    /// [`KeyService::maintain`](crate::KeyService::maintain) and
    /// [`catch_up`](crate::KeyService::catch_up), once for each time.
    ///
    /// What was acknowledged and is not in that copy is lost: revokes too.
    fn history_rewritten(&self) {}
}

/// An observer that somebody else keeps too, to read what it has counted.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn verified(&self, outcome: &Outcome<'_>) {
        (**self).verified(outcome);
    }

    fn changed(&self, event: &Event) {
        (**self).changed(event);
    }

    fn history_rewritten(&self) {
        (**self).history_rewritten();
    }
}

/// Several observers, told in the order in which they were added.
pub(super) struct Observers(pub(super) Box<[Arc<dyn Observer>]>);

impl Observer for Observers {
    fn verified(&self, outcome: &Outcome<'_>) {
        self.0.iter().for_each(|observer| observer.verified(outcome));
    }

    fn changed(&self, event: &Event) {
        self.0.iter().for_each(|observer| observer.changed(event));
    }

    fn history_rewritten(&self) {
        for observer in &self.0 {
            observer.history_rewritten();
        }
    }
}

/// How a verification ended.
///
/// It doesn't say how long that took: the clock would have to be read a second time for
/// each verify. Time the call where it is made.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Outcome<'a> {
    /// The key that was named, if the presented string named one.
    pub key: Option<KeyId>,
    /// What was answered.
    pub result: Result<&'a Verified, &'a VerifyError>,
    /// What was asked for, and from where.
    pub request: &'a AccessRequest<'a>,
    /// When, by the service's clock: the instant that the decision was made for.
    pub at: Timestamp,
    pub(crate) scheme: &'a KeyScheme,
}

impl Outcome<'_> {
    /// Whether the caller proved to hold the key's secret. Nothing may be done to a
    /// key because of an outcome that is not authenticated: anybody can cause it.
    pub fn is_authenticated(&self) -> bool {
        match self.result {
            Ok(_) => true,
            Err(error) => error.deny().is_some_and(Deny::is_authenticated),
        }
    }

    /// Whether the named id holds the check that ids of this scheme hold: of one that is
    /// unknown, [`Lane::Slow`] says that it was never issued, and [`Lane::Fast`] that it
    /// was, and its record is gone (or a guess of one in a million). The ids of imported
    /// keys hold none. One HMAC for each pepper, made here.
    pub fn lane(&self) -> Option<Lane> {
        self.key.map(|key| self.scheme.lane(key))
    }
}

impl fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("key", &self.key)
            .field("result", &self.result)
            .field("request", &self.request)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
