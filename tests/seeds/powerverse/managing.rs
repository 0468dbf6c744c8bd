//! To list, rotate, revoke and store keys.

use keyward::{Environment, KeyQuery, Reason, Status};
use serde_json::json;

use super::{PRODUCTION, SITES, named, platform, portal};
use crate::portal::{denied, guarded, path};
use crate::{DAY, secret_of};

/// The response of "List Keys", value for value, to its command.
#[pollster::test]
async fn list_keys() {
    let platform = platform();
    let new = named("Asset Controls Backend").permissions(["read:assets", "write:schedules"]);
    let (view, key) = platform.issue(new).await;
    platform.set("2024-01-20T14:30:00Z");
    platform.verify(&key, PRODUCTION).await;

    let page = platform.keys.list(&platform.admin, &KeyQuery::new()).await.unwrap();
    let portal = portal(&platform);
    let answer = portal.admin().get("/admin/api-keys").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), serde_json::to_value(page).unwrap());
    let page = answer.json();
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
    denied(portal.anyone().get("/admin/api-keys"), 401, "MISSING_API_KEY");
}

/// "To rotate a key safely": the steps and their commands as written, and then in one call. The
/// first command names no content type, and so `curl` names that of a form.
///
/// Not here: "update your applications" is advice.
#[pollster::test]
async fn rotate_keys() {
    let platform = platform();
    let portal = platform.open(Environment::PRODUCTION, |gate| guarded(SITES, gate));
    let (old_view, old) = platform.issue(named("Asset Controls Backend")).await;
    let curl = portal.admin().with("Content-Type", "application/x-www-form-urlencoded");
    let body = r#"{"name": "Asset Controls Backend (rotated)"}"#;
    let created = curl.send("POST", "/admin/api-keys", Some(body)).expect(201).json();
    let new = portal.anyone().with("X-API-Key", created["api_key"].as_str().unwrap());
    assert_eq!(new.get(SITES).json()["name"], "Asset Controls Backend (rotated)");
    portal.with(&old).get(SITES).expect(200);
    portal.admin().send("DELETE", &path(old_view.id, ""), None).expect(200);
    new.get(SITES).expect(200);
    denied(portal.with(&old).get(SITES), 401, "INVALID_API_KEY");

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

/// "Immediately disable a compromised key", by its command and by the call that takes a reason.
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

    let portal = portal(&platform);
    let (view, key) = platform.issue(named("Leaked").permissions(["read:assets"])).await;
    portal.with(&key).get(SITES).expect(200);
    let revoked = portal.admin().send("DELETE", &path(view.id, ""), None).expect(200).json();
    assert_eq!(revoked["status"], "revoked");
    assert_eq!(revoked["everywhere_by"], json!(platform.keys.now()));
    denied(portal.with(&key).get(SITES), 401, "INVALID_API_KEY");
    denied(portal.anyone().send("DELETE", &path(view.id, ""), None), 401, "MISSING_API_KEY");
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
