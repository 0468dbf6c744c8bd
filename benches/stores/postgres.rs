//! Verifies of which each waits for the server, beside `pgbench` with a select of one row.
//!
//! By 16 clients, the two are asked differently: the store puts the reads of callers who wait
//! at the same time into one statement, of up to 64 rows, and `pgbench` sends one statement
//! for each row. By one client nothing can go together, and all that a read costs shows: the
//! store's statement also asks whether the server is a replica, and a caller's task and the
//! store's wake one another for each answer, where `pgbench` waits in one thread.

use std::process::Command;
use std::time::{Duration, Instant};

use keyward::{KeyService, PostgresStore};
use sqlx::postgres::PgPoolOptions;

use crate::report::Report;
use crate::servers::postgres::{Postgres, program};
use crate::servers::{Home, unprivileged};
use crate::{issue, median, rate, service, tokens, verify};

/// Clients at once, on either side, where there is more than one.
const CLIENTS: usize = 16;
const SECONDS: u64 = 3;
/// Keys that `pgbench` asks for: each has a script of its own, and it takes 128.
const ASKED: usize = 100;

pub(crate) async fn run(report: &mut Report, rounds: usize, keys: usize) {
    let server = Postgres::start(&["max_connections=100"]);
    let pool = PgPoolOptions::new()
        .max_connections(u32::try_from(CLIENTS).unwrap())
        .connect(&server.url())
        .await
        .unwrap();
    let store = PostgresStore::new(pool);
    store.migrate().await.unwrap();
    let ours = service(store.clone());
    let all = tokens(&ours, keys).await;
    server.psql("postgres", "VACUUM ANALYZE");
    let size =
        "SELECT pg_total_relation_size('keyward_keys') + pg_total_relation_size('keyward_log')";
    let bytes: f64 = server.psql("postgres", size).trim().parse().unwrap();
    report.number("postgres_bytes_per_key", bytes / keys as f64);
    let ids = server.psql("postgres", &format!("SELECT id FROM keyward_keys LIMIT {ASKED}"));
    let pgbench = Pgbench::new(&server, &ids);
    let (mut theirs, mut verified, mut issued, mut issued_by_8) = (vec![], vec![], vec![], vec![]);
    let (mut theirs_by_1, mut verified_by_1) = (vec![], vec![]);
    for _ in 0..rounds {
        theirs.push(pgbench.round(CLIENTS));
        verified.push(round(&ours, &all, CLIENTS).await);
        theirs_by_1.push(pgbench.round(1));
        verified_by_1.push(round(&ours, &all, 1).await);
        issued.push(rate(200, 1, |number| issue(&ours, number)).await);
        issued_by_8.push(rate(800, 8, |number| issue(&ours, number)).await);
    }
    let [theirs, verified] = [theirs, verified].map(median);
    let [theirs_by_1, verified_by_1] = [theirs_by_1, verified_by_1].map(median);
    report.number("postgres_issue_per_second", median(issued));
    report.number("postgres_issue_by_8_per_second", median(issued_by_8));
    report.number("postgres_verify_per_second", verified);
    report.number("pgbench_select_per_second", theirs);
    report.number("postgres_verify_by_1_per_second", verified_by_1);
    report.number("pgbench_select_by_1_per_second", theirs_by_1);
    report.number("pg_verify_over_pgbench", verified / theirs);
    report.number("pg_verify_by_1_over_pgbench", verified_by_1 / theirs_by_1);
}

/// As many verifies as fit, by as many tasks as `pgbench` has clients.
async fn round(service: &KeyService, tokens: &[String], clients: usize) -> f64 {
    let start = Instant::now();
    let end = start + Duration::from_secs(SECONDS);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..clients {
        let service = service.clone();
        let tokens: Vec<String> = tokens.iter().take(ASKED).cloned().collect();
        tasks.spawn(async move {
            let mut done = 0_usize;
            while Instant::now() < end {
                verify(&service, &tokens[(done * 31 + task * 7) % tokens.len()]).await;
                done += 1;
            }
            done
        });
    }
    let done: usize = tasks.join_all().await.into_iter().sum();
    done as f64 / start.elapsed().as_secs_f64()
}

struct Pgbench {
    scripts: Home,
    url: String,
}

impl Pgbench {
    fn new(server: &Postgres, ids: &str) -> Self {
        let scripts = Home::new("pgbench", "none");
        for (number, id) in ids.lines().enumerate() {
            let sql = format!(
                "SELECT k.id, k.version, k.document FROM keyward_keys AS k WHERE k.id = '{id}';\n"
            );
            std::fs::write(scripts.path().join(format!("{number}.sql")), sql).unwrap();
        }
        Self { scripts, url: server.url() }
    }

    fn round(&self, clients: usize) -> f64 {
        let mut command: Command = unprivileged(program("pgbench"));
        command.args(["-n", "-M", "prepared", "-T", &SECONDS.to_string()]);
        command.args(["-c", &clients.to_string(), "-j", &clients.min(2).to_string()]);
        for script in std::fs::read_dir(self.scripts.path()).unwrap() {
            command.arg("-f").arg(script.unwrap().path());
        }
        let output = command.arg(&self.url).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("tps = "));
        let tps = line.and_then(|line| line.split(' ').nth(2)?.parse().ok());
        tps.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}
