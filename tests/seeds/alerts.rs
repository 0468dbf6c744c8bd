//! What a host hears from the monitor.

use std::sync::{Arc, Mutex};

use keyward::{Alert, AlertKind, AlertSink, Environment, KeyId, Monitor};

use crate::Platform;

/// The alerts that were delivered.
#[derive(Clone, Default)]
pub(crate) struct Alerts(Arc<Mutex<Vec<Alert>>>);

impl AlertSink for Alerts {
    fn alert(&self, alert: &Alert) {
        self.0.lock().unwrap().push(*alert);
    }
}

impl Alerts {
    /// Those since the last call: what each is about, and whether its cause proved to hold a secret.
    pub(crate) fn take(&self) -> Vec<(AlertKind, Option<KeyId>, bool)> {
        let alerts = std::mem::take(&mut *self.0.lock().unwrap());
        alerts.iter().map(|alert| (alert.kind, alert.key, alert.authenticated)).collect()
    }
}

impl Platform {
    /// A platform that watches its keys, by the default thresholds.
    pub(crate) fn watched(prefixes: &[(&str, Environment)], now: &str) -> (Self, Alerts) {
        let alerts = Alerts::default();
        let monitor = Monitor::new(alerts.clone());
        (Self::with(prefixes, now, |parts| parts.observer(monitor)), alerts)
    }
}
