//! Each store beside the least that its work can cost, in one run on one machine.
//!
//! Rounds are short and interleaved. `KEYWARD_BENCH_ROUNDS` sets how many, and
//! `KEYWARD_BENCH_KEYS` how many keys a store holds (10,000).

#![allow(clippy::cast_precision_loss, dead_code)]

#[path = "../side_by_side/keys.rs"]
mod keys;
#[path = "../side_by_side/measure.rs"]
mod measure;
#[path = "../side_by_side/report.rs"]
mod report;
#[path = "../../tests/servers/mod.rs"]
mod servers;

mod cached;
mod postgres;
mod sizes;
mod sqlite;

use std::future::Future;
use std::time::Instant;

use keyward::{Environment, KeyScheme, KeyService, MemoryStore, PepperRing, SharedKeyStore};
use report::{Report, machine};

fn main() {
    if std::env::args().any(|argument| argument == sizes::ALONE) {
        return sizes::tell(number("KEYWARD_BENCH_KEYS", 10_000));
    }
    let rounds = number("KEYWARD_BENCH_ROUNDS", 5);
    let keys = number("KEYWARD_BENCH_KEYS", 10_000);
    println!("{}", machine());
    println!(
        "{keys} keys in each store, each with an expiry, a network, two scopes and a local rate \
         limit; {rounds} rounds; servers and clients on this machine\n"
    );
    let mut report = Report::default();
    sizes::run(&mut report);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        memory(&mut report).await;
        sqlite::run(&mut report, rounds, keys).await;
        postgres::run(&mut report, rounds, keys).await;
        cached::run(&mut report).await;
    });
    println!("{:<44} {:>12}", "per second, the median round; bytes", "");
    let shown = |name: &str| name.ends_with("per_second") || name.contains("_bytes_per_");
    for (name, number) in report.numbers.iter().filter(|(name, _)| shown(name)) {
        println!("{name:<44} {number:>12.0}");
    }
    println!();
    println!(
        "sqlite_…_over_bare: durable issues per second beside a bare insert loop, which blocks its \
         thread;\nin_place: by `SqliteOptions::in_place`, which blocks its thread too; else by \
         default, which\nkeeps it free for two wakes of a thread in each commit; by_8: eight \
         callers, each ratio still\nto the one loop"
    );
    for name in [
        "sqlite_issue_over_bare",
        "sqlite_issue_in_place_over_bare",
        "sqlite_issue_by_8_over_bare",
        "sqlite_issue_by_8_in_place_over_bare",
    ] {
        report.bar(name, ">= 0.9", |ratio| ratio >= 0.9);
    }
    println!(
        "pg_verify_over_pgbench: 16 clients on either side; reads that wait at the same time go to \
         the\nserver in one statement, up to 64 rows of it, where pgbench sends one for each row; \
         by_1: one\nclient on either side, so that nothing goes together, and tasks wake one another \
         for each row"
    );
    report.bar("pg_verify_over_pgbench", ">= 0.9", |ratio| ratio >= 0.9);
    let by_1 = report.numbers.iter().filter(|(name, _)| name == "pg_verify_by_1_over_pgbench");
    by_1.for_each(|(name, ratio)| println!("{name:<36} {ratio:>8.3}"));
    report.bar("cached_over_memory", "<= 1.2", |ratio| ratio <= 1.2);
    report.table("memory_verify", "memory");
    println!("\n{}", report.write("stores.json").display());
}

/// Issue and verify with nothing behind them.
async fn memory(report: &mut Report) {
    let service = service(MemoryStore::new());
    let issued = rate(20_000, 1, |number| issue(&service, number)).await;
    let tokens = tokens(&service, 1_000).await;
    let verified = rate(200_000, 1, |number| verify(&service, &tokens[number % 1_000])).await;
    report.number("memory_issue_per_second", issued);
    report.number("memory_verify_per_second", verified);
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// A service on this store, with the system's clock and randomness.
fn service(store: impl Into<SharedKeyStore>) -> KeyService {
    KeyService::new(scheme(), store)
}

fn scheme() -> KeyScheme {
    let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
    KeyScheme::new(peppers, [(keys::PREFIX, Environment::PRODUCTION)]).unwrap()
}

async fn issue(service: &KeyService, number: usize) -> String {
    let actor = keyward::Actor::system("bench");
    let issued = service.issue(&actor, keys::key(number)).await.unwrap();
    issued.into_key().expose_secret().to_owned()
}

async fn verify(service: &KeyService, token: &str) {
    service.verify(token, &keys::request()).await.unwrap();
}

/// The tokens of so many new keys, issued eight at a time.
async fn tokens(service: &KeyService, count: usize) -> Vec<String> {
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let service = service.clone();
        tasks.spawn(async move {
            let mut tokens = Vec::new();
            for number in (worker..count).step_by(8) {
                tokens.push(issue(&service, number).await);
            }
            tokens
        });
    }
    tasks.join_all().await.concat()
}

/// How often a second `run` is done, by so many at a time on one thread.
async fn rate<T, F: Future<Output = T>>(count: usize, by: usize, run: impl Fn(usize) -> F) -> f64 {
    let start = Instant::now();
    let work = (0..by).map(|worker| {
        let run = &run;
        async move {
            for number in (worker..count).step_by(by) {
                run(number).await;
            }
        }
    });
    all(work.collect()).await;
    count as f64 / start.elapsed().as_secs_f64()
}

/// Waits for all of these, together.
async fn all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        for slot in &mut futures {
            if slot.as_mut().is_some_and(|future| future.as_mut().poll(context).is_ready()) {
                *slot = None;
            }
        }
        let is_done = futures.iter().all(Option::is_none);
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
