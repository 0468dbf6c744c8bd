//! Names and metadata that try to be something else than text.

use keyward::{Actor, NewKey};
use serde_json::{Value, json};

use crate::page::browse;

const NAMES: [&str; 12] = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror=window.pwned=1>",
    "\"><svg onload=window.pwned=1>",
    "'; window.pwned = 1; //",
    "javascript:window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
    "&lt;b&gt; &amp; &#60;i&#62; %3Cscript%3E",
    "</bdi></a></td></table><h1>Signed out</h1>",
    "مفتاح الإنتاج (1) key_0000000000000000",
    "Z̸̢̛͓̦̞a̶̡̻̱l̵̢̲̜g̸̨̰̦o̷",
    "data:text/html,<script>window.pwned=1</script>",
    "👩‍👩‍👧‍👦 family",
];

#[test]
#[ignore = "needs Chromium"]
fn hostile_names_are_shown_as_text() {
    browse("hostile", &[], |page, world| async move {
        let long = "W".repeat(256);
        let names: Vec<&str> = NAMES.into_iter().chain([long.as_str()]).collect();
        let mut ids = Vec::new();
        for name in &names {
            let new = NewKey::named(*name)
                .owner("<i>org_1</i>")
                .resources("site", ["<s>1</s>"])
                .metadata(
                    "<b>note",
                    "safe \u{202e}desrever\u{202c} <script>window.pwned=1</script>",
                );
            let actor = Actor::system("<img src=y onerror=window.pwned=1>");
            let issued = world.keys.issue(&actor, new).await.unwrap();
            ids.push(issued.id());
        }
        page.sign_in().await;
        for (name, id) in names.iter().zip(&ids) {
            let shown = page.text(&format!("tr[data-key='{id}'] .key-name")).await;
            assert_eq!(shown, *name);
        }
        page.shot("table").await;
        assert_eq!(harm(&page).await, json!([1, 0, 0, null, true]));

        for (name, id) in names.iter().zip(&ids) {
            page.go(&format!("#/keys/{id}")).await;
            page.says("h1 bdi", name).await;
            page.says(".trail", "<img src=y onerror=window.pwned=1>").await;
            page.says(".metadata", "<script>window.pwned=1</script>").await;
            page.says(".facts dt", "<b>note").await;
            page.click("[data-action=revoke]").await;
            page.says("dialog strong bdi", name).await;
            page.press("Cancel").await;
            page.click("[data-action=edit]").await;
            let value =
                "return document.querySelector('dialog [name=name]')?.value === arguments[0]";
            page.wait("another value".into(), value, vec![json!(name)]).await;
            page.press("Cancel").await;
            page.gone("dialog").await;
            assert_eq!(harm(&page).await, json!([1, 0, 0, null, true]), "{name}");
        }
        page.shot("view").await;
        // What is typed is text as well: it is asked for, and drawn, as it is.
        page.go("#/keys").await;
        page.type_into("[name=search]", "<img src=x").await;
        page.says(".range", "1–1, page 1").await;
        page.says(".key-name", NAMES[1]).await;
        assert_eq!(harm(&page).await, json!([1, 0, 0, null, true]));
    });
}

/// Scripts, pictures, headings from names, what a script left, and whether it fits the window.
async fn harm(page: &crate::page::Page) -> Value {
    let script = "return [
        document.scripts.length,
        document.querySelectorAll('img, iframe, object, embed, main b, main i, main s').length,
        [...document.querySelectorAll('h1')].filter((node) => node.textContent === 'Signed out').length,
        window.pwned ?? null,
        document.documentElement.scrollWidth <= innerWidth,
    ]";
    page.js(script, vec![]).await
}
