//! Keys in a real `PostgreSQL`: the store contract directly and through a transaction
//! pooler, and what happens when the server, the network or the host's set-up fails.

#![cfg(feature = "postgres")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../faulted/mod.rs"]
mod faulted;
#[path = "../fleet/mod.rs"]
mod fleet;
#[path = "../leases/mod.rs"]
mod leases;
#[path = "../revoked/mod.rs"]
mod revoked;
#[path = "../roll/mod.rs"]
mod roll;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../common/turns.rs"]
mod turns;

mod bad_input;
mod cuts;
mod damaged;
mod dropped;
mod durable;
mod failover;
mod faults;
mod feed;
mod flood;
mod heartbeats;
mod limits;
mod migrations;
mod peppers;
mod races;
mod secrets;

use std::time::Duration;

use keyward::{KeyCache, KeyService, PostgresStore};
use servers::{PgBouncer, Postgres};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

mod direct {
    keyward::conformance_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL"]
        super::fresh().await
    );
}

mod through_pgbouncer {
    keyward::conformance_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL and PgBouncer"]
        super::through_pgbouncer().await
    );
}

/// Where every transaction is serializable unless it says otherwise, commits are rolled
/// back for others' sake and made again.
mod serializable {
    keyward::conformance_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL"]
        super::serializable().await
    );
}

mod limits_where_all_is_serializable {
    keyward::conformance_limit_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL"]
        super::serializable().await.limits()
    );
}

mod under_a_cache {
    keyward::conformance_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL"]
        keyward::KeyCache::new(super::fresh().await)
    );
}

mod under_a_cache_through_pgbouncer {
    keyward::conformance_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL and PgBouncer"]
        keyward::KeyCache::new(super::through_pgbouncer().await)
    );
}

/// Longer than a machine that does much else holds anything up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store over a pool of so many connections, which are made when they are needed.
fn store(url: &str, most: u32) -> PostgresStore {
    let options = PgPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE);
    PostgresStore::new(options.connect_lazy(url).unwrap()).patience(PATIENCE)
}

/// An empty store in a schema of its own.
async fn fresh() -> PostgresStore {
    empty(store(&Postgres::shared().url(), 10)).await
}

async fn through_pgbouncer() -> PostgresStore {
    let url = PgBouncer::shared().url_of("postgres");
    let options = url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
    let pool = PgPoolOptions::new().acquire_timeout(PATIENCE).connect_lazy_with(options);
    empty(PostgresStore::new(pool).patience(PATIENCE).behind_pooler()).await
}

async fn serializable() -> PostgresStore {
    let options: PgConnectOptions = Postgres::shared().url().parse().unwrap();
    let options = options.options([("default_transaction_isolation", "serializable")]);
    let pool = PgPoolOptions::new().max_connections(40).acquire_timeout(PATIENCE);
    empty(PostgresStore::new(pool.connect_lazy_with(options)).patience(PATIENCE)).await
}

/// The same store in a new schema, migrated.
async fn empty(store: PostgresStore) -> PostgresStore {
    let store = store.schema(&Postgres::shared().schema()).unwrap();
    store.migrate().await.unwrap();
    store
}

/// A service by the system's clock.
fn service(store: &PostgresStore) -> KeyService {
    KeyService::new(common::scheme(&[1]), store.clone())
}

/// The same through a cache that keeps nothing.
fn service_through(store: &PostgresStore) -> KeyService {
    let cache = KeyCache::builder(store.clone()).read_through().build();
    KeyService::new(common::scheme(&[1]), cache)
}

/// All that an error and its sources say.
fn said(error: &dyn std::error::Error) -> String {
    let mut said = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        said.push(format!("{error} {error:?}"));
        next = error.source();
    }
    said.join(" / ")
}
