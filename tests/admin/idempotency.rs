//! One key for one `Idempotency-Key`, whatever happens on the way.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http_client::{Client, Reply};
use crate::world::{ADMIN, World, path};

const KEYS: &str = "/admin/api-keys";

fn repeat(client: &Client, key: &str, body: &Value) -> Reply {
    client.clone().with("Idempotency-Key", key).json("POST", KEYS, body)
}

fn listed(client: &Client) -> usize {
    let page = client.get(&format!("{KEYS}?include_revoked=true&search=once")).expect(200).json();
    page["data"].as_array().unwrap().len()
}

#[test]
fn a_request_sent_again_makes_no_second_key() {
    let world = World::new();
    let admin = world.admin();
    let body = json!({ "name": "once", "permissions": ["read:assets"] });
    let first = repeat(&admin, "a-1", &body).expect(201).json();
    let again = repeat(&admin, "a-1", &body).expect(409);
    assert_eq!(again.code(), "ALREADY_ISSUED");
    let key = again.json()["error"]["details"]["key"].clone();
    assert_eq!(key["id"], first["id"]);
    assert!(!again.body.contains("api_key") && key["name"] == "once");
    // The order of fields, white space, and fields that say nothing make no difference.
    let same = "{\"roles\":[],\n \"permissions\" : [\"read:assets\"], \"name\":\"\\u006fnce\"}";
    let typed =
        admin.clone().with("Idempotency-Key", "a-1").with("Content-Type", "application/json");
    typed.send("POST", KEYS, Some(same)).expect(409);
    for other in [
        json!({ "name": "once" }),
        json!({ "name": "once", "permissions": ["read:assets", "read:logs"] }),
        json!({ "name": "once2", "permissions": ["read:assets"] }),
    ] {
        assert_eq!(repeat(&admin, "a-1", &other).expect(422).code(), "IDEMPOTENCY_MISMATCH");
    }
    repeat(&admin, "a-2", &body).expect(201);
    // Somebody else's request by the same name is another.
    let other = world.client(&world.token("org_1", &ADMIN));
    repeat(&other, "a-1", &body).expect(201);
    assert_eq!(listed(&admin), 3);

    admin.send("DELETE", &path(&first), None).expect(200);
    let revoked = repeat(&admin, "a-1", &body).expect(409).json();
    assert_eq!(revoked["error"]["details"]["key"]["status"], "revoked");
}

#[test]
fn keys_that_break_the_rule_are_refused() {
    let world = World::new();
    let admin = world.admin();
    let body = json!({ "name": "once" });
    for key in ["", "a b", "é", &"a".repeat(256)] {
        assert_eq!(repeat(&admin, key, &body).expect(422).code(), "VALIDATION_FAILED", "{key}");
    }
    let twice = admin.clone().with("Idempotency-Key", "a");
    assert_eq!(repeat(&twice, "a", &body).expect(422).code(), "VALIDATION_FAILED");
    repeat(&admin, &"a".repeat(255), &body).expect(201);
    assert_eq!(listed(&admin), 1);
}

#[test]
fn of_racing_requests_one_gets_the_secret() {
    let world = World::new();
    let admin = world.admin();
    let body = json!({ "name": "once" });
    for round in 0..10 {
        let name = format!("race-{round}");
        let replies: Vec<Reply> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..12).map(|_| scope.spawn(|| repeat(&admin, &name, &body))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let issued: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(issued.len(), 1);
        let ids: BTreeSet<String> = replies
            .iter()
            .map(|reply| match reply.status {
                201 => reply.json()["id"].to_string(),
                _ => reply.json()["error"]["details"]["key"]["id"].to_string(),
            })
            .collect();
        assert_eq!(ids.len(), 1, "{replies:?}");
    }
    assert_eq!(listed(&admin), 10);
}
