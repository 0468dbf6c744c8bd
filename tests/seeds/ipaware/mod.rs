//! The IP intelligence service: key ids, roles, management permissions, plan limits.

mod trouble;
mod using;

use keyward::{AccessRequest, Environment, KeyEdit, ManageError, NewKey, Reason, Roles, Status};
use serde_json::json;

use crate::portal::{Portal, denied, guarded, path};
use crate::{DAY, Platform, secret_of};

const PREFIXES: [(&str, Environment); 2] =
    [("ipa_live", Environment::PRODUCTION), ("ipa_dev", Environment::DEVELOPMENT)];
const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

fn platform() -> Platform {
    let roles = Roles::none()
        .role("Viewer", ["lookups:read"])
        .and_then(|roles| roles.role("Editor", ["lookups:read", "lists:write"]))
        .and_then(|roles| roles.owner_role("org_1", "Night Shift", ["lists:write"]))
        .unwrap();
    Platform::with(&PREFIXES, "2025-01-15T10:00:00Z", |parts| parts.roles(roles))
}

const LOOKUPS: &str = "/lookups";

/// `GET /lookups`, which needs `lookups:read`, beside the admin API and the page.
fn portal(platform: &Platform) -> Portal {
    platform.open(Environment::PRODUCTION, |gate| {
        guarded(LOOKUPS, gate.require("lookups:read").unwrap())
    })
}

fn viewer(name: &str) -> NewKey {
    NewKey::named(name).roles(["Viewer"])
}

/// "Each API key consists of": a key id that is safe to log, a secret, a name, a role, a status.
#[pollster::test]
async fn overview() {
    let platform = platform();
    let (view, key) = platform.issue(viewer("Production Server")).await;
    let id = view.id.to_string();
    assert!(id.starts_with("key_"));
    assert_eq!(view.name, "Production Server");
    assert_eq!(view.roles, ["Viewer"]);
    assert_eq!(view.status, Status::Active);
    platform.keys.revoke(&platform.admin, view.id, Reason::Other).await.unwrap();
    assert_eq!(platform.get(view.id).await.status, Status::Revoked);

    assert!(!id.contains(secret_of(&key)));
    assert_eq!(platform.keys.scheme().redact(&id), id);
}

/// "Key Name", "Role"; "the system generates your key immediately"; "the secret key is shown only
/// once"; "your new key appears in the API Keys table". A browser takes the steps in
/// `every_option_can_be_given_and_the_secret_is_shown_once` of `tests/browser`.
///
/// Not here: to choose the role by least privilege, and where to store the secret, is advice.
#[pollster::test]
async fn creating_an_api_key() {
    let platform = platform();
    let (view, key) = platform.issue_json(r#"{ "name": "Mobile App", "role": "Viewer" }"#).await;
    platform.verify(&key, REQUEST.scope("lookups:read")).await;
    let table = platform.list().await;
    assert_eq!((table[0].id, table[0].name.as_str()), (view.id, "Mobile App"));
    assert!(!serde_json::to_string(&table).unwrap().contains(secret_of(&key)));

    for nameless in ["", "   ", "two\nlines", "\u{202e}backwards"] {
        let refused = platform.keys.issue(&platform.admin, viewer(nameless)).await.unwrap_err();
        assert_eq!(refused.code(), "VALIDATION_FAILED", "{nameless:?}");
    }

    let portal = portal(&platform);
    let page = portal.page();
    for label in ["Create New Key", "Key Name", "Role", "Choose a role", "Create"] {
        page.has_label(label);
    }
    for label in ["I have copied it", "Copy key", "Key ID, for reference"] {
        page.has_label(label);
    }
    page.says("This key is shown only once. ");
    page.says("Never commit keys to version control or share them publicly.");
    let admin = portal.admin();
    let choice = admin.get("/admin/api-keys/options").expect(200).json();
    assert_eq!(choice["roles"], json!(["Editor", "Night Shift", "Viewer"]));
    let body = json!({ "name": "Production Server", "role": "Viewer" });
    platform.clock.advance(DAY);
    let created = admin.json("POST", "/admin/api-keys", &body).expect(201).json();
    let token = created["api_key"].as_str().unwrap();
    assert!(created["id"].as_str().unwrap().starts_with("key_"));
    assert_eq!(portal.listed()[0]["id"], created["id"]);
    let listed = admin.get("/admin/api-keys").body;
    assert!(!listed.contains(token.rsplit('_').next().unwrap()));
    portal.anyone().bearer(token).get(LOOKUPS).expect(200);
}

/// The columns of the table: Name, Key ID, Role, Created, Status, a green badge if active, Actions
/// with Edit and Revoke. A browser shows them in `light_on_a_desk` of `tests/browser`.
#[pollster::test]
async fn viewing_api_keys() {
    let platform = platform();
    let (view, _) = platform.issue(viewer("Production Server")).await;
    let row = serde_json::to_value(&platform.list().await[0]).unwrap();
    assert_eq!(row["name"], "Production Server");
    assert_eq!(row["id"], view.id.to_string());
    assert_eq!(row["roles"], serde_json::json!(["Viewer"]));
    assert_eq!(row["created_at"], "2025-01-15T10:00:00Z");
    assert_eq!(row["status"], "active");

    let portal = portal(&platform);
    assert_eq!(portal.listed(), [row]);
    let page = portal.page();
    let columns = page.columns();
    for wanted in ["Name", "Key ID", "Role", "Created", "Status"] {
        assert!(columns.iter().any(|column| column.starts_with(wanted)), "{wanted}");
    }
    for label in ["Actions", "Edit", "Revoke"] {
        page.has_label(label);
    }
    let [red, green, blue] = page.colour_of_badge("active");
    assert!(green > red && green > blue);
    assert_ne!(page.colour_of_badge("expired"), [red, green, blue]);
}

/// "You can update the name and role"; "you cannot change the Key ID or retrieve the secret key". A
/// browser takes the steps in `a_key_is_edited_and_a_conflict_is_told` of `tests/browser`.
#[pollster::test]
async fn editing_an_api_key() {
    let platform = platform();
    let (view, key) = platform.issue(viewer("Production Server")).await;
    platform.refuse(key.expose_secret(), REQUEST.scope("lists:write")).await;

    let edit = serde_json::from_str(r#"{ "name": "Production Editor", "role": "Editor" }"#);
    let edited = platform.update(view.id, edit.unwrap()).await.unwrap();
    assert_eq!((edited.name.as_str(), edited.id), ("Production Editor", view.id));
    assert_eq!(edited.roles, ["Editor"]);
    platform.verify(&key, REQUEST.scope("lists:write")).await;
    let renamed = platform.update(view.id, KeyEdit::new().name("Only the name")).await.unwrap();
    assert_eq!(renamed.roles, ["Editor"]);

    for fixed in [r#"{ "id": "key_1vkr6z0gq5m3x8ye" }"#, r#"{ "secret": "mine" }"#] {
        assert!(serde_json::from_str::<KeyEdit>(fixed).is_err(), "{fixed}");
    }
    let shown = serde_json::to_string(&platform.get(view.id).await).unwrap();
    assert!(!shown.contains(secret_of(&key)));

    let portal = portal(&platform);
    for label in ["Edit", "Key Name", "Role", "Save Changes"] {
        portal.page().has_label(label);
    }
    let read = portal.admin().get(&path(view.id, "")).expect(200);
    assert!(!read.body.contains(secret_of(&key)));
    let admin = portal.admin().with("If-Match", read.header("etag").unwrap());
    for fixed in [json!({ "id": "key_1vkr6z0gq5m3x8ye" }), json!({ "secret": "mine" })] {
        let answer = admin.json("PATCH", &path(view.id, ""), &fixed);
        denied(answer, 422, "VALIDATION_FAILED");
    }
    let edit = json!({ "name": "Production Server", "role": "Viewer" });
    let edited = admin.json("PATCH", &path(view.id, ""), &edit).expect(200).json();
    assert_eq!((&edited["name"], &edited["id"]), (&edit["name"], &json!(view.id)));
    assert_eq!(edited["roles"], json!(["Viewer"]));
}

/// "Immediately deactivated"; "all API requests using this key will fail"; "removed from the table";
/// "cannot be undone". A browser takes the steps in `a_key_is_disabled_enabled_and_revoked` of
/// `tests/browser`.
#[pollster::test]
async fn revoking_an_api_key() {
    let platform = platform();
    let (view, key) = platform.issue(viewer("k")).await;
    platform.verify(&key, REQUEST).await;
    platform.keys.revoke(&platform.admin, view.id, Reason::Compromised).await.unwrap();
    for request in [REQUEST, REQUEST.scope("lookups:read")] {
        assert_eq!(platform.refuse(key.expose_secret(), request).await.code(), "INVALID_API_KEY");
    }
    assert!(platform.list().await.is_empty());
    let undo = platform.keys.enable(&platform.admin, view.id).await.unwrap_err();
    assert!(matches!(undo, ManageError::WrongState(_)));

    let portal = portal(&platform);
    let page = portal.page();
    page.has_label("Revoke");
    page.has_label("Applications using this key will stop working");
    page.has_label("Revoke Key");
    page.says("This can’t be undone.");
    let (view, key) = platform.issue(viewer("k")).await;
    portal.with(&key).get(LOOKUPS).expect(200);
    let reason = json!({ "reason": "compromised" });
    let revoked = portal.admin().json("POST", &path(view.id, "/revoke"), &reason).expect(200);
    assert_eq!(revoked.json()["status"], "revoked");
    denied(portal.with(&key).get(LOOKUPS), 401, "INVALID_API_KEY");
    assert!(portal.listed().is_empty());
    let undo = portal.admin().json("POST", &path(view.id, "/enable"), &json!({}));
    denied(undo, 409, "WRONG_STATE");
}
