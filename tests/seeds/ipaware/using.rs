//! Roles, authentication, practices, alerts, rotation.

use keyward::{AccessRequest, Actor, AlertKind, Environment, NewKey, Reason, ReportOptions};
use serde_json::json;

use super::{LOOKUPS, PREFIXES, REQUEST, platform, portal, viewer};
use crate::portal::{denied, path};
use crate::{DAY, Platform, mistyped, secret_of};

/// "Roles determine what actions an API key can perform"; "organizations can create custom roles".
///
/// Not here: "Roles & Permissions" is another page of the service.
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
    denied(portal(&platform).with(&key).get(LOOKUPS), 403, "INSUFFICIENT_PERMISSIONS");
}

/// "Include your API key in requests using the Authorization header."
#[pollster::test]
async fn authentication() {
    let platform = platform();
    let portal = portal(&platform);
    let (view, key) = platform.issue(viewer("Production Server")).await;
    let answer = portal.anyone().bearer(key.expose_secret()).get(LOOKUPS).expect(200);
    assert_eq!(answer.json()["key"], json!(view.id));
    let missing = denied(portal.anyone().get(LOOKUPS), 401, "MISSING_API_KEY");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"api\""));
}

/// "Different keys for different environments"; "rotate every 90 days"; "revoke unused keys";
/// "never log secret keys"; "track which keys are actively used"; "review keys".
///
/// Not here: descriptive names, to document which key is used where, and environment variables are
/// advice.
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

    let portal = portal(&platform);
    let read = portal.admin().get("/admin/api-keys/reports").expect(200).json();
    assert_eq!(read["unused"][0]["id"], json!(idle.id));
    let used = portal.admin().get(&path(busy.id, "/usage")).expect(200).json();
    assert_eq!(used["last_used_at"], json!(platform.keys.now()));
    for report in ["Reports", "Rotation due", "Unused"] {
        portal.page().has_label(report);
    }
}

/// "Monitor for unusual activity"; "set up alerts for failed authentication attempts": of a key that
/// was revoked, and of whoever guesses.
#[pollster::test]
async fn alerts() {
    let (platform, alerts) = Platform::watched(&PREFIXES, "2025-01-15T10:00:00Z");
    let portal = portal(&platform);
    let lookups = NewKey::named("Production Server").permissions(["lookups:read"]);
    let (view, key) = platform.issue(lookups).await;
    portal.with(&key).get(LOOKUPS).expect(200);
    platform.keys.revoke(&platform.admin, view.id, Reason::Compromised).await.unwrap();
    assert_eq!(alerts.take(), []);

    let attempt = || denied(portal.with(&key).get(LOOKUPS), 401, "INVALID_API_KEY");
    attempt();
    assert_eq!(alerts.take(), [(AlertKind::RetiredSecret, Some(view.id), true)]);
    (1..20).for_each(|_| drop(attempt()));
    assert_eq!(alerts.take(), [(AlertKind::FailuresByKey, Some(view.id), true)]);

    let guess = mistyped(&key, 40);
    let guessing = portal.anyone().bearer(&guess).with("X-Forwarded-For", "203.0.113.9");
    for _ in 0..50 {
        denied(guessing.get(LOOKUPS), 401, "INVALID_API_KEY");
    }
    assert_eq!(alerts.take(), [(AlertKind::FailuresByAddress, None, false)]);
}

/// The rotation process and the schedule: production 90 days, development 180, compromised at once.
///
/// "Ensure all services are using the new key" in a browser: `a_rotation_is_watched_and_finished` of
/// `tests/browser`.
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

    let portal = portal(&platform);
    let (moved, old) = platform.issue(viewer("Production Server v3")).await;
    let rotated = portal.admin().json("POST", &path(moved.id, "/rotate"), &json!({})).expect(200);
    let rotated = rotated.json();
    portal.with(&old).get(LOOKUPS).expect(200);
    portal.anyone().bearer(rotated["api_key"].as_str().unwrap()).get(LOOKUPS).expect(200);
    let seen = portal.admin().get(&path(moved.id, "")).expect(200).json();
    assert_eq!(seen["secrets"][1]["last_used_at"], json!(platform.keys.now()), "{seen}");
    portal.page().says("Old secret last used ");
    portal.admin().json("POST", &path(moved.id, "/finish-rotation"), &json!({})).expect(200);
    denied(portal.with(&old).get(LOOKUPS), 401, "INVALID_API_KEY");

    let replaced = keys.compromised(admin, v2.id).await.unwrap();
    assert_eq!(platform.refuse(new.expose_secret(), REQUEST).await.code(), "INVALID_API_KEY");
    platform.verify(&replaced.issued.into_key(), REQUEST).await;
}
