//! Light, dark, and a phone: every view and dialog, read by `audit` and kept as a picture.

use std::time::Duration;

use keyward::{Actor, NewKey, Quota, RateLimit, Refill};
use serde_json::json;

use crate::audit::check;
use crate::page::{Page, browse};
use crate::world::World;

#[test]
#[ignore = "needs Chromium"]
fn light_on_a_desk() {
    browse("light", &[422], |page, world| async move {
        furnish(&world);
        tour(&page, false).await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn dark_on_a_desk() {
    browse("dark", &[422], |page, world| async move {
        furnish(&world);
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
        page.devtools("Emulation.setEmulatedMedia", &scheme).await;
        let light = "return getComputedStyle(document.body).backgroundColor";
        assert_eq!(page.js(light, vec![]).await, json!("rgb(14, 17, 22)"));
        tour(&page, false).await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn a_phone() {
    browse("phone", &[422], |page, world| async move {
        furnish(&world);
        let phone = json!({ "width": 375, "height": 812, "deviceScaleFactor": 2, "mobile": true });
        page.devtools("Emulation.setDeviceMetricsOverride", &phone).await;
        page.devtools("Emulation.setTouchEmulationEnabled", &json!({ "enabled": true })).await;
        tour(&page, true).await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn little_motion() {
    browse("still", &[], |page, _world| async move {
        let still =
            json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
        page.devtools("Emulation.setEmulatedMedia", &still).await;
        page.sign_in().await;
        page.press("Create new key").await;
        let script = "return getComputedStyle(document.querySelector('dialog')).animationDuration";
        assert_eq!(page.js(script, vec![]).await, json!("0.001s"));
    });
}

/// What the pictures show.
fn furnish(world: &World) {
    let host = Actor::system("alice@example.com");
    let later = |days: u64| world.keys.now().saturating_add(Duration::from_secs(days * 86_400));
    let new = |name: &str| NewKey::named(name).owner("powerverse");
    let rate = |count| RateLimit::per_minute(count).unwrap();
    let issue = |key: NewKey| pollster::block_on(world.keys.issue(&host, key)).unwrap();
    let sandbox = keyward::Environment::SANDBOX;

    let id = issue(
        new("Temporary Integration")
            .environment(sandbox)
            .permissions(["read:assets"])
            .expires_at(later(9)),
    )
    .id();
    pollster::block_on(world.keys.disable(&host, id)).unwrap();
    let _ = issue(
        new("Nightly CI pipeline")
            .environment(sandbox)
            .permissions(["deployments:read", "deployments:write"])
            .rate_limit(rate(600)),
    );
    let _ = issue(
        new("Partner telemetry feed")
            .permissions(["telemetry:write"])
            .rate_limit(rate(6_000))
            .quota(Quota::new(1_000_000, Refill::Month).unwrap())
            .not_before(later(3))
            .expires_at(later(90)),
    );
    let _ = issue(
        new("Main Website Integration")
            .roles(["viewer"])
            .rate_limit(rate(300))
            .expires_at(later(180)),
    );
    let rotated = issue(
        new("Schedule Management Service")
            .roles(["operator"])
            .permissions(["read:schedules", "write:schedules", "read:assets"])
            .rate_limit(rate(1_000)),
    );
    let id = rotated.id();
    let old = rotated.into_key();
    let day = Duration::from_secs(86_400);
    let _ = pollster::block_on(world.keys.rotate(&host, id, day)).unwrap();
    for _ in 0..3 {
        assert_eq!(world.sites(old.expose_secret()).0, 200);
    }
    let backend = issue(
        new("Asset Controls Backend")
            .permissions(["read:assets", "write:schedules"])
            .ip_allowlist(["10.0.0.0/8", "127.0.0.1"])
            .rate_limit(rate(100))
            .expires_at(later(365)),
    );
    let key = backend.into_key();
    for _ in 0..7 {
        assert_eq!(world.sites(key.expose_secret()).0, 200);
    }
}

async fn tour(page: &Page, phone: bool) {
    check(page, "signing in").await;
    page.shot("1-sign-in").await;
    page.sign_in().await;
    check(page, "the table").await;
    page.shot("2-table").await;
    let row = "return getComputedStyle(document.querySelector('tr[data-key]')).display";
    assert_eq!(page.js(row, vec![]).await, json!(if phone { "block" } else { "table-row" }));
    let roles = "return ['table', 'row', 'columnheader', 'cell'].every((role) => document.querySelector(`[role=${role}]`))";
    assert_eq!(page.js(roles, vec![]).await, json!(true));

    page.press("Create new key").await;
    check(page, "an empty form").await;
    page.js(
        "for (const section of document.querySelectorAll('dialog details')) section.open = true",
        vec![],
    )
    .await;
    for add in ["Add a rate limit", "Add a kind of resource", "Add an entry"] {
        page.press(add).await;
    }
    page.choose("dialog [name=refill]", "day").await;
    page.choose("dialog [name=role]", "viewer").await;
    page.type_into("dialog [name=ip_allowlist]", "10.0.0.1/8\n").await;
    check(page, "a full form").await;
    page.shot("3-form").await;
    page.press("Create").await;
    page.see(".field-error span").await;
    check(page, "errors").await;
    page.shot("4-errors").await;
    page.click("[aria-label='Remove 10.0.0.1/8']").await;
    for remove in ["resources", "metadata"] {
        page.click(&format!("dialog [data-field={remove}] .row > .button")).await;
    }
    page.type_into("dialog [name=name]", "Throw-away demonstration").await;
    page.type_into("dialog [name=owner]", "powerverse").await;
    page.type_into("dialog [name=limit]", "5000").await;
    page.press("Create").await;
    page.see(".secret").await;
    // The picture is shown to people: what stands in it is no key.
    page.js("const box = document.querySelector('.secret'); box.textContent = box.textContent.replace(/_[^_]*$/, '_ThrowAwayExampleThatIsNoSecretAndOpensNothingAtAll0');", vec![]).await;
    check(page, "the secret").await;
    page.shot("5-secret").await;
    page.press("I have copied it").await;
    page.gone("dialog").await;

    page.press("Schedule Management Service").await;
    page.see(".chart").await;
    page.see(".event").await;
    page.press("Test").await;
    page.see(".verdict").await;
    check(page, "a key").await;
    page.js("scrollTo(0, 0)", vec![]).await;
    page.shot("6-key").await;
    for (action, name) in
        [("rotate", "7-rotate"), ("regenerate", "7-regenerate"), ("revoke", "7-revoke")]
    {
        page.click(&format!("[data-action={action}]")).await;
        page.see("dialog[open]").await;
        check(page, action).await;
        page.shot(name).await;
        page.press("Cancel").await;
        page.gone("dialog").await;
    }
    page.press("Reports").await;
    page.see(".report").await;
    check(page, "reports").await;
    page.shot("8-reports").await;
}
