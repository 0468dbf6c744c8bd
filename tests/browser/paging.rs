//! Ten thousand keys, page by page.

use std::collections::BTreeSet;

use keyward::NewKey;
use serde_json::{Value, json};

use crate::page::{Page, browse};

const KEYS: usize = 10_000;

#[test]
#[ignore = "needs Chromium"]
fn ten_thousand_keys_are_walked_and_searched() {
    browse("paging", &[], |page, world| async move {
        for number in 1..KEYS {
            let owner = if number % 2 == 0 { "org_even" } else { "org_odd" };
            world.issue(NewKey::named(format!("Device {number:05}")).owner(owner));
        }
        page.sign_in().await;
        assert_eq!(page.count("tr[data-key]").await, 25);
        page.choose("[name=limit]", "100").await;
        at(&page, "1–100, page 1").await;

        let mut seen: Vec<Vec<String>> = vec![ids(&page).await];
        for number in 2..=KEYS / 100 {
            page.click("[name=next]").await;
            let range = format!(
                "{}–{}, page {number}",
                thousands(number * 100 - 99),
                thousands(number * 100)
            );
            at(&page, &range).await;
            seen.push(ids(&page).await);
        }
        let all: BTreeSet<&String> = seen.iter().flatten().collect();
        assert_eq!((all.len(), seen.len()), (KEYS, KEYS / 100));
        page.shot("last").await;

        // The last page is full: that nothing follows is known when it is asked for.
        page.click("[name=next]").await;
        page.says(".empty", "No more keys").await;
        let next = "return document.querySelector('[name=next]').disabled";
        assert_eq!(page.js(next, vec![]).await, json!(true));
        for number in [100, 99, 98, 97] {
            page.click("[name=previous]").await;
            at(&page, &format!("page {number}")).await;
            assert_eq!(ids(&page).await, seen[number - 1]);
        }
        // Another view and back is the same page.
        page.press("Reports").await;
        page.press("Keys").await;
        at(&page, "page 97").await;

        page.type_into("[name=search]", "device 04711").await;
        at(&page, "1–1, page 1").await;
        page.says(".key-name", "Device 04711").await;
        page.fill("[name=search]", &seen[50][7]).await;
        page.wait(
            "not found".into(),
            "return document.querySelector('tr[data-key]')?.dataset.key === arguments[0]",
            vec![json!(seen[50][7])],
        )
        .await;
        page.fill("[name=search]", "no such device").await;
        page.says(".empty", "No match so far").await;
        page.press("Search on").await;
        page.says(".empty", "No key matches").await;
        page.press("Clear the filters").await;
        at(&page, "1–100, page 1").await;
        page.type_into("[name=owner]", "org_even").await;
        page.wait("not filtered".into(), "return [...document.querySelectorAll('.cell-name .under')].every((owner) => owner.textContent.includes('org_even'))", vec![]).await;
        page.choose("[name=environment]", "sandbox").await;
        page.says(".empty", "No key matches").await;
    });
}

async fn at(page: &Page, range: &str) {
    page.says(".range", range).await;
    page.gone(".results[aria-busy]").await;
}

async fn ids(page: &Page) -> Vec<String> {
    let script =
        "return [...document.querySelectorAll('tr[data-key]')].map((row) => row.dataset.key)";
    let Value::Array(ids) = page.js(script, vec![]).await else { panic!("no list") };
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn thousands(number: usize) -> String {
    match (number / 1_000, number % 1_000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}
