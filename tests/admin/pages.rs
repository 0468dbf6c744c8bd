//! Every command of the energy platform's page, with only the host and the token changed.

use serde_json::json;

use crate::http_client::Client;
use crate::world::{World, path};

/// What `curl` sends beside what it is told to.
fn curl(world: &World, token: &str) -> Client {
    world.client(token).with("User-Agent", "curl/8.5.0").with("Accept", "*/*")
}

const NEW: &str = r#"{
"name": "Asset Controls Backend",
"permissions": ["read:assets", "write:schedules"],
"ip_allowlist": ["10.0.0.0/8"],
"expires_at": "2025-12-31T23:59:59Z"
}"#;

#[test]
fn obtaining_api_keys() {
    let world = World::new();
    let token = world.token("org_1", &["api.key.*", "read:assets", "write:schedules"]);
    let admin = curl(&world, &token).with("Content-Type", "application/json");
    let created = admin.send("POST", "/admin/api-keys", Some(NEW)).expect(201);
    let key = created.json();
    assert_eq!(created.header("location"), Some(path(&key).as_str()));
    assert_eq!(created.header("etag"), Some("\"1\""));
    assert_eq!(key["name"], "Asset Controls Backend");
    assert_eq!(key["permissions"], json!(["read:assets", "write:schedules"]));
    assert_eq!(key["ip_allowlist"], json!(["10.0.0.0/8"]));
    assert_eq!(key["expires_at"], "2025-12-31T23:59:59Z");
    assert_eq!(key["environment"], "production");
    assert!(key["api_key"].as_str().unwrap().starts_with("ak_live_"));
}

#[test]
fn list_keys() {
    let world = World::new();
    let token = world.token("org_1", &["api.key.*", "read:assets", "write:schedules"]);
    let admin = curl(&world, &token);
    let body = r#"{ "name": "Asset Controls Backend", "permissions": ["read:assets"] }"#;
    let created = admin.send("POST", "/admin/api-keys", Some(body)).expect(201).json();
    let listed = admin.get("/admin/api-keys").expect(200).json();
    let mut keys = listed["data"].as_array().unwrap().iter();
    let key = keys.find(|key| key["id"] == created["id"]).unwrap();
    for field in ["id", "name", "prefix", "permissions", "created_at", "last_used_at", "expires_at"]
    {
        assert_eq!(key[field], created[field], "{field}");
    }
    assert!(key.get("api_key").is_none());
    assert_eq!(listed["next"], json!(null));
}

/// The page's `curl -X POST … -d '…'` names no content type, so that `curl` sends a form's.
#[test]
fn rotate_keys() {
    let world = World::new();
    let token = world.token("org_1", &["api.key.*"]);
    let admin = curl(&world, &token);
    let old = admin.clone().with("Content-Type", "application/json");
    let old = old.send("POST", "/admin/api-keys", Some(r#"{"name": "Old"}"#)).expect(201).json();

    let form = admin.clone().with("Content-Type", "application/x-www-form-urlencoded");
    let body = r#"{"name": "Asset Controls Backend (rotated)"}"#;
    let new = form.send("POST", "/admin/api-keys", Some(body)).expect(201).json();
    assert_eq!(new["name"], "Asset Controls Backend (rotated)");

    let revoked = admin.send("DELETE", &path(&old), None).expect(200).json();
    assert_eq!(
        (&revoked["status"], &revoked["revoked_reason"]),
        (&json!("revoked"), &json!("other"))
    );
    admin.send("DELETE", &path(&old), None).expect(200);
    let listed = admin.get("/admin/api-keys").expect(200).json();
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert!(ids.contains(&&new["id"]) && !ids.contains(&&old["id"]));
}
