//! What can't be seen from outside: the plans of statements, the steps of the schema, columns
//! against the records they are made of, and commits that share a transaction.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;

use super::answer::channel as answer;
use super::commit::{Commit, Committing, TRIM};
use super::open::{Durability, Place, migrate};
use super::read::select;
use super::schema::{APPLICATION_ID, STEPS, Step};
use super::stamp::stamp;
use crate::error::StoreErrorKind;
use crate::grant::Environment;
use crate::record::KeyRecord;
use crate::store::{Change, Expect, KeyQuery, ListPosition};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

fn memory() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    migrate(&connection, STEPS).unwrap();
    connection
}

fn plan(connection: &Connection, sql: &str, values: usize) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let values = rusqlite::params_from_iter(vec![""; values]);
    let steps = statement.query_map(values, |row| row.get::<_, String>(3)).unwrap();
    steps.map(|step| step.unwrap()).collect::<Vec<_>>().join("; ")
}

#[test]
fn lists_walk_an_index_and_sort_nothing() {
    let connection = memory();
    let after = ListPosition { created_at: Timestamp::UNIX_EPOCH, id: KeyId::from_bytes([0; 10]) };
    let all = KeyQuery::new();
    let filtered = all.clone().environment(Environment::SANDBOX).created_by("alice");
    let filtered = filtered.expires_before(Timestamp::MAX).after(after);
    for query in [all.clone(), all.with_revoked(), filtered] {
        for (query, index) in
            [(query.clone(), "keys_by_time"), (query.owner("org_1"), "keys_by_owner")]
        {
            let (sql, values) = select(&query);
            let plan = plan(&connection, &sql, values.len());
            assert!(plan.contains(&format!("USING INDEX {index}")), "{query:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
        }
    }
}

/// A long log is trimmed in as many steps as a short one, for as many entries.
#[test]
fn what_is_trimmed_costs_nothing_for_what_is_left() {
    let steps = |entries: u32| {
        let connection = memory();
        let add = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
            INSERT INTO log (event) SELECT json_object('at', '2024-01-01T00:00:00Z') FROM n";
        connection.execute(add, [entries]).unwrap();
        let mut trim = connection.prepare(TRIM).unwrap();
        assert_eq!(trim.execute(("2025-01-01T00:00:00Z", 100)).unwrap(), 100);
        trim.get_status(rusqlite::StatementStatus::VmStep)
    };
    let (short, long) = (steps(200), steps(20_000));
    assert!(long < short * 2, "{short} steps, and {long}");
}

#[test]
fn caps_and_the_log_of_a_key_read_an_index() {
    let connection = memory();
    let cap = plan(&connection, super::commit::LIVE, 3);
    assert!(cap.contains("USING INDEX keys_by_owner (owner=?)"), "{cap}");
    let log = "SELECT position, event FROM log WHERE position < ? AND key = ?
        ORDER BY position DESC LIMIT 5";
    let log = plan(&connection, log, 2);
    assert!(log.contains("log_by_key (key=? AND rowid<?)") && !log.contains("TEMP"), "{log}");
}

/// What the columns of a document say: owner, `created_at` and `expires_at`.
fn columns(document: &str) -> (String, String, Option<String>) {
    let connection = memory();
    let id = KeyId::from_bytes([7; 10]).to_string();
    connection
        .execute("INSERT INTO keys (id, version, document) VALUES (?1, 1, ?2)", (id, document))
        .unwrap();
    connection
        .query_row("SELECT owner, created_at, expires_at FROM keys", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap()
}

fn column_of(instant: &str) -> String {
    columns(&serde_json::json!({ "created_at": instant }).to_string()).1
}

#[test]
fn columns_put_up_with_any_document() {
    let epoch = stamp(Timestamp::UNIX_EPOCH);
    for document in [
        "",
        "{",
        "null",
        "[]",
        "\"owner\"",
        "{\"owner\":1,\"created_at\":7,\"expires_at\":true}",
        "{\"owner\":null,\"created_at\":\"now\",\"expires_at\":\"now\"}",
        "{\"owner\":{\"a\":1},\"created_at\":[],\"expires_at\":{}}",
        "{\"created_at\":\"2026-13-01T00:00:00Z\",\"expires_at\":\"2026-01-01\"}",
        "{\"created_at\":\"localtime\",\"expires_at\":\"0000-00-00T99:99:99Z\"}",
        "{\"created_at\":\"2026-01-01T00:00:00 utc\"}",
        "{\"created_at\":\"2026-01-01T00:00:00.12x4Z\"}",
        "\u{feff}{}",
        "{\"owner\":\"\\ud800\",\"owner\"",
    ] {
        assert_eq!(columns(document), (String::new(), epoch.clone(), None), "{document}");
    }
}

proptest! {
    #[test]
    fn an_instant_in_any_spelling_is_the_same_column(
        micros in Timestamp::MIN.as_micros()..=Timestamp::MAX.as_micros(),
        digits in 0_usize..=9,
        lower: bool,
        // As far as the zones of the world go; SQLite reads no other.
        offset in prop::option::of(-840_i64..=840),
    ) {
        // A day inside the range, so that an offset can't leave it.
        const DAY: i64 = 86_400_000_000;
        let first = Timestamp::MIN.as_micros() + DAY;
        let utc = Timestamp::from_micros(micros.clamp(first, Timestamp::MAX.as_micros() - DAY));
        let local = offset.unwrap_or(0) * 60_000_000 + utc.as_micros();
        let local = stamp(Timestamp::from_micros(local));
        let (seconds, fraction) = local.trim_end_matches('Z').split_once('.').unwrap();
        let fraction = &format!("{fraction}789")[..digits];
        let dot = if digits == 0 { "" } else { "." };
        let zone = match offset {
            None => "Z".to_owned(),
            Some(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
        };
        let text = format!("{seconds}{dot}{fraction}{zone}");
        let text = if lower { text.to_ascii_lowercase() } else { text };
        let read: Timestamp = text.parse().unwrap();
        prop_assert_eq!(column_of(&text), stamp(read), "{}", text);
    }

    #[test]
    fn text_sorts_as_time(a in any::<i64>(), b in any::<i64>()) {
        let (a, b) = (Timestamp::from_micros(a), Timestamp::from_micros(b));
        prop_assert_eq!(stamp(a).cmp(&stamp(b)), a.cmp(&b));
        prop_assert_eq!(stamp(a).parse::<Timestamp>().unwrap(), a);
    }

    #[test]
    fn an_owner_in_any_script_is_the_same_column(owner in "\\PC*") {
        let document = serde_json::json!({ "owner": owner }).to_string();
        let record = KeyRecord::from_row(KeyId::from_bytes([7; 10]), 1, &document);
        prop_assert_eq!(columns(&document).0, record.owner());
    }
}

fn number(connection: &Connection, pragma: &str) -> i64 {
    connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn a_file_takes_the_steps_that_it_lacks_and_no_other() {
    let connection = memory();
    assert_eq!(number(&connection, "application_id"), APPLICATION_ID);
    assert_eq!(number(&connection, "user_version"), 1);
    let second = || "CREATE TABLE second (a)".to_owned();
    let steps: [Step; 3] = [STEPS[0], second, || "CREATE TABLE third (a)".to_owned()];
    migrate(&connection, &steps[..2]).unwrap();
    migrate(&connection, &steps).unwrap();
    migrate(&connection, &steps).unwrap();
    assert_eq!(number(&connection, "user_version"), 3);
    let error = migrate(&connection, STEPS).unwrap_err().to_string();
    assert!(error.contains("a newer release of keyward has written the file"), "{error}");
}

#[test]
fn a_step_that_fails_leaves_the_file_as_it_was() {
    let folder = Folder::new();
    let place = Place::new(&folder.0.join("keys.db"), Duration::from_secs(1), None).unwrap();
    place.prepare().unwrap();
    let connection = place.open(Durability::Full).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let second = || "CREATE TABLE second (a)".to_owned();
    let steps: [Step; 3] = [STEPS[0], second, || "CREATE TABLE keys (a)".to_owned()];
    migrate(&connection, &steps).unwrap_err();
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(number(&connection, "user_version"), 1);
    assert!(connection.prepare("SELECT a FROM second").is_err());
}

#[test]
fn what_is_refused_within_a_transaction_leaves_the_rest_of_it() {
    let connection = memory();
    let commit = |id, version, expect| {
        let document = format!("version {version} of {id}");
        let record = KeyRecord::from_row(KeyId::from_bytes([id; 10]), version, &document);
        Commit::new(&Change { record, expect, event: None }).unwrap()
    };
    let absent = Expect::Absent { cap: None };
    let (waiting, answers): (Vec<_>, Vec<_>) = [
        (commit(1, 1, absent), None),
        (commit(1, 7, absent), Some(StoreErrorKind::AlreadyExists)),
        (commit(2, 1, absent), None),
        (commit(2, 2, Expect::Version(5)), Some(StoreErrorKind::Conflict)),
        (commit(1, 2, Expect::Version(1)), None),
    ]
    .into_iter()
    .map(|(commit, refused)| {
        let (reply, answer) = answer();
        ((commit, reply), (answer, refused))
    })
    .unzip();
    Committing::of(&connection).run(waiting);
    for (answer, refused) in answers {
        assert!(answer.is_here(), "each is answered");
        assert_eq!(pollster::block_on(answer).err().map(|error| error.kind()), refused);
    }
    let mut rows = connection.prepare("SELECT document FROM keys ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap);
    assert_eq!(rows.collect::<Vec<String>>(), ["version 2 of 1", "version 1 of 2"]);
}

/// A folder that is gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("keyward-steps-{}", std::process::id()));
        // A process of this number may have been killed in the midst of it.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
