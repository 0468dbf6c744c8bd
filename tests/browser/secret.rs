//! A secret on screen: nothing takes it away unasked, and nothing of it stays behind.

use std::time::Duration;

use keyward::{NewKey, Reason};
use serde_json::json;

use crate::page::{Page, browse};
use crate::world::{World, host};

/// Creates a key, and tells the secret that is then on screen.
async fn created(page: &Page) -> String {
    page.press("Create new key").await;
    page.type_into("dialog [name=name]", "throw-away").await;
    page.type_into("dialog [name=owner]", "org_1").await;
    page.press("Create").await;
    page.text(".secret").await
}

/// Whether the browser would ask before the page is left.
async fn asks_before_leaving(page: &Page) -> bool {
    let script = "
        const leaving = new Event('beforeunload', { cancelable: true });
        dispatchEvent(leaving);
        return leaving.defaultPrevented";
    page.js(script, vec![]).await == json!(true)
}

#[test]
#[ignore = "needs Chromium"]
fn going_back_asks_before_a_secret_is_left() {
    browse("back-secret", &[], |page, _world| async move {
        on_the_keys_after_the_reports(&page).await;
        let token = created(&page).await;
        // Each time: what was put back is left by the next.
        for _ in 0..3 {
            back(&page).await;
            page.says(".secret-dialog", "has not been confirmed as copied").await;
            stays(&page).await;
            assert_eq!(page.text("dialog[open] .secret").await, token);
            page.press("Keep it open").await;
        }
        page.press("Copy key").await;
        page.press("I have copied it").await;
        page.gone("dialog").await;
        page.says(".key-name", "throw-away").await;
        back(&page).await;
        page.says("h1", "Reports").await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn going_back_asks_before_entries_are_left() {
    browse("back-entries", &[], |page, world| async move {
        on_the_keys_after_the_reports(&page).await;
        page.press("Create new key").await;
        page.type_into("dialog [name=name]", "half").await;
        asks_then_goes(&page, "half").await;

        page.press("Keys").await;
        page.click(&format!("tr[data-key='{}'] [data-action=edit]", world.admin_id)).await;
        page.fill("dialog [name=name]", "edited").await;
        asks_then_goes(&page, "edited").await;

        // Without entries there is nothing to ask.
        page.press("Keys").await;
        page.press("Create new key").await;
        page.see("dialog[open]").await;
        back(&page).await;
        page.says("h1", "Reports").await;
        page.gone("dialog").await;
        assert_eq!(world.listed().len(), 0);
    });
}

async fn asks_then_goes(page: &Page, entry: &str) {
    back(page).await;
    page.says("dialog", "Your entries would be lost").await;
    stays(page).await;
    page.press("Keep editing").await;
    let name = page.js("return document.querySelector('dialog [name=name]').value", vec![]).await;
    assert_eq!(name, json!(entry));
    back(page).await;
    page.press("Discard").await;
    page.gone("dialog").await;
    stays(page).await;
    back(page).await;
    page.says("h1", "Reports").await;
}

async fn on_the_keys_after_the_reports(page: &Page) {
    page.sign_in().await;
    page.press("Reports").await;
    page.says("h1", "Reports").await;
    page.press("Keys").await;
    page.see("#create").await;
}

async fn back(page: &Page) {
    page.client.back().await.unwrap();
}

/// The address is that of the keys, and so is the view.
async fn stays(page: &Page) {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let place = "return [location.hash, document.querySelector('h1').textContent]";
    assert_eq!(page.js(place, vec![]).await, json!(["#/keys", "API Keys"]));
}

#[test]
#[ignore = "needs Chromium"]
fn a_closed_secret_no_longer_keeps_the_page() {
    browse("let-go", &[], |page, _world| async move {
        page.sign_in().await;
        page.go("#/keys").await;
        assert!(!asks_before_leaving(&page).await);
        created(&page).await;
        assert!(asks_before_leaving(&page).await);
        page.client.back().await.unwrap();
        page.press("Close without a copy").await;
        page.gone("dialog").await;
        assert!(!asks_before_leaving(&page).await);
    });
}

/// Opens the dialog of an action on the key that one is signed in with.
async fn act_on_own_key(page: &Page, world: &World, action: &str) {
    page.go(&format!("#/keys/{}", world.admin_id)).await;
    page.click(&format!(".key [data-action={action}]")).await;
    page.see("dialog[open]").await;
}

/// Reads the list or the key anew, as nobody can with a mouse while a dialog is open.
async fn reload_behind(page: &Page) {
    page.js("document.querySelector('.refresh').click()", vec![]).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
}

/// The secret is still there and can be copied; that confirmed, one has to sign in again.
async fn copied_then_signed_out(page: &Page, token: &str) {
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(page.text("dialog[open] .secret").await, token);
    page.press("Copy key").await;
    page.press("Copied").await;
    let copied = page.js("return navigator.clipboard.readText()", vec![]).await;
    assert_eq!(copied, json!(token));
    page.press("I have copied it").await;
    page.says(".sign-in .callout", "The key is no longer accepted").await;
    page.gone("dialog").await;
    assert!(!asks_before_leaving(page).await);
    let on_input = "return document.activeElement.id === 'admin-key'";
    page.wait("the input has no focus".into(), on_input, vec![]).await;
}

#[test]
#[ignore = "needs Chromium"]
fn the_own_secret_is_replaced_and_seen() {
    browse("own-key", &[401], |page, world| async move {
        page.sign_in().await;
        act_on_own_key(&page, &world, "regenerate").await;
        page.press("Regenerate").await;
        let token = page.text(".secret").await;
        copied_then_signed_out(&page, &token).await;

        page.type_into("#admin-key", &format!("{token}\n")).await;
        act_on_own_key(&page, &world, "rotate").await;
        page.choose("dialog [name=grace]", "0").await;
        page.press("Rotate").await;
        let next = page.text(".secret").await;
        assert_ne!(token, next);
        copied_then_signed_out(&page, &next).await;

        page.type_into("#admin-key", &format!("{next}\n")).await;
        page.says("h1", "Administrator").await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn another_requests_refusal_waits_for_the_secret() {
    browse("refused-behind", &[401], |page, world| async move {
        page.sign_in().await;
        let token = created(&page).await;
        world.keys.revoke(&host(), world.admin_id, Reason::Policy).await.unwrap();
        reload_behind(&page).await;
        copied_then_signed_out(&page, &token).await;
        assert_eq!(page.count("tr[data-key]").await, 0);
    });
}

#[test]
#[ignore = "needs Chromium"]
fn a_secret_on_its_way_arrives_whatever_happens_meanwhile() {
    browse("on-its-way", &[401], |page, world| async move {
        // The dialog is left while the answer is on its way.
        let (id, old) = world.issue(NewKey::named("Slow").owner("org_1"));
        page.sign_in().await;
        world.detain_answers(true);
        page.click(&format!("tr[data-key='{id}'] [aria-haspopup]")).await;
        page.click(&format!("tr[data-key='{id}'] [data-action=regenerate]")).await;
        page.press("Regenerate").await;
        page.press("Cancel").await;
        page.gone("dialog").await;
        world.detain_answers(false);
        assert_ne!(page.text(".secret").await, old);
        page.press("I have copied it").await;
        page.gone("dialog").await;

        // The own key is replaced, and another request is refused before the answer is there.
        world.detain_answers(true);
        let own = format!("tr[data-key='{}']", world.admin_id);
        page.click(&format!("{own} [aria-haspopup]")).await;
        page.click(&format!("{own} [data-action=regenerate]")).await;
        page.press("Regenerate").await;
        while world.view(world.admin_id).rotated_at.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        reload_behind(&page).await;
        page.see("dialog[open] .progress").await;
        world.detain_answers(false);
        let token = page.text(".secret").await;
        copied_then_signed_out(&page, &token).await;
    });
}
