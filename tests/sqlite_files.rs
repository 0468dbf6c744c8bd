//! Files that can't be what they should: each is refused in words that say what to do, and
//! left as it was.
#![cfg(feature = "sqlite")]

mod sqlite;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use keyward::{
    Actor, ChangeFeed, KeyQuery, KeyStore, LogQuery, ManageError, NewKey, Reason, SqliteOptions,
    SqliteStore, StoreError, StoreErrorKind, UsageStore,
};
use pollster::block_on;
use sqlite::{Scratch, service};

fn system() -> Actor {
    Actor::system("test")
}

fn issue(store: &SqliteStore) -> Result<keyward::IssuedKey, ManageError> {
    let new = NewKey::named("key").owner("org_1").permissions(["read:assets"]);
    block_on(service(store).issue(&system(), new))
}

#[track_caller]
fn refused(path: &Path, kind: StoreErrorKind, words: &str) -> StoreError {
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(50));
    let error = options.open(path).expect_err("the file was opened");
    assert_eq!(error.kind(), kind, "{error}; {:?}", error.source());
    assert!(error.to_string().contains(words), "{error}");
    error
}

#[test]
fn what_is_no_database_is_left_alone() {
    let scratch = Scratch::new();
    let text = "owner,key\n".repeat(1_000);
    fs::write(scratch.file(), &text).unwrap();
    let error = refused(&scratch.file(), StoreErrorKind::Corrupt, "not an SQLite database");
    assert!(error.source().is_some());
    assert_eq!(fs::read_to_string(scratch.file()).unwrap(), text);
    assert_eq!(fs::read_dir(scratch.folder()).unwrap().count(), 1);
}

#[test]
fn another_applications_database_is_left_alone() {
    for sql in [
        "CREATE TABLE keys (id TEXT)",
        "CREATE TABLE orders (id TEXT)",
        "CREATE VIEW numbers AS SELECT 1",
        "PRAGMA application_id = 7",
        "PRAGMA application_id = 7; CREATE TABLE keys (id TEXT)",
        "PRAGMA user_version = 3",
    ] {
        let scratch = Scratch::new();
        scratch.sql().execute_batch(sql).unwrap();
        let before = fs::read(scratch.file()).unwrap();
        refused(
            &scratch.file(),
            StoreErrorKind::Other,
            "is another application's; keys need a file",
        );
        assert_eq!(fs::read(scratch.file()).unwrap(), before, "{sql}");
    }
}

#[test]
fn a_newer_schema_is_not_touched() {
    let scratch = Scratch::new();
    let _ = issue(&scratch.open()).unwrap();
    scratch.sql().execute_batch("PRAGMA user_version = 4711").unwrap();
    let before = fs::read(scratch.file()).unwrap();
    refused(&scratch.file(), StoreErrorKind::Other, "a newer release of keyward has written");
    assert_eq!(fs::read(scratch.file()).unwrap(), before);
    scratch.sql().execute_batch("PRAGMA user_version = -1").unwrap();
    refused(&scratch.file(), StoreErrorKind::Corrupt, "`user_version`, is negative");
    scratch.sql().execute_batch("PRAGMA user_version = 1").unwrap();
    assert_eq!(block_on(scratch.open().list(&KeyQuery::new())).unwrap().len(), 1);
}

#[test]
fn a_file_that_lacks_tables_or_columns_is_not_believed() {
    for sql in [
        "DROP TABLE log",
        "DROP TABLE settings",
        "DROP TABLE usage_hours",
        "DROP TABLE keys; CREATE TABLE keys (id TEXT, document TEXT)",
        "ALTER TABLE keys RENAME COLUMN owner TO tenant",
    ] {
        let scratch = Scratch::new();
        drop(scratch.open());
        scratch.sql().execute_batch(sql).unwrap();
        let error = refused(&scratch.file(), StoreErrorKind::Corrupt, "somebody has changed them");
        assert!(error.source().is_some(), "{sql}");
    }
}

#[test]
fn a_damaged_file_says_so_when_it_is_read() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let ids: Vec<_> = (0..50).map(|_| issue(&store).unwrap().view().id).collect();
    drop(store);
    let mut bytes = fs::read(scratch.file()).unwrap();
    for byte in &mut bytes[4_096..] {
        *byte = 0xa5;
    }
    fs::write(scratch.file(), bytes).unwrap();
    let corrupt = |error: StoreError| {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}; {:?}", error.source());
        assert!(error.to_string().contains("restore a backup"), "{error}");
    };
    match SqliteStore::open(scratch.file()) {
        Err(error) => corrupt(error),
        Ok(store) => {
            corrupt(block_on(store.get(ids[0])).unwrap_err());
            corrupt(block_on(store.list(&KeyQuery::new())).unwrap_err());
            assert!(issue(&store).is_err());
        }
    }
}

#[test]
fn paths_that_lead_nowhere_say_what_they_lack() {
    let scratch = Scratch::new();
    let words = "its folder must exist and be readable and writable";
    refused(&scratch.folder().join("no/such/folder/keys.db"), StoreErrorKind::Other, words);
    refused(scratch.folder(), StoreErrorKind::Other, words);
    for nowhere in ["", ":memory:"] {
        refused(Path::new(nowhere), StoreErrorKind::Other, "name a file; what keeps keys in");
    }
    assert_eq!(fs::read_dir(scratch.folder()).unwrap().count(), 0);
    // No text in a path is anything but a name.
    for name in ["file:keys.db?mode=memory", "a b'\"%;.db", "ключи.db"] {
        let _ = issue(&SqliteStore::open(scratch.folder().join(name)).unwrap()).unwrap();
        assert!(scratch.folder().join(name).is_file(), "{name}");
    }
}

#[test]
fn an_empty_file_is_a_new_one() {
    let scratch = Scratch::new();
    fs::write(scratch.file(), "").unwrap();
    let _ = issue(&scratch.open()).unwrap();
}

/// What the user may not write is refused when it is opened, not at the first revoke.
#[cfg(unix)]
#[test]
fn what_may_not_be_written_is_refused() {
    use sqlite::{Other, role, say};

    if let Some(folder) = role() {
        let of = |name: &str| Path::new(&folder).join(name).join("keys.db");
        let words = "must be writable";
        refused(&of("file"), StoreErrorKind::Other, words);
        refused(&of("folder"), StoreErrorKind::Other, "writable");
        refused(&of("empty"), StoreErrorKind::Other, "readable and writable");
        return say("refused");
    }
    let scratch = Scratch::new();
    for name in ["file", "folder", "empty"] {
        fs::create_dir(scratch.folder().join(name)).unwrap();
        if name != "empty" {
            let path = scratch.folder().join(name).join("keys.db");
            let _ = issue(&SqliteStore::open(path).unwrap()).unwrap();
        }
    }
    let mode = |path: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = scratch.folder().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("file/keys.db", 0o444);
    mode("file", 0o777);
    mode("folder/keys.db", 0o666);
    mode("folder", 0o555);
    mode("empty", 0o555);
    // Root may write everything, so another user has to try.
    let exe = scratch.folder().join("test");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let mut command = std::process::Command::new(exe);
    if is_root() {
        use std::os::unix::process::CommandExt;
        command.uid(65_534).gid(65_534);
    }
    let folder = scratch.folder().to_str().unwrap();
    let mut other = Other::run(command, "what_may_not_be_written_is_refused", folder, &[]);
    assert_eq!(other.hear().as_deref(), Some("refused"));
    other.join();
    mode("folder", 0o755);
    mode("empty", 0o755);
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_full_disk_fails_changes_whole_and_loses_nothing() {
    let scratch = Scratch::new();
    let store = SqliteOptions::new().max_size(200_000).open(scratch.file()).unwrap();
    let keys = service(&store);
    let mut ids = Vec::new();
    let error = loop {
        let new = NewKey::named("key").owner("org_1");
        match block_on(keys.issue(&system(), new)) {
            Ok(issued) => ids.push(issued.view().id),
            Err(error) => break error,
        }
        assert!(ids.len() < 10_000, "the file grew beyond its limit");
    };
    let ManageError::Store(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), StoreErrorKind::Other);
    assert!(error.to_string().contains("no room is left on the disk"), "{error}");
    assert!(error.source().unwrap().to_string().contains("full"));

    let check = |store: &SqliteStore, more: usize| {
        let listed = block_on(store.list(&KeyQuery::new().with_revoked().limit(20_000))).unwrap();
        let logged = block_on(store.log(&LogQuery::from(0).limit(20_000))).unwrap();
        assert_eq!(listed.len(), ids.len());
        assert_eq!(logged.len(), ids.len() + more);
        assert!(ids.iter().all(|id| listed.iter().any(|record| record.id() == *id)));
    };
    check(&store, 0);
    drop((store, keys));
    check(&scratch.open(), 0);

    // With room again, all goes on.
    let store = scratch.open();
    let keys = service(&store);
    block_on(keys.revoke(&system(), ids[0], Reason::Unused)).unwrap();
    check(&store, 1);
}

#[test]
fn a_file_too_small_for_the_tables_is_refused_and_can_be_opened_later() {
    let scratch = Scratch::new();
    let error = SqliteOptions::new().max_size(12_000).open(scratch.file()).unwrap_err();
    assert!(error.to_string().contains("no room is left"), "{error}");
    let _ = issue(&scratch.open()).unwrap();
}

#[test]
fn a_locked_file_is_unavailable() {
    let scratch = Scratch::new();
    let locker = scratch.sql();
    locker.execute_batch("BEGIN EXCLUSIVE; CREATE TABLE mine (a)").unwrap();
    let error = refused(&scratch.file(), StoreErrorKind::Unavailable, "locked by somebody else");
    assert!(error.is_retryable() && error.source().is_some());
    locker.execute_batch("ROLLBACK").unwrap();

    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(50));
    let store = options.open(scratch.file()).unwrap();
    let id = issue(&store).unwrap().view().id;
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    refused(&scratch.file(), StoreErrorKind::Unavailable, "locked by somebody else");
    let ManageError::Store(error) = issue(&store).unwrap_err() else { panic!() };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(block_on(store.get(id)).unwrap().is_some(), "a read waits for no writer");
    locker.execute_batch("COMMIT").unwrap();
    let _ = issue(&store).unwrap();
}

#[test]
fn rows_of_any_content_break_no_query() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let id = issue(&store).unwrap().view().id;
    let foreign = "INSERT INTO keys (id, version, document) VALUES (?1, ?2, ?3)";
    let sql = scratch.sql();
    for (id, version, document) in [
        ("key_0000000000000001", -1, "{}"),
        ("key_0000000000000002", i64::MAX, "{\"owner\":7}"),
        ("key_0000000000000003", 1, "nothing \0 at all"),
        ("", 1, "{}"),
        ("no key", 1, "{\"owner\":\"org_1\"}"),
    ] {
        sql.execute(foreign, (id, version, document)).unwrap();
    }
    let bytes = "INSERT INTO keys (id, version, document)
        VALUES ('key_0000000000000004', 1, CAST(x'ff00fe7b' AS TEXT))";
    sql.execute_batch(bytes).unwrap();
    let other = issue(&store).unwrap().view().id;
    let damage = "UPDATE keys SET document = replace(document, '\"revision\":1', '\"revision\":x')
        WHERE id = ?1";
    assert_eq!(sql.execute(damage, [id.to_string()]).unwrap(), 1);

    let all = block_on(store.list(&KeyQuery::new())).unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(all.iter().filter(|record| record.is_readable()).count(), 1);
    assert_eq!(all[0].id(), other, "what has no date is at the end");
    for listed in &all {
        let got = block_on(store.get(listed.id())).unwrap().unwrap();
        assert_eq!(got.to_document(), listed.to_document());
        assert_eq!(got.created_at(), listed.created_at());
    }
    let capped = |cap| {
        let new = NewKey::named("key").owner("org_1");
        block_on(service(&store).issue(&system().key_cap(cap), new))
    };
    // One that is whole, and one that claims the owner.
    assert!(matches!(capped(2), Err(ManageError::KeyLimitReached { .. })));
    let _ = capped(3).unwrap();
    sql.execute("INSERT INTO log (event) VALUES ('damaged')", []).unwrap();
    let error = block_on(store.log(&LogQuery::from(0))).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[test]
fn sixteen_at_once_make_one_file() {
    for _ in 0..5 {
        let scratch = Scratch::new();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| issue(&scratch.open()).unwrap());
            }
        });
        assert_eq!(block_on(scratch.open().list(&KeyQuery::new())).unwrap().len(), 16);
    }
}

/// However far the other has come with it.
#[test]
fn a_file_that_another_is_making_is_ours() {
    for round in 0..200 {
        let scratch = Scratch::new();
        std::thread::scope(|scope| {
            scope.spawn(|| scratch.open());
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(20) * round {}
            scratch.open();
        });
    }
}

/// Nobody is told that a key is revoked in a file that is gone.
#[cfg(unix)]
#[test]
fn a_file_that_was_replaced_is_not_written_to() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let id = issue(&store).unwrap().view().id;
    let aside = scratch.folder().join("aside.db");
    fs::rename(scratch.file(), &aside).unwrap();
    // What was seen holds for a millisecond.
    thread::sleep(Duration::from_millis(2));
    for replaced in [false, true] {
        if replaced {
            fs::copy(&aside, scratch.file()).unwrap();
        }
        let gone = |error: StoreError| {
            assert_eq!(error.kind(), StoreErrorKind::Other);
            assert!(error.to_string().contains("start the process again"), "{error}");
        };
        gone(block_on(store.get(id)).unwrap_err());
        gone(block_on(store.changes(&LogQuery::from(0))).unwrap_err());
        gone(block_on(store.trim_log(keyward::Timestamp::MAX)).unwrap_err());
        gone(block_on(store.add(&[])).unwrap_err());
        assert!(matches!(issue(&store), Err(ManageError::Store(_))));
    }
    fs::rename(&aside, scratch.file()).unwrap();
    block_on(service(&store).get(&system(), id)).unwrap();
    let _ = issue(&store).unwrap();
}

#[test]
fn the_last_drop_closes_the_file() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let clone = store.clone();
    let _ = issue(&store).unwrap();
    drop(store);
    assert_eq!(fs::read_dir(scratch.folder()).unwrap().count(), 3);
    drop(clone);
    assert_eq!(fs::read_dir(scratch.folder()).unwrap().count(), 1, "a log was left beside it");
}
