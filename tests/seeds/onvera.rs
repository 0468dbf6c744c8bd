//! The deployment platform: `onv_sk_live_`, scopes, hashing, revocation that can't be undone.

use std::collections::HashSet;

use keyward::{
    AccessRequest, Action, AlertKind, Environment, KeyEdit, ManageError, NewKey, Reason,
    ReportOptions, Status,
};

use serde_json::json;

use crate::portal::{Portal, denied, guarded, path};
use crate::{DAY, Platform, ip, secret_of};

const PREFIXES: [(&str, Environment); 1] = [("onv_sk_live", Environment::PRODUCTION)];
const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

fn platform() -> Platform {
    Platform::new(&PREFIXES, "2025-01-15T10:00:00Z")
}

const DEPLOYMENTS: &str = "/deployments";

/// `GET /deployments`, which needs `deployments:read`, beside the admin API and the page.
fn portal(platform: &Platform) -> Portal {
    platform.open(Environment::PRODUCTION, |gate| {
        guarded(DEPLOYMENTS, gate.require("deployments:read").unwrap())
    })
}

/// "API keys have the format `onv_sk_live_<random_token>`. The token is cryptographically random and
/// unique."
#[pollster::test]
async fn api_key_format() {
    let platform = platform();
    let (mut tokens, mut secrets) = (HashSet::new(), HashSet::new());
    for _ in 0..500 {
        let (_, key) = platform.issue(NewKey::named("k")).await;
        let random = key.expose_secret().strip_prefix("onv_sk_live_").unwrap();
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        assert!(tokens.insert(random.to_owned()));
        assert!(secrets.insert(secret_of(&key).to_owned()));
    }
    let body = json!({ "name": "k" });
    let created = portal(&platform).admin().json("POST", "/admin/api-keys", &body).expect(201);
    assert!(created.json()["api_key"].as_str().unwrap().starts_with("onv_sk_live_"));
}

/// "API keys are stored securely using industry-standard hashing"; "only hashed values are stored".
///
/// Not here: the heading "Client-Side" is advice, but for "change keys every 90 days", which is in
/// [`rotation`].
#[pollster::test]
async fn storage() {
    let platform = platform();
    let (view, key) = platform.issue(NewKey::named("k")).await;
    platform.verify(&key, REQUEST).await;
    let stored = platform.stored(view.id).await;
    for window in secret_of(&key).as_bytes().windows(6) {
        assert!(!stored.contains(std::str::from_utf8(window).unwrap()), "{stored}");
    }
}

/// The five scopes of "Scope-Based Access", each of which grants itself and nothing else.
///
/// Not here: "use the minimum required scopes" is advice; that a key without scopes may do nothing
/// is asserted.
#[pollster::test]
async fn scope_based_access() {
    let scopes = [
        "deployments:read",
        "deployments:write",
        "deployments:delete",
        "operations:read",
        "org:read",
    ];
    let platform = platform();
    for granted in scopes {
        let (_, key) = platform.issue(NewKey::named(granted).permissions([granted])).await;
        for required in scopes {
            let answer = platform.keys.verify(key.expose_secret(), &REQUEST.scope(required)).await;
            assert_eq!(answer.is_ok(), granted == required, "{granted} for {required}");
        }
    }
    let (_, key) = platform.issue(NewKey::named("nothing")).await;
    for required in scopes {
        let refused = platform.refuse(key.expose_secret(), REQUEST.scope(required)).await;
        assert_eq!((refused.status, refused.code()), (403, "INSUFFICIENT_PERMISSIONS"));
    }
    let portal = portal(&platform);
    denied(portal.with(&key).get(DEPLOYMENTS), 403, "INSUFFICIENT_PERMISSIONS");
    let (_, key) = platform.issue(NewKey::named("k").permissions(["deployments:read"])).await;
    portal.with(&key).get(DEPLOYMENTS).expect(200);
}

/// "No expiration (default)"; "Expiration date"; "expired keys cannot be used and must be replaced".
#[pollster::test]
async fn expiration() {
    let platform = platform();
    let (forever, lasting) = platform.issue(NewKey::named("no expiration")).await;
    let end = platform.keys.now().saturating_add(DAY);
    let (view, ending) = platform.issue(NewKey::named("a day").expires_at(end)).await;
    assert_eq!((forever.expires_at, view.expires_at), (None, Some(end)));
    platform.verify(&ending, REQUEST).await;

    platform.clock.advance(DAY);
    assert_eq!(platform.refuse(ending.expose_secret(), REQUEST).await.code(), "API_KEY_EXPIRED");
    assert_eq!(platform.get(view.id).await.status, Status::Expired);
    let (keys, admin) = (&platform.keys, &platform.admin);
    let later = KeyEdit::new().expires_at(end.saturating_add(DAY));
    for error in [
        platform.update(view.id, later).await.unwrap_err(),
        platform.update(view.id, KeyEdit::new().never_expires()).await.unwrap_err(),
        keys.rotate(admin, view.id, DAY).await.unwrap_err(),
        keys.regenerate(admin, view.id).await.unwrap_err(),
        keys.enable(admin, view.id).await.unwrap_err(),
    ] {
        assert!(matches!(error, ManageError::WrongState(_)), "{error}");
        assert_eq!((error.code(), error.status()), ("WRONG_STATE", 409));
    }
    let portal = portal(&platform);
    denied(portal.with(&ending).get(DEPLOYMENTS), 401, "API_KEY_EXPIRED");
    let rotate = portal.admin().json("POST", &path(view.id, "/rotate"), &json!({}));
    denied(rotate, 409, "WRONG_STATE");
    platform.issue(NewKey::named("its replacement")).await;

    platform.clock.advance(10_000 * DAY);
    platform.verify(&lasting, REQUEST).await;
    keys.revoke(admin, forever.id, Reason::Other).await.unwrap();
    assert_eq!(platform.refuse(lasting.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");
}

/// The four occasions to revoke, each a reason that is kept; "revoked keys cannot be restored".
#[pollster::test]
async fn revocation() {
    let platform = platform();
    let (keys, admin) = (&platform.keys, &platform.admin);
    for (occasion, reason) in [
        ("Key is compromised", Reason::Compromised),
        ("Key is no longer needed", Reason::Unused),
        ("Employee leaves organization", Reason::OwnerLeft),
        ("Key is rotated", Reason::Superseded),
    ] {
        let (view, key) = platform.issue(NewKey::named(occasion)).await;
        keys.revoke(admin, view.id, reason).await.unwrap();
        assert_eq!(platform.refuse(key.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");
        assert_eq!(platform.get(view.id).await.revoked_reason, Some(reason));

        for error in [
            keys.enable(admin, view.id).await.unwrap_err(),
            keys.regenerate(admin, view.id).await.unwrap_err(),
            keys.rotate(admin, view.id, DAY).await.unwrap_err(),
            platform.update(view.id, KeyEdit::new().name("alive")).await.unwrap_err(),
        ] {
            assert!(matches!(error, ManageError::WrongState(_)), "{error}");
        }
        assert_eq!(platform.get(view.id).await.status, Status::Revoked);
    }

    let portal = portal(&platform);
    for (reason, label) in [
        ("compromised", "It is compromised"),
        ("unused", "It is no longer used"),
        ("owner_left", "Its owner left"),
        ("superseded", "Another key replaces it"),
    ] {
        portal.page().has_label(label);
        let (view, key) = platform.issue(NewKey::named("k")).await;
        let body = json!({ "reason": reason });
        let revoked = portal.admin().json("POST", &path(view.id, "/revoke"), &body).expect(200);
        assert_eq!(revoked.json()["revoked_reason"], reason);
        denied(portal.with(&key).get(DEPLOYMENTS), 401, "INVALID_API_KEY");
        for restore in ["/enable", "/regenerate", "/rotate"] {
            let answer = portal.admin().json("POST", &path(view.id, restore), &json!({}));
            denied(answer, 409, "WRONG_STATE");
        }
    }
}

/// The four steps, in the page's order; "recommended: rotate every 90 days". A browser takes them in
/// `a_rotation_is_watched_and_finished` of `tests/browser`.
///
/// Not here: "update all systems using the key" is advice; which of them have followed is asserted.
#[pollster::test]
async fn rotation() {
    let platform = platform();
    let (keys, admin) = (&platform.keys, &platform.admin);
    let (view, old) = platform.issue(NewKey::named("k")).await;
    let due = async || keys.reports(admin, &ReportOptions::default()).await.unwrap().rotation_due;
    platform.clock.advance(89 * DAY);
    platform.verify(&old, REQUEST).await;
    assert!(due().await.is_empty());
    platform.clock.advance(DAY);
    assert_eq!(due().await[0].id, view.id);

    let new = keys.rotate(admin, view.id, 30 * DAY).await.unwrap().into_key();
    assert!(due().await.is_empty());
    platform.clock.advance(DAY);
    platform.verify(&new, REQUEST).await;
    let now = platform.keys.now();
    let secrets = platform.get(view.id).await.secrets;
    assert_eq!((secrets[0].current, secrets[0].last_used_at), (true, Some(now)));
    assert_eq!((secrets[1].current, secrets[1].last_used_at.unwrap() < now), (false, true));

    keys.finish_rotation(admin, view.id).await.unwrap();
    assert_eq!(platform.refuse(old.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");
    platform.verify(&new, REQUEST).await;

    let portal = portal(&platform);
    let (view, old) = platform.issue(NewKey::named("k").permissions(["deployments:*"])).await;
    let month = json!({ "grace_seconds": 30 * 86_400 });
    let rotated = portal.admin().json("POST", &path(view.id, "/rotate"), &month).expect(200);
    let new = portal.anyone().bearer(rotated.json()["api_key"].as_str().unwrap());
    portal.with(&old).get(DEPLOYMENTS).expect(200);
    portal.admin().json("POST", &path(view.id, "/finish-rotation"), &json!({})).expect(200);
    denied(portal.with(&old).get(DEPLOYMENTS), 401, "INVALID_API_KEY");
    new.get(DEPLOYMENTS).expect(200);
    for label in ["Rotate", "Finish rotation", "Rotation due"] {
        portal.page().has_label(label);
    }
}

/// "Audit logs - view all key usage"; "Dashboard - see key activity", by the hour. A browser shows
/// both in `usage_trail_and_decisions_are_shown` of `tests/browser`.
#[pollster::test]
async fn monitoring() {
    let platform = platform();
    let (keys, admin) = (&platform.keys, &platform.admin);
    let (view, key) = platform.issue(NewKey::named("k")).await;
    for _ in 0..3 {
        platform.verify(&key, REQUEST).await;
        platform.clock.advance(DAY);
    }
    let usage = keys.usage(admin, view.id).await.unwrap();
    assert_eq!((usage.uses, usage.hours.len()), (3, 3));

    platform.update(view.id, KeyEdit::new().name("renamed")).await.unwrap();
    keys.disable(admin, view.id).await.unwrap();
    keys.enable(admin, view.id).await.unwrap();
    let _ = keys.regenerate(admin, view.id).await.unwrap();
    keys.revoke(admin, view.id, Reason::Unused).await.unwrap();
    let events = keys.events(admin, view.id).await.unwrap();
    assert!(events.iter().all(|event| event.actor == "admin" && event.key == view.id));
    let actions: Vec<Action> = events.iter().rev().map(|event| event.action).collect();
    assert_eq!(
        actions,
        [
            Action::Issued,
            Action::Updated,
            Action::Disabled,
            Action::Enabled,
            Action::Regenerated,
            Action::Revoked,
        ]
    );

    let portal = portal(&platform);
    let trail = portal.admin().get(&path(view.id, "/events")).expect(200).json();
    assert_eq!(trail["data"], json!(events));
    let used = portal.admin().get(&path(view.id, "/usage")).expect(200).json();
    assert_eq!(used["uses"], 3);
    assert_eq!(
        used["hours"],
        json!([
            { "hour": "2025-01-15T10:00:00Z", "uses": 1 },
            { "hour": "2025-01-16T10:00:00Z", "uses": 1 },
            { "hour": "2025-01-17T10:00:00Z", "uses": 1 },
        ])
    );
    for label in ["Usage", "Last 24 hours", "Last 7 days", "Audit trail"] {
        portal.page().has_label(label);
    }
}

/// "Alerts - set up alerts for unusual activity."
#[pollster::test]
async fn alerts() {
    let (platform, alerts) = Platform::watched(&PREFIXES, "2025-01-15T10:00:00Z");
    let portal = portal(&platform);
    let (view, key) = platform.issue(NewKey::named("k").permissions(["deployments:read"])).await;
    let home = REQUEST.from(ip("198.51.100.50"));
    for _ in 0..8 * 24 {
        platform.verify(&key, home).await;
        platform.clock.advance(DAY / 24);
    }
    assert_eq!(alerts.take(), []);
    let elsewhere = portal.with(&key).with("X-Forwarded-For", "2001:db8::1");
    elsewhere.get(DEPLOYMENTS).expect(200);
    assert_eq!(alerts.take(), [(AlertKind::NewAddress, Some(view.id), true)]);
    for _ in 0..400 {
        platform.verify(&key, home).await;
    }
    assert_eq!(alerts.take(), [(AlertKind::UnusualVolume, Some(view.id), true)]);
}

/// Of the best practices: "scoped keys" and "expiration dates" are asserted above; here "revoke unused
/// keys" and "set expiration dates" are made easy.
///
/// Not here: "keep keys private" and environment variables are advice; the related topics are other
/// pages.
#[pollster::test]
async fn best_practices() {
    let platform = platform();
    let (unused, _) = platform.issue(NewKey::named("unused")).await;
    let (_, used) = platform.issue(NewKey::named("used")).await;
    let end = platform.keys.now().saturating_add(100 * DAY);
    let (ending, key) = platform.issue(NewKey::named("ending").expires_at(end)).await;
    platform.clock.advance(90 * DAY);
    platform.verify(&used, REQUEST).await;
    platform.verify(&key, REQUEST).await;
    let options = ReportOptions::default();
    let reports = platform.keys.reports(&platform.admin, &options).await.unwrap();
    let ids = |views: &[keyward::KeyView]| views.iter().map(|view| view.id).collect::<Vec<_>>();
    assert_eq!(ids(&reports.unused), [unused.id]);
    assert_eq!(ids(&reports.expiring), [ending.id]);

    let portal = portal(&platform);
    let read = portal.admin().get("/admin/api-keys/reports").expect(200).json();
    assert_eq!(read["unused"][0]["id"], json!(unused.id));
    assert_eq!(read["expiring"][0]["id"], json!(ending.id));
    for report in ["Unused", "Expiring soon"] {
        portal.page().has_label(report);
    }
}
