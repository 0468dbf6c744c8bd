//! Every code of the admin API, with its status, its headers and its details.

use keyward::{Actor, Environment, KeyService, NewKey, RateLimit};
use serde_json::{Value, json};

use crate::http_client::{Client, Reply};
use crate::world::{Cookie, SESSION, World, issue, path, some_key};

pub(crate) const KEYS: &str = "/admin/api-keys";

#[track_caller]
pub(crate) fn refused(reply: &Reply, status: u16, code: &str) -> Value {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.body);
    reply.json()["error"]["details"].clone()
}

/// The fields that a `VALIDATION_FAILED` or `GRANT_EXCEEDS_ACTOR` names.
pub(crate) fn fields(reply: &Reply) -> Vec<String> {
    let details = &reply.json()["error"]["details"];
    let fields = details["fields"].as_array().unwrap_or_else(|| panic!("{}", reply.body)).iter();
    fields.map(|field| field["field"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn whoever_has_no_valid_key_is_answered_as_on_every_other_route() {
    let world = World::new();
    let missing = world.anyone().get(KEYS);
    refused(&missing, 401, "MISSING_API_KEY");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"api\""));

    let (_, sandbox) = world.give(NewKey::named("x").owner("o").environment(Environment::SANDBOX));
    let unknown = sandbox.replace("ak_test", "ak_live");
    for token in [sandbox.as_str(), unknown.as_str(), "nonsense"] {
        let invalid = world.client(token).get(KEYS);
        refused(&invalid, 401, "INVALID_API_KEY");
        let challenge = invalid.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"api\", error=\"invalid_token\""), "{token}");
    }
    let token = world.token("org_1", &["api.key.view"]);
    world.anyone().with("X-API-Key", &token).get(KEYS).expect(200);
    world.anyone().with("Authorization", format!("bearer {token}")).get(KEYS).expect(200);
    let basic = world.anyone().with("Authorization", "Basic YTpi");
    refused(&basic.get(KEYS), 401, "MISSING_API_KEY");
    basic.with("X-API-Key", &token).get(KEYS).expect(200);
    // A token of somebody else's beside the header of our own.
    world.client("eyJhbGciOi.J9.x").with("X-API-Key", &token).get(KEYS).expect(200);
    let other = world.token("org_1", &["api.key.view"]);
    let both = world.client(&other).with("X-API-Key", &token).get(KEYS);
    refused(&both, 400, "AMBIGUOUS_API_KEY");
    let twice = world.client(&other).bearer(&other).get(KEYS);
    refused(&twice, 400, "AMBIGUOUS_API_KEY");
}

/// Beside a route behind the layer: the same status, the same body, the same headers.
#[test]
fn refusals_are_those_of_a_guarded_route() {
    let world = World::guarded();
    let token = world.token("org_1", &["api.key.*"]);
    let (_, sandbox) = world.give(NewKey::named("x").owner("o").environment(Environment::SANDBOX));
    let (_, far) = world.give(NewKey::named("x").owner("o").ip_allowlist(["10.0.0.0/8"]));
    let soon = world.keys.now().saturating_add(std::time::Duration::from_secs(1));
    let (_, expired) = world.give(NewKey::named("x").owner("o").expires_at(soon));
    let limit = RateLimit::per_minute(1).unwrap();
    let (_, limited) = world.give(NewKey::named("x").owner("o").rate_limit(limit));
    world.clock.set(soon);
    world.client(&limited).get("/guarded").expect(200);
    let clients = [
        world.anyone(),
        world.client(&sandbox),
        world.client(&far),
        world.client(&expired),
        world.client(&limited),
        world.client("nonsense"),
        world.client(""),
        world.client("eyJhbGciOi.J9.x"),
        world.anyone().with("X-API-Key", "nonsense"),
        world.client(&token).bearer(&token),
        world.client(&token).with("X-API-Key", &sandbox),
        world.anyone().with("X-API-Key", "\u{1f511}"),
    ];
    for client in clients {
        let mut guarded = client.get("/guarded");
        let mut admin = client.get(KEYS);
        for reply in [&mut guarded, &mut admin] {
            reply.headers.retain(|(name, _)| name != "date" && name != "x-content-type-options");
            reply.headers.sort();
        }
        assert!(guarded.status >= 400, "{client:?}");
        assert_eq!((guarded.status, guarded.body), (admin.status, admin.body), "{client:?}");
        assert_eq!(guarded.headers, admin.headers, "{client:?}");
    }
}

#[test]
fn an_administrators_key_keeps_its_own_rules() {
    let world = World::new();
    let admin = |new: NewKey| {
        let (id, token) = world.give(new.owner("org_1").permissions(["api.key.*"]));
        (id.parse().unwrap(), world.client(&token))
    };
    let (_, limited) =
        admin(NewKey::named("limited").rate_limit(RateLimit::per_minute(1).unwrap()));
    limited.get(KEYS).expect(200);
    let limited = limited.get(KEYS);
    refused(&limited, 429, "RATE_LIMITED");
    assert_eq!(limited.header("retry-after"), Some("60"));

    let (_, near) = admin(NewKey::named("near").ip_allowlist(["127.0.0.0/8"]));
    near.get(KEYS).expect(200);
    let (_, far) = admin(NewKey::named("far").ip_allowlist(["10.0.0.0/8"]));
    let details = refused(&far.get(KEYS), 403, "IP_NOT_ALLOWED");
    assert_eq!(details["client_ip"], "127.0.0.1");
    // What it makes is within its own networks, limits and end.
    let end = "2024-02-01T00:00:00Z";
    let (_, bound) = admin(
        NewKey::named("bound")
            .ip_allowlist(["127.0.0.0/8"])
            .rate_limit(RateLimit::per_minute(100).unwrap())
            .expires_at(end.parse().unwrap()),
    );
    let wide = bound.json("POST", KEYS, &json!({ "name": "wide", "environment": "sandbox" }));
    refused(&wide, 403, "GRANT_EXCEEDS_ACTOR");
    assert_eq!(fields(&wide), ["environment", "ip_allowlist", "rate_limits", "expires_at"]);
    let narrow = json!({
        "name": "narrow", "ip_allowlist": ["127.0.0.1"], "expires_at": end,
        "rate_limits": [{ "name": "minute", "count": 5, "period_ms": 60_000 }],
    });
    issue(&bound, &narrow);

    let (id, ended) = admin(NewKey::named("ended"));
    let host = Actor::system("host");
    pollster::block_on(world.keys.disable(&host, id)).unwrap();
    refused(&ended.get(KEYS), 401, "API_KEY_INACTIVE");
    pollster::block_on(world.keys.enable(&host, id)).unwrap();
    ended.get(KEYS).expect(200);
    let soon = "2024-01-16T00:00:00Z".parse().unwrap();
    let (_, mortal) = admin(NewKey::named("mortal").expires_at(soon));
    world.clock.set(soon);
    refused(&mortal.get(KEYS), 401, "API_KEY_EXPIRED");
}

/// What an authorizer of the host answers goes to the client as it is.
#[test]
fn whoever_is_not_signed_in_is_refused_by_the_authorizer() {
    let world = World::authorized(|_| Cookie);
    let nobody = world.anyone().get(KEYS);
    refused(&nobody, 401, "UNAUTHORIZED");
    assert_eq!(nobody.header("www-authenticate"), Some("Cookie realm=\"portal\""));
    let cookie = |session: &str| world.anyone().with("Cookie", session).get(KEYS);
    refused(&cookie("session=banned"), 403, "FORBIDDEN");
    let lost = cookie("session=lost");
    refused(&lost, 503, "UNAVAILABLE");
    assert_eq!(lost.header("retry-after"), Some("1"));
    cookie(SESSION).expect(200);
}

#[test]
fn paths_and_methods_that_are_not_there() {
    let world = World::new();
    let admin = world.admin();
    let id = some_key(&admin)["id"].as_str().unwrap().to_owned();
    for path in [
        "/admin/api-keys/".to_owned(),
        format!("/admin/api-keys/{id}/"),
        format!("/admin/api-keys/{id}/rotate/"),
        format!("/admin/api-keys/{id}/nothing"),
        format!("/admin/api-keys/{id}/../{id}"),
        "/admin/api-keys//rotate".to_owned(),
    ] {
        refused(&admin.get(&path), 404, "ROUTE_NOT_FOUND");
    }
    let put = admin.json("PUT", &format!("/admin/api-keys/{id}"), &json!({}));
    refused(&put, 405, "METHOD_NOT_ALLOWED");
    assert_eq!(put.header("allow"), Some("GET, PATCH, DELETE, HEAD"));
    for strange in ["key_0000000000000000", "key_x", "KEY_0000000000000000", "%6bey_", "a%00b", "*"]
    {
        let path = format!("/admin/api-keys/{strange}");
        refused(&admin.get(&path), 404, "KEY_NOT_FOUND");
        refused(&admin.send("DELETE", &path, None), 404, "KEY_NOT_FOUND");
    }
    let head = admin.send("HEAD", &format!("/admin/api-keys/{id}"), None).expect(200);
    assert_eq!((head.body.as_str(), head.header("etag")), ("", Some("\"1\"")));
}

#[test]
fn an_edit_names_the_revision_it_saw() {
    let world = World::new();
    let admin = world.admin();
    let at = path(&some_key(&admin));
    let edit = |revision: &str| {
        let admin = admin.clone().with("If-Match", revision);
        admin.json("PATCH", &at, &json!({ "name": "edited" }))
    };
    refused(&admin.json("PATCH", &at, &json!({ "name": "x" })), 428, "PRECONDITION_REQUIRED");
    edit("\"1\"").expect(200);
    let stale = [
        "\"1\"",
        "\"0\"",
        "W/\"2\"",
        "\"abc\"",
        "\"\"",
        "\"99999999999999999999\"",
        "\"-2\"",
        "\"02x\"",
    ];
    for revision in stale {
        assert_eq!(refused(&edit(revision), 412, "VERSION_CONFLICT")["revision"], 2, "{revision}");
    }
    for revision in ["2", "\"2", "\"2\", \"3\"", "\"a\"b\"", "", "é"] {
        let unclear = edit(revision);
        refused(&unclear, 422, "VALIDATION_FAILED");
        assert_eq!(fields(&unclear), ["if-match"], "{revision}");
    }
    let twice = admin.clone().with("If-Match", "\"2\"").with("If-Match", "\"2\"");
    refused(&twice.json("PATCH", &at, &json!({})), 422, "VALIDATION_FAILED");
    edit("*").expect(200);
    edit("\"2\"").expect(200);
}

#[test]
fn a_state_that_does_not_allow_it() {
    let world = World::new();
    let admin = world.admin();
    let at = path(&some_key(&admin));
    admin.send("DELETE", &at, None).expect(200);
    for action in ["disable", "enable", "rotate", "regenerate", "finish-rotation"] {
        let late = admin.json("POST", &format!("{at}/{action}"), &json!({}));
        assert_eq!(refused(&late, 409, "WRONG_STATE")["status"], "revoked", "{action}");
    }
    let edit = admin.clone().with("If-Match", "*").json("PATCH", &at, &json!({ "name": "x" }));
    refused(&edit, 409, "WRONG_STATE");
    admin.json("POST", &format!("{at}/revoke"), &json!({})).expect(200);
}

/// An authorizer whose actor may have one live key.
fn capped(_: KeyService) -> impl keyward::admin::Authorizer {
    struct Capped;
    impl keyward::admin::Authorizer for Capped {
        async fn authorize(
            &self,
            _: &axum::http::request::Parts,
        ) -> Result<Actor, keyward::admin::Unauthorized> {
            Ok(Actor::system("root").for_owner("org_1").key_cap(1))
        }
    }
    Capped
}

#[test]
fn the_plans_limit() {
    let world = World::authorized(capped);
    let admin = world.anyone();
    let first = issue(&admin, &json!({ "name": "one" }));
    let second = admin.json("POST", KEYS, &json!({ "name": "two" }));
    assert_eq!(refused(&second, 409, "KEY_LIMIT_REACHED")["max"], 1);
    admin.json("POST", &format!("{}/revoke", path(&first)), &json!({})).expect(200);
    issue(&admin, &json!({ "name": "two" }));
}

/// A store that fails is a 503 that says when to try again, and nothing of the store.
#[test]
fn a_store_that_fails() {
    let world = World::failing();
    let admin: Client = world.anyone();
    for (method, path) in [
        ("GET", KEYS.to_owned()),
        ("POST", KEYS.to_owned()),
        ("GET", format!("{KEYS}/reports")),
        ("GET", format!("{KEYS}/key_0000000000000000")),
        ("DELETE", format!("{KEYS}/key_0000000000000000")),
        ("POST", format!("{KEYS}/key_0000000000000000/rotate")),
        ("GET", format!("{KEYS}/key_0000000000000000/events")),
    ] {
        let body = (method == "POST" && path == KEYS).then_some("{\"name\":\"a\"}");
        let reply = admin.send(method, &path, body);
        refused(&reply, 503, "UNAVAILABLE");
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert!(!reply.body.contains("password"), "{}", reply.body);
    }
}
