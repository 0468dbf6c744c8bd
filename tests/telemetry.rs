//! What `tracing` and `metrics` are told: names, levels, labels, and never a key id as a label.

mod common;
#[path = "common/telemetry.rs"]
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{READ, RowStore, START, Seeded, builder, forged, new_key, run, scheme, system};
use keyward::{
    Alert, AlertKind, ClientIp, Deny, FakeClock, KeyCache, KeyId, KeyService, MemoryStore,
    MetricsObserver, Monitor, Observer, Quota, RateLimit, Reason, Refill, SharedKeyStore,
    TracingObserver,
};
use telemetry::{Captured, Recorded};

struct Host {
    store: RowStore,
    keys: KeyService,
    metrics: MetricsObserver,
}

impl Host {
    fn new() -> Self {
        let store = RowStore::default();
        let (_, keys, metrics) = Self::service(store.clone());
        Self { store, keys, metrics }
    }

    fn service(store: impl Into<SharedKeyStore>) -> (FakeClock, KeyService, MetricsObserver) {
        let clock = FakeClock::at(START);
        let metrics = MetricsObserver::new(&scheme(&[1]));
        let keys = builder(scheme(&[1]), store, &clock, 1)
            .observer(TracingObserver::new())
            .observer(metrics.clone())
            .observer(Monitor::builder(TracingObserver::new()).sink(metrics.clone()).build())
            .build();
        (clock, keys, metrics)
    }

    fn key(&self, new: keyward::NewKey) -> (KeyId, String) {
        let issued = run(self.keys.issue(&system(), new)).unwrap();
        (issued.view().id, issued.into_key().expose_secret().to_owned())
    }

    fn ask(&self, token: &str) {
        let client = ClientIp::Peer("192.0.2.7".parse().unwrap());
        let _ = run(self.keys.verify(token, &READ.from(client)));
    }
}

/// Every way to be refused, once, after a use.
fn flows(host: &Host) -> KeyId {
    let (id, token) = host.key(new_key("good"));
    host.ask(&token);
    host.ask("junk");
    host.ask(&forged(&mut Seeded(1), "ak_live", "key_0123456789abcdef"));
    host.ask(&forged(&mut Seeded(2), "ak_live", &id.to_string()));
    let elsewhere = READ.from(ClientIp::Peer("2001:db8::7".parse().unwrap()));
    let _ = run(host.keys.verify(&token, &elsewhere.scope("admin:all")));
    let _ = run(host.keys.verify(
        &token,
        &keyward::AccessRequest::new(keyward::Environment::try_new("mars").unwrap()),
    ));
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

#[test]
fn events_have_their_targets_levels_and_fields_and_an_allowed_verify_has_none() {
    let captured = Captured::default();
    let (lines, id) = tracing::subscriber::with_default(captured.clone(), || {
        let host = Host::new();
        let id = flows(&host);
        TracingObserver::new().history_rewritten();
        (captured.take(), id)
    });
    let of = |target: &str| -> Vec<&String> {
        lines.iter().filter(|line| line.split(' ').nth(1) == Some(target)).collect()
    };
    // "level reason", in order.
    let refused = of("keyward::refused").into_iter().map(|line| {
        let reason = line.split("reason=\"").nth(1).unwrap().split('"').next().unwrap();
        format!("{} {reason}", line.split(' ').next().unwrap())
    });
    let expected = [
        "DEBUG malformed",
        "DEBUG unknown_key",
        "DEBUG wrong_secret",
        "INFO scope",
        "INFO wrong_environment",
        "DEBUG rate_limited",
        "DEBUG quota_exceeded",
        "INFO network",
        "INFO disabled",
        "ERROR bad_seal",
        "INFO revoked",
    ];
    assert_eq!(refused.collect::<Vec<_>>(), expected);
    let scope = of("keyward::refused")[3];
    let fields = format!(
        r#"INFO keyward::refused message=an API key was refused reason="scope" authenticated=true key={id} client=2001:db8::7 environment="production" at={START}"#
    );
    assert_eq!(scope, &fields);
    assert!(
        of("keyward::refused")[0].contains("client=192.0.2.7")
            && !of("keyward::refused")[0].contains("key=")
    );
    assert_eq!(of("keyward::changed").len(), 8);
    let revoked = of("keyward::changed")[7];
    for part in [r#"action="revoked""#, r#"actor="proof""#, "owner_left", &format!("key={id}")] {
        assert!(revoked.starts_with("INFO") && revoked.contains(part), "{revoked}");
    }
    let alerts = of("keyward::alert").into_iter().map(|line| {
        let kind = line.split("kind=\"").nth(1).unwrap().split('"').next().unwrap();
        format!("{} {kind}", line.split(' ').next().unwrap())
    });
    let expected = ["WARN never_issued", "ERROR bad_seal", "WARN retired_secret"];
    assert_eq!(alerts.collect::<Vec<_>>(), expected);
    assert_eq!(of("keyward::history").len(), 1);
    // Eleven refusals, eight changes, three alerts, one history; four verifies were allowed.
    assert_eq!(lines.len(), 23, "{lines:#?}");
}

#[test]
fn metrics_have_their_names_and_labels_and_no_label_is_a_key() {
    let recorded = Recorded::default();
    let id = metrics::with_local_recorder(&recorded, || {
        let host = Host::new();
        let before = recorded.registrations();
        let id = flows(&host);
        assert_eq!(recorded.registrations(), before, "a handle was made for an outcome");
        host.metrics.history_rewritten();
        id
    });
    let verified = |environment: &str, code: &str| {
        format!(r#"keyward_verifications_total{{code="{code}",environment="{environment}"}}"#)
    };
    let refused = |reason: &str, proof: bool| {
        format!(r#"keyward_refusals_total{{authenticated="{proof}",reason="{reason}"}}"#)
    };
    let alert = |kind: &str, proof: bool| {
        format!(r#"keyward_alerts_total{{authenticated="{proof}",kind="{kind}"}}"#)
    };
    let expected = [
        (verified("production", "OK"), 3),
        (verified("production", "INVALID_API_KEY"), 5),
        (verified("production", "INSUFFICIENT_PERMISSIONS"), 1),
        (verified("production", "RATE_LIMITED"), 1),
        (verified("production", "QUOTA_EXCEEDED"), 1),
        (verified("production", "IP_NOT_ALLOWED"), 1),
        (verified("production", "API_KEY_INACTIVE"), 1),
        (verified("other", "INVALID_API_KEY"), 1),
        (refused("malformed", false), 1),
        (refused("unknown_key", false), 1),
        (refused("wrong_secret", false), 1),
        (refused("scope", true), 1),
        (refused("wrong_environment", true), 1),
        (refused("rate_limited", true), 1),
        (refused("quota_exceeded", true), 1),
        (refused("network", true), 1),
        (refused("disabled", true), 1),
        (refused("bad_seal", false), 1),
        (refused("revoked", true), 1),
        (r#"keyward_changes_total{action="issued"}"#.to_owned(), 6),
        (r#"keyward_changes_total{action="disabled"}"#.to_owned(), 1),
        (r#"keyward_changes_total{action="revoked"}"#.to_owned(), 1),
        (alert("never_issued", false), 1),
        (alert("bad_seal", false), 1),
        (alert("retired_secret", true), 1),
        ("keyward_history_rewrites_total".to_owned(), 1),
    ];
    assert_eq!(recorded.counted(), BTreeMap::from(expected));
    let names = recorded.names();
    assert!(
        names.iter().all(|name| !name.contains("key_") && !name.contains(&id.to_string()[4..]))
    );
    assert!(names.len() < 150, "{} series", names.len());
    let described: BTreeSet<String> = recorded.described().into_keys().collect();
    let made: BTreeSet<String> =
        names.iter().map(|name| name.split('{').next().unwrap().to_owned()).collect();
    assert_eq!(made, described);
    let (manual, rustdoc) =
        (include_str!("../src/manual/watching.md"), include_str!("../src/integrations/metrics.rs"));
    for name in made {
        let row = format!("| `{name}` |");
        assert!(manual.contains(&row) && rustdoc.contains(&row), "{name} is not in the tables");
    }
}

/// The lists in the module are kept by hand: each refusal has a series of its own.
#[test]
fn every_reason_code_action_and_kind_has_its_series() {
    use Deny::{
        Ambiguous, BadSeal, Disabled, Expired, FamilyEnded, Malformed, Missing, Network,
        NotYetValid, Resource, Revoked, Scope, Superseded, UnknownKey, WrongEnvironment,
        WrongSecret,
    };
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || MetricsObserver::new(&scheme(&[1])));
    let names = recorded.names();
    let limits = ["rate_limited", "quota_exceeded"].map(|reason| (reason, true));
    let denies = [
        Ambiguous,
        BadSeal,
        Disabled,
        Expired,
        FamilyEnded,
        Malformed,
        Missing,
        Network,
        NotYetValid,
        Resource,
        Revoked,
        Scope,
        Superseded,
        UnknownKey,
        WrongEnvironment,
        WrongSecret,
    ];
    let denies = denies.map(|deny| (deny.as_str(), deny.is_authenticated()));
    for (reason, proof) in denies.into_iter().chain(limits) {
        let name =
            format!(r#"keyward_refusals_total{{authenticated="{proof}",reason="{reason}"}}"#);
        assert!(names.contains(&name), "{name}");
    }
    let reasons = names.iter().filter(|name| name.starts_with("keyward_refusals"));
    assert_eq!(reasons.count(), 18 + 2);
    for kind in AlertKind::ALL {
        let name = format!(r#"keyward_alerts_total{{authenticated="true",kind="{kind}"}}"#);
        assert!(names.contains(&name), "{name}");
    }
    // The codes that `error_codes.rs` holds against the table of the seeds.
    let codes = include_str!("../src/verify/rejection.rs");
    let codes: BTreeSet<&str> = codes
        .split('"')
        .filter(|text| text.len() > 8 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .collect();
    assert_eq!(codes.len(), 12, "{codes:?}");
    for code in codes {
        let name =
            format!(r#"keyward_verifications_total{{code="{code}",environment="production"}}"#);
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn a_sample_reads_the_cache_and_the_monitor() {
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || {
        let (_, keys, metrics) = Host::service(MemoryStore::new());
        metrics.sample(&keys);
        assert!(keys.cache().is_none());
        assert_eq!(recorded.gauge("keyward_cache_staleness_seconds").to_bits(), 0);
        let (clock, keys, metrics) = Host::service(KeyCache::new(RowStore::default()));
        metrics.sample(&keys);
        assert!(recorded.gauge("keyward_cache_staleness_seconds").is_infinite());
        run(keys.maintain()).unwrap();
        clock.advance(Duration::from_secs(1));
        metrics.sample(&keys);
        let staleness = recorded.gauge("keyward_cache_staleness_seconds");
        let bound = recorded.gauge("keyward_cache_max_staleness_seconds");
        assert!(staleness < 60.0 && (bound - 5.0).abs() < 1e-9, "{staleness} {bound}");
        metrics.sample_monitor(&Monitor::new(|_: &Alert| ()));
        assert_eq!(recorded.gauge("keyward_cache_misses").to_bits(), 0);
    });
}
