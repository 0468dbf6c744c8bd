//! The energy platform: `ak_live_` and `ak_test_`, an admin API, errors as JSON.

mod managing;
mod watching;

use keyward::{AccessRequest, Actor, Environment, ManageError, NewKey};
use serde_json::json;

use crate::http_client::Client;
use crate::portal::{Portal, denied, guarded, path};
use crate::{Platform, at, ip, secret_of};

const PREFIXES: [(&str, Environment); 2] =
    [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
const PRODUCTION: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);
const SANDBOX: AccessRequest<'_> = AccessRequest::new(Environment::SANDBOX);

fn platform() -> Platform {
    Platform::new(&PREFIXES, "2024-01-15T10:00:00Z")
}

const SITES: &str = "/inventory-service/sites";

/// `GET /inventory-service/sites`, which needs `read:assets`, beside the admin API and the page.
fn portal(platform: &Platform) -> Portal {
    platform
        .open(Environment::PRODUCTION, |gate| guarded(SITES, gate.require("read:assets").unwrap()))
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

/// The steps in the Developer Portal: "Log in", "API Keys", "Create New Key", "Configure key settings
/// (name, permissions, IP allowlist)", "Copy". A browser takes them in `tests/browser`, by
/// `a_wrong_key_is_refused_and_a_right_one_is_kept_nowhere` and
/// `every_option_can_be_given_and_the_secret_is_shown_once`.
///
/// Not here: "Settings" is in the navigation of the portal's other pages; where to store the key is
/// advice.
#[pollster::test]
async fn via_developer_portal() {
    let platform = platform();
    let portal = portal(&platform);
    let page = portal.page();
    for label in [
        "Sign in",
        "API Keys",
        "Create New Key",
        "Key name",
        "Permissions",
        "IP allowlist",
        "Create",
        "Copy key",
    ] {
        page.has_label(label);
    }
    let admin = portal.admin();
    let chosen = admin.get("/admin/api-keys/options").expect(200).json();
    assert_eq!(chosen["prefixes"][0], json!({ "prefix": "ak_live", "environment": "production" }));
    denied(portal.anyone().get("/admin/api-keys/options"), 401, "MISSING_API_KEY");
}

/// "The full API key is only shown once at creation."
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

    let portal = portal(&platform);
    portal.page().says("This key is shown only once. ");
    let admin = portal.admin().with("Idempotency-Key", "portal-2");
    let body = json!({ "name": "Configured", "permissions": ["read:assets"] });
    let created = admin.json("POST", "/admin/api-keys", &body).expect(201).json();
    let token = created["api_key"].as_str().unwrap();
    let id = created["id"].as_str().unwrap().parse().unwrap();
    let again = denied(admin.json("POST", "/admin/api-keys", &body), 409, "ALREADY_ISSUED");
    let (_, secret) = token.rsplit_once('_').unwrap();
    let reads = ["", "/events", "/usage"].map(|of| admin.get(&path(id, of)).expect(200));
    for later in reads.into_iter().chain([again, admin.get("/admin/api-keys")]) {
        assert!(!later.body.contains(secret), "{}", later.body);
    }
    portal.anyone().with("X-API-Key", token).get(SITES).expect(200);
}

/// The command of "Via API (Admin Only)", and who is no administrator.
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

    let portal = portal(&platform);
    let post = |client: Client| {
        client.with("Content-Type", "application/json").send("POST", "/admin/api-keys", Some(body))
    };
    let created = post(portal.admin()).expect(201).json();
    let given: serde_json::Value = serde_json::from_str(body).unwrap();
    for (field, value) in given.as_object().unwrap() {
        assert_eq!(&created[field], value, "{field}");
    }
    let new = portal.anyone().with("X-API-Key", created["api_key"].as_str().unwrap());
    new.clone().with("X-Forwarded-For", "10.0.0.1").get(SITES).expect(200);
    denied(new.with("X-Forwarded-For", "192.0.2.1").get(SITES), 403, "IP_NOT_ALLOWED");
    denied(post(portal.anyone()), 401, "MISSING_API_KEY");
    denied(post(portal.anyone().bearer("GUESSED")), 401, "INVALID_API_KEY");
    let (_, no_administrator) = platform.issue(named("k").permissions(["read:*"])).await;
    let bearer = portal.anyone().bearer(no_administrator.expose_secret());
    denied(post(bearer), 403, "INSUFFICIENT_PERMISSIONS");

    let no_admin = Actor::new("somebody").for_owner("org_1").holding(["*"]).unwrap();
    let new: NewKey = serde_json::from_str(body).unwrap();
    let refused = platform.keys.issue(&no_admin, new).await.unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("INSUFFICIENT_PERMISSIONS", 403));
}

/// "Include the key in the X-API-Key header": by the command's request, and as it stands.
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

    let portal = portal(&platform);
    let (view, key) = platform.issue(named("Sites").permissions(["read:assets"])).await;
    let json = portal.with(&key).with("Content-Type", "application/json");
    let answer = json.get(SITES).expect(200).json();
    assert_eq!(answer, json!({ "key": view.id, "name": "Sites" }));
    let lower = portal.anyone().with("x-api-key", key.expose_secret());
    assert_eq!(lower.get(SITES).expect(200).json(), answer);
    denied(portal.anyone().get(SITES), 401, "MISSING_API_KEY");
    denied(portal.anyone().get(&format!("{SITES}?X-API-Key={value}")), 401, "MISSING_API_KEY");
}

/// What Python's `requests` sends for the example, its key from the environment; but for
/// `Connection`, so that the answer has an end.
#[pollster::test]
async fn language_examples() {
    let platform = platform();
    let portal = portal(&platform);
    let (view, key) = platform.issue(named("Sites").permissions(["read:assets"])).await;
    let environment = [("POWERVERSE_API_KEY", key.expose_secret())];
    let (_, api_key) = environment.into_iter().find(|(it, _)| *it == "POWERVERSE_API_KEY").unwrap();
    let request = format!(
        "GET {SITES} HTTP/1.1\r\n\
         Host: platform.powerverse.com\r\n\
         User-Agent: python-requests/2.32.3\r\n\
         Accept-Encoding: gzip, deflate\r\n\
         Accept: */*\r\n\
         Connection: close\r\n\
         X-API-Key: {api_key}\r\n\r\n"
    );
    let answer = portal.anyone().raw(request.as_bytes()).expect(200);
    assert_eq!(answer.json()["key"], json!(view.id));
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
    let portal = platform.open(Environment::PRODUCTION, |gate| {
        guarded(SITES, gate.require("read:assets").unwrap())
            .merge(guarded("/assets", gate.require("write:assets").unwrap()))
    });
    portal.with(&key).get(SITES).expect(200);
    let refusal = denied(portal.with(&key).get("/assets"), 403, "INSUFFICIENT_PERMISSIONS");
    assert_eq!(refusal.json()["error"]["details"]["missing"], json!(["write:assets"]));
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
