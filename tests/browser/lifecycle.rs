//! Editing, rotating, regenerating, disabling, enabling and revoking.

use keyward::{KeyEdit, KeyId, NewKey, Status};
use serde_json::json;

use crate::page::Page;
use crate::page::browse;
use crate::world::{World, host};

const OK: (u16, String) = (200, String::new());

fn reader(name: &str) -> NewKey {
    NewKey::named(name).owner("org_1").permissions(["read:assets"])
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
#[ignore = "needs Chromium"]
fn a_key_is_edited_and_a_conflict_is_told() {
    browse("edit", &[412], |page, world| async move {
        let new = reader("Old name")
            .ip_allowlist(["127.0.0.0/8"])
            .expires_at("2099-01-01T00:00:00Z".parse().unwrap())
            .customers(["cust_1"])
            .resources("site", ["site_1"])
            .metadata("team", "a");
        let (id, _) = world.issue(new);
        page.sign_in().await;
        edit(&page, id).await;
        page.fill("dialog [name=name]", "New name").await;
        page.type_into("dialog [name=permissions]", "write:schedules\n").await;
        page.press("Never").await;
        page.click("[aria-label='Remove 127.0.0.0/8']").await;
        page.click("[aria-label='Remove cust_1']").await;
        page.press("Save changes").await;
        page.gone("dialog").await;
        page.says(".toast", "Saved").await;
        page.says(".key-name", "New name").await;
        let view = world.view(id);
        assert_eq!((view.name.as_str(), view.expires_at, view.revision), ("New name", None, 2));
        assert_eq!(view.permissions, ["read:assets", "write:schedules"]);
        assert!(view.ip_allowlist.is_empty());
        assert_eq!(json!(view.resources), json!({ "site": ["site_1"] }));
        assert_eq!(json!(view.metadata), json!({ "team": "a" }));

        edit(&page, id).await;
        page.fill("dialog [name=name]", "Mine").await;
        world.keys.update(&host(), id, KeyEdit::new().name("Theirs")).await.unwrap();
        page.press("Save changes").await;
        page.says("dialog .callout", "Somebody else changed this key meanwhile").await;
        assert_eq!(world.view(id).name, "Theirs");
        page.press("Load the current state").await;
        page.wait(
            "not reloaded".into(),
            "return document.querySelector('dialog [name=name]').value === 'Theirs'",
            vec![],
        )
        .await;
        page.fill("dialog [name=name]", "Mine after all").await;
        page.press("Save changes").await;
        page.says(".key-name", "Mine after all").await;
        // Nothing changed is nothing sent.
        edit(&page, id).await;
        page.press("Save changes").await;
        page.says(".toast", "Nothing was changed").await;
        assert_eq!(world.view(id).revision, 4);
    });
}

async fn edit(page: &Page, id: KeyId) {
    page.click(&format!("tr[data-key='{id}'] [data-action=edit]")).await;
    page.see("dialog [name=name]").await;
}

async fn act(page: &Page, id: KeyId, action: &str) {
    page.click(&format!("tr[data-key='{id}'] [aria-haspopup]")).await;
    page.click(&format!("tr[data-key='{id}'] [data-action={action}]")).await;
    page.see("dialog[open]").await;
}

async fn secret(page: &Page) -> String {
    let token = page.text(".secret").await;
    page.press("I have copied it").await;
    page.gone("dialog").await;
    token
}

#[test]
#[ignore = "needs Chromium"]
fn a_rotation_is_watched_and_finished() {
    browse("rotate", &[409], |page, world| async move {
        let (id, old) = world.issue(reader("Rotated"));
        page.sign_in().await;
        act(&page, id, "rotate").await;
        page.choose("dialog [name=grace]", "86400").await;
        page.shot("dialog").await;
        page.press("Rotate").await;
        let new = secret(&page).await;
        assert_ne!(old, new);
        assert_eq!((world.sites(&old), world.sites(&new)), (OK, OK));
        page.says(".rotating", "Rotation running").await;

        page.press("Rotated").await;
        page.says(".old-secret", "Old secret last used").await;
        page.says(".old-secret", "something still uses it").await;
        page.says(".rotation", "A rotation is running").await;
        page.shot("old-secret").await;

        // A second one is refused, unless it is said that the older secret may go.
        page.press("Rotate…").await;
        page.press("Rotate").await;
        page.says("dialog .callout", "If an earlier try got through").await;
        page.click("dialog input[type=checkbox]").await;
        page.press("Rotate").await;
        let third = secret(&page).await;
        let superseded = refused(401, "INVALID_API_KEY");
        assert_eq!(
            (world.sites(&old), world.sites(&new), world.sites(&third)),
            (superseded.clone(), OK, OK)
        );

        page.press("Finish rotation…").await;
        page.says("dialog .callout", "The old secret was last used").await;
        page.press("Finish rotation").await;
        page.gone("dialog").await;
        page.gone(".rotation").await;
        assert_eq!((world.sites(&new), world.sites(&third)), (superseded.clone(), OK));

        page.press("Regenerate…").await;
        page.says("dialog .callout", "The old key will stop working immediately").await;
        page.press("Regenerate").await;
        let fourth = secret(&page).await;
        assert_eq!((world.sites(&third), world.sites(&fourth)), (superseded, OK));
    });
}

#[test]
#[ignore = "needs Chromium"]
fn a_key_is_disabled_enabled_and_revoked() {
    browse("revoke", &[], |page, world| async move {
        let (id, token) = world.issue(reader("Doomed"));
        let (other, _) = world.issue(reader("Kept"));
        page.sign_in().await;
        act(&page, id, "disable").await;
        page.says("dialog .callout", "will stop working until it is enabled").await;
        page.press("Disable").await;
        page.says(&format!("tr[data-key='{id}'] .badge.inactive"), "Inactive").await;
        assert_eq!(world.sites(&token), refused(401, "API_KEY_INACTIVE"));
        act(&page, id, "enable").await;
        page.press("Enable").await;
        page.says(&format!("tr[data-key='{id}'] .badge.active"), "Active").await;
        assert_eq!(world.sites(&token), OK);

        let revoke = format!("tr[data-key='{id}'] [data-action=revoke]");
        page.click(&revoke).await;
        page.says("dialog", "Applications using this key will stop working").await;
        page.says("dialog", "This can’t be undone").await;
        page.shot("warning").await;
        page.press("Cancel").await;
        page.gone("dialog").await;
        assert_eq!(world.view(id).status, Status::Active);

        page.click(&revoke).await;
        page.choose("dialog [name=reason]", "compromised").await;
        page.press("Revoke key").await;
        page.gone("dialog").await;
        page.gone(&format!("tr[data-key='{id}']")).await;
        page.says(".toast", "is revoked").await;
        page.see(&format!("tr[data-key='{other}']")).await;
        assert_eq!(world.sites(&token), refused(401, "INVALID_API_KEY"));
        let view = world.view(id);
        assert_eq!(view.revoked_reason.map(keyward::Reason::as_str), Some("compromised"));

        page.click("[name=revoked]").await;
        page.says(&format!("tr[data-key='{id}'] .badge.revoked"), "Revoked").await;
        let actions = format!("tr[data-key='{id}'] .actions .button");
        assert_eq!(page.count(&actions).await, 0);
    });
}

#[test]
#[ignore = "needs Chromium"]
fn an_actor_with_an_owner_may_choose_another() {
    browse("owner", &[], |page, world: std::sync::Arc<World>| async move {
        let (_, token) = world.issue(NewKey::named("bob").owner("org_all"));
        page.type_into("#admin-key", &format!("{token}\n")).await;
        page.says(".cell-name", "platform").await;
        for (name, owner) in [("own", ""), ("other's", "org_9")] {
            page.press("Create new key").await;
            page.type_into("dialog [name=name]", name).await;
            page.type_into("dialog [name=owner]", owner).await;
            page.press("Create").await;
            secret(&page).await;
        }
        let made = world.listed();
        let owners: Vec<&str> = made.iter().map(|key| key.owner.as_str()).collect();
        assert_eq!(owners, ["org_9", "org_all", "org_all"]);
    });
}

#[test]
#[ignore = "needs Chromium"]
fn an_actor_is_offered_what_it_may_do() {
    browse("viewer", &[], |page, world: std::sync::Arc<World>| async move {
        let (_, token) =
            world.issue(NewKey::named("viewer").owner("org_1").permissions(["api.key.view"]));
        page.type_into("#admin-key", &format!("{token}\n")).await;
        page.says(".key-name", "viewer").await;
        assert_eq!(page.count("tr[data-key]").await, 1);
        assert_eq!(page.count("#create, [data-action], [name=owner]").await, 0);
    });
}
