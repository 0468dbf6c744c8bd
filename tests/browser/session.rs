//! Signing in and out, and what the page's policy stops.

use std::time::Duration;

use keyward::Reason;
use serde_json::json;

use crate::page::browse;
use crate::world::host;

#[test]
#[ignore = "needs Chromium"]
fn a_wrong_key_is_refused_and_a_right_one_is_kept_nowhere() {
    browse("session", &[401], |page, world| async move {
        page.type_into("#admin-key", "ak_live_wrong\n").await;
        page.says(".callout", "This key is not accepted").await;
        page.press("Use this site’s session instead").await;
        page.says(".callout", "This key is not accepted").await;
        page.shot("refused").await;
        page.client.refresh().await.unwrap();
        page.sign_in().await;
        let kept = "return [localStorage.length, sessionStorage.length, document.cookie, \
                    document.documentElement.outerHTML.includes(arguments[0])]";
        let kept = page.js(kept, vec![json!(world.admin)]).await;
        assert_eq!(kept, json!([0, 0, "", false]));

        page.press("Sign out").await;
        page.see("#admin-key").await;
        assert_eq!(page.count("tr[data-key], dialog").await, 0);
        page.go("#/reports").await;
        page.see("#admin-key").await;
        page.sign_in_again().await;
        page.says("h1", "Reports").await;
        page.see(".report").await;

        world.keys.revoke(&host(), world.admin_id, Reason::Policy).await.unwrap();
        page.press("Keys").await;
        page.says(".callout", "The key is no longer accepted").await;
        assert_eq!(page.count("tr[data-key], .report").await, 0);
    });
}

#[test]
#[ignore = "needs Chromium"]
fn the_page_works_below_a_path() {
    browse("below", &[], |page, world| async move {
        let below = format!("http://{}/internal/console/", world.served.address);
        page.client.goto(&below).await.unwrap();
        page.sign_in().await;
        page.says(".key-name", "Administrator").await;
        page.press("Administrator").await;
        page.says(".figures", "uses in all").await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn an_address_that_cannot_be_decoded_is_taken_as_it_is() {
    browse("address", &[404], |page, _| async move {
        page.sign_in().await;
        page.says(".key-name", "Administrator").await;
        for address in ["#/keys/%", "#/keys/%c3%28"] {
            page.go(address).await;
            page.says("h1", "Key").await;
            page.says(".callout", "There is no such key").await;
            assert_eq!(page.count("tr[data-key]").await, 0, "{address}");
            page.press("All keys").await;
            page.says(".key-name", "Administrator").await;
        }
    });
}

/// The tests rely on it: what is broken is seen.
#[test]
#[ignore = "needs Chromium"]
fn what_the_policy_stops_is_seen() {
    browse("policy", &[], |page, world| async move {
        for (script, says) in [
            ("document.body.innerHTML = '<b>x</b>'", "require-trusted-types-for"),
            (
                "const s = document.createElement('script'); s.src = 'data:text/javascript,1'; document.head.append(s)",
                "policy",
            ),
            ("document.body.setAttribute('style', 'color: red')", "style-src-attr"),
            ("fetch('http://127.0.0.1:1/').catch(() => {})", "connect-src"),
            (
                "const f = document.createElement('iframe'); f.src = '/console'; document.body.append(f)",
                "frame",
            ),
            ("setTimeout(() => { throw new Error('on purpose') })", "on purpose"),
            ("setTimeout(() => { Promise.reject(new Error('not handled')) })", "not handled"),
        ] {
            // What a violation throws is not what is asked for here.
            let guarded = format!("try {{ {script} }} catch {{}}");
            page.js(&guarded, vec![]).await;
            let mut problems = String::new();
            for _ in 0..100 {
                problems += &page.problems(&[]).await.join("\n");
                if problems.contains(says) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(problems.contains(says), "{script}: {problems}");
            page.js("window.problems.length = 0", vec![]).await;
        }
        let reply = world.served.client().get("/console");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        page.client.refresh().await.unwrap();
        page.see("#admin-key").await;
        page.problems(&[]).await;
    });
}
