//! Every route, and every way it may refuse.

use serde_json::json;

use crate::world::{World, path, some_key};

#[test]
fn a_key_through_its_whole_life() {
    let world = World::new();
    let admin = world.admin();
    let key = some_key(&admin);
    let at = path(&key);
    let post = |action: &str, body| {
        let reply = admin.json("POST", &format!("{at}/{action}"), &body).expect(200);
        let json = reply.json();
        if let Some(revision) = json["revision"].as_u64() {
            assert_eq!(reply.header("etag"), Some(format!("\"{revision}\"").as_str()));
        }
        json
    };

    let one = admin.get(&at).expect(200);
    assert_eq!(one.header("etag"), Some("\"1\""));
    let edit = json!({ "name": "Renamed", "expires_at": "2024-06-30T23:59:59Z" });
    let edited = admin.clone().with("If-Match", "\"1\"").json("PATCH", &at, &edit).expect(200);
    assert_eq!(edited.header("etag"), Some("\"2\""));
    let edited = edited.json();
    assert_eq!((&edited["name"], &edited["expires_at"]), (&edit["name"], &edit["expires_at"]));
    assert_eq!(edited["everywhere_by"], "2024-01-15T10:00:00Z");
    let forever = json!({ "expires_at": null });
    let edited = admin.clone().with("If-Match", "*").json("PATCH", &at, &forever).expect(200);
    assert_eq!(edited.json()["expires_at"], json!(null));

    let rotated = post("rotate", json!({ "grace_seconds": 60 }));
    assert_ne!(rotated["api_key"], key["api_key"]);
    assert_eq!(rotated["secrets"][1]["valid_until"], "2024-01-15T10:01:00Z");
    let again = admin.json("POST", &format!("{at}/rotate"), &json!({})).expect(409);
    assert_eq!(again.code(), "WRONG_STATE");
    post("rotate", json!({ "replace_older": true }));
    assert_eq!(post("finish-rotation", json!({}))["secrets"].as_array().unwrap().len(), 2);
    assert!(post("regenerate", json!({}))["api_key"].is_string());
    assert_eq!(post("disable", json!({}))["status"], "inactive");
    assert_eq!(post("enable", json!({}))["status"], "active");

    let request = json!({
        "environment": "production", "client_ip": "10.0.0.1", "scopes": ["write:assets"],
        "resources": { "customer": ["cust_1"] }, "cost": 2, "at": "2024-01-15T12:00:00Z",
    });
    let trace = post("explain", request);
    assert_eq!((&trace["allowed"], &trace["at"]), (&json!(false), &json!("2024-01-15T12:00:00Z")));
    let failed = trace["steps"].as_array().unwrap().iter().find(|step| step["outcome"] == "failed");
    assert_eq!(failed.unwrap()["rule"], "lacks write:assets");
    assert_eq!(post("explain", json!({}))["allowed"], true);

    let usage = admin.get(&format!("{at}/usage")).expect(200).json();
    assert_eq!((&usage["uses"], &usage["last_used_at"]), (&json!(0), &json!(null)));
    assert_eq!(post("revoke", json!({ "reason": "compromised" }))["revoked_reason"], "compromised");

    let events = admin.get(&format!("{at}/events")).expect(200).json();
    let actions: Vec<_> =
        events["data"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    assert_eq!(
        json!(actions),
        json!([
            "revoked",
            "enabled",
            "disabled",
            "regenerated",
            "rotation_finished",
            "rotated",
            "rotated",
            "updated",
            "updated",
            "issued"
        ])
    );
    assert_eq!(events["next"], json!(null));
}

#[test]
fn reports_and_options() {
    let world = World::new();
    let admin = world.admin();
    some_key(&admin);
    let reports = admin.get("/admin/api-keys/reports").expect(200);
    for field in ["rotation_due", "unused", "expiring", "old_pepper", "bad_seals", "unreadable"] {
        assert_eq!(reports.json()[field], json!([]), "{field}");
    }
    let options = admin.get("/admin/api-keys/options").expect(200).json();
    assert_eq!(options["actor"]["owner"], "org_1");
    assert_eq!(options["actor"]["all_owners"], false);
    assert_eq!(
        options["actor"]["permissions"],
        json!(["api.key.create", "api.key.delete", "api.key.update", "api.key.view"])
    );
    let prefixes = json!([{ "prefix": "ak_live", "environment": "production" }]);
    assert_eq!((&options["prefixes"], &options["roles"]), (&prefixes, &json!([])));
}

/// Below a path of the host's, the API tells where its keys are from there.
#[test]
fn the_router_may_be_nested() {
    let world = World::nested("/internal");
    let admin = world.served.client().bearer(&world.token("org_1", &["api.key.*"]));
    let created =
        admin.json("POST", "/internal/admin/api-keys", &json!({ "name": "a" })).expect(201);
    let at = created.header("location").unwrap().to_owned();
    assert_eq!(at, format!("/internal{}", path(&created.json())));
    admin.get(&at).expect(200);
    admin.send("DELETE", &at, None).expect(200);
    assert_eq!(admin.get("/internal/admin/api-keys/").expect(404).code(), "ROUTE_NOT_FOUND");
    let all = admin.send("PUT", "/internal/admin/api-keys", None).expect(405);
    assert_eq!(all.header("allow"), Some("GET, POST, HEAD"));
}
