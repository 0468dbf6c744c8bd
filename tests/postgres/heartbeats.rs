//! Heartbeats of nodes in the database: as the contract says, and with another epoch after
//! each event that could have lost one.

use std::time::{Duration, Instant};

use keyward::{ChangeFeed, Heartbeat, KeyCache, KeyService, Reason};

use super::servers::Postgres;
use super::{common, fresh, store};
use crate::{PostgresStore, roll};

async fn epoch(store: &PostgresStore) -> String {
    store.roll_call(Heartbeat::Look, &[]).await.unwrap().epoch.unwrap()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn the_roll_of_a_database() {
    let store = fresh().await;
    roll::is_called_as_the_contract_says(&store, &store.clone()).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL and PgBouncer"]
async fn the_roll_through_a_pooler() {
    let store = super::through_pgbouncer().await;
    roll::is_called_as_the_contract_says(&store, &store.clone()).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn the_epoch_is_another_after_a_restart_a_restore_and_a_failover() {
    let server = Postgres::start(&["fsync=off"]);
    let primary = store(&server.url(), 2);
    primary.migrate().await.unwrap();
    primary.set_heartbeats(true).await.unwrap();
    let mut epochs = vec![epoch(&primary).await];
    assert_eq!(epochs, [epoch(&primary).await]);
    server.stop();
    server.resume();
    epochs.push(epoch(&primary).await);
    // A dump of it, in another database.
    let copy = server.database();
    server.psql_file(&copy, &server.dump("postgres"));
    epochs.push(epoch(&store(&server.url_of(&copy), 2)).await);
    // Its tables made anew from a dump.
    let dump = server.dump("postgres");
    server.psql("postgres", "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    let dump = String::from_utf8(dump).unwrap();
    server.psql_file("postgres", dump.replace("CREATE SCHEMA public;", "").as_bytes());
    epochs.push(epoch(&primary).await);
    let replica = server.replica();
    let standby = store(&replica.url(), 2);
    let error = standby.roll_call(Heartbeat::Look, &[]).await.unwrap_err();
    assert!(error.to_string().contains("replica"), "{error}");
    server.stop();
    replica.psql("postgres", "SELECT pg_promote()");
    epochs.push(epoch(&standby).await);
    let all: std::collections::BTreeSet<_> = epochs.iter().collect();
    assert_eq!(all.len(), epochs.len(), "{epochs:?}");
}

/// Three nodes that look at the log as quickly as hints make them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_revoke_is_everywhere_long_before_the_bound() {
    let store = fresh().await;
    store.set_heartbeats(true).await.unwrap();
    store.set_max_staleness(Duration::from_secs(3)).await.unwrap();
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            let cache = KeyCache::builder(store.clone()).timer(tokio::time::sleep).build();
            KeyService::new(common::scheme(&[1]), cache)
        })
        .collect();
    let looking: Vec<_> = nodes
        .iter()
        .cloned()
        .map(|keys| {
            tokio::spawn(async move {
                loop {
                    keys.catch_up().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    for _ in 0..5 {
        let issued = nodes[0].issue(&common::system(), common::new_key("key")).await.unwrap();
        let (id, key) = (issued.id(), issued.into_key());
        for keys in &nodes {
            keys.verify(key.expose_secret(), &common::READ).await.unwrap();
        }
        let began = Instant::now();
        let actor = common::system();
        let sleep = tokio::time::sleep;
        nodes[0].revoke_and_wait(&actor, id, Reason::Unused, sleep).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        for keys in &nodes {
            assert!(keys.verify(key.expose_secret(), &common::READ).await.is_err());
        }
    }
    looking.iter().for_each(tokio::task::JoinHandle::abort);
}
