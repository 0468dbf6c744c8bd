//! A hit of the cache before PostgreSQL, beside a verify on a `MemoryStore`: by a ticked
//! clock, as in `side_by_side`, and by the system's.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use keyward::{
    ChangeFeed, Clock, KeyCache, KeyService, MemoryStore, PostgresStore, SystemClock, TickingClock,
};
use sqlx::PgPool;

use crate::keys::{request, verify};
use crate::measure::{Case, interleaved};
use crate::report::Report;
use crate::servers::postgres::Postgres;
use crate::{issue, scheme};

const HOT: usize = 1_000;
const LONG: Duration = Duration::from_secs(600);

pub(crate) async fn run(report: &mut Report) {
    let server = Postgres::start(&["fsync=off"]);
    let store = PostgresStore::new(PgPool::connect(&server.url()).await.unwrap());
    store.migrate().await.unwrap();
    // Long enough that no pass over the log is due while batches are timed.
    store.set_max_staleness(LONG).await.unwrap();
    let ticking = TickingClock::new();
    let mut cases = Vec::new();
    for (name, clock) in [
        ("verify", Arc::new(ticking.clone()) as Arc<dyn Clock>),
        ("verify_system_clock", Arc::new(SystemClock::new())),
    ] {
        let cache =
            KeyCache::builder(store.clone()).max_age(LONG).clock(Arc::clone(&clock)).build();
        let memory = KeyService::builder(scheme(), MemoryStore::new()).clock(clock).build();
        // It goes by the cache's clock.
        let cached = KeyService::new(scheme(), cache);
        for (kind, service) in [("memory", memory), ("cached", cached)] {
            let tokens = tokens(&service).await;
            // Read twice, with a pass over the log between: then records are kept.
            for _ in 0..3 {
                ticking.tick();
                service.maintain().await.unwrap();
                for token in &tokens {
                    crate::verify(&service, token).await;
                }
            }
            let name: &'static str = format!("{kind}_{name}").leak();
            cases.push(case(name, service, tokens, ticking.clone()));
        }
    }
    report.times(interleaved(500, cases));
    for (name, cached, memory) in [
        ("cached_over_memory", "cached_verify", "memory_verify"),
        (
            "cached_over_memory_system_clock",
            "cached_verify_system_clock",
            "memory_verify_system_clock",
        ),
    ] {
        report.number(name, report.p10(cached) / report.p10(memory));
    }
}

/// Issued one after another by this thread, so that records lie as they do in `side_by_side`.
async fn tokens(service: &KeyService) -> Vec<String> {
    let mut tokens = Vec::new();
    for number in 0..HOT {
        tokens.push(issue(service, number).await);
    }
    tokens
}

fn case(
    name: &'static str,
    service: KeyService,
    tokens: Vec<String>,
    clock: TickingClock,
) -> Case<'static> {
    let request = request();
    let mut next = 0;
    Case::new(name, HOT, move |count| {
        clock.tick();
        for _ in 0..count {
            assert!(verify(&service, black_box(&tokens[next]), black_box(&request)));
            next = (next + 1) % HOT;
        }
    })
}
