//! Troubleshooting, compromise, and the permissions to manage keys.

use keyward::{Actor, Environment, KeyEdit, KeyQuery, ManageError, NewKey, Reason};
use serde_json::json;

use super::{LOOKUPS, REQUEST, platform, portal, viewer};
use crate::portal::{denied, path};
use crate::{Platform, ip, mistyped, secret_of};

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

    let portal = portal(&platform);
    for wrong in [revoked.expose_secret(), &mistyped(&key, 40), &token[..token.len() - 1]] {
        denied(portal.anyone().bearer(wrong).get(LOOKUPS), 401, "INVALID_API_KEY");
    }
    let from = |client: &str| portal.with(&key).with("X-Forwarded-For", client).get(LOOKUPS);
    from("10.0.0.1").expect(200);
    denied(from("192.0.2.1"), 403, "IP_NOT_ALLOWED");
    let asked = json!({ "client_ip": "192.0.2.1", "scopes": ["lookups:read"] });
    let trace = portal.admin().json("POST", &path(view.id, "/explain"), &asked).expect(200).json();
    let failed = trace["steps"].as_array().unwrap().iter().find(|it| it["outcome"] == "failed");
    assert_eq!(failed.unwrap()["check"], "network");
    portal.page().has_label("Decision tester");
}

/// "No extra spaces"; "using the secret key, not the Key ID"; how the `Authorization` header is
/// formatted; the endpoint's URL. Spaces around the key are none of HTTP's values, and forgiven.
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

    let portal = portal(&platform);
    let sent = |header: &str| portal.anyone().with("Authorization", header).get(LOOKUPS);
    for right in ["Bearer {}", "bearer {}", "BEARER {}", "  Bearer   {}  "] {
        sent(&right.replace("{}", token)).expect(200);
    }
    for wrong in ["Bearer {}x", "Bearer \"{}\"", "Bearer Bearer {}", "Bearer <{}>"] {
        denied(sent(&wrong.replace("{}", token)), 401, "INVALID_API_KEY");
    }
    denied(sent(&format!("Bearer {}", view.id)), 401, "INVALID_API_KEY");
    denied(sent(&format!("Bearer {} {}", &token[..20], &token[20..])), 401, "INVALID_API_KEY");
    for none in ["{}", "Basic {}", "Token {}", "Bearer", "Bearer:{}", ""] {
        denied(sent(&none.replace("{}", token)), 401, "MISSING_API_KEY");
    }
    let elsewhere = portal.with(&key).get("/lookup");
    assert_eq!((elsewhere.status, elsewhere.body.as_str()), (404, ""));
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

    let portal = portal(&Platform { admin: free, ..platform });
    let body = json!({ "name": "one more" });
    let full =
        denied(portal.admin().json("POST", "/admin/api-keys", &body), 409, "KEY_LIMIT_REACHED");
    assert_eq!(full.json()["error"]["details"], json!({ "max": 2 }));
}

/// "Key Compromise": revoke at once, create a replacement, investigate, review logs; and what of the
/// "Storage Recommendations" a library can keep: nothing that it stores or prints is a key.
///
/// Not here: updating applications and notifying the team are advice, as is the list of places to
/// store a key.
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
    let portal = portal(&platform);
    let read = portal.admin().get(&path(child, "/events")).expect(200).json();
    assert_eq!(read["data"][0]["actor"], json!(view.id));
    portal.page().has_label("Audit trail");
    assert!(!platform.stored(view.id).await.contains(secret_of(&stolen)));
}

/// "Permissions Required": each operation needs its own, and `*` is none of them.
///
/// Not here: of the "Next Steps", to invite team members leads to other pages; the rest is above.
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

    let portal = portal(&platform);
    for held in ["api.key.create", "api.key.update", "api.key.delete", "api.key.view"] {
        let (view, _) = platform.issue(new()).await;
        let holder = NewKey::named("holder").permissions([held, "lookups:*"]);
        let (_, holder) = platform.issue(holder).await;
        let (client, at) = (portal.anyone().bearer(holder.expose_secret()), path(view.id, ""));
        let create = json!({ "name": "k", "permissions": ["lookups:read"] });
        let rename = json!({ "name": "renamed" });
        for (permission, reply) in [
            ("api.key.create", client.json("POST", "/admin/api-keys", &create)),
            ("api.key.update", client.clone().with("If-Match", "*").json("PATCH", &at, &rename)),
            ("api.key.view", client.get("/admin/api-keys")),
            ("api.key.delete", client.send("DELETE", &at, None)),
        ] {
            if held == permission {
                assert!([200, 201].contains(&reply.status), "{}", reply.body);
            } else {
                let refusal = denied(reply, 403, "INSUFFICIENT_PERMISSIONS");
                assert_eq!(refusal.json()["error"]["details"]["required"], json!(permission));
            }
        }
    }
}
