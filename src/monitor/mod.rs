//! Alerts from the stream of outcomes, in memory of a fixed size.

mod alert;
mod baseline;
mod builder;
mod delivery;
mod failures;
mod networks;
mod origin;
mod profile;
mod tally;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::alert::{Alert, AlertKind, AlertSink};
use self::baseline::Unusual;
pub use self::builder::MonitorBuilder;
use self::delivery::Delivery;
use self::failures::{Failure, Failures};
use self::origin::Origin;
use self::profile::Profiles;
use crate::policy::Deny;
use crate::record::Usage;
use crate::scheme::Lane;
use crate::service::{Observer, Outcome};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Watches the outcomes of verifications, and raises alerts.
///
/// It is an [`Observer`]: hand it to the service, and give it a place to deliver
/// [`Alert`]s to. The kinds are those of [`AlertKind`]; what to do on each, and how many are
/// false alarms, is in [the manual](crate::manual::_15_watching).
///
/// ```
/// use std::sync::Arc;
///
/// use keyward::{AccessRequest, Alert, Environment, KeyScheme, KeyService, MemoryStore};
/// use keyward::{Monitor, PepperRing};
///
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// let monitor = Arc::new(Monitor::new(|alert: &Alert| eprintln!("{alert}")));
/// let keys = KeyService::builder(scheme, MemoryStore::new())
///     .observer(Arc::clone(&monitor))
///     .build();
/// # pollster::block_on(async {
/// # let request = AccessRequest::new(Environment::PRODUCTION);
/// # assert!(keys.verify("junk", &request).await.is_err());
/// # });
/// assert_eq!(monitor.missed(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Memory
///
/// All of it is taken by [`MonitorBuilder::build`], 4 MiB by default, and none later:
/// [`Monitor::memory`]. However many ids and addresses come, the most frequent are counted.
///
/// # On the request's thread
///
/// It reads no clock and allocates nothing. A verify that is allowed never waits for another
/// thread: if one is at the same sixteenth of the keys, the use is not learnt from, and
/// [`Monitor::missed`] counts it. A refusal waits, at most, for others that count one.
/// Alerts are delivered with no lock held.
///
/// # Security
///
/// It holds nothing to change a key with. What strangers can cause by naming a key's public
/// id is counted in tables of its own, so they can't teach it anything about a key, nor make
/// it forget one: baselines and addresses are learnt from requests that were allowed or
/// that only a limit stopped. Whoever holds a working secret can teach it slowly.
///
/// What it has learnt is lost with the process ([`Monitor::learn`] gives some of it back),
/// and each process sees its own requests only.
pub struct Monitor {
    sinks: Box<[Box<dyn AlertSink>]>,
    profiles: Profiles,
    failures: Failures,
    delivery: Delivery,
    missed: AtomicU64,
}

impl Monitor {
    /// A monitor with the default thresholds.
    pub fn new(sink: impl AlertSink) -> Self {
        Self::builder(sink).build()
    }

    /// A monitor whose thresholds are chosen.
    pub fn builder(sink: impl AlertSink) -> MonitorBuilder {
        MonitorBuilder::new(sink)
    }

    /// Takes a key's usual volume from how it was used before, as
    /// [`KeyService::usage`](crate::KeyService::usage) tells: call it for the keys in use
    /// when a process starts, which else has to learn for days.
    ///
    /// The usage is that of all processes together. Of several, each takes the key for
    /// busier than it is there, until it has learnt better.
    pub fn learn(&self, key: KeyId, usage: &Usage) {
        self.profiles.learn(key, usage);
    }

    /// How many uses were not learnt from because another thread was in the way.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// How many bytes the tables take. It never changes.
    pub fn memory(&self) -> usize {
        self.profiles.memory() + self.failures.memory() + Delivery::memory()
    }

    #[inline]
    fn used(&self, key: KeyId, origin: Option<Origin>, at: Timestamp) {
        let Some(noted) = self.profiles.used(key, origin, at) else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some(unusual) = noted.unusual {
            self.unusual(key, origin, at, unusual);
        }
        if noted.is_new_address {
            self.new_address(key, origin, at);
        }
    }

    #[cold]
    fn unusual(&self, key: KeyId, origin: Option<Origin>, at: Timestamp, unusual: Unusual) {
        self.raise(Alert {
            count: unusual.count.into(),
            threshold: u64::from(unusual.most) + 1,
            window_seconds: 3_600,
            first_at: unusual.since,
            ..proven(AlertKind::UnusualVolume, key, origin, at)
        });
    }

    #[cold]
    fn new_address(&self, key: KeyId, origin: Option<Origin>, at: Timestamp) {
        self.raise(proven(AlertKind::NewAddress, key, origin, at));
    }

    #[cold]
    fn refused(&self, failure: Failure, lane: impl FnOnce() -> Option<Lane>) {
        let Failure { deny, key, origin, at } = failure;
        match deny {
            Deny::BadSeal => return self.raise(failure.alert(AlertKind::BadSeal)),
            Deny::Revoked | Deny::Superseded => {
                self.raise(failure.alert(AlertKind::RetiredSecret));
            }
            Deny::UnknownKey => {
                let is_ours = lane() == Some(Lane::Fast);
                let kind = if is_ours { AlertKind::LostRecord } else { AlertKind::NeverIssued };
                self.raise(failure.alert(kind));
            }
            _ => {
                if let (Some(key), Some(address), true) = (key, origin, deny.is_authenticated())
                    && self.profiles.is_new_address(key, address, at)
                {
                    self.new_address(key, origin, at);
                }
            }
        }
        self.failures.count(failure, |alert| self.raise(alert));
    }

    #[cold]
    fn raise(&self, alert: Alert) {
        if let Some(alert) = self.delivery.admit(alert) {
            self.sinks.iter().for_each(|sink| sink.alert(&alert));
        }
    }
}

impl Observer for Monitor {
    #[inline]
    fn verified(&self, outcome: &Outcome<'_>) {
        let origin = Origin::of(outcome.request.client);
        let (key, at) = (outcome.key, outcome.at);
        let deny = match outcome.result {
            Ok(_) => None,
            Err(error) => match error.deny() {
                // The store could not be asked: that says nothing of the caller.
                None | Some(Deny::Missing | Deny::Ambiguous) => return,
                // What stops at a limit is use too, or a limit would hide a flood.
                Some(Deny::RateLimited { .. } | Deny::QuotaExceeded { .. }) => None,
                Some(deny) => Some(deny),
            },
        };
        match (deny, key) {
            (None, Some(key)) => self.used(key, origin, at),
            (None, None) => {}
            (Some(deny), key) => {
                self.refused(Failure { deny, key, origin, at }, || outcome.lane());
            }
        }
    }
}

/// An alert about a key by somebody who proved to hold its secret.
fn proven(kind: AlertKind, key: KeyId, origin: Option<Origin>, at: Timestamp) -> Alert {
    Alert {
        kind,
        authenticated: true,
        key: Some(key),
        address: origin.map(Origin::network),
        count: 1,
        threshold: 1,
        window_seconds: 0,
        first_at: at,
        last_at: at,
        held_back: 0,
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("sinks", &self.sinks.len())
            .field("memory", &self.memory())
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "day_tests.rs"]
mod day_tests;
