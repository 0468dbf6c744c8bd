//! What leads to a replica after a failover is not kept: once the name leads to the primary
//! again, so do the calls, whatever connections were open.

use std::time::Duration;

use keyward::{Change, Expect, KeyId, KeyRecord, KeyStore, StoreErrorKind};

use super::servers::{Postgres, Proxy, wait_for};
use super::{common, service, store};
use crate::PostgresStore;

const CONNECTIONS: u32 = 4;

fn absent(number: u8) -> Change {
    let record = KeyRecord::from_row(KeyId::from_bytes([number; 10]), 1, "{}");
    Change { record, expect: Expect::Absent { cap: None }, event: None }
}

/// Two that go together.
async fn commit_two(store: &PostgresStore, number: u8) -> Result<(), keyward::StoreError> {
    let (first, second) =
        tokio::join!(store.commit(absent(number)), store.commit(absent(number + 1)));
    first.and(second)
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_connection_to_a_replica_is_not_kept() {
    let primary = Postgres::start(&["fsync=off"]);
    let store_at = |url: &str| store(url, CONNECTIONS);
    let around = store_at(&primary.url());
    around.migrate().await.unwrap();
    let keys = service(&around);
    let id = keys.issue(&common::system(), common::new_key("on both")).await.unwrap().id();
    let replica = primary.replica();
    let count = || replica.psql("postgres", "SELECT count(*) FROM keyward_keys");
    wait_for("the replica follows", || count() == "1");
    let proxy = Proxy::before(replica.port());
    let [reads, writes, pairs] = [(); 3].map(|()| store_at(&proxy.url_of("postgres")));
    let failed = [
        reads.get(id).await.map(drop),
        writes.commit(absent(1)).await,
        commit_two(&pairs, 1).await,
    ];
    for failed in failed {
        assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    // Connections that are there lead to the replica still.
    proxy.pass_to(primary.port());
    let mut is_mended = [false; 3];
    for attempt in 1..=u8::try_from(CONNECTIONS).unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let done = [
            reads.get(id).await.is_ok(),
            writes.commit(absent(20 * attempt)).await.is_ok(),
            commit_two(&pairs, 20 * attempt + 1).await.is_ok(),
        ];
        is_mended = std::array::from_fn(|call| is_mended[call] || done[call]);
    }
    assert_eq!(is_mended, [true; 3], "get, one commit, two commits");
}
