//! A network that cuts, delays and swallows: an answer that is lost is `Unavailable`, and
//! nothing is half done.

use std::time::{Duration, Instant};

use keyward::{
    Change, ChangeFeed, Expect, KeyId, KeyQuery, KeyRecord, KeyStore, LogQuery, StoreErrorKind,
    UsageStore,
};

use super::servers::{Postgres, Proxy};
use super::{common, service, store};
use crate::PostgresStore;

/// A store behind a proxy, and the same store around it.
async fn behind(proxy: &Proxy, connections: u32) -> (PostgresStore, PostgresStore) {
    let around = super::fresh().await;
    let schema = Postgres::shared().schema();
    let around = around.schema(&schema).unwrap();
    around.migrate().await.unwrap();
    let behind = store(&proxy.url_of("postgres"), connections);
    (behind.schema(&schema).unwrap().patience(Duration::from_millis(2_500)), around)
}

/// A change to the next version, and its event.
fn next(record: &KeyRecord) -> Change {
    let version = record.version();
    let document = record
        .to_document()
        .replace(&format!("\"version\":{version},"), &format!("\"version\":{},", version + 1));
    let record = KeyRecord::from_row(record.id(), version + 1, &document);
    Change { record, expect: Expect::Version(version), event: None }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_commit_cut_at_any_byte_is_whole_or_not_there() {
    let proxy = Proxy::before(Postgres::shared().port());
    let (store, around) = behind(&proxy, 1).await;
    let actor = common::system();
    let id = service(&around).issue(&actor, common::new_key("cut")).await.unwrap().id();
    let (mut lost, mut made, mut told) = (0, 0, 0);
    for (bytes, is_answer) in (0..30).flat_map(|n| [(n * 90, false), (n * 8, true)]) {
        // So that the connection is there, and the budget is the commit's alone.
        store.list(&KeyQuery::new()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let before = around.get(id).await.unwrap().unwrap();
        if is_answer {
            proxy.cut_answer_after(bytes);
        } else {
            proxy.cut_request_after(bytes);
        }
        let committed = store.commit(next(&before)).await;
        proxy.mend();
        proxy.cut();
        // A statement that is under way ends before this one begins.
        let _ = service(&around).issue(&actor, common::new_key("behind")).await.unwrap();
        let after = around.get(id).await.unwrap().unwrap();
        let is_made = after.version() == before.version() + 1;
        assert!(is_made || after.to_document() == before.to_document());
        match committed {
            Ok(()) => {
                assert!(is_made, "an acknowledged commit did nothing");
                told += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "at {bytes}: {error}");
                lost += 1;
                made += usize::from(is_made);
            }
        }
    }
    assert!(told > 0 && made > 0 && made < lost, "told of {told}, made {made} of {lost} lost");
    store.get(id).await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_lookup_survives_a_cut() {
    let proxy = Proxy::before(Postgres::shared().port());
    let (store, around) = behind(&proxy, 2).await;
    let issued = service(&around).issue(&common::system(), common::new_key("read")).await.unwrap();
    let id = issued.id();
    for bytes in 0..40 {
        assert!(store.get(id).await.unwrap().is_some());
        proxy.cut();
        assert!(store.get(id).await.unwrap().is_some(), "after a cut");
        proxy.cut_answer_after(bytes * 10);
        let found = store.get(id).await;
        proxy.mend();
        assert!(found.is_err() || found.unwrap().is_some(), "a key that is there is never missing");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_network_that_swallows_all_is_given_up_in_time() {
    let proxy = Proxy::before(Postgres::shared().port());
    let (store, around) = behind(&proxy, 2).await;
    let id = {
        let keys = service(&around);
        keys.issue(&common::system(), common::new_key("swallowed")).await.unwrap().id()
    };
    let query = LogQuery::from(0);
    store.get(id).await.unwrap();
    store.changes(&query).await.unwrap();
    for _ in 0..2 {
        proxy.swallow(true);
        let start = Instant::now();
        let (found, changes, used, listed) = tokio::join!(
            store.get(id),
            store.changes(&query),
            store.usage(std::slice::from_ref(&id)),
            store.log(&query),
        );
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        for error in [found.err(), changes.err(), used.err(), listed.err()] {
            assert_eq!(error.unwrap().kind(), StoreErrorKind::Unavailable);
        }
        proxy.swallow(false);
        proxy.cut();
        let mended = Instant::now();
        while store.get(id).await.is_err() {
            assert!(mended.elapsed() < Duration::from_secs(10), "the pool did not recover");
        }
        while store.changes(&query).await.is_err() {
            assert!(mended.elapsed() < Duration::from_secs(10), "the feed did not recover");
        }
    }
    proxy.delay(Duration::from_millis(50));
    assert!(store.get(id).await.unwrap().is_some(), "slow is not gone");
    assert_eq!(store.changes(&query).await.unwrap().entries.len(), 1);
}

/// Three commits of which the server refuses one, so that each is made alone, and a cut at
/// each message: whoever's message was not lost gets his answer, and so do those who come next.
#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_cut_between_commits_that_are_made_alone_loses_one() {
    let proxy = Proxy::before(Postgres::shared().port());
    let (store, _) = behind(&proxy, 1).await;
    let mut number = 0;
    let mut absent = |version| {
        number += 1_u64;
        let mut id = [0; 10];
        id[2..].copy_from_slice(&number.to_be_bytes());
        let record = KeyRecord::from_row(KeyId::from_bytes(id), version, "{}");
        Change { record, expect: Expect::Absent { cap: None }, event: None }
    };
    let mut lost_one = 0;
    for (message, is_answer) in (0..).flat_map(|message| [(message, false), (message, true)]) {
        store.commit(absent(1)).await.unwrap();
        let changes = [absent(1), absent(u64::MAX), absent(1)];
        proxy.cut_at_message(message, is_answer);
        let [first, bad, second] = changes.map(|change| store.commit(change));
        let (first, bad, second) = tokio::join!(first, bad, second);
        let next = store.commit(absent(1)).await;
        if !proxy.mend_messages() {
            break;
        }
        let case = format!("message {message}, answer {is_answer}");
        let bad = bad.unwrap_err().kind();
        let kinds =
            [first.err().map(|error| error.kind()), Some(bad), second.err().map(|e| e.kind())];
        let lost = kinds.iter().filter(|kind| **kind == Some(StoreErrorKind::Unavailable)).count();
        assert!(lost <= 1 || lost == 3, "{case}: {kinds:?}");
        assert!(bad == StoreErrorKind::Other || lost > 0, "{case}: {kinds:?}");
        assert!(next.is_ok() || lost == 0, "{case}: {kinds:?}, then {next:?}");
        lost_one += usize::from(lost == 1);
    }
    // How many messages the pool sends in between may be another number each time.
    assert!(lost_one > 0);
}
