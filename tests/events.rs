//! What `tracing` is told: targets, levels and fields.
//!
//! One test in a process of its own: whether anybody wants an event is remembered for all
//! threads, and one without a subscriber may have been asked.

mod common;
#[path = "common/telemetry.rs"]
mod telemetry;

use common::START;
use keyward::{Observer, TracingObserver};
use telemetry::{Captured, Host, flows};

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
