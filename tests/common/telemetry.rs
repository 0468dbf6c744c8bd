//! A subscriber and a recorder that keep everything they are told, and a service that
//! tells them of every kind of refusal.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use keyward::{
    AccessRequest, ClientIp, Environment, FakeClock, KeyId, KeyService, MetricsObserver, Monitor,
    NewKey, Quota, RateLimit, Reason, Refill, SharedKeyStore, TracingObserver,
};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};

use crate::common::{READ, RowStore, START, Seeded, builder, forged, new_key, run, scheme, system};

/// Every event, at any level, as one line: level, target, then the fields.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<String>>>);

impl Captured {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Captured {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        panic!("no span is made here: {attributes:?}")
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Every counter and gauge by its name and labels, as exporters show them.
#[derive(Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    values: BTreeMap<String, Arc<AtomicU64>>,
    described: BTreeMap<String, String>,
    registrations: usize,
}

impl Recorded {
    /// What was counted, without what is zero.
    pub(crate) fn counted(&self) -> BTreeMap<String, u64> {
        let inner = self.0.lock().unwrap();
        let values = inner.values.iter().map(|(name, n)| (name.clone(), n.load(Ordering::Relaxed)));
        values.filter(|(_, value)| *value > 0).collect()
    }

    /// A gauge.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.0.lock().unwrap().values[name].load(Ordering::Relaxed))
    }

    /// Every series there is.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().values.keys().cloned().collect()
    }

    pub(crate) fn described(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().described.clone()
    }

    pub(crate) fn registrations(&self) -> usize {
        self.0.lock().unwrap().registrations
    }

    fn value(&self, key: &Key) -> Arc<AtomicU64> {
        let mut labels: Vec<String> =
            key.labels().map(|label| format!("{}={:?}", label.key(), label.value())).collect();
        labels.sort();
        let name = match labels.as_slice() {
            [] => key.name().to_owned(),
            labels => format!("{}{{{}}}", key.name(), labels.join(",")),
        };
        let mut inner = self.0.lock().unwrap();
        inner.registrations += 1;
        Arc::clone(inner.values.entry(name).or_default())
    }

    fn describe(&self, key: &KeyName, what: &SharedString) {
        self.0.lock().unwrap().described.insert(key.as_str().to_owned(), what.to_string());
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, what: SharedString) {
        self.describe(&key, &what);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, what: SharedString) {
        self.describe(&key, &what);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("no histogram is made here: {key:?}")
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("no histogram is made here: {key:?}")
    }
}

/// A service with every observer.
pub(crate) struct Host {
    store: RowStore,
    keys: KeyService,
    pub(crate) metrics: MetricsObserver,
}

impl Host {
    pub(crate) fn new() -> Self {
        let store = RowStore::default();
        let (_, keys, metrics) = Self::service(store.clone());
        Self { store, keys, metrics }
    }

    pub(crate) fn service(
        store: impl Into<SharedKeyStore>,
    ) -> (FakeClock, KeyService, MetricsObserver) {
        let clock = FakeClock::at(START);
        let metrics = MetricsObserver::new(&scheme(&[1]));
        let keys = builder(scheme(&[1]), store, &clock, 1)
            .observer(TracingObserver::new())
            .observer(metrics.clone())
            .observer(Monitor::builder(TracingObserver::new()).sink(metrics.clone()).build())
            .build();
        (clock, keys, metrics)
    }

    fn key(&self, new: NewKey) -> (KeyId, String) {
        let issued = run(self.keys.issue(&system(), new)).unwrap();
        (issued.view().id, issued.into_key().expose_secret().to_owned())
    }

    fn ask(&self, token: &str) {
        let client = ClientIp::Peer("192.0.2.7".parse().unwrap());
        let _ = run(self.keys.verify(token, &READ.from(client)));
    }
}

/// Every way to be refused, once, after a use.
pub(crate) fn flows(host: &Host) -> KeyId {
    let (id, token) = host.key(new_key("good"));
    host.ask(&token);
    host.ask("junk");
    host.ask(&forged(&mut Seeded(1), "ak_live", "key_0123456789abcdef"));
    host.ask(&forged(&mut Seeded(2), "ak_live", &id.to_string()));
    let elsewhere = READ.from(ClientIp::Peer("2001:db8::7".parse().unwrap()));
    let _ = run(host.keys.verify(&token, &elsewhere.scope("admin:all")));
    let _ =
        run(host.keys.verify(&token, &AccessRequest::new(Environment::try_new("mars").unwrap())));
    let (_, limited) = host.key(new_key("limited").rate_limit(RateLimit::per_day(1).unwrap()));
    let (_, metered) = host.key(new_key("metered").quota(Quota::new(1, Refill::Month).unwrap()));
    let (_, bound) = host.key(new_key("bound").ip_allowlist(["10.0.0.0/8"]));
    let (disabled, off) = host.key(new_key("disabled"));
    run(host.keys.disable(&system(), disabled)).unwrap();
    for token in [&limited, &limited, &metered, &metered, &bound, &off] {
        host.ask(token);
    }
    let (edited, sealed) = host.key(new_key("edited"));
    let (version, document) = host.store.document(edited);
    host.store.put(edited, version, &document.replace("edited", "raised"));
    host.ask(&sealed);
    run(host.keys.revoke(&system(), id, Reason::OwnerLeft)).unwrap();
    host.ask(&token);
    id
}
