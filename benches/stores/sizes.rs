//! What a record takes in a cache, and an entry of the log on disk.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use keyward::{Actor, KeyCache, KeyEdit, KeyService, PostgresStore, SqliteOptions, SqliteStore};
use pollster::block_on;
use rusqlite::Connection;
use sqlx::PgPool;

use crate::report::{Report, resident};
use crate::servers::postgres::Postgres;
use crate::{keys, rate, scheme, service, tokens, verify};

const LONG: Duration = Duration::from_secs(600);

/// What tells this bench to measure sizes and nothing else.
pub(crate) const ALONE: &str = "--sizes";

/// In a process of its own: what others have freed would be filled first, and what is freed
/// here would be filled by others.
pub(crate) fn run(report: &mut Report) {
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let told = alone.arg(ALONE).stderr(Stdio::inherit()).output().unwrap();
    assert!(told.status.success(), "the sizes could not be measured");
    for line in String::from_utf8(told.stdout).unwrap().lines() {
        let (name, number) = line.split_once(' ').unwrap();
        report.number(name, number.parse().unwrap());
    }
}

/// Measures them, and writes each on a line.
pub(crate) fn tell(keys: usize) {
    let mut report = Report::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&mut report, keys));
    for (name, number) in &report.numbers {
        println!("{name} {number}");
    }
}

async fn measure(report: &mut Report, keys: usize) {
    let name = format!("keyward-sizes-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("keys.db");
    // Read on the thread that asks: then records lie in its memory.
    let store = SqliteOptions::new().in_place().open(&file).unwrap();
    let ours = service(store.clone());
    let all = tokens(&ours, keys).await;
    if let Some(bytes) = cached(store, &all) {
        report.number("cached_bytes_per_record", bytes as f64 / keys as f64);
    }
    let before = sqlite_log(&file);
    edit_each(&ours, &all).await;
    let bytes = sqlite_log(&file) - before;
    report.number("sqlite_bytes_per_log_entry", bytes as f64 / keys as f64);
    std::fs::remove_dir_all(&folder).unwrap();

    let server = Postgres::start(&["fsync=off"]);
    let store = PostgresStore::new(PgPool::connect(&server.url()).await.unwrap());
    store.migrate().await.unwrap();
    let ours = service(store);
    let all = tokens(&ours, keys).await;
    let size = || -> f64 {
        let size = server.psql("postgres", "SELECT pg_total_relation_size('keyward_log')");
        size.trim().parse().unwrap()
    };
    let before = size();
    edit_each(&ours, &all).await;
    report.number("postgres_bytes_per_log_entry", (size() - before) / keys as f64);
}

/// Bytes that a cache takes which is full of these keys, each verified: what is kept to count
/// its local limit is among them, and what a table that grew has left.
fn cached(store: SqliteStore, tokens: &[String]) -> Option<u64> {
    let verify_each = |keys: &KeyService| {
        for token in tokens {
            block_on(verify(keys, token));
        }
    };
    // What reading takes by itself is taken before, and nothing is given back meanwhile.
    let through = KeyCache::builder(store.clone()).read_through().build();
    let through = KeyService::new(scheme(), through);
    verify_each(&through);
    let cache = KeyCache::builder(store).capacity(tokens.len()).max_age(LONG).build();
    let keys = KeyService::new(scheme(), cache);
    let before = resident()?;
    // Read twice, with a pass over the log between, and some again that made room meanwhile.
    for _ in 0..4 {
        block_on(keys.maintain()).unwrap();
        verify_each(&keys);
    }
    let after = resident()?;
    drop((keys, through));
    after.checked_sub(before)
}

/// An edit of two fields of each key, eight at a time.
async fn edit_each(service: &KeyService, tokens: &[String]) {
    let actor = Actor::system("bench");
    let edit = |number: usize| {
        let (token, actor) = (&tokens[number], &actor);
        async move {
            let id = service.verify(token, &keys::request()).await.unwrap().key_id();
            let edit = KeyEdit::new().name(format!("Renamed {number}"));
            service.update(actor, id, edit.permissions(["read:assets"])).await.unwrap();
        }
    };
    rate(tokens.len(), 8, edit).await;
}

/// Bytes of the log's table and of its index.
fn sqlite_log(file: &Path) -> f64 {
    let size = "SELECT sum(pgsize) FROM dbstat WHERE name IN \
                (SELECT name FROM sqlite_schema WHERE tbl_name = 'log')";
    let bytes: i64 = Connection::open(file).unwrap().query_row(size, [], |row| row.get(0)).unwrap();
    bytes as f64
}
