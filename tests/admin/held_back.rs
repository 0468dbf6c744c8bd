//! Requests whose end is long in coming.

use std::thread;
use std::time::Duration;

use keyward::{Actor, KeyQuery, NewKey, Reason};
use pollster::block_on;
use serde_json::json;

use crate::world::{ADMIN, World};

/// Whoever holds the end of a request back until their key is revoked gets nothing for it.
#[test]
fn who_asks_is_decided_when_all_of_the_request_is_there() {
    let world = World::new();
    let (target, _) = world.give(NewKey::named("target").owner("org_1").permissions(["read:a"]));
    let body = json!({ "name": "child", "permissions": ["read:a"] }).to_string();
    let host = Actor::system("host");
    let others = || -> Vec<_> {
        let all = block_on(world.keys.list(&host, &KeyQuery::new().with_revoked())).unwrap().data;
        all.iter().filter(|key| key.name != "admin").map(|key| (key.id, key.revision)).collect()
    };
    for (line, body) in [
        ("POST /admin/api-keys".to_owned(), body.as_str()),
        (format!("POST /admin/api-keys/{target}/rotate"), "{}"),
        (format!("POST /admin/api-keys/{target}/regenerate"), "{}"),
        (format!("POST /admin/api-keys/{target}/disable"), "{}"),
        (format!("DELETE /admin/api-keys/{target}"), "{}"),
    ] {
        let admin = NewKey::named("admin").owner("org_1").permissions(ADMIN);
        let (id, token) = world.give(admin);
        let before = others();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (first, rest) = request.as_bytes().split_at(request.len() - 1);
        let reply = world.anyone().held_back(first, rest, || {
            // Time enough for a server that goes by what it has so far.
            thread::sleep(Duration::from_millis(50));
            let id = id.parse().unwrap();
            block_on(world.keys.revoke(&host, id, Reason::Compromised)).unwrap();
        });
        assert_eq!(reply.status, 401, "{line}: {}", reply.body);
        assert_eq!(before, others(), "{line}");
    }
}

/// What can't be taken in is not told to somebody who may not ask.
#[test]
fn a_body_that_is_too_long_is_no_way_around_the_authorizer() {
    let world = World::new();
    let body = "x".repeat(64 * 1024 + 1);
    let long = |client: crate::http_client::Client| {
        let client = client.with("Content-Type", "application/json");
        client.send("POST", "/admin/api-keys", Some(&body)).status
    };
    assert_eq!(long(world.anyone()), 401);
    assert_eq!(long(world.client(&world.token("org_1", &ADMIN))), 413);
}
