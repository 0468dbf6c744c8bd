//! Bodies and parameters that break a rule.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::errors::{KEYS, fields, refused};
use crate::http_client::Reply;
use crate::world::{Anybody, World, issue, path};

fn post(world: &World, body: &str) -> Reply {
    let admin = world.anyone().with("Content-Type", "application/json");
    admin.send("POST", KEYS, Some(body))
}

#[test]
fn bodies_that_are_no_json() {
    let world = World::authorized(|_| Anybody);
    for (body, line, column) in [
        ("{", 1, 1),
        ("{\"name\":}", 1, 9),
        ("{\n\"name\": \"a\",\n}", 3, 1),
        ("{\"name\":\"\\ud800\"}", 1, 16),
        ("name=x", 1, 2),
        ("\u{feff}{}", 1, 1),
        ("{} {}", 1, 4),
        ("{\"name\":1e999}", 1, 13),
    ] {
        let details = refused(&post(&world, body), 400, "MALFORMED_JSON");
        assert_eq!(details, json!({ "line": line, "column": column }), "{body}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    refused(&post(&world, &deep), 400, "MALFORMED_JSON");
    for body in ["[]", "null", "\"name\"", "1"] {
        assert_eq!(fields(&post(&world, body)), ["body"]);
    }
    for body in ["{\"name\":\"a\",\"name\":\"b\"}", "{\"metadata\":{\"name\":\"\",\"name\":\"\"}}"]
    {
        let twice = post(&world, body);
        refused(&twice, 422, "VALIDATION_FAILED");
        assert_eq!(fields(&twice), ["name"]);
        assert!(twice.body.contains("must be given once"), "{}", twice.body);
    }
    let invalid = b"POST /admin/api-keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"\xff\"}";
    refused(&world.anyone().raw(invalid), 400, "MALFORMED_JSON");
    let short = b"POST /admin/api-keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n";
    refused(&world.anyone().raw(short), 400, "INCOMPLETE_BODY");
}

#[test]
fn bodies_that_are_too_large() {
    let world = World::authorized(|_| Anybody);
    let padded = |length: usize| {
        let body = "{\"name\":\"a\"}";
        format!("{}{body}", " ".repeat(length - body.len()))
    };
    post(&world, &padded(65_536)).expect(201);
    let details = refused(&post(&world, &padded(65_537)), 413, "BODY_TOO_LARGE");
    assert_eq!(details["max"], 65_536);
    // Said only, or not said at all.
    let declared = "POST /admin/api-keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{";
    refused(&world.anyone().raw(declared.as_bytes()), 413, "BODY_TOO_LARGE");
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let chunked = format!(
        "POST /admin/api-keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(5)
    );
    refused(&world.anyone().raw(chunked.as_bytes()), 413, "BODY_TOO_LARGE");
}

/// Every field that doesn't fit is named, with the rule, whatever else is wrong.
#[test]
fn every_field_that_breaks_a_rule_is_named() {
    let world = World::authorized(|_| Anybody);
    for (body, expected) in [
        (json!({}), &["name"][..]),
        (json!({ "name": 5, "permissions": "read:a" }), &["name", "permissions"]),
        (json!({ "name": "a", "permissions": ["ok", 7] }), &["permissions[1]"]),
        (json!({ "name": "a", "metadata": { "a": "b", "c": 1 } }), &["metadata.c"]),
        (json!({ "name": "a", "id": "key_0000000000000000" }), &["id"]),
        (
            json!({ "name": "a", "tag": "x", "version": 3, "revision": 1 }),
            &["revision", "tag", "version"],
        ),
        (
            json!({ "name": "a", "rate_limits": [{ "name": "m", "count": 1, "period_ms": 1 }, { "name": "m" }] }),
            &["rate_limits[1]"],
        ),
        (
            json!({ "name": "a", "rate_limits": [{ "name": "m", "count": 0, "period_ms": 1 }] }),
            &["rate_limits[0]"],
        ),
        (json!({ "name": "a", "quota": { "limit": 1, "refill": "fortnight" } }), &["quota.refill"]),
        (
            json!({ "name": "a", "expires_at": "tomorrow", "roles": [" x"], "owner": "a b" }),
            &["owner", "expires_at", "roles[0]"],
        ),
    ] {
        let reply = post(&world, &body.to_string());
        refused(&reply, 422, "VALIDATION_FAILED");
        assert_eq!(fields(&reply), expected, "{body}");
    }
    let at = path(&issue(&world.anyone(), &json!({ "name": "a" })));
    let edit = |body: Value| world.anyone().with("If-Match", "*").json("PATCH", &at, &body);
    for field in ["id", "owner", "environment", "prefix", "revision", "status", "secrets"] {
        assert_eq!(fields(&edit(json!({ field: "x" }))), [field]);
    }
    for field in ["name", "permissions", "roles", "ip_allowlist", "metadata", "resources"] {
        assert_eq!(fields(&edit(json!({ field: null }))), [field]);
    }
    edit(json!({ "quota": null, "not_before": null, "expires_at": null })).expect(200);
    for (action, body, field) in [
        ("rotate", json!({ "grace_seconds": -1 }), "grace_seconds"),
        ("rotate", json!({ "grace_seconds": 31_622_401 }), "grace_seconds"),
        ("rotate", json!({ "replace_older": "yes" }), "replace_older"),
        ("revoke", json!({ "reason": "because" }), "reason"),
        ("disable", json!({ "reason": "other" }), "reason"),
        ("explain", json!({ "environment": "Production" }), "environment"),
        ("explain", json!({ "client_ip": "10.0.0.0/8" }), "client_ip"),
        ("explain", json!({ "scopes": ["read:*"] }), "scopes[0]"),
        ("explain", json!({ "at": "now" }), "at"),
        ("explain", json!({ "scopes": vec!["read:a"; 257] }), "scopes"),
        (
            "explain",
            json!({ "resources": { "site": vec!["s"; 600], "x": vec!["s"; 401] } }),
            "resources",
        ),
        ("explain", json!({ "cost": 4_294_967_296_u64 }), "cost"),
    ] {
        let reply = world.anyone().json("POST", &format!("{at}/{action}"), &body);
        refused(&reply, 422, "VALIDATION_FAILED");
        assert_eq!(fields(&reply), [field], "{body}");
    }
}

#[test]
fn every_parameter_that_breaks_a_rule_is_named() {
    let world = World::authorized(|_| Anybody);
    let at = path(&issue(&world.anyone(), &json!({ "name": "a" })));
    for (path, expected) in [
        (format!("{KEYS}?limit=0"), &["limit"][..]),
        (format!("{KEYS}?limit=1001"), &["limit"]),
        (format!("{KEYS}?limit=%2B1"), &["limit"]),
        (format!("{KEYS}?limit=99999999999999999999999"), &["limit"]),
        (format!("{KEYS}?limit=1&limit=2"), &["limit"]),
        (
            format!("{KEYS}?cursor=x&status=dead&include_revoked=1"),
            &["include_revoked", "cursor", "status"],
        ),
        (format!("{KEYS}?environment=A&expires_before=x"), &["environment", "expires_before"]),
        (format!("{KEYS}?sort=name"), &["sort"]),
        (format!("{KEYS}?search={}", "a".repeat(257)), &["search"]),
        (format!("{KEYS}/options?a=b"), &["a"]),
        (format!("{KEYS}/reports?a=b"), &["a"]),
        (format!("{at}?a=b"), &["a"]),
        (format!("{at}/events?cursor=x&limit=0"), &["limit", "cursor"]),
        (format!("{at}/usage?a=b"), &["a"]),
    ] {
        let reply = world.anyone().get(&path);
        refused(&reply, 422, "VALIDATION_FAILED");
        assert_eq!(fields(&reply), expected, "{path}");
    }
    let named: BTreeSet<String> =
        fields(&world.anyone().json("POST", &format!("{KEYS}?owner=x"), &json!({ "name": "a" })))
            .into_iter()
            .collect();
    assert_eq!(named, BTreeSet::from(["owner".to_owned()]));
}
