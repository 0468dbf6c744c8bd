//! A secret on screen: nothing takes it away unasked, and nothing of it stays behind.

use serde_json::json;

use crate::page::{Page, browse};

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
fn a_closed_secret_no_longer_keeps_the_page() {
    browse("let-go", &[], |page, _world| async move {
        page.sign_in().await;
        assert!(!asks_before_leaving(&page).await);
        created(&page).await;
        assert!(asks_before_leaving(&page).await);
        page.go("#/reports").await;
        page.gone("dialog").await;
        assert!(!asks_before_leaving(&page).await);
    });
}
