//! What to monitor, and the errors of the troubleshooting.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward::{AlertKind, Deny, Environment, Observer, Outcome, Reason, VerifyError};
use serde_json::json;

use super::{PREFIXES, PRODUCTION, SANDBOX, SITES, named, platform, portal};
use crate::portal::{denied, guarded};
use crate::{Platform, at, ip, mistyped};

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Option<Deny>>>>);

impl Observer for Seen {
    fn verified(&self, outcome: &Outcome<'_>) {
        self.0.lock().unwrap().push(outcome.result.err().and_then(VerifyError::deny));
    }
}

/// The four things to monitor are all told to the host: volumes by the hour, addresses, access outside
/// the scope, failed attempts. [`anomalies`] has what is unusual of them.
#[pollster::test]
async fn monitoring() {
    let seen = Seen::default();
    let platform =
        Platform::with(&PREFIXES, "2024-01-15T10:00:00Z", |parts| parts.observer(seen.clone()));
    let new = named("k").permissions(["read:assets"]).ip_allowlist(["10.0.0.0/8"]);
    let (view, key) = platform.issue(new).await;
    let office = PRODUCTION.from(ip("10.0.0.1"));
    for _ in 0..3 {
        platform.verify(&key, office).await;
    }
    platform.refuse(key.expose_secret(), PRODUCTION.from(ip("203.0.113.50"))).await;
    platform.refuse(key.expose_secret(), office.scope("write:assets")).await;
    platform.refuse("ak_live_guess", office).await;

    let usage = platform.keys.usage(&platform.admin, view.id).await.unwrap();
    assert_eq!(usage.hours, [(at("2024-01-15T10:00:00Z"), 3)]);
    assert_eq!(usage.last_address, Some("10.0.0.1".parse().unwrap()));
    let denied = [None, None, None, Some(Deny::Network), Some(Deny::Scope), Some(Deny::Malformed)];
    assert_eq!(*seen.0.lock().unwrap(), denied);
}

/// "Unusual request volumes"; "requests from unexpected IPs"; "access to resources outside normal
/// scope"; "failed authentication attempts": an alert for each, and none for an ordinary fortnight.
#[pollster::test]
async fn anomalies() {
    let (platform, alerts) = Platform::watched(&PREFIXES, "2024-01-15T10:00:00Z");
    let portal = platform.open(Environment::PRODUCTION, |gate| {
        guarded(SITES, gate.require("read:assets").unwrap())
            .merge(guarded("/schedules", gate.require("write:schedules").unwrap()))
    });
    let (view, key) = platform.issue(named("Asset Controls").permissions(["read:assets"])).await;
    let at_home = PRODUCTION.from(ip("198.51.100.50"));
    for _ in 0..14 * 24 {
        platform.verify(&key, at_home).await;
        platform.clock.advance(Duration::from_secs(3_600));
    }
    let home = portal.with(&key).with("X-Forwarded-For", "198.51.100.50");
    home.get(SITES).expect(200);
    assert_eq!(alerts.take(), []);

    for _ in 0..300 {
        platform.verify(&key, at_home).await;
    }
    assert_eq!(alerts.take(), [(AlertKind::UnusualVolume, Some(view.id), true)]);

    portal.with(&key).with("X-Forwarded-For", "203.0.113.9").get(SITES).expect(200);
    assert_eq!(alerts.take(), [(AlertKind::NewAddress, Some(view.id), true)]);

    for _ in 0..10 {
        denied(home.get("/schedules"), 403, "INSUFFICIENT_PERMISSIONS");
    }
    assert_eq!(alerts.take(), [(AlertKind::OutOfScope, Some(view.id), true)]);

    let wrong = mistyped(&key, 40);
    let guessing = portal.anyone().with("X-API-Key", &*wrong).with("X-Forwarded-For", "192.0.2.1");
    for _ in 0..50 {
        denied(guessing.get(SITES), 401, "INVALID_API_KEY");
    }
    assert_eq!(alerts.take(), [(AlertKind::FailuresByAddress, None, false)]);
    home.get(SITES).expect(200);
}

/// "Invalid API Key": the body, and each of its causes.
#[pollster::test]
async fn invalid_api_key() {
    let platform = platform();
    let (_, live) = platform.issue(named("live")).await;
    let (_, test) = platform.issue(named("test").environment(Environment::SANDBOX)).await;
    let (view, revoked) = platform.issue(named("revoked")).await;
    platform.keys.revoke(&platform.admin, view.id, Reason::Other).await.unwrap();
    let expected = json!({
        "error": { "code": "INVALID_API_KEY", "message": "The provided API key is invalid" }
    });
    for place in 0..live.expose_secret().len() {
        let typo = mistyped(&live, place);
        let refused = platform.refuse(&typo, PRODUCTION).await;
        assert_eq!((refused.status, &refused.body), (401, &expected), "typing error at {place}");
    }
    for (cause, presented, request) in [
        ("revoked", &revoked, PRODUCTION),
        ("test key in production", &test, PRODUCTION),
        ("live key in the sandbox", &live, SANDBOX),
    ] {
        let refused = platform.refuse(presented.expose_secret(), request).await;
        assert_eq!((refused.status, &refused.body), (401, &expected), "{cause}");
    }

    let portal = portal(&platform);
    let typo = mistyped(&live, 40);
    let tokens = [revoked.expose_secret(), test.expose_secret(), &typo];
    let answers =
        tokens.map(|token| portal.anyone().with("X-API-Key", token).get(SITES).expect(401));
    for answer in &answers {
        assert_eq!(answer.json(), expected);
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"api\", error=\"invalid_token\"")
        );
    }
}

/// "Expired API Key": the body, with `expired_at`.
#[pollster::test]
async fn expired_api_key() {
    let platform = Platform::new(&PREFIXES, "2024-01-01T00:00:00Z");
    let (_, key) = platform.issue(named("k").expires_at(at("2024-01-15T00:00:00Z"))).await;
    platform.set("2024-02-01T00:00:00Z");
    let refused = platform.refuse(key.expose_secret(), PRODUCTION).await;
    let expected = json!({
        "error": {
            "code": "API_KEY_EXPIRED",
            "message": "This API key has expired",
            "details": { "expired_at": "2024-01-15T00:00:00Z" }
        }
    });
    assert_eq!(refused.body, expected);
    let answer = portal(&platform).with(&key).get(SITES).expect(401);
    assert_eq!(answer.json(), expected);
}

/// "IP Not Allowed": the body, with `client_ip` and `allowed_ips`.
///
/// Not here: "Next Steps" has no text; the page's links lead to other pages.
#[pollster::test]
async fn ip_not_allowed() {
    let platform = platform();
    let (_, key) = platform.issue(named("k").ip_allowlist(["10.0.0.0/8"])).await;
    let refused = platform.refuse(key.expose_secret(), PRODUCTION.from(ip("203.0.113.50"))).await;
    let expected = json!({
        "error": {
            "code": "IP_NOT_ALLOWED",
            "message": "Request from this IP address is not allowed",
            "details": { "client_ip": "203.0.113.50", "allowed_ips": ["10.0.0.0/8"] }
        }
    });
    assert_eq!(refused.body, expected);
    let portal = portal(&platform);
    let client = portal.with(&key).with("X-Forwarded-For", "203.0.113.50");
    assert_eq!(client.get(SITES).expect(403).json(), expected);
}
