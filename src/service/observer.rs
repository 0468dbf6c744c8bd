use std::sync::Arc;

use crate::policy::Deny;
use crate::record::Event;
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

/// How a verification ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Outcome<'a> {
    /// The key that was named, if the presented string named one.
    pub key: Option<KeyId>,
    /// What was answered.
    pub result: Result<&'a Verified, &'a VerifyError>,
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
}
