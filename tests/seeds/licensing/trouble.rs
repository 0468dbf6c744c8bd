//! 401, 429, 403, and keys of some customers only.

use std::time::Duration;

use keyward::{Environment, KeyEdit, ManageError, NewKey, RateLimit};
use serde_json::json;

use super::{LICENSES, REQUEST, platform, portal};
use crate::DAY;
use crate::portal::{denied, guarded, path};

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
    let portal = portal(&platform);
    for (key, code) in
        [(staging, "INVALID_API_KEY"), (disabled, "API_KEY_INACTIVE"), (expired, "API_KEY_EXPIRED")]
    {
        let refused = platform.refuse(key.expose_secret(), REQUEST).await;
        assert_eq!((refused.status, refused.code()), (401, code));
        let answer = denied(portal.with(&key).get(LICENSES), 401, code);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer "));
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

    let portal = portal(&platform);
    assert!(portal.page().columns().contains(&"Rate limits"));
    let limit = RateLimit::per_minute(1).unwrap();
    let new = NewKey::named("k").permissions(["licenses:read"]).rate_limit(limit);
    let (view, key) = platform.issue(new).await;
    let answer = portal.with(&key).get(LICENSES).expect(200);
    assert!(answer.header("ratelimit").unwrap().starts_with("\"minute\";r=0;t=60"));
    let answer = denied(portal.with(&key).get(LICENSES), 429, "RATE_LIMITED");
    assert_eq!(answer.header("retry-after"), Some("60"));
    let more = json!({ "rate_limits": [{ "name": "minute", "count": 60, "period_ms": 60_000 }] });
    let admin = portal.admin().with("If-Match", "*");
    admin.json("PATCH", &path(view.id, ""), &more).expect(200);
    platform.clock.advance(Duration::from_secs(1));
    portal.with(&key).get(LICENSES).expect(200);
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

    let portal = portal(&platform);
    let answer = denied(portal.with(&key).get(LICENSES), 403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(answer.json()["error"]["details"]["missing"], json!(["licenses:read"]));
    let granted = json!({ "permissions": ["licenses:read"] });
    let admin = portal.admin().with("If-Match", "*");
    admin.json("PATCH", &path(view.id, ""), &granted).expect(200);
    portal.with(&key).get(LICENSES).expect(200);
}

/// "API keys can be scoped to specific customers for restricted access."
///
/// Not here: "Logs" and "Background Jobs" are other pages of the platform.
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

    let portal = platform.open(Environment::PRODUCTION, |gate| {
        let named = gate.resource("customer", |parts| {
            Some(parts.uri.path().strip_prefix("/customers/")?.into())
        });
        guarded("/customers/{id}", named)
    });
    portal.with(&key).get("/customers/cust_123").expect(200);
    let answer = denied(portal.with(&key).get("/customers/cust_789"), 403, "RESOURCE_NOT_ALLOWED");
    assert!(!answer.body.contains("cust_123"));
    portal.page().has_label("Customers");
}
