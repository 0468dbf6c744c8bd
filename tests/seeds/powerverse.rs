//! The energy platform: `ak_live_` and `ak_test_`, an admin API, errors as JSON.

use std::sync::{Arc, Mutex};

use keyward::{
    AccessRequest, Actor, Deny, Environment, KeyQuery, ManageError, NewKey, Observer, Outcome,
    Reason, Status, VerifyError,
};
use serde_json::json;

use crate::{DAY, Platform, at, ip, mistyped, secret_of};

const PREFIXES: [(&str, Environment); 2] =
    [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
const PRODUCTION: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);
const SANDBOX: AccessRequest<'_> = AccessRequest::new(Environment::SANDBOX);

fn platform() -> Platform {
    Platform::new(&PREFIXES, "2024-01-15T10:00:00Z")
}

fn named(name: &str) -> NewKey {
    NewKey::named(name)
}

/// "API keys are long-lived credentials."
///
/// Not here: "server-to-server", the list of uses, and "Never expose API keys in client-side code"
/// are advice.
#[pollster::test]
async fn overview() {
    let platform = platform();
    let (view, key) = platform.issue(named("Backend service")).await;
    assert_eq!(view.expires_at, None);
    platform.set("2034-01-15T10:00:00Z");
    platform.verify(&key, PRODUCTION).await;
}

/// The table of types: Live, `ak_live_`, Production; Test, `ak_test_`, Sandbox.
#[pollster::test]
async fn key_types() {
    let platform = platform();
    for (prefix, own, other) in
        [("ak_live_", PRODUCTION, SANDBOX), ("ak_test_", SANDBOX, PRODUCTION)]
    {
        let (view, key) = platform.issue(named("k").environment(own.environment)).await;
        assert!(key.expose_secret().starts_with(prefix));
        assert_eq!(view.environment, Some(own.environment));
        platform.verify(&key, own).await;
        assert_eq!(platform.refuse(key.expose_secret(), other).await.code(), "INVALID_API_KEY");
    }
}

/// "Configure key settings (name, permissions, IP allowlist)"; "the full API key is only shown once
/// at creation".
///
/// Not here: the Developer Portal with its Settings, its API Keys and its Create New Key is the
/// console page; "copy and securely store the key" is advice.
#[pollster::test]
async fn one_time_display() {
    let platform = platform();
    let new = named("Configured")
        .permissions(["read:assets"])
        .ip_allowlist(["10.0.0.0/8"])
        .idempotency_key("portal-1");
    let issued = platform.keys.issue(&platform.admin, new.clone()).await.unwrap();
    let printed = format!("{issued:?}");
    let view = issued.view().clone();
    let key = issued.into_key();

    let again = platform.keys.issue(&platform.admin, new).await.unwrap_err();
    assert!(matches!(&again, ManageError::AlreadyIssued(first) if first.id == view.id));
    platform.verify(&key, PRODUCTION.from(ip("10.0.0.1"))).await;
    let events = platform.keys.events(&platform.admin, view.id).await.unwrap();
    for text in [
        printed,
        format!("{key:?}"),
        serde_json::to_string(&view).unwrap(),
        again.body().to_json(),
        serde_json::to_string(&platform.get(view.id).await).unwrap(),
        serde_json::to_string(&platform.list().await).unwrap(),
        serde_json::to_string(&events).unwrap(),
        platform.stored(view.id).await,
    ] {
        assert!(!text.contains(secret_of(&key)), "{text}");
    }
}

/// The request of "Via API (Admin Only)".
///
/// Not here: the route `POST /admin/api-keys` and `Authorization: Bearer ADMIN_TOKEN` are the admin
/// API's.
#[pollster::test]
async fn via_api() {
    let platform = platform();
    let body = r#"{
        "name": "Asset Controls Backend",
        "permissions": ["read:assets", "write:schedules"],
        "ip_allowlist": ["10.0.0.0/8"],
        "expires_at": "2025-12-31T23:59:59Z"
    }"#;
    let (view, _) = platform.issue_json(body).await;
    assert_eq!(view.name, "Asset Controls Backend");
    assert_eq!(view.permissions, ["read:assets", "write:schedules"]);
    assert_eq!(view.ip_allowlist, ["10.0.0.0/8"]);
    assert_eq!(view.expires_at, Some(at("2025-12-31T23:59:59Z")));

    let no_admin = Actor::new("somebody").for_owner("org_1").holding(["*"]).unwrap();
    let new: NewKey = serde_json::from_str(body).unwrap();
    let refused = platform.keys.issue(&no_admin, new).await.unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("INSUFFICIENT_PERMISSIONS", 403));
}

/// "Include the key in the X-API-Key header": what verifies is the header's value, as it stands.
///
/// Not here: reading the header is the HTTP layer's; the language examples show clients.
#[pollster::test]
async fn using_api_keys() {
    let platform = platform();
    let (view, key) = platform.issue(named("Sites").permissions(["read:sites"])).await;
    let header = format!("X-API-Key: {}", key.expose_secret());
    let (_, value) = header.split_once(": ").unwrap();
    let request = PRODUCTION.scope("read:sites");
    let verified = platform.keys.verify(value, &request).await.unwrap();
    assert_eq!((verified.key_id(), verified.name()), (view.id, "Sites"));
    assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
}

/// "Assign specific permissions to limit key access."
#[pollster::test]
async fn permissions() {
    let platform = platform();
    let (_, key) = platform
        .issue_json(
            r#"{
                "name": "Schedule Management Service",
                "permissions": ["read:schedules", "write:schedules", "read:assets"]
            }"#,
        )
        .await;
    for granted in ["read:schedules", "write:schedules", "read:assets"] {
        platform.verify(&key, PRODUCTION.scope(granted)).await;
    }
    for lacking in ["write:assets", "read", "schedules:read", "read:assets:all", "*"] {
        let refused = platform.refuse(key.expose_secret(), PRODUCTION.scope(lacking)).await;
        assert_eq!((refused.status, refused.code()), (403, "INSUFFICIENT_PERMISSIONS"));
    }
}

/// "Restrict key usage to specific IP addresses or ranges."
#[pollster::test]
async fn ip_allowlisting() {
    let platform = platform();
    let (view, key) = platform
        .issue_json(
            r#"{
                "name": "Production Backend",
                "ip_allowlist": ["203.0.113.0/24", "198.51.100.50"]
            }"#,
        )
        .await;
    assert_eq!(view.ip_allowlist, ["203.0.113.0/24", "198.51.100.50"]);
    for inside in ["203.0.113.0", "203.0.113.255", "198.51.100.50", "::ffff:198.51.100.50"] {
        platform.verify(&key, PRODUCTION.from(ip(inside))).await;
    }
    for outside in ["203.0.112.255", "203.0.114.0", "198.51.100.49", "198.51.100.51", "::1"] {
        let refused = platform.refuse(key.expose_secret(), PRODUCTION.from(ip(outside))).await;
        assert_eq!((refused.status, refused.code()), (403, "IP_NOT_ALLOWED"));
    }
    let unknown = platform.refuse(key.expose_secret(), PRODUCTION).await;
    assert_eq!(unknown.code(), "IP_NOT_ALLOWED");
}

/// "Set automatic expiration for enhanced security."
#[pollster::test]
async fn expiration() {
    let platform = platform();
    let (_, key) = platform
        .issue_json(r#"{ "name": "Temporary Integration", "expires_at": "2024-06-30T23:59:59Z" }"#)
        .await;
    platform.set("2024-06-30T23:59:58.999999Z");
    platform.verify(&key, PRODUCTION).await;
    platform.set("2024-06-30T23:59:59Z");
    let refused = platform.refuse(key.expose_secret(), PRODUCTION).await;
    assert_eq!((refused.status, refused.code()), (401, "API_KEY_EXPIRED"));
}

/// The response of "List Keys", value for value.
///
/// Not here: the route `GET /admin/api-keys` is the admin API's.
#[pollster::test]
async fn list_keys() {
    let platform = platform();
    let new = named("Asset Controls Backend").permissions(["read:assets", "write:schedules"]);
    let (view, key) = platform.issue(new).await;
    platform.set("2024-01-20T14:30:00Z");
    platform.verify(&key, PRODUCTION).await;

    let page = platform.keys.list(&platform.admin, &KeyQuery::new()).await.unwrap();
    let page = serde_json::to_value(page).unwrap();
    let listed = &page["data"][0];
    for (field, value) in [
        ("id", json!(view.id)),
        ("name", json!("Asset Controls Backend")),
        ("permissions", json!(["read:assets", "write:schedules"])),
        ("created_at", json!("2024-01-15T10:00:00Z")),
        ("last_used_at", json!("2024-01-20T14:30:00Z")),
        ("expires_at", json!(null)),
    ] {
        assert_eq!(listed[field], value, "{field}");
    }
    assert!(listed["id"].as_str().unwrap().starts_with("key_"));
    let prefix = listed["prefix"].as_str().unwrap();
    assert_eq!((prefix.len(), &prefix[..8]), ("ak_live_xxxx".len(), "ak_live_"));
    assert!(key.expose_secret().starts_with(prefix));
    assert_eq!(page["next"], json!(null));
}

/// "To rotate a key safely": the four steps as written, and then in one call.
///
/// Not here: "update your applications" is advice; the routes are the admin API's.
#[pollster::test]
async fn rotate_keys() {
    let platform = platform();
    let (old_view, old) = platform.issue(named("Asset Controls Backend")).await;
    let (_, new) = platform.issue_json(r#"{"name": "Asset Controls Backend (rotated)"}"#).await;
    platform.verify(&new, PRODUCTION).await;
    platform.verify(&old, PRODUCTION).await;
    platform.keys.revoke(&platform.admin, old_view.id, Reason::Superseded).await.unwrap();
    platform.verify(&new, PRODUCTION).await;
    assert_eq!(platform.refuse(old.expose_secret(), PRODUCTION).await.code(), "INVALID_API_KEY");

    let (view, old) = platform.issue(named("In one call")).await;
    let rotated = platform.keys.rotate(&platform.admin, view.id, DAY).await.unwrap();
    assert_eq!(rotated.view().id, view.id);
    let new = rotated.into_key();
    platform.verify(&new, PRODUCTION).await;
    platform.verify(&old, PRODUCTION).await;
    platform.clock.advance(DAY);
    platform.verify(&new, PRODUCTION).await;
    assert_eq!(platform.refuse(old.expose_secret(), PRODUCTION).await.code(), "INVALID_API_KEY");
}

/// "Immediately disable a compromised key."
///
/// Not here: the route `DELETE /admin/api-keys/{id}` is the admin API's.
#[pollster::test]
async fn revoke_keys() {
    let platform = platform();
    let (view, key) = platform.issue(named("Leaked")).await;
    platform.verify(&key, PRODUCTION).await;
    let revoked = platform.keys.revoke(&platform.admin, view.id, Reason::Compromised).await;
    let receipt = revoked.unwrap();
    assert_eq!(receipt.everywhere_by, platform.keys.now());
    assert_eq!(receipt.key.status, Status::Revoked);
    assert_eq!(platform.refuse(key.expose_secret(), PRODUCTION).await.code(), "INVALID_API_KEY");
}

/// "Storage": what the store holds gives nothing away; a key survives secret managers unchanged, and
/// is found where it should not be.
///
/// Not here: the rest of the two columns, `.gitignore`, AWS and Vault are advice.
#[pollster::test]
async fn storage() {
    let platform = platform();
    let (view, key) = platform.issue(named("k")).await;
    let token = key.expose_secret();
    assert!(!platform.stored(view.id).await.contains(secret_of(&key)));

    let secret_string = json!({ "api_key": token }).to_string();
    let read: serde_json::Value = serde_json::from_str(&secret_string).unwrap();
    platform.keys.verify(read["api_key"].as_str().unwrap(), &PRODUCTION).await.unwrap();

    let committed = format!("# .env\nPOWERVERSE_API_KEY={token}\n");
    let scheme = platform.keys.scheme();
    let found = scheme.scan(&committed);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].key_id, found[0].checksum_valid), (view.id, true));
    assert_eq!(&committed[found[0].range.clone()], token);
    assert!(!scheme.redact(&committed).contains(secret_of(&key)));
    let rule = regex::Regex::new(&scheme.scanner_regex()).unwrap();
    assert_eq!(rule.find(&committed).unwrap().as_str(), token);
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Option<Deny>>>>);

impl Observer for Seen {
    fn verified(&self, outcome: &Outcome<'_>) {
        self.0.lock().unwrap().push(outcome.result.err().and_then(VerifyError::deny));
    }
}

/// The four things to monitor are all told to the host: volumes by the hour, addresses, access outside
/// the scope, failed attempts.
///
/// Not here: knowing what is unusual and raising an alert is the monitor's.
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
}

/// "IP Not Allowed": the body, with `client_ip` and `allowed_ips`.
///
/// Not here: "Next Steps" is a heading without a text.
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
}
