//! The IP intelligence service: key ids, roles, management permissions, plan limits.

use keyward::{
    AccessRequest, Actor, Environment, KeyEdit, KeyQuery, ManageError, NewKey, Reason,
    ReportOptions, Roles, Status,
};

use crate::{DAY, Platform, ip, mistyped, secret_of};

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
/// once"; "your new key appears in the API Keys table".
///
/// Not here: the modal with Create and "I have copied it" is the console page; least privilege, where
/// to store the secret and the security warning are advice.
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
}

/// The columns of the table: Name, Key ID, Role, Created, Status.
///
/// Not here: the green badge and the buttons are the console page's.
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
}

/// "You can update the name and role"; "you cannot change the Key ID or retrieve the secret key".
///
/// Not here: the Edit dialog is the console page's.
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
}

/// "Immediately deactivated"; "all API requests using this key will fail"; "removed from the table";
/// "cannot be undone".
///
/// Not here: the dialog and its warning are the console page's.
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
}

/// "Roles determine what actions an API key can perform"; "organizations can create custom roles".
///
/// Not here: Roles & Permissions is another page.
#[pollster::test]
async fn api_key_roles() {
    let platform = platform();
    for (role, read, write) in
        [("Viewer", true, false), ("Editor", true, true), ("Night Shift", false, true)]
    {
        let (_, key) = platform.issue(NewKey::named(role).roles([role])).await;
        let verified = platform.verify(&key, REQUEST).await;
        assert_eq!(verified.can("lookups:read"), read, "{role}");
        assert_eq!(verified.can("lists:write"), write, "{role}");
    }
    let other = Actor::system("admin").for_owner("org_2");
    let foreign = NewKey::named("k").roles(["Night Shift"]);
    let key = platform.keys.issue(&other, foreign).await.unwrap().into_key();
    let refused = platform.refuse(key.expose_secret(), REQUEST.scope("lists:write")).await;
    assert_eq!(refused.code(), "INSUFFICIENT_PERMISSIONS", "a custom role is its organization's");
}

/// "Different keys for different environments"; "rotate every 90 days"; "revoke unused keys";
/// "never log secret keys"; "track which keys are actively used".
///
/// Not here: `Authorization` is read by the HTTP layer; names, documentation, reviews and storage are
/// advice; alerts for failed attempts and unusual activity are the monitor's.
#[pollster::test]
async fn best_practices() {
    let platform = platform();
    let (idle, _) = platform.issue(viewer("idle")).await;
    let (busy, key) = platform.issue(viewer("busy")).await;
    let dev = viewer("dev").environment(Environment::DEVELOPMENT);
    let (dev_view, dev) = platform.issue(dev).await;
    assert_eq!(platform.refuse(dev.expose_secret(), REQUEST).await.status, 401);

    platform.clock.advance(90 * DAY);
    platform.verify(&key, REQUEST).await;
    platform.verify(&dev, AccessRequest::new(Environment::DEVELOPMENT)).await;
    let options = ReportOptions::default();
    let reports = platform.keys.reports(&platform.admin, &options).await.unwrap();
    let unused: Vec<_> = reports.unused.iter().map(|view| view.id).collect();
    assert_eq!(unused, [idle.id]);
    let due: Vec<_> = reports.rotation_due.iter().map(|view| view.id).collect();
    assert!(due.contains(&busy.id) && !due.contains(&dev_view.id), "development has 180 days");

    let line = format!("GET /lookup Authorization: Bearer {}", key.expose_secret());
    let logged = platform.keys.scheme().redact(&line);
    assert!(!logged.contains(secret_of(&key)));
    assert!(logged.contains(&busy.id.to_string()["key_".len()..]), "the id stays: {logged}");
    assert!(!format!("{key:?}").contains(secret_of(&key)));
}

/// The rotation process and the schedule: production 90 days, development 180, compromised at once.
///
/// Not here: deploying the new key, testing thoroughly and the change log are advice; which secret is
/// still in use, and what was done, is kept.
#[pollster::test]
async fn key_rotation() {
    let platform = platform();
    let (keys, admin) = (&platform.keys, &platform.admin);
    let (v1, old) = platform.issue(viewer("Production Server")).await;
    let (v2, new) = platform.issue(viewer("Production Server v2")).await;
    assert_eq!(v1.roles, v2.roles);
    platform.clock.advance(DAY);
    platform.verify(&new, REQUEST).await;
    assert_eq!(platform.get(v1.id).await.last_used_at, None, "nobody uses the old key");
    keys.revoke(admin, v1.id, Reason::Superseded).await.unwrap();
    assert_eq!(platform.refuse(old.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");

    let dev = viewer("dev").environment(Environment::DEVELOPMENT);
    let (dev, _) = platform.issue(dev).await;
    let due = async || {
        let reports = keys.reports(admin, &ReportOptions::default()).await.unwrap();
        let mut due: Vec<_> = reports.rotation_due.iter().map(|view| view.id).collect();
        due.sort_unstable();
        due
    };
    platform.clock.advance(89 * DAY);
    assert_eq!(due().await, [v2.id]);
    platform.clock.advance(90 * DAY);
    assert_eq!(due().await, [v2.id]);
    platform.clock.advance(DAY);
    let mut both = [v2.id, dev.id];
    both.sort_unstable();
    assert_eq!(due().await, both);

    let replaced = keys.compromised(admin, v2.id).await.unwrap();
    assert_eq!(platform.refuse(new.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");
    platform.verify(&replaced.issued.into_key(), REQUEST).await;
}

/// "Invalid API Key error": revoked, typing error, truncation; no permission and an address that is not
/// allowed are told apart from them here, with what to do about it.
#[pollster::test]
async fn invalid_api_key() {
    let platform = platform();
    let (view, key) = platform.issue(viewer("k").ip_allowlist(["10.0.0.0/8"])).await;
    let (gone, revoked) = platform.issue(viewer("gone")).await;
    platform.keys.revoke(&platform.admin, gone.id, Reason::Other).await.unwrap();
    assert_eq!(platform.refuse(revoked.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");

    let token = key.expose_secret();
    for place in 0..token.len() {
        let typo = mistyped(&key, place);
        for wrong in [&typo, &token[..place], &token[place + 1..]] {
            assert_eq!(platform.refuse(wrong, REQUEST).await.code(), "INVALID_API_KEY");
        }
    }
    let office = REQUEST.from(ip("10.0.0.1"));
    let lacking = platform.refuse(token, office.scope("lists:write")).await;
    assert_eq!(lacking.body["error"]["details"]["missing"], serde_json::json!(["lists:write"]));
    let elsewhere = platform.refuse(token, REQUEST.from(ip("192.0.2.1"))).await;
    assert_eq!(elsewhere.code(), "IP_NOT_ALLOWED");

    let shown = platform.list().await;
    assert_eq!(shown.iter().map(|view| view.id).collect::<Vec<_>>(), [view.id]);
    let trace = platform.keys.explain(&platform.admin, view.id, &REQUEST, platform.keys.now());
    assert_eq!(trace.await.unwrap().failed().unwrap().check, keyward::Check::Network);
}

/// "No extra spaces"; "using the secret key, not the Key ID".
///
/// Not here: the format of the `Authorization` header is the HTTP layer's, the endpoint's URL the
/// host's.
#[pollster::test]
async fn not_working_after_creation() {
    let platform = platform();
    let (view, key) = platform.issue(viewer("k")).await;
    let token = key.expose_secret();
    platform.verify(&key, REQUEST).await;
    for wrong in [
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{} {}", &token[..20], &token[20..]),
        format!("Bearer {token}"),
        view.id.to_string(),
        view.prefix,
        String::new(),
    ] {
        let refused = platform.refuse(&wrong, REQUEST).await;
        assert_eq!((refused.status, refused.code()), (401, "INVALID_API_KEY"), "{wrong:?}");
    }
}

/// "Some plans have limits on the number of active API keys": revoke unused keys, or upgrade.
///
/// Not here: "consolidate applications" is advice.
#[pollster::test]
async fn cannot_create_more_keys() {
    let platform = platform();
    let free = Actor::system("admin").for_owner("org_1").key_cap(2);
    let issue = async |actor: &Actor| {
        platform.keys.issue(actor, viewer("k")).await.map(|issued| issued.view().id)
    };
    let first = issue(&free).await.unwrap();
    issue(&free).await.unwrap();
    let full = issue(&free).await.unwrap_err();
    assert!(matches!(full, ManageError::KeyLimitReached { max: 2 }));
    assert_eq!((full.code(), full.status()), ("KEY_LIMIT_REACHED", 409));

    platform.keys.revoke(&free, first, Reason::Unused).await.unwrap();
    issue(&free).await.unwrap();
    issue(&free).await.unwrap_err();
    issue(&free.clone().key_cap(3)).await.unwrap();
    let other = Actor::system("admin").for_owner("org_2").key_cap(2);
    issue(&other).await.unwrap();
}

/// "Key Compromise": revoke at once, create a replacement, investigate, review logs.
///
/// Not here: updating applications and notifying the team are advice, as is the list of places to
/// store a key; what the store itself holds is asserted.
#[pollster::test]
async fn security_considerations() {
    let platform = platform();
    let (keys, admin) = (&platform.keys, &platform.admin);
    let new = NewKey::named("Provisioner").permissions(["api.key.create", "lookups:read"]);
    let (view, stolen) = platform.issue(new).await;
    let thief = Actor::from(&platform.verify(&stolen, REQUEST.from(ip("203.0.113.9"))).await);
    let child = NewKey::named("backdoor").permissions(["lookups:read"]);
    let child = keys.issue(&thief, child).await.unwrap().view().id;

    let found = keys.compromised(admin, view.id).await.unwrap();
    assert_eq!(platform.refuse(stolen.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");
    let by_it: Vec<_> = found.reached.unwrap().iter().map(|view| view.id).collect();
    assert_eq!(by_it, [child]);
    let used_from = keys.usage(admin, view.id).await.unwrap().last_address;
    assert_eq!(used_from, Some("203.0.113.9".parse().unwrap()));
    platform.verify(&found.issued.into_key(), REQUEST).await;
    let events = keys.events(admin, child).await.unwrap();
    assert_eq!(events[0].actor, view.id.to_string());
    assert!(!platform.stored(view.id).await.contains(secret_of(&stolen)));
}

/// "Permissions Required": each operation needs its own, and `*` is none of them.
///
/// Not here: "Next Steps" leads to other pages.
#[pollster::test]
async fn permissions_required() {
    let platform = platform();
    let keys = &platform.keys;
    let new = || NewKey::named("k").permissions(["lookups:read"]);
    for held in ["api.key.create", "api.key.update", "api.key.delete", "api.key.view", "*"] {
        let (view, _) = platform.issue(new()).await;
        let actor = Actor::new("somebody")
            .for_owner("org_1")
            .in_environments([Environment::PRODUCTION])
            .holding(["*", "lookups:*", held])
            .unwrap();
        let renamed = KeyEdit::new().name("renamed");
        for (permission, result) in [
            ("api.key.create", keys.issue(&actor, new()).await.map(drop)),
            ("api.key.update", keys.update(&actor, view.id, renamed).await.map(drop)),
            ("api.key.view", keys.get(&actor, view.id).await.map(drop)),
            ("api.key.view", keys.list(&actor, &KeyQuery::new()).await.map(drop)),
            ("api.key.delete", keys.revoke(&actor, view.id, Reason::Other).await.map(drop)),
        ] {
            match result {
                Ok(()) => assert_eq!(held, permission),
                Err(ManageError::Forbidden { permission: needed }) => {
                    assert_eq!(needed, permission);
                    assert_ne!(held, permission);
                }
                Err(other) => panic!("{permission} with {held}: {other}"),
            }
        }
    }
}
