//! Rows that somebody wrote by hand, or a newer release: they are listed, and harm no other.

use keyward::{
    Change, Expect, KeyId, KeyQuery, KeyRecord, KeyStore, ListPosition, OwnerCap, Reason,
    StoreErrorKind,
};

use super::servers::Postgres;
use super::{common, empty, service, store};

/// Documents that are none, and what the columns make of them: owner, state, instants.
/// `ID` is the id of the row.
const TEXTS: [(&str, &str); 15] = [
    ("", "||0|"),
    ("{ damaged", "||0|"),
    ("null", "||0|"),
    ("[1]", "||0|"),
    (r#""owner""#, "||0|"),
    (r#"{"owner":7,"state":"revoked","created_at":false}"#, "||0|"),
    (r#"{"owner":"org_2","encoding":2,"state":{"is":"revoked"}}"#, "org_2||0|"),
    (
        r#"{"owner":"o","encoding":1,"id":"ID","version":1,"state":{"is":"revoked","new":1}}"#,
        "o|revoked|0|",
    ),
    (r#"{"owner":"o","encoding":1,"state":{"is":"revoked"}}"#, "o||0|"),
    (r#"{"owner":"o","encoding":1,"id":"ID","version":2,"state":{"is":"revoked"}}"#, "o||0|"),
    (r#"{"owner":"o","encoding":1,"id":"I","version":1,"state":{"is":"revoked"}}"#, "o||0|"),
    (r#"{"owner":"o","created_at":"now","encoding":1,"expires_at":"tomorrow"}"#, "o||0|"),
    (r#"{"created_at":"2026-13-01T00:00:00Z"}"#, "||0|"),
    (
        r#"{"created_at":"1970-01-01T01:00:00.0000019+01:00","encoding":1,"id":"ID","version":1,
           "expires_at":"1969-12-31T23:59:59.999999Z"}"#,
        "||1|-1",
    ),
    (r#"{"name":"\u0000","owner":"o"}"#, "||0|"),
];

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn columns_put_up_with_any_text() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 2);
    store.migrate().await.unwrap();
    let issued = service(&store).issue(&common::system(), common::new_key("good")).await.unwrap();
    for (number, (text, columns)) in (1_u8..).zip(TEXTS) {
        let id = KeyId::from_bytes([number; 10]);
        let text = text.replace("ID", &id.to_string());
        let insert = format!(
            "INSERT INTO keyward_keys (id, version, document) VALUES ('{id}', 1, $doc${text}$doc$)"
        );
        server.psql(&database, &insert);
        let select = format!(
            "SELECT owner, state, created_at, expires_at FROM keyward_keys WHERE id = '{id}'"
        );
        assert_eq!(server.psql(&database, &select), columns, "{text}");
        let found = store.get(id).await.unwrap().unwrap();
        assert!(!found.is_readable());
        assert_eq!(found.to_document(), text);
    }
    let all = store.list(&KeyQuery::new().with_revoked().limit(3)).await.unwrap();
    assert_eq!(all.len(), 3);
    let all = store.list(&KeyQuery::new().with_revoked()).await.unwrap();
    assert_eq!(all.len(), TEXTS.len() + 1);
    assert!(all.is_sorted_by_key(|record| std::cmp::Reverse(ListPosition::of(record))));
    assert_eq!(all[0].id(), issued.id());
    let theirs = store.list(&KeyQuery::new().owner("org_2")).await.unwrap();
    assert_eq!(theirs.len(), 1);
    assert_eq!(server.psql(&database, "SELECT count(*) FROM keyward_overview"), "16");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_column_can_not_be_edited_apart() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 2);
    store.migrate().await.unwrap();
    let issued = service(&store).issue(&common::system(), common::new_key("good")).await.unwrap();
    let id = issued.id();
    let edit = format!(
        "DO $$ BEGIN UPDATE keyward_keys SET owner = 'thief' WHERE id = '{id}';
         EXCEPTION WHEN generated_always THEN NULL; END $$"
    );
    server.psql(&database, &edit);
    let owner = format!("SELECT owner FROM keyward_keys WHERE id = '{id}'");
    assert_eq!(server.psql(&database, &owner), "org_1");
    // A row that was moved under another id is another key's document.
    let other = KeyId::from_bytes([9; 10]);
    server.psql(&database, &format!("UPDATE keyward_keys SET id = '{other}'"));
    assert!(!store.get(other).await.unwrap().unwrap().is_readable());
}

/// A revoked key's document that somebody put into a row where it doesn't belong can't be
/// read there: the row is listed, and counts as live.
#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_revoke_in_a_row_that_is_not_its_own_hides_nothing() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 2);
    store.migrate().await.unwrap();
    let (keys, actor) = (service(&store), common::system());
    let id = keys.issue(&actor, common::new_key("gone")).await.unwrap().id();
    keys.revoke(&actor, id, Reason::Unused).await.unwrap();
    assert!(store.list(&KeyQuery::new()).await.unwrap().is_empty());
    let other = KeyId::from_bytes([9; 10]);
    let moves = [("version + 1", id, 1), ("version - 1", id, 0), ("version", other, 1)];
    for (version, id, count) in moves {
        let edit = format!("UPDATE keyward_keys SET version = {version}, id = '{id}'");
        server.psql(&database, &edit);
        let listed = store.list(&KeyQuery::new()).await.unwrap();
        assert_eq!(listed.len(), count, "{edit}");
        assert!(listed.iter().all(|record| record.id() == id && !record.is_readable()));
    }
    let record = KeyRecord::from_row(KeyId::from_bytes([8; 10]), 1, r#"{"owner":"org_1"}"#);
    let cap = Some(OwnerCap { max: 1, now: common::START });
    let expect = Expect::Absent { cap };
    let full = store.commit(Change { record, expect, event: None }).await.unwrap_err();
    assert_eq!(full.kind(), StoreErrorKind::OwnerCapReached);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn an_identifier_that_could_leave_its_quotes_is_refused() {
    let store = empty(store(&Postgres::shared().url(), 1)).await;
    for name in ["a\"; DROP TABLE x; --", "ä", "1", "a b", &"x".repeat(64)] {
        let error = store.clone().schema(name).unwrap_err();
        assert_eq!(error.field(), "schema");
        let error = store.clone().prefix(name).unwrap_err();
        assert_eq!(error.field(), "prefix");
    }
}
