//! Durable issues beside a bare loop that writes the same rows to the same tables.

use std::path::{Path, PathBuf};
use std::time::Instant;

use keyward::SqliteStore;
use rusqlite::{Connection, params};

use crate::report::Report;
use crate::{issue, median, rate, service, tokens, verify};

/// Issues of one round.
const BATCH: usize = 500;

pub(crate) async fn run(report: &mut Report, rounds: usize, keys: usize) {
    let folder = std::env::temp_dir().join(format!("keyward-stores-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let ours = service(SqliteStore::open(folder.join("ours.db")).unwrap());
    let all = tokens(&ours, keys).await;
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = open(&folder.join("ours.db")).query_row(size, [], |row| row.get(0)).unwrap();
    report.number("sqlite_bytes_per_key", bytes as f64 / keys as f64);
    // The same file, so that both write to tables of one size.
    open(&folder.join("ours.db"))
        .execute("VACUUM INTO ?", [path(&folder.join("bare.db"))])
        .unwrap();
    let mut bare = Bare::new(&folder, rounds);
    let (mut issued, mut issued_by_8, mut inserted, mut verified) =
        (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        inserted.push(bare.round());
        issued.push(rate(BATCH, 1, |number| issue(&ours, number)).await);
        issued_by_8.push(rate(BATCH * 4, 8, |number| issue(&ours, number)).await);
        verified.push(rate(5_000, 1, |number| verify(&ours, &all[number * 7 % keys])).await);
    }
    let [issued, issued_by_8, inserted] = [issued, issued_by_8, inserted].map(median);
    report.number("sqlite_issue_per_second", issued);
    report.number("sqlite_issue_by_8_per_second", issued_by_8);
    report.number("sqlite_bare_insert_per_second", inserted);
    report.number("sqlite_verify_per_second", median(verified));
    report.number("sqlite_issue_over_bare", issued / inserted);
    report.number("sqlite_issue_by_8_over_bare", issued_by_8 / inserted);
    drop(ours);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Further than the log of the copy reaches.
const BEHIND: i64 = 1_000_000_000;

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A connection with the store's pragmas, and rows as the store writes them.
struct Bare {
    connection: Connection,
    rows: Vec<(String, i64, String, i64, String)>,
    next: usize,
}

impl Bare {
    fn new(folder: &Path, rounds: usize) -> Self {
        let rows = rows(&folder.join("rows.db"), rounds * BATCH);
        Self { connection: open(&folder.join("bare.db")), rows, next: 0 }
    }

    fn round(&mut self) -> f64 {
        let prepare = |sql| self.connection.prepare(sql).unwrap();
        let mut begin = prepare("BEGIN IMMEDIATE");
        let mut key = prepare("INSERT INTO keys (id, version, document) VALUES (?, ?, ?)");
        let mut log = prepare("INSERT INTO log (position, event) VALUES (?, ?)");
        let mut commit = prepare("COMMIT");
        let start = Instant::now();
        for (id, version, document, position, event) in &self.rows[self.next..][..BATCH] {
            begin.execute([]).unwrap();
            key.execute(params![id, version, document]).unwrap();
            log.execute(params![position + BEHIND, event]).unwrap();
            commit.execute([]).unwrap();
        }
        let rate = BATCH as f64 / start.elapsed().as_secs_f64();
        self.next += BATCH;
        rate
    }
}

fn open(path: &PathBuf) -> Connection {
    let connection = Connection::open(path).unwrap();
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                   PRAGMA wal_autocheckpoint = 4000;";
    connection.execute_batch(pragmas).unwrap();
    connection
}

/// What the store writes for so many keys.
fn rows(path: &PathBuf, count: usize) -> Vec<(String, i64, String, i64, String)> {
    let filled = service(SqliteStore::open(path).unwrap());
    pollster::block_on(tokens(&filled, 0));
    for number in 0..count {
        pollster::block_on(issue(&filled, number));
    }
    drop(filled);
    let connection = open(path);
    let sql = "SELECT keys.id, version, document, position, event FROM log \
               JOIN keys ON keys.id = log.key ORDER BY position";
    let mut statement = connection.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}
