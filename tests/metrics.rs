//! What `metrics` is told: names and labels, and never a key id as a label.

mod common;
#[path = "common/telemetry.rs"]
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{READ, RowStore, new_key, run, scheme, system};
use keyward::{Alert, AlertKind, Deny, KeyCache, MemoryStore, MetricsObserver, Monitor, Observer};
use telemetry::{Host, Recorded, flows};

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

/// With all three observers and a recorder: counters, and nothing else.
#[test]
fn neither_an_allowed_nor_a_refused_verify_allocates() {
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || {
        let (_, keys, _) = Host::service(MemoryStore::new());
        let issued = run(keys.issue(&system(), new_key("key"))).unwrap().into_key();
        let token = issued.expose_secret();
        let ask = |token: &str, scope| {
            let request = READ.scope(scope);
            common::poll_times(keys.verify(token, &request), 1).unwrap().is_ok()
        };
        assert!(ask(token, "read:assets"));
        let counted = allocation_counter::measure(|| {
            assert!(ask(token, "read:assets"));
            assert!(!ask(token, "admin"));
            assert!(!ask("junk", "admin"));
        });
        assert_eq!(counted.count_total, 0);
    });
}
