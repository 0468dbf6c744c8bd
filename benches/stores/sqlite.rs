//! Durable issues beside a bare loop that writes the same rows to the same tables, by one
//! caller and by eight.
//!
//! The bare loop blocks its thread until the disk has synced. A store opened `in_place` does
//! too, and is what the loop is like for like. The store as it is by default keeps the thread
//! free, for which two threads wake one another in each commit.

use std::path::{Path, PathBuf};
use std::thread;

use keyward::{Actor, KeyService, SqliteOptions, SqliteStore};
use pollster::block_on;
use rusqlite::{Connection, params};

use crate::measure::{Case, interleaved};
use crate::report::Report;
use crate::{all, issue, keys, service, tokens, verify};

/// Issues of one batch, and verifies for each of them.
const BATCH: usize = 20;
const VERIFIES: usize = 25;
/// Batches of each case in a round.
const BATCHES: usize = 20;
const CALLERS: usize = 8;
const CASES: [&str; 7] = [
    "bare_insert",
    "issue",
    "issue_in_place",
    "issue_by_8",
    "issue_by_8_in_place",
    "verify",
    "verify_in_place",
];

pub(crate) async fn run(report: &mut Report, rounds: usize, keys: usize) {
    let folder = std::env::temp_dir().join(format!("keyward-stores-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let first = folder.join("first.db");
    let filled = service(SqliteStore::open(&first).unwrap());
    let all = tokens(&filled, keys).await;
    drop(filled);
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = open(&first).query_row(size, [], |row| row.get(0)).unwrap();
    report.number("sqlite_bytes_per_key", bytes as f64 / keys as f64);
    // Each has a copy to itself, so that one caller writes to a table that grows as the bare
    // loop's does, and not with what eight have written.
    let copy = |name: &str| {
        let copy = folder.join(name);
        open(&first).execute("VACUUM INTO ?", [path(&copy)]).unwrap();
        copy
    };
    let store = |options: SqliteOptions, name| service(options.open(copy(name)).unwrap());
    let (threads, in_place) = (SqliteOptions::new, || SqliteOptions::new().in_place());
    let services = [
        ("", [store(threads(), "one.db"), store(threads(), "eight.db")]),
        ("_in_place", [store(in_place(), "place.db"), store(in_place(), "eight_place.db")]),
    ];
    let batches = rounds * BATCHES;
    // Each batch is run twice, and timed once.
    let mut bare = Bare::new(&folder, &copy("bare.db"), batches * BATCH * 2, keys);
    let mut cases = vec![Case::new("sqlite_bare_insert", BATCH, move |count| bare.insert(count))];
    for (kind, [service, of_8]) in &services {
        let name = |what: &str| -> &'static str { format!("sqlite_{what}{kind}").leak() };
        // What is asked for is there beforehand, as the rows of the bare loop are.
        let asked: Vec<_> =
            (0..batches * BATCH * 2).map(|number| keys::key(owned(number, keys))).collect();
        let (actor, mut asked) = (Actor::system("bench"), asked.into_iter());
        let one = move |count| {
            for new in asked.by_ref().take(count) {
                drop(block_on(service.issue(&actor, new)).unwrap());
            }
        };
        cases.push(Case::new(name("issue"), BATCH, one));
        let mut next = 0;
        let by_8 = move |count| {
            next += count;
            let numbers = (next - count..next).map(|number| owned(number, keys)).collect();
            if kind.is_empty() {
                block_on(at_once(of_8, numbers));
            } else {
                by_threads(of_8, &numbers);
            }
        };
        cases.push(Case::new(name("issue_by_8"), BATCH * CALLERS, by_8));
        let (all, mut next) = (&all, 0);
        let verifies = move |count| {
            for _ in 0..count {
                next += 7;
                block_on(verify(service, &all[next % keys]));
            }
        };
        cases.push(Case::new(name("verify"), BATCH * VERIFIES, verifies));
    }
    report.times(interleaved(batches, cases));
    for case in ["issue", "issue_in_place", "issue_by_8", "issue_by_8_in_place"] {
        let ratio = report.p10("sqlite_bare_insert") / report.p10(&format!("sqlite_{case}"));
        report.number(&format!("sqlite_{case}_over_bare"), ratio);
    }
    for case in CASES {
        let median = format!("sqlite_{case}_median_ns");
        let (_, median) = report.numbers.iter().find(|(name, _)| *name == median).unwrap();
        report.number(&format!("sqlite_{case}_per_second"), 1e9 / median);
    }
    drop(services);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The number of a key whose owner is any of those in the store: of so many owners, each has
/// a place of its own in an index.
fn owned(number: usize, keys: usize) -> usize {
    number * 7_919 % keys
}

/// By so many callers of one thread, which all wait together.
async fn at_once(service: &KeyService, numbers: Vec<usize>) {
    let numbers = &numbers;
    let caller = |caller| async move {
        for number in numbers.iter().skip(caller).step_by(CALLERS) {
            issue(service, *number).await;
        }
    };
    all((0..CALLERS).map(caller).collect()).await;
}

/// By so many callers, each on a thread of its own, as is meant where commits are in place.
fn by_threads(service: &KeyService, numbers: &[usize]) {
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            scope.spawn(move || {
                for number in numbers.iter().skip(caller).step_by(CALLERS) {
                    block_on(issue(service, *number));
                }
            });
        }
    });
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
    fn new(folder: &Path, file: &PathBuf, count: usize, keys: usize) -> Self {
        let rows = rows(&folder.join("rows.db"), count, keys);
        Self { connection: open(file), rows, next: 0 }
    }

    fn insert(&mut self, count: usize) {
        let prepare = |sql| self.connection.prepare_cached(sql).unwrap();
        let mut begin = prepare("BEGIN IMMEDIATE");
        let mut key = prepare("INSERT INTO keys (id, version, document) VALUES (?, ?, ?)");
        let mut log = prepare("INSERT INTO log (position, event) VALUES (?, ?)");
        let mut commit = prepare("COMMIT");
        for (id, version, document, position, event) in &self.rows[self.next..][..count] {
            begin.execute([]).unwrap();
            key.execute(params![id, version, document]).unwrap();
            log.execute(params![position + BEHIND, event]).unwrap();
            commit.execute([]).unwrap();
        }
        self.next += count;
    }
}

fn open(path: &PathBuf) -> Connection {
    let connection = Connection::open(path).unwrap();
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                   PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; \
                   PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; \
                   PRAGMA cache_size = -8000; PRAGMA trusted_schema = OFF; \
                   PRAGMA cell_size_check = ON";
    connection.execute_batch(pragmas).unwrap();
    connection
}

/// What the store writes for so many keys.
fn rows(path: &PathBuf, count: usize, keys: usize) -> Vec<(String, i64, String, i64, String)> {
    let filled = service(SqliteStore::open(path).unwrap());
    block_on(at_once(&filled, (0..count).map(|number| owned(number, keys)).collect()));
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
