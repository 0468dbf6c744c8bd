//! Answers that don't arrive: told, repeated, and nothing done twice.

use keyward::NewKey;
use serde_json::{Value, json};

use crate::page::{Page, browse};

#[test]
#[ignore = "needs Chromium"]
fn a_repeated_creation_makes_no_second_key() {
    browse("lost", &[0, 409], |page, world| async move {
        page.sign_in().await;
        page.press("Create new key").await;
        page.type_into("dialog [name=name]", "throw-away").await;
        page.type_into("dialog [name=owner]", "org_1").await;
        page.type_into("dialog [name=permissions]", "read:assets\n").await;
        world.lose_answers(true);
        page.press("Create").await;
        page.says("dialog .callout", "Trying again is safe").await;
        assert_eq!(world.listed().len(), 1);

        world.lose_answers(false);
        page.press("Try again").await;
        page.says("dialog .callout", "its secret was lost on the way").await;
        page.says("dialog .callout", &world.listed()[0].id.to_string()).await;
        page.shot("already-issued").await;
        page.press("Regenerate its secret").await;
        let token = page.text(".secret").await;
        page.press("I have copied it").await;
        page.gone("dialog").await;
        assert_eq!(world.listed().len(), 1);
        assert_eq!(world.sites(&token), (200, String::new()));
    });
}

#[test]
#[ignore = "needs Chromium"]
fn other_entries_after_a_lost_answer_are_not_taken_for_the_same() {
    browse("mismatch", &[0, 422], |page, world| async move {
        page.sign_in().await;
        page.press("Create new key").await;
        page.type_into("dialog [name=name]", "first").await;
        page.type_into("dialog [name=owner]", "org_1").await;
        world.lose_answers(true);
        page.press("Create").await;
        page.says("dialog .callout", "Trying again is safe").await;
        world.lose_answers(false);
        page.fill("dialog [name=name]", "second").await;
        page.press("Try again").await;
        page.says("dialog .callout", "An earlier attempt did create a key").await;
        assert_eq!(world.listed().len(), 1);
    });
}

#[test]
#[ignore = "needs Chromium"]
fn a_list_that_fails_can_be_read_again() {
    browse("offline", &[0], |page, _world| async move {
        page.sign_in().await;
        offline(&page, true).await;
        page.press("Refresh").await;
        page.says(".results .callout", "No answer came from the server").await;
        page.shot("told").await;
        offline(&page, false).await;
        page.press("Try again").await;
        page.says(".key-name", "Administrator").await;
    });
}

async fn offline(page: &Page, offline: bool) {
    page.devtools("Network.enable", &json!({})).await;
    let rate = if offline { 0 } else { -1 };
    let network: Value = json!({
        "offline": offline, "latency": 0, "downloadThroughput": rate, "uploadThroughput": rate,
    });
    page.devtools("Network.emulateNetworkConditions", &network).await;
}

#[test]
#[ignore = "needs Chromium"]
fn a_lost_rotation_is_told_and_the_way_on_works() {
    browse("lost-rotation", &[0, 409], |page, world| async move {
        let (id, old) = world.issue(reader("Rotated"));
        page.sign_in().await;
        page.press("Rotated").await;
        page.press("Rotate…").await;
        world.lose_answers(true);
        page.press("Rotate").await;
        page.says("dialog .callout", "its old secret works until its time is up").await;
        page.says("dialog .callout", "or tells that a rotation is running").await;
        page.shot("unsure").await;
        assert_eq!((world.view(id).secrets.len(), world.sites(&old).0), (2, 200));

        world.lose_answers(false);
        page.press("Rotate").await;
        page.says("dialog .callout", "the old secret works until its time is up").await;
        page.says("dialog .callout", "regenerate the key, which ends both at once").await;
        page.shot("running").await;
        // The view behind knows it too.
        page.says(".rotation", "A rotation is running").await;

        // With the box, which the refusal brings, an answer is lost once more.
        page.click("dialog .dialog-note input[type=checkbox]").await;
        world.lose_answers(true);
        page.press("Rotate").await;
        page.says("dialog .callout", "Trying again is safe").await;
        assert_eq!((world.view(id).secrets.len(), world.sites(&old).0), (2, 401));
        let lost = world.view(id).revision;
        world.lose_answers(false);
        page.press("Rotate").await;
        page.says("dialog .callout", "or rotate once more and stop the older one").await;
        assert_eq!(world.view(id).revision, lost);
        page.click("dialog .dialog-note input[type=checkbox]").await;
        page.press("Rotate").await;
        let token = page.text(".secret").await;
        page.says(".secret-dialog", "keeps working until its time is up").await;
        page.press("I have copied it").await;
        page.gone("dialog").await;
        assert_eq!(world.sites(&token).0, 200);
    });
}

#[test]
#[ignore = "needs Chromium"]
fn a_lost_secret_that_replaced_the_old_one_is_replaced_by_trying_again() {
    browse("lost-secret", &[0], |page, world| async move {
        let (_, mut token) = world.issue(reader("Replaced"));
        page.sign_in().await;
        page.press("Replaced").await;
        for action in ["Regenerate", "Rotate"] {
            page.press(&format!("{action}…")).await;
            if action == "Rotate" {
                page.choose("dialog [name=grace]", "0").await;
            }
            world.lose_answers(true);
            page.press(action).await;
            page.says("dialog .callout", "its old secret has stopped").await;
            page.says("dialog .callout", "Trying again is safe: it gives a new secret.").await;
            assert_eq!(world.sites(&token).0, 401);
            world.lose_answers(false);
            page.press(action).await;
            token = page.text(".secret").await;
            if action == "Rotate" {
                page.says(".secret-dialog", "The old secret has stopped working").await;
            }
            page.press("I have copied it").await;
            page.gone("dialog").await;
            assert_eq!(world.sites(&token).0, 200);
        }
    });
}

#[test]
#[ignore = "needs Chromium"]
fn an_edit_that_got_through_unseen_is_not_laid_on_others() {
    browse("lost-edit", &[0, 412], |page, world| async move {
        let (id, _) = world.issue(reader("Old name"));
        page.sign_in().await;
        page.click(&format!("tr[data-key='{id}'] [data-action=edit]")).await;
        page.fill("dialog [name=name]", "New name").await;
        world.lose_answers(true);
        page.press("Save changes").await;
        page.says("dialog .callout", "No answer came from the server").await;
        assert_eq!(world.view(id).name, "New name");
        world.lose_answers(false);
        page.press("Save changes").await;
        page.says("dialog .callout", "by your earlier try, or by somebody else").await;
        page.press("Load the current state").await;
        page.gone("dialog .callout").await;
        page.press("Save changes").await;
        page.says(".toast", "Nothing was changed").await;
        assert_eq!(world.view(id).revision, 2);
    });
}

fn reader(name: &str) -> NewKey {
    NewKey::named(name).owner("org_1").permissions(["read:assets"])
}
