//! The licensing platform: three environments, statuses, regenerate, rate limits, customers.

use std::time::Duration;

use keyward::{
    AccessRequest, Environment, KeyEdit, KeyView, ManageError, NewKey, RateLimit, Reason, Status,
};
use serde_json::json;

use crate::{DAY, Platform, at, secret_of};

const PREFIXES: [(&str, Environment); 3] = [
    ("lic_live", Environment::PRODUCTION),
    ("lic_staging", Environment::STAGING),
    ("lic_dev", Environment::DEVELOPMENT),
];
const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

fn platform() -> Platform {
    Platform::new(&PREFIXES, "2025-01-15T10:00:00Z")
}

/// "Authenticate requests without requiring a username or password": the key is all that is presented.
/// "Strictly bound to one of the environments"; "cross-environment access is strictly forbidden".
#[pollster::test]
async fn environment_scoping() {
    let platform = platform();
    for (prefix, own) in PREFIXES {
        let (view, key) = platform.issue(NewKey::named(prefix).environment(own)).await;
        assert_eq!(view.environment, Some(own));
        assert!(key.expose_secret().starts_with(prefix));
        for (other, served) in PREFIXES {
            let request = AccessRequest::new(served);
            if own == served {
                platform.verify(&key, request).await;
            } else {
                let refused = platform.refuse(key.expose_secret(), request).await;
                assert_eq!((refused.status, refused.code()), (401, "INVALID_API_KEY"));
                let swapped = key.expose_secret().replacen(prefix, other, 1);
                assert_eq!(platform.refuse(&swapped, request).await.code(), "INVALID_API_KEY");
            }
        }
    }
    let edit = serde_json::from_str::<KeyEdit>(r#"{ "environment": "staging" }"#);
    assert!(edit.is_err(), "a key's environment can't be edited");
}

/// "License Management, Customer Read, Telemetry Write": a set of permissions, seen in the list, that
/// grants exactly itself.
#[pollster::test]
async fn granular_permissions() {
    let platform = platform();
    let held = ["customers:read", "licenses:*", "telemetry:write"];
    let (_, key) = platform.issue(NewKey::named("Main Website").permissions(held)).await;
    assert_eq!(platform.list().await[0].permissions, held);
    for granted in ["licenses:create", "licenses:delete", "customers:read", "telemetry:write"] {
        platform.verify(&key, REQUEST.scope(granted)).await;
    }
    for lacking in ["customers:write", "telemetry:read", "licenses", "users:read"] {
        let refused = platform.refuse(key.expose_secret(), REQUEST.scope(lacking)).await;
        assert_eq!(refused.status, 403);
    }
}

/// "Instantly see if a key is Active, Inactive, or Expired."
#[pollster::test]
async fn status_monitoring() {
    let platform = platform();
    let end = platform.keys.now().saturating_add(DAY);
    let (active, _) = platform.issue(NewKey::named("active")).await;
    let (inactive, _) = platform.issue(NewKey::named("inactive")).await;
    let (expired, _) = platform.issue(NewKey::named("expired").expires_at(end)).await;
    platform.keys.disable(&platform.admin, inactive.id).await.unwrap();
    platform.clock.set(end);
    let mut shown: Vec<_> =
        platform.list().await.into_iter().map(|view| (view.name, view.status)).collect();
    shown.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(
        shown,
        [
            (active.name, Status::Active),
            (expired.name, Status::Expired),
            (inactive.name, Status::Inactive),
        ]
    );
    let names = [Status::Active, Status::Inactive, Status::Expired].map(|status| json!(status));
    assert_eq!(names, [json!("active"), json!("inactive"), json!("expired")]);
}

/// "Monitor exactly when a key was last used": also one that never was.
#[pollster::test]
async fn last_used_tracking() {
    let platform = platform();
    let (orphan, _) = platform.issue(NewKey::named("orphan")).await;
    let (used, key) = platform.issue(NewKey::named("used")).await;
    platform.set("2025-02-01T08:15:30Z");
    platform.verify(&key, REQUEST).await;
    platform.clock.advance(DAY);
    assert_eq!(platform.get(used.id).await.last_used_at, Some(at("2025-02-01T08:15:30Z")));
    assert_eq!(platform.get(orphan.id).await.last_used_at, None);
}

/// "Revoked immediately, cutting off all future access without deleting the historical data."
#[pollster::test]
async fn revocation_keeps_history() {
    let platform = platform();
    let (keys, admin) = (&platform.keys, &platform.admin);
    let (view, key) = platform.issue(NewKey::named("k").permissions(["licenses:*"])).await;
    platform.verify(&key, REQUEST).await;
    keys.revoke(admin, view.id, Reason::Unused).await.unwrap();
    assert_eq!(platform.refuse(key.expose_secret(), REQUEST).await.status, 401);

    let kept = platform.get(view.id).await;
    assert_eq!((kept.name.as_str(), kept.uses), ("k", 1));
    assert_eq!(kept.permissions, ["licenses:*"]);
    assert_eq!(keys.events(admin, view.id).await.unwrap().len(), 2);
    let query = keyward::KeyQuery::new().with_revoked();
    assert_eq!(keys.list(admin, &query).await.unwrap().data, [kept]);
}

/// "Generating a New Key": name, environment, permissions and rate limits; "the full key is only
/// displayed once".
///
/// Not here: the Create API Key button and the dialog are the console page; "copy your API key
/// immediately" is advice.
#[pollster::test]
async fn generating_a_new_key() {
    let platform = platform();
    let (view, key) = platform
        .issue_json(
            r#"{
                "name": "Main Website Integration",
                "environment": "staging",
                "permissions": ["licenses:read"],
                "rate_limits": [{ "name": "minute", "count": 60, "period_ms": 60000, "burst": 60 }]
            }"#,
        )
        .await;
    assert_eq!(view.name, "Main Website Integration");
    assert_eq!(view.environment, Some(Environment::STAGING));
    assert_eq!(view.permissions, ["licenses:read"]);
    assert_eq!(view.rate_limits, [RateLimit::per_minute(60).unwrap()]);
    let listed = serde_json::to_string(&platform.list().await).unwrap();
    assert!(!listed.contains(secret_of(&key)));
    assert!(!platform.stored(view.id).await.contains(secret_of(&key)));
}

/// What a regenerate must not touch.
fn configuration(view: &KeyView) -> serde_json::Value {
    let mut shown = serde_json::to_value(view).unwrap();
    for changing in ["secrets", "rotated_at", "revision", "last_used_at", "uses"] {
        shown.as_object_mut().unwrap().remove(changing).unwrap();
    }
    shown
}

/// "Regenerate: a new random string while keeping the same name, permissions, and configuration. The
/// old key will stop working immediately."
#[pollster::test]
async fn regenerate() {
    let platform = platform();
    let new = NewKey::named("k")
        .permissions(["licenses:*"])
        .ip_denylist(["192.0.2.0/24"])
        .customers(["cust_1"])
        .rate_limit(RateLimit::per_minute(60).unwrap())
        .expires_at(at("2026-01-01T00:00:00Z"))
        .metadata("team", "web");
    let (before, old) = platform.issue(new).await;
    let request = REQUEST
        .from(crate::ip("10.0.0.1"))
        .resources(&[("customer", "cust_1")])
        .scope("licenses:read");
    platform.verify(&old, request).await;

    let issued = platform.keys.regenerate(&platform.admin, before.id).await.unwrap();
    assert_eq!(configuration(issued.view()), configuration(&before));
    let new = issued.into_key();
    assert_ne!(secret_of(&new), secret_of(&old));
    platform.verify(&new, request).await;
    assert_eq!(platform.refuse(old.expose_secret(), request).await.code(), "INVALID_API_KEY");
}

/// "Revoke: use this to temporarily disable a key without deleting it." What the page calls so is
/// `disable` and `enable` here, since other pages revoke for good.
#[pollster::test]
async fn temporarily_disable() {
    let platform = platform();
    let (keys, admin) = (&platform.keys, &platform.admin);
    let (view, key) = platform.issue(NewKey::named("k")).await;
    keys.disable(admin, view.id).await.unwrap();
    let refused = platform.refuse(key.expose_secret(), REQUEST).await;
    assert_eq!((refused.status, refused.code()), (401, "API_KEY_INACTIVE"));
    assert_eq!(platform.list().await[0].id, view.id);
    keys.enable(admin, view.id).await.unwrap();
    platform.verify(&key, REQUEST).await;
}

/// "401 Unauthorized": not active, expired, or the wrong environment's endpoint.
#[pollster::test]
async fn unauthorized() {
    let platform = platform();
    let end = platform.keys.now().saturating_add(DAY);
    let staging = NewKey::named("staging").environment(Environment::STAGING);
    let (_, staging) = platform.issue(staging).await;
    let (inactive, disabled) = platform.issue(NewKey::named("inactive")).await;
    let (_, expired) = platform.issue(NewKey::named("expired").expires_at(end)).await;
    platform.keys.disable(&platform.admin, inactive.id).await.unwrap();
    platform.clock.set(end);
    for (key, code) in
        [(staging, "INVALID_API_KEY"), (disabled, "API_KEY_INACTIVE"), (expired, "API_KEY_EXPIRED")]
    {
        let refused = platform.refuse(key.expose_secret(), REQUEST).await;
        assert_eq!((refused.status, refused.code()), (401, code));
    }
}

/// "429 Too Many Requests: check the Rate Limits column; you may need to increase the threshold in the
/// key's settings." What was used up counts on; it fills again at the new pace.
#[pollster::test]
async fn too_many_requests() {
    let platform = platform();
    let limit = RateLimit::per_minute(2).unwrap();
    let (view, key) = platform.issue(NewKey::named("k").rate_limit(limit.clone())).await;
    assert_eq!(platform.list().await[0].rate_limits, [limit]);
    for left in [1, 0] {
        let verified = platform.verify(&key, REQUEST).await;
        assert_eq!(verified.limit().unwrap().remaining(), left);
    }
    let refused = platform.refuse(key.expose_secret(), REQUEST).await;
    assert_eq!((refused.status, refused.code()), (429, "RATE_LIMITED"));
    let details = &refused.body["error"]["details"];
    assert_eq!(details, &json!({ "limit": "minute", "retry_after": 30 }));

    let more = KeyEdit::new().rate_limits([RateLimit::per_minute(10).unwrap()]);
    platform.update(view.id, more).await.unwrap();
    platform.clock.advance(Duration::from_secs(6));
    platform.verify(&key, REQUEST).await;
}

/// "Permission Denied (403): ensure the key has the specific permission required."
#[pollster::test]
async fn permission_denied() {
    let platform = platform();
    let (view, key) = platform.issue(NewKey::named("k").permissions(["customers:read"])).await;
    let request = REQUEST.scope("licenses:create");
    let refused = platform.refuse(key.expose_secret(), request).await;
    assert_eq!((refused.status, refused.code()), (403, "INSUFFICIENT_PERMISSIONS"));
    let details = &refused.body["error"]["details"];
    assert_eq!(
        details,
        &json!({ "required": ["licenses:create"], "missing": ["licenses:create"] })
    );
    assert_eq!(platform.list().await[0].permissions, ["customers:read"]);
    let granted = KeyEdit::new().permissions(["customers:read", "licenses:create"]);
    platform.update(view.id, granted).await.unwrap();
    platform.verify(&key, request).await;
}

/// "API keys can be scoped to specific customers for restricted access."
///
/// Not here: the pages Logs and Background Jobs are the platform's own.
#[pollster::test]
async fn customers() {
    let platform = platform();
    let new = NewKey::named("k").customers(["cust_123", "cust_456"]);
    let (view, key) = platform.issue(new).await;
    assert_eq!(view.resources["customer"], ["cust_123", "cust_456"]);
    let verified = platform.verify(&key, REQUEST.resources(&[("customer", "cust_123")])).await;
    assert_eq!(verified.resources("customer").collect::<Vec<_>>(), ["cust_123", "cust_456"]);
    for refused in [REQUEST.resources(&[("customer", "cust_789")]), REQUEST] {
        let refused = platform.refuse(key.expose_secret(), refused).await;
        assert_eq!((refused.status, refused.code()), (403, "RESOURCE_NOT_ALLOWED"));
    }
    let wrong = NewKey::named("k").customers(["cust 1\n"]);
    let refused = platform.keys.issue(&platform.admin, wrong).await.unwrap_err();
    assert!(matches!(refused, ManageError::Invalid(_)));
}
