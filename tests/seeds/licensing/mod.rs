//! The licensing platform: three environments, statuses, regenerate, rate limits, customers.

mod trouble;

use keyward::{AccessRequest, Environment, KeyEdit, KeyView, NewKey, RateLimit, Reason, Status};
use serde_json::json;

use crate::portal::{Portal, denied, guarded, path};
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

const LICENSES: &str = "/licenses";

/// `GET /licenses`, which needs `licenses:read`, beside the admin API and the page.
fn portal(platform: &Platform) -> Portal {
    platform.open(Environment::PRODUCTION, |gate| {
        guarded(LICENSES, gate.require("licenses:read").unwrap())
    })
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

    let portal = portal(&platform);
    for (prefix, own) in PREFIXES {
        let new = NewKey::named(prefix).environment(own).permissions(["licenses:read"]);
        let answer = portal.with(&platform.issue(new).await.1).get(LICENSES);
        if own == Environment::PRODUCTION {
            answer.expect(200);
        } else {
            denied(answer, 401, "INVALID_API_KEY");
        }
    }
}

/// "License Management, Customer Read, Telemetry Write": a set of permissions, seen in the main list,
/// that grants exactly itself.
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
    let portal = portal(&platform);
    assert_eq!(portal.listed()[0]["permissions"], json!(held));
    assert!(portal.page().columns().contains(&"Role and permissions"));
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

    let portal = portal(&platform);
    for (name, status) in [("active", "active"), ("inactive", "inactive"), ("expired", "expired")] {
        let search = format!("/admin/api-keys?status={status}");
        let found = portal.admin().get(&search).expect(200).json();
        let found: Vec<_> = found["data"].as_array().unwrap().iter().collect();
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0]["name"], &found[0]["status"]), (&json!(name), &json!(status)));
    }
    assert!(portal.page().columns().contains(&"Status"));
}

/// "Monitor exactly when a key was last used": also one that never was; "orphaned or underutilized".
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

    let portal = portal(&platform);
    let read = |id, of| portal.admin().get(&path(id, of)).expect(200).json();
    assert_eq!(read(used.id, "")["last_used_at"], "2025-02-01T08:15:30Z");
    assert_eq!(read(used.id, "/usage")["last_used_at"], "2025-02-01T08:15:30Z");
    assert_eq!(read(orphan.id, "")["last_used_at"], json!(null));
    assert!(portal.page().columns().contains(&"Last used"));
    platform.clock.advance(75 * DAY);
    let reports = portal.admin().get("/admin/api-keys/reports").expect(200).json();
    assert_eq!(reports["unused"][0]["id"], json!(orphan.id));
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

    let portal = portal(&platform);
    denied(portal.with(&key).get(LICENSES), 401, "INVALID_API_KEY");
    assert!(portal.listed().is_empty());
    let all = portal.admin().get("/admin/api-keys?include_revoked=true").expect(200).json();
    assert_eq!((&all["data"][0]["name"], &all["data"][0]["uses"]), (&json!("k"), &json!(1)));
    for of in ["/events", "/usage"] {
        portal.admin().get(&path(view.id, of)).expect(200);
    }
    portal.page().has_label("Show revoked");
}

/// "Generating a New Key": "Create API Key", name, environment, permissions and rate limits; "the full
/// key is only displayed once". A browser takes the steps in
/// `every_option_can_be_given_and_the_secret_is_shown_once` of `tests/browser`.
///
/// Not here: to copy the key immediately is advice.
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

    let portal = portal(&platform);
    for label in
        ["Create API Key", "Key name", "Environment", "Permissions", "Rate limits", "Copy key"]
    {
        portal.page().has_label(label);
    }
    portal.page().says("This key is shown only once. ");
    let body = json!({
        "name": "Main Website Integration",
        "environment": "production",
        "permissions": ["licenses:read"],
        "rate_limits": [{ "name": "minute", "count": 60, "period_ms": 60_000 }],
    });
    let created = portal.admin().json("POST", "/admin/api-keys", &body).expect(201).json();
    let token = created["api_key"].as_str().unwrap();
    portal.anyone().with("X-API-Key", token).get(LICENSES).expect(200);
    let listed = portal.admin().get("/admin/api-keys").expect(200);
    assert!(!listed.body.contains(token.rsplit('_').next().unwrap()));
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

    let portal = portal(&platform);
    let (view, old) = platform.issue(NewKey::named("k").permissions(["licenses:read"])).await;
    let answer = portal.admin().json("POST", &path(view.id, "/regenerate"), &json!({})).expect(200);
    let mut answer = answer.json();
    let new = portal.anyone().bearer(answer["api_key"].take().as_str().unwrap());
    assert_eq!((&answer["id"], &answer["name"]), (&json!(view.id), &json!("k")));
    assert_eq!(answer["permissions"], json!(["licenses:read"]));
    new.get(LICENSES).expect(200);
    denied(portal.with(&old).get(LICENSES), 401, "INVALID_API_KEY");
    portal.page().has_label("Regenerate");
    portal.page().says("The old key will stop working immediately. ");
}

/// "Revoke: use this to temporarily disable a key without deleting it." What the page calls so is
/// `disable` and `enable` here, since other pages revoke for good. A browser does both in
/// `a_key_is_disabled_enabled_and_revoked` of `tests/browser`.
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

    let portal = portal(&platform);
    let (view, key) = platform.issue(NewKey::named("k").permissions(["licenses:read"])).await;
    let post = |to| portal.admin().json("POST", &path(view.id, to), &json!({})).expect(200).json();
    assert_eq!(post("/disable")["status"], "inactive");
    denied(portal.with(&key).get(LICENSES), 401, "API_KEY_INACTIVE");
    assert_eq!(post("/enable")["status"], "active");
    portal.with(&key).get(LICENSES).expect(200);
    portal.page().has_label("Disable");
    portal.page().has_label("Enable");
    portal.page().says("Temporarily switches off ");
}
