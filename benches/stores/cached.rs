//! A hit of the cache before PostgreSQL, beside a verify on a `MemoryStore`.

use std::hint::black_box;
use std::time::Duration;

use keyward::{KeyCache, KeyService, MemoryStore, PostgresStore};
use sqlx::PgPool;

use crate::keys::{request, verify};
use crate::measure::{Case, interleaved};
use crate::report::Report;
use crate::servers::postgres::Postgres;
use crate::{issue, service};

const HOT: usize = 1_000;

pub(crate) async fn run(report: &mut Report) {
    let server = Postgres::start(&["fsync=off"]);
    let store = PostgresStore::new(PgPool::connect(&server.url()).await.unwrap());
    store.migrate().await.unwrap();
    // Long enough that no pass over the log is due while batches are timed.
    let cache = KeyCache::builder(store).max_age(Duration::from_secs(600)).build();
    let cached = service(cache);
    let memory = service(MemoryStore::new());
    let (of_cached, of_memory) = (tokens(&cached).await, tokens(&memory).await);
    keyward::ChangeFeed::set_max_staleness(
        &PostgresStore::new(PgPool::connect(&server.url()).await.unwrap()),
        Duration::from_secs(600),
    )
    .await
    .unwrap();
    // Read twice, with a pass over the log between: then records are kept for good.
    for _ in 0..3 {
        cached.maintain().await.unwrap();
        for token in &of_cached {
            crate::verify(&cached, token).await;
        }
    }
    let cases =
        vec![case("memory_verify", &memory, of_memory), case("cached_verify", &cached, of_cached)];
    report.times(interleaved(500, cases));
    let ratio = report.p10("cached_verify") / report.p10("memory_verify");
    report.number("cached_over_memory", ratio);
}

/// Issued one after another by this thread, so that records lie as they do in `side_by_side`.
async fn tokens(service: &KeyService) -> Vec<String> {
    let mut tokens = Vec::new();
    for number in 0..HOT {
        tokens.push(issue(service, number).await);
    }
    tokens
}

fn case<'a>(name: &'static str, service: &'a KeyService, tokens: Vec<String>) -> Case<'a> {
    let request = request();
    let mut next = 0;
    Case::new(name, HOT, move |count| {
        for _ in 0..count {
            assert!(verify(service, black_box(&tokens[next]), black_box(&request)));
            next = (next + 1) % HOT;
        }
    })
}
