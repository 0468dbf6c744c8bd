//! A secret is in the one answer that hands it over, and in no other: not where a key was
//! pasted into the wrong field, and not under any header.

use std::collections::HashSet;

use keyward::NewKey;
use serde_json::{Value, json};

use crate::http_client::{Client, Reply};
use crate::world::{World, path};

const KEYS: &str = "/admin/api-keys";
const WINDOW: usize = 8;

/// Every run of eight characters of the secrets told of.
#[derive(Default)]
struct Secrets(HashSet<String>);

impl Secrets {
    /// The secret characters and the checksum of a token.
    fn add(&mut self, token: &str) {
        let secret = &token[token.len() - 49..];
        self.0.extend((0..=secret.len() - WINDOW).map(|i| secret[i..i + WINDOW].to_owned()));
    }

    #[track_caller]
    fn none_in(&self, reply: &Reply, case: &str) {
        for window in reply.bytes.windows(WINDOW) {
            let known = str::from_utf8(window).is_ok_and(|window| self.0.contains(window));
            assert!(!known, "{case}: {}", String::from_utf8_lossy(&reply.bytes));
        }
    }

    /// Of an answer with a secret all but that.
    #[track_caller]
    fn one_in(&mut self, reply: Reply) -> String {
        let token = reply.json()["api_key"].as_str().unwrap().to_owned();
        self.add(&token);
        assert_eq!(reply.body.matches(&token).count(), 1);
        let without = String::from_utf8(reply.bytes.clone()).unwrap().replace(&token, "");
        self.none_in(&Reply { bytes: without.into_bytes(), ..reply }, "beside the token");
        token
    }
}

#[test]
fn secrets_are_told_once() {
    let world = World::new();
    let (_, token) = world.give(NewKey::named("admin").owner("org_1").permissions(["api.key.*"]));
    let admin = world.client(&token);
    let mut secrets = Secrets::default();
    secrets.add(&token);
    let created = admin.json("POST", KEYS, &json!({ "name": "a" })).expect(201);
    let at = path(&created.json());
    secrets.one_in(created);
    for (action, body) in [
        ("rotate", json!({})),
        ("rotate", json!({ "replace_older": true })),
        ("regenerate", json!({})),
    ] {
        secrets.one_in(admin.json("POST", &format!("{at}/{action}"), &body).expect(200));
        for (method, path) in [
            ("GET", KEYS.to_owned()),
            ("GET", at.clone()),
            ("GET", format!("{at}/events")),
            ("GET", format!("{at}/usage")),
            ("GET", format!("{KEYS}/reports")),
            ("GET", format!("{KEYS}/options")),
            ("POST", format!("{at}/explain")),
            ("POST", format!("{at}/finish-rotation")),
            ("POST", format!("{at}/disable")),
            ("POST", format!("{at}/enable")),
            ("GET", "/admin/openapi.json".to_owned()),
        ] {
            secrets.none_in(&admin.send(method, &path, None).expect(200), &path);
        }
    }
    secrets.none_in(&admin.send("DELETE", &at, None).expect(200), "revoked");
    let again = admin.clone().with("Idempotency-Key", "1");
    secrets.one_in(again.json("POST", KEYS, &json!({ "name": "b" })).expect(201));
    let repeated = again.json("POST", KEYS, &json!({ "name": "b" })).expect(409);
    secrets.none_in(&repeated, "again");
}

/// Where people paste what is in their clipboard: a whole token, one cut short, its secret
/// part alone, with white space around.
#[test]
fn a_key_in_the_wrong_place_is_not_repeated() {
    let world = World::new();
    let admin = world.admin();
    let token = world.token("org_1", &[]);
    let mut secrets = Secrets::default();
    secrets.add(&token);
    let created = admin.json("POST", KEYS, &json!({ "name": "a" })).expect(201).json();
    let at = path(&created);
    for pasted in [
        token.clone(),
        format!(" {token} "),
        token[..token.len() - 20].to_owned(),
        token[token.len() - 49..].to_owned(),
        format!("Bearer {token}"),
        format!("{token}, expected {token}"),
        format!("`{token}` {token}"),
    ] {
        let mut refused = 0;
        let mut check = |reply: Reply, case: &str| {
            secrets.none_in(&reply, case);
            refused += usize::from(reply.status >= 400);
        };
        for body in wrong_bodies(&pasted) {
            check(admin.json("POST", KEYS, &body), &body.to_string());
            let edit = admin.clone().with("If-Match", "*").json("PATCH", &at, &body);
            check(edit, &body.to_string());
            for action in ["rotate", "explain", "disable"] {
                let reply = admin.json("POST", &format!("{at}/{action}"), &body);
                check(reply, &format!("{action} {body}"));
            }
        }
        let typed = admin.clone().with("Content-Type", "application/json");
        for text in [pasted.clone(), format!("{{{pasted}"), format!("{{\"name\":{pasted}}}")] {
            check(typed.send("POST", KEYS, Some(&text)), &text);
        }
        for client in wrong_headers(&world, &admin, &pasted) {
            check(client.json("PATCH", &at, &json!({})), "headers");
            check(client.json("POST", KEYS, &json!({ "name": "" })), "headers");
        }
        let pasted = pasted.replace(' ', "%20").replace('`', "%60");
        for query in
            ["limit", "cursor", "status", "environment", "expires_before", "include_revoked"]
        {
            check(admin.get(&format!("{KEYS}?{query}={pasted}")), query);
        }
        check(admin.get(&format!("{KEYS}?{pasted}=1")), "a parameter");
        check(admin.get(&format!("{KEYS}?owner={pasted}&search={pasted}")), "nothing found");
        for path in [
            format!("{KEYS}/{pasted}"),
            format!("{KEYS}/{pasted}/rotate"),
            format!("{at}/{pasted}"),
        ] {
            check(admin.get(&path), "path");
        }
        assert!(refused > 100, "only {refused} refused");
    }
}

fn wrong_bodies(pasted: &str) -> Vec<Value> {
    let mut bodies =
        vec![json!(pasted), json!([pasted]), json!({ pasted: 1 }), json!({ pasted: pasted })];
    for field in [
        "owner",
        "environment",
        "prefix",
        "permissions",
        "roles",
        "ip_allowlist",
        "ip_denylist",
        "customers",
        "resources",
        "rate_limits",
        "quota",
        "not_before",
        "expires_at",
        "metadata",
        "grace_seconds",
        "replace_older",
        "reason",
        "client_ip",
        "scopes",
        "cost",
        "at",
        "id",
    ] {
        bodies.push(json!({ "name": 1, field: pasted }));
        bodies.push(json!({ "name": 1, field: [pasted] }));
        bodies.push(json!({ "name": 1, field: { pasted: 1 } }));
        bodies.push(json!({ "name": 1, field: [{ pasted: pasted }] }));
        bodies.push(json!({ "name": 1, field: [{ "name": pasted, "count": pasted }] }));
        bodies.push(json!({ "name": "", field: pasted }));
        bodies.push(json!({ "name": "", field: [pasted] }));
    }
    bodies
}

fn wrong_headers(world: &World, admin: &Client, pasted: &str) -> Vec<Client> {
    let mut clients = vec![
        admin.clone().with("If-Match", pasted),
        admin.clone().with("If-Match", format!("\"{pasted}\"")),
        admin.clone().with("Idempotency-Key", pasted),
        admin.clone().with("Origin", pasted),
        admin.clone().with("Sec-Fetch-Site", pasted),
    ];
    let (head, tail) = pasted.split_at(pasted.len() / 2);
    clients.push(world.anyone().with("X-API-Key", format!("{tail}{head}")));
    clients.push(world.client(&format!("{tail}{head}")));
    clients.push(world.anyone().with("Content-Type", pasted));
    clients
}
