//! Counters and gauges for `metrics`.

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, Gauge, Label, Unit, counter, gauge};

use crate::grant::Environment;
use crate::monitor::{Alert, AlertKind, AlertSink, Monitor};
use crate::policy::Deny;
use crate::record::{Action, Event};
use crate::scheme::KeyScheme;
use crate::service::{KeyService, Observer, Outcome};
use crate::verify::VerifyError;

/// Counts outcomes, changes, alerts and rewritten histories.
///
/// It is an [`Observer`], and an [`AlertSink`] for a [`Monitor`]; clones count together:
///
/// ```
/// use keyward::{Environment, KeyScheme, KeyService, MemoryStore, MetricsObserver, Monitor};
/// use keyward::PepperRing;
///
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// // After the recorder has been installed.
/// let metrics = MetricsObserver::new(&scheme);
/// let keys = KeyService::builder(scheme, MemoryStore::new())
///     .observer(metrics.clone())
///     .observer(Monitor::new(metrics.clone()))
///     .build();
///
/// // Each second or so, beside `maintain`.
/// metrics.sample(&keys);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// | name | labels | what |
/// |---|---|---|
/// | `keyward_verifications_total` | `environment`, `code` | verifications; `code` is `OK` or what the client was told |
/// | `keyward_refusals_total` | `reason`, `authenticated` | refusals by [`Deny::as_str`](crate::Deny::as_str), which clients are not told |
/// | `keyward_changes_total` | `action` | changes by [`Action`] |
/// | `keyward_alerts_total` | `kind`, `authenticated` | alerts that were delivered, by [`AlertKind`] |
/// | `keyward_history_rewrites_total` | | times that the log was not the one read before |
/// | `keyward_usage_dropped_total` | | uses that were not counted, the buffer being full |
/// | `keyward_monitor_missed_total` | | uses that a [`Monitor`] did not learn from |
/// | `keyward_cache_staleness_seconds` | | how long ago the cache began its last look at the log; infinite before the first |
/// | `keyward_cache_max_staleness_seconds` | | beyond which it answers nothing |
/// | `keyward_cache_misses` | | reads of the store under way or waiting |
///
/// `environment` is one of the scheme's, or `other`, as is any other label's value that this
/// release doesn't know. No label holds a key id, an owner or an
/// address: there are as many series as are made by [`MetricsObserver::new`]. Every handle is
/// made there, so that an outcome is two atomic additions at most.
#[derive(Clone)]
pub struct MetricsObserver(Arc<Handles>);

struct Handles {
    /// By environment; the last is for any other.
    verifications: Vec<(Option<Environment>, Series)>,
    refusals: [Series; 2],
    changes: Series,
    alerts: [Series; 2],
    rewrites: Counter,
    dropped: Counter,
    missed: Counter,
    staleness: Gauge,
    max_staleness: Gauge,
    misses: Gauge,
}

/// Counters that differ in one label, and what it says.
struct Series(Vec<(&'static str, Counter)>);

const VERIFICATIONS: &str = "keyward_verifications_total";
const REFUSALS: &str = "keyward_refusals_total";
const CHANGES: &str = "keyward_changes_total";
const ALERTS: &str = "keyward_alerts_total";
const REWRITES: &str = "keyward_history_rewrites_total";
const DROPPED: &str = "keyward_usage_dropped_total";
const MISSED: &str = "keyward_monitor_missed_total";
const STALENESS: &str = "keyward_cache_staleness_seconds";
const MAX_STALENESS: &str = "keyward_cache_max_staleness_seconds";
const MISSES: &str = "keyward_cache_misses";

const OTHER: &str = "other";

const OK: &str = "OK";

const CODES: [&str; 13] = [
    OK,
    "INVALID_API_KEY",
    "AMBIGUOUS_API_KEY",
    "API_KEY_EXPIRED",
    "API_KEY_INACTIVE",
    "API_KEY_NOT_YET_VALID",
    "INSUFFICIENT_PERMISSIONS",
    "IP_NOT_ALLOWED",
    "MISSING_API_KEY",
    "QUOTA_EXCEEDED",
    "RATE_LIMITED",
    "RESOURCE_NOT_ALLOWED",
    "UNAVAILABLE",
];

const AUTHENTICATED: [Deny; 9] = [
    Deny::Disabled,
    Deny::Expired,
    Deny::Network,
    Deny::NotYetValid,
    Deny::Resource,
    Deny::Revoked,
    Deny::Scope,
    Deny::Superseded,
    Deny::WrongEnvironment,
];

const LIMITED: [&str; 2] = ["quota_exceeded", "rate_limited"];

const UNAUTHENTICATED: [Deny; 7] = [
    Deny::Ambiguous,
    Deny::BadSeal,
    Deny::FamilyEnded,
    Deny::Malformed,
    Deny::Missing,
    Deny::UnknownKey,
    Deny::WrongSecret,
];

const ACTIONS: [Action; 11] = [
    Action::Compromised,
    Action::Disabled,
    Action::Enabled,
    Action::Imported,
    Action::Issued,
    Action::Regenerated,
    Action::Revoked,
    Action::Rotated,
    Action::RotationFinished,
    Action::Unknown,
    Action::Updated,
];

impl MetricsObserver {
    /// An observer whose counters belong to the recorder that is installed now.
    pub fn new(scheme: &KeyScheme) -> Self {
        describe();
        let mut environments: Vec<Option<Environment>> =
            scheme.prefixes().iter().map(|known| Some(known.environment)).collect();
        environments.sort();
        environments.dedup();
        environments.push(None);
        let verifications = environments.into_iter().map(|environment| {
            let name = environment.map_or(OTHER.to_owned(), |it| it.as_str().to_owned());
            let label = Label::new("environment", name);
            (environment, Series::new(VERIFICATIONS, "code", CODES, &[label]))
        });
        let refusals = |authenticated: bool| {
            let denies: &[Deny] = if authenticated { &AUTHENTICATED } else { &UNAUTHENTICATED };
            let limited = LIMITED.into_iter().filter(|_| authenticated);
            let reasons = denies.iter().map(|deny| deny.as_str()).chain(limited);
            Series::new(REFUSALS, "reason", reasons, &[proof(authenticated)])
        };
        let alerts = |authenticated: bool| {
            let kinds = AlertKind::ALL.map(AlertKind::as_str);
            Series::new(ALERTS, "kind", kinds, &[proof(authenticated)])
        };
        Self(Arc::new(Handles {
            verifications: verifications.collect(),
            refusals: [refusals(false), refusals(true)],
            changes: Series::new(CHANGES, "action", ACTIONS.map(Action::as_str), &[]),
            alerts: [alerts(false), alerts(true)],
            rewrites: counter!(REWRITES),
            dropped: counter!(DROPPED),
            missed: counter!(MISSED),
            staleness: gauge!(STALENESS),
            max_staleness: gauge!(MAX_STALENESS),
            misses: gauge!(MISSES),
        }))
    }

    /// Reads what a service and its cache count themselves. Without a cache, its gauges stay
    /// at zero.
    pub fn sample(&self, keys: &KeyService) {
        self.0.dropped.absolute(keys.dropped_uses());
        if let Some(cache) = keys.cache() {
            let staleness = cache.staleness().map_or(f64::INFINITY, |age| age.as_secs_f64());
            self.0.staleness.set(staleness);
            self.0.max_staleness.set(cache.max_staleness().as_secs_f64());
            let misses = u32::try_from(cache.misses()).unwrap_or(u32::MAX);
            self.0.misses.set(f64::from(misses));
        }
    }

    /// Reads what a monitor counts itself.
    pub fn sample_monitor(&self, monitor: &Monitor) {
        self.0.missed.absolute(monitor.missed());
    }
}

impl Observer for MetricsObserver {
    fn verified(&self, outcome: &Outcome<'_>) {
        let asked = outcome.request.environment;
        let of = |environment: Option<Environment>| environment.is_none_or(|it| it == asked);
        let series = self.0.verifications.iter().find(|(environment, _)| of(*environment));
        let code = outcome.result.err().map_or(OK, VerifyError::code);
        if let Some((_, series)) = series {
            series.count(code);
        }
        if let Err(error) = outcome.result
            && let Some(deny) = error.deny()
        {
            of_proof(&self.0.refusals, deny.is_authenticated()).count(deny.as_str());
        }
    }

    fn changed(&self, event: &Event) {
        self.0.changes.count(event.action.as_str());
    }

    fn history_rewritten(&self) {
        self.0.rewrites.increment(1);
    }
}

impl AlertSink for MetricsObserver {
    fn alert(&self, alert: &Alert) {
        of_proof(&self.0.alerts, alert.authenticated).count(alert.kind.as_str());
    }
}

impl Series {
    /// One counter for each value of a label, and one for any other.
    fn new(
        name: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = &'static str>,
        fixed: &[Label],
    ) -> Self {
        let values = values.into_iter().chain([OTHER]);
        let counters = values.map(|value| {
            let mut labels = vec![Label::from_static_parts(label, value)];
            labels.extend_from_slice(fixed);
            (value, counter!(name, labels))
        });
        Self(counters.collect())
    }

    #[inline]
    fn count(&self, value: &str) {
        let found = self.0.iter().find(|(known, _)| *known == value).or(self.0.last());
        if let Some((_, counter)) = found {
            counter.increment(1);
        }
    }
}

fn proof(authenticated: bool) -> Label {
    Label::from_static_parts("authenticated", if authenticated { "true" } else { "false" })
}

fn of_proof([without, with]: &[Series; 2], authenticated: bool) -> &Series {
    if authenticated { with } else { without }
}

fn describe() {
    for (name, what) in [
        (VERIFICATIONS, "verifications, by what the client was told"),
        (REFUSALS, "refusals, by why"),
        (CHANGES, "changes of API keys, by what was done"),
        (ALERTS, "alerts that were delivered, by what they are about"),
        (REWRITES, "times that the log was not the one that was read before"),
        (DROPPED, "uses that were not counted, the buffer being full"),
        (MISSED, "uses that the monitor did not learn from"),
    ] {
        metrics::describe_counter!(name, what);
    }
    let seconds = Unit::Seconds;
    metrics::describe_gauge!(STALENESS, seconds, "since the cache began its last look at the log");
    metrics::describe_gauge!(MAX_STALENESS, seconds, "beyond which the cache answers nothing");
    metrics::describe_gauge!(MISSES, "reads of the store under way or waiting");
}

impl fmt::Debug for MetricsObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let environments = self.0.verifications.iter().filter_map(|(environment, _)| *environment);
        f.debug_struct("MetricsObserver")
            .field("environments", &environments.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
