//! Events for `tracing`.

use tracing::{Level, event};

use crate::monitor::{Alert, AlertKind, AlertSink};
use crate::policy::Deny;
use crate::record::Event;
use crate::service::{Observer, Outcome};
use crate::verify::VerifyError;

/// Emits an event for each refusal, each change, each alert and each rewritten history.
///
/// It is an [`Observer`], and an [`AlertSink`] for a [`Monitor`](crate::Monitor):
///
/// ```
/// use keyward::{Environment, KeyScheme, KeyService, MemoryStore, Monitor, PepperRing};
/// use keyward::TracingObserver;
///
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// let keys = KeyService::builder(scheme, MemoryStore::new())
///     .observer(TracingObserver::new())
///     .observer(Monitor::new(TracingObserver::new()))
///     .build();
/// # drop(keys);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// | target | level | when |
/// |---|---|---|
/// | `keyward::refused` | `INFO` | a refusal whose caller held a secret of the key |
/// | | `DEBUG` | any other, which strangers can cause as often as they like; and by a limit |
/// | | `ERROR` | a record's seal is broken |
/// | `keyward::unavailable` | `WARN` | nothing could be said of the key |
/// | `keyward::changed` | `INFO` | a change was committed |
/// | `keyward::alert` | `WARN` | an alert; `ERROR` if it says that the database is not as it was left |
/// | `keyward::history` | `ERROR` | the log is not the one that was read before |
///
/// A verify that is allowed emits nothing at any level. No event holds a secret. What users
/// chose (names of actors and owners) is recorded as strings, which subscribers escape.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TracingObserver;

impl TracingObserver {
    /// An observer that emits to the subscriber of the thread that it is called on.
    pub const fn new() -> Self {
        Self
    }
}

impl Observer for TracingObserver {
    fn verified(&self, outcome: &Outcome<'_>) {
        match outcome.result {
            Ok(_) => {}
            Err(VerifyError::Rejected(rejected)) => refused(outcome, rejected.deny()),
            Err(error @ VerifyError::Unavailable(cause)) => event!(
                target: "keyward::unavailable",
                Level::WARN,
                code = error.code(),
                key = outcome.key.as_ref().map(tracing::field::display),
                // Without what caused it, which may hold anything that a driver says.
                error = %cause,
                "nothing can be said of an API key",
            ),
        }
    }

    fn changed(&self, event: &Event) {
        event!(
            target: "keyward::changed",
            Level::INFO,
            action = event.action.as_str(),
            key = %event.key,
            owner = event.owner.as_str(),
            actor = event.actor.as_str(),
            version = event.version,
            event = %event.id,
            at = %event.at,
            details = ?event.details,
            "an API key was changed",
        );
    }

    fn history_rewritten(&self) {
        event!(
            target: "keyward::history",
            Level::ERROR,
            "the log of changes was rewritten: acknowledged revokes may be lost",
        );
    }
}

impl AlertSink for TracingObserver {
    fn alert(&self, alert: &Alert) {
        macro_rules! emit {
            ($level:expr) => {
                event!(
                    target: "keyward::alert",
                    $level,
                    kind = alert.kind.as_str(),
                    authenticated = alert.authenticated,
                    key = alert.key.as_ref().map(tracing::field::display),
                    address = alert.address.as_ref().map(tracing::field::display),
                    count = alert.count,
                    threshold = alert.threshold,
                    window_seconds = alert.window_seconds,
                    first_at = %alert.first_at,
                    last_at = %alert.last_at,
                    held_back = alert.held_back,
                    "an API key alert",
                )
            };
        }
        match alert.kind {
            AlertKind::BadSeal | AlertKind::LostRecord => emit!(Level::ERROR),
            _ => emit!(Level::WARN),
        }
    }
}

fn refused(outcome: &Outcome<'_>, deny: Deny) {
    macro_rules! emit {
        ($level:expr) => {
            event!(
                target: "keyward::refused",
                $level,
                reason = deny.as_str(),
                authenticated = deny.is_authenticated(),
                key = outcome.key.as_ref().map(tracing::field::display),
                client = outcome.request.client.address().map(tracing::field::display),
                environment = outcome.request.environment.as_str(),
                at = %outcome.at,
                "an API key was refused",
            )
        };
    }
    match deny {
        Deny::BadSeal => emit!(Level::ERROR),
        Deny::RateLimited { .. } | Deny::QuotaExceeded { .. } => emit!(Level::DEBUG),
        _ if deny.is_authenticated() => emit!(Level::INFO),
        _ => emit!(Level::DEBUG),
    }
}
