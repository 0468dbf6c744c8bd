//! The keyboard alone: nothing here clicks.

use keyward::{NewKey, Status};
use serde_json::{Value, json};

use crate::page::{DOWN, ENTER, ESCAPE, Page, SHIFT, TAB, browse};

#[test]
#[ignore = "needs Chromium"]
fn everything_is_reached_without_a_mouse() {
    browse("keyboard", &[], |page, world| async move {
        let (id, _) = world.issue(NewKey::named("Doomed").owner("org_1"));
        // The input has the focus when the page comes up.
        let key = world.admin.clone();
        type_text(&page, &key).await;
        page.keys(&[ENTER]).await;
        page.see(".keys").await;

        tab_to(&page, "#create").await;
        page.keys(&[ENTER]).await;
        page.see("dialog[open]").await;
        assert_eq!(focused(&page).await["name"], json!("name"));
        type_text(&page, "By keyboard").await;
        tab_to(&page, "dialog [name=owner]").await;
        type_text(&page, "org_1").await;
        tab_to(&page, "dialog [name=permissions]").await;
        type_text(&page, "read:assets").await;
        page.keys(&[ENTER]).await;
        page.says("dialog .tag", "read:assets").await;
        // The focus doesn't leave the dialog for the page behind.
        for _ in 0..40 {
            page.keys(&[TAB]).await;
            let inside = "return document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))";
            assert_eq!(page.js(inside, vec![]).await, json!(true));
        }
        tab_to(&page, "dialog [name=name]").await;
        page.keys(&[ENTER]).await;

        page.see(".secret-dialog").await;
        let on_secret = "return document.activeElement.matches('.secret')";
        page.wait("the secret has no focus".into(), on_secret, vec![]).await;
        let token = page.text(".secret").await;
        page.keys(&[TAB, ENTER]).await;
        page.wait(
            "not copied".into(),
            "return document.activeElement.textContent === 'I have copied it'",
            vec![],
        )
        .await;
        page.keys(&[ENTER]).await;
        page.gone("dialog").await;
        assert_eq!(world.sites(&token).0, 200);
        let on_create = "return document.activeElement.id === 'create'";
        page.wait("focus was not given back".into(), on_create, vec![]).await;

        // A menu: opened, walked, left, and a dialog from it that gives the focus back.
        let more = format!("tr[data-key='{id}'] [aria-haspopup]");
        tab_to(&page, &more).await;
        page.keys(&[ENTER]).await;
        page.wait("no menu".into(), "return document.activeElement.matches('.menu-item')", vec![])
            .await;
        page.keys(&[ESCAPE]).await;
        let on_more = "return document.activeElement.matches(arguments[0])";
        page.wait("not back".into(), on_more, vec![json!(more)]).await;
        choose(&page, "rotate").await;
        tab_to(&page, "dialog [type=submit]").await;
        page.keys(&[ENTER]).await;
        page.see(".secret-dialog").await;
        tab_to(&page, ".secret-dialog [type=submit]").await;
        page.keys(&[ENTER]).await;
        page.gone("dialog").await;
        // The table is read anew, with another button in that one's place.
        page.says(".rotating", "Rotation running").await;
        page.wait("not back".into(), on_more, vec![json!(more)]).await;

        choose(&page, "disable").await;
        tab_to(&page, "dialog [type=submit]").await;
        page.keys(&[ENTER]).await;
        page.gone("dialog").await;
        page.says(&format!("tr[data-key='{id}'] .badge"), "Inactive").await;
        assert_eq!(world.view(id).status, Status::Inactive);
        page.wait("not back".into(), on_more, vec![json!(more)]).await;

        let revoke = format!("tr[data-key='{id}'] [data-action=revoke]");
        backtab_to(&page, &revoke).await;
        page.keys(&[ENTER]).await;
        page.see("dialog[open]").await;
        page.keys(&[ESCAPE]).await;
        page.gone("dialog").await;
        page.wait("not back".into(), on_more, vec![json!(revoke)]).await;
        page.keys(&[ENTER]).await;
        tab_to(&page, "dialog [type=submit]").await;
        page.keys(&[ENTER]).await;
        page.gone(&format!("tr[data-key='{id}']")).await;
        assert_eq!(world.view(id).status, Status::Revoked);
        // Its row is gone, and the focus is not lost.
        let somewhere = "return document.activeElement !== document.body";
        page.wait("focus is lost".into(), somewhere, vec![]).await;

        tab_to(&page, ".skip").await;
        page.shot("skip").await;
    });
}

/// Opens the menu that has the focus, and walks to an action.
async fn choose(page: &Page, action: &str) {
    page.gone(".results[aria-busy]").await;
    page.keys(&[ENTER]).await;
    let in_menu = "return document.activeElement.matches('.menu-item')";
    page.wait("no menu".into(), in_menu, vec![]).await;
    while focused(page).await["action"] != json!(action) {
        page.keys(&[DOWN]).await;
    }
    page.keys(&[ENTER]).await;
    page.see("dialog[open]").await;
}

async fn type_text(page: &Page, text: &str) {
    page.keys(&text.chars().collect::<Vec<_>>()).await;
}

async fn tab_to(page: &Page, css: &str) {
    for _ in 0..200 {
        if page.js("return document.activeElement.matches(arguments[0])", vec![json!(css)]).await
            == json!(true)
        {
            assert_outlined(page).await;
            return;
        }
        page.keys(&[TAB]).await;
    }
    panic!("{css} is not reached with Tab");
}

async fn backtab_to(page: &Page, css: &str) {
    use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
    for _ in 0..200 {
        if page.js("return document.activeElement.matches(arguments[0])", vec![json!(css)]).await
            == json!(true)
        {
            return;
        }
        let back = KeyActions::new("keyboard".into())
            .then(KeyAction::Down { value: SHIFT })
            .then(KeyAction::Down { value: TAB })
            .then(KeyAction::Up { value: TAB })
            .then(KeyAction::Up { value: SHIFT });
        page.client.perform_actions(back).await.unwrap();
    }
    panic!("{css} is not reached with Shift and Tab");
}

/// Where the focus is can be seen.
async fn assert_outlined(page: &Page) {
    let script = "
        for (let node = document.activeElement; node; node = node.parentElement) {
            const style = getComputedStyle(node);
            if (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1) return true;
        }
        return document.activeElement.outerHTML";
    assert_eq!(page.js(script, vec![]).await, json!(true));
}

async fn focused(page: &Page) -> Value {
    let script =
        "const { name, dataset } = document.activeElement; return { name, action: dataset.action }";
    page.js(script, vec![]).await
}
