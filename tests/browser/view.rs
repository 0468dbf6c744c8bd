//! A key's own view, and the reports.

use keyward::NewKey;

use crate::page::browse;

#[test]
#[ignore = "needs Chromium"]
fn usage_trail_and_decisions_are_shown() {
    browse("view", &[], |page, world| async move {
        let new = NewKey::named("Seen")
            .owner("org_1")
            .permissions(["read:assets"])
            .ip_allowlist(["127.0.0.0/8"]);
        let (id, token) = world.issue(new);
        for _ in 0..5 {
            assert_eq!(world.sites(&token).0, 200);
        }
        page.sign_in().await;
        page.press("Seen").await;
        page.says("h1", "Seen").await;
        page.says(".figures", "5 uses in all").await;
        page.says(".figures", "127.0.0.1").await;
        assert_eq!(page.count(".bar-use").await, 1);
        page.press("Show as a table").await;
        page.says(".as-table td.number", "5").await;
        for span in ["day", "month", "week"] {
            page.choose("[name=span]", span).await;
            page.says(".usage .hint", ": 5 uses").await;
        }
        page.says(".trail .issued", "Issued by host").await;

        page.type_into(".tester [name=client_ip]", "127.0.0.1").await;
        page.type_into(".tester [name=scopes]", "read:assets\n").await;
        page.press("Test").await;
        page.says(".verdict", "Would be allowed").await;
        assert_eq!(page.count(".step.check").await, 11);
        page.type_into(".tester [name=scopes]", "write:assets\n").await;
        page.press("Test").await;
        page.says(".verdict", "Would be refused").await;
        page.says(".step.cross", "lacks write:assets").await;
        page.says(".step.dash", "Not reached").await;
        page.fill(".tester [name=client_ip]", "198.51.100.1").await;
        page.press("Test").await;
        page.says(".step.cross", "198.51.100.1 is in none of the allowed networks").await;
        page.shot("decision").await;
        assert_eq!(world.view(id).uses, 5);

        page.fill(".tester [name=client_ip]", "").await;
        page.press("Edit").await;
        page.type_into("dialog [name=permissions]", "read:sites\n").await;
        page.press("Save changes").await;
        page.says(".trail .updated", "Updated by alice@example.com").await;
        page.says(".trail .updated", "permissions").await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn reports_name_what_wants_attention() {
    browse("reports", &[], |page, world| async move {
        let soon = world.keys.now().saturating_add(std::time::Duration::from_secs(86_400));
        let (id, _) = world.issue(NewKey::named("Ends tomorrow").owner("org_1").expires_at(soon));
        page.sign_in().await;
        page.press("Reports").await;
        page.says(".report a", "Ends tomorrow").await;
        page.says("h2", "Rotation due").await;
        page.says("h2", "Broken seals").await;
        page.shot("all").await;
        page.press("Ends tomorrow").await;
        page.says(".key code", &id.to_string()).await;
    });
}

#[test]
#[ignore = "needs Chromium"]
fn a_key_that_is_not_there_is_told() {
    browse("missing", &[404], |page, _world| async move {
        page.sign_in().await;
        page.go("#/keys/key_0000000000000000").await;
        page.says(".callout", "There is no such key").await;
        page.press("All keys").await;
        page.see(".keys").await;
    });
}
