//! What wakes other nodes and what they then read: apart from the pool, and there again
//! after the server was.

use std::time::Duration;

use keyward::{
    ChangeFeed, Changes, DEFAULT_MAX_STALENESS, Hints, KeyEdit, KeyStore, LogQuery, PostgresHints,
};
use tokio::time::timeout;

use super::servers::{PgBouncer, Postgres, Proxy};
use super::{PgPoolOptions, common, service, store};
use crate::PostgresStore;

const SOON: Duration = Duration::from_secs(10);

async fn hinted(hints: &mut PostgresHints) {
    timeout(SOON, hints.next()).await.expect("a hint");
}

async fn silent(hints: &mut PostgresHints) {
    assert!(timeout(Duration::from_millis(300), hints.next()).await.is_err(), "no hint was due");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn every_change_wakes_every_listener_of_its_tables() {
    let (store, other) = (super::fresh().await, super::fresh().await);
    let mut listeners = [store.hints(), store.hints(), other.hints()];
    for hints in &mut listeners {
        // The one after connecting.
        hinted(hints).await;
        silent(hints).await;
    }
    let [first, second, elsewhere] = &mut listeners;
    let (keys, actor) = (service(&store), common::system());
    let id = keys.issue(&actor, common::new_key("heard")).await.unwrap().id();
    tokio::join!(hinted(first), hinted(second));
    keys.update(&actor, id, KeyEdit::new().name("again")).await.unwrap();
    tokio::join!(hinted(first), hinted(second));
    keys.flush().await.unwrap();
    silent(first).await;
    silent(elsewhere).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn hints_come_back_after_a_cut() {
    let proxy = Proxy::before(Postgres::shared().port());
    let store = super::fresh().await;
    let mut hints = store.hints().listen_url(&proxy.url_of("postgres")).unwrap();
    hinted(&mut hints).await;
    for _ in 0..3 {
        proxy.cut();
        // What was missed is owed.
        hinted(&mut hints).await;
        silent(&mut hints).await;
        let _ = service(&store).issue(&common::system(), common::new_key("after")).await.unwrap();
        hinted(&mut hints).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL and PgBouncer"]
async fn hints_and_feed_go_around_a_pooler() {
    let server = Postgres::shared();
    let store = super::through_pgbouncer().await;
    let store = store.feed_url(&server.url()).unwrap();
    let mut hints = store.hints();
    hinted(&mut hints).await;
    let _ = service(&store).issue(&common::system(), common::new_key("heard")).await.unwrap();
    hinted(&mut hints).await;
    assert_eq!(store.changes(&LogQuery::from(0)).await.unwrap().entries.len(), 1);
    let through = super::through_pgbouncer().await;
    assert_eq!(through.changes(&LogQuery::from(0)).await.unwrap().entries, []);
    let _ = PgBouncer::shared().port();
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn the_bound_is_one_for_all_and_kept() {
    let store = super::fresh().await;
    let max_staleness = DEFAULT_MAX_STALENESS;
    let first = Changes { entries: Vec::new(), max_staleness, heartbeats: false };
    assert_eq!(store.changes(&LogQuery::from(0)).await.unwrap(), first);
    store.set_max_staleness(Duration::from_millis(1_500)).await.unwrap();
    let bound = store.clone().changes(&LogQuery::before(u64::MAX)).await.unwrap().max_staleness;
    assert_eq!(bound, Duration::from_millis(1_500));
    assert_eq!(store.unseen_for().await.unwrap(), Some(bound));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_pool_full_of_junk_keeps_nobody_from_hearing() {
    let server = Postgres::shared();
    let pool = PgPoolOptions::new()
        .max_connections(3)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy(&server.url())
        .unwrap();
    let store = super::empty(PostgresStore::new(pool.clone())).await;
    let admin = service(&store).issue(&common::system(), common::new_key("one")).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.acquire().await.unwrap());
    }
    assert!(service(&store).get(&common::system(), admin.id()).await.is_err());
    for _ in 0..20 {
        let heard = timeout(Duration::from_secs(1), store.changes(&LogQuery::from(1))).await;
        assert_eq!(heard.unwrap().unwrap().entries.len(), 1);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn the_feed_and_the_hints_outlive_the_server() {
    let server = Postgres::start(&["fsync=off"]);
    let store = store(&server.url(), 3);
    store.migrate().await.unwrap();
    let (keys, actor) = (service(&store), common::system());
    let mut hints = store.hints();
    hinted(&mut hints).await;
    let _ = keys.issue(&actor, common::new_key("before")).await.unwrap();
    hinted(&mut hints).await;
    assert_eq!(store.changes(&LogQuery::from(1)).await.unwrap().entries.len(), 1);
    server.stop();
    let error = store.changes(&LogQuery::from(1)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    server.resume();
    assert_eq!(store.changes(&LogQuery::from(1)).await.unwrap().entries.len(), 1);
    hinted(&mut hints).await;
    let _ = keys.issue(&actor, common::new_key("after")).await.unwrap();
    hinted(&mut hints).await;
    assert_eq!(store.changes(&LogQuery::from(1)).await.unwrap().entries.len(), 2);
    assert_eq!(store.changes(&LogQuery::from(1).limit(1)).await.unwrap().entries.len(), 1);
}
