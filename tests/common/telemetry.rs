//! A subscriber and a recorder that keep everything they are told.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};

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
