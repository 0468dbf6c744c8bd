//! A caller may go away at any await: what was asked happened wholly or not at all, and
//! the pool is as good as before.

use std::time::Duration;

use keyward::{KeyEdit, KeyQuery, KeyStore, LogQuery, Reason, UsageDelta, UsageStore};

use super::common::drop_after;
use super::servers::Postgres;
use super::{common, empty, service, store};
use crate::PostgresStore;

/// Every record is whole, and has an event for each change and none besides.
///
/// What a caller who has gone away had asked for may still be carried through, so the log
/// and the list are read until nothing came in between.
pub(super) async fn check(store: &PostgresStore) {
    let keys = service(store);
    let list = async || store.list(&KeyQuery::new().with_revoked().limit(100_000)).await.unwrap();
    let (log, records) = loop {
        let before = list().await;
        let log = store.log(&LogQuery::from(0).limit(1_000_000)).await.unwrap();
        let after = list().await;
        if before
            .iter()
            .map(|r| (r.id(), r.version()))
            .eq(after.iter().map(|r| (r.id(), r.version())))
        {
            break (log, after);
        }
    };
    assert!(log.is_sorted_by(|(a, _), (b, _)| a < b));
    for record in records {
        assert!(record.is_readable(), "{:?}", record.damage());
        let events = log.iter().filter(|(_, event)| event.key == record.id());
        let versions: Vec<u64> = events.map(|(_, event)| event.version).collect();
        let expected: Vec<u64> = (1..=record.version()).collect();
        assert_eq!(versions, expected, "{}", record.id());
        let trace = keys.explain(&common::system(), record.id(), &common::READ, keys.now()).await;
        let seal = trace.unwrap().steps[0].outcome;
        assert_eq!(seal, keyward::CheckOutcome::Passed, "a broken seal");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn nothing_is_half_done_and_no_connection_is_lost() {
    // A connection that was lost would be missed at once.
    let store = empty(store(&Postgres::shared().url(), 2)).await;
    let (keys, actor) = (service(&store), common::system());
    let issued = keys.issue(&actor, common::new_key("verified")).await.unwrap();
    let id = issued.id();
    let token = issued.into_key().expose_secret().to_owned();
    let spare = keys.issue(&actor, common::new_key("changed")).await.unwrap().id();
    let flows = ["issue", "update", "rotate", "revoke", "verify", "list", "log", "usage", "flush"];
    for flow in flows {
        for polls in 0..12 {
            let finished = match flow {
                "issue" => {
                    let new = common::new_key("dropped").idempotency_key(format!("key-{polls}"));
                    drop_after(polls, keys.issue(&actor, new)).await.map(drop)
                }
                "update" => {
                    let edit = KeyEdit::new().name(format!("name {polls}"));
                    drop_after(polls, keys.update(&actor, spare, edit)).await.map(drop)
                }
                "rotate" => {
                    drop_after(polls, keys.rotate(&actor, spare, Duration::ZERO)).await.map(drop)
                }
                "revoke" => {
                    let gone = keys.issue(&actor, common::new_key("gone")).await.unwrap().id();
                    drop_after(polls, keys.revoke(&actor, gone, Reason::Unused)).await.map(drop)
                }
                "verify" => {
                    drop_after(polls, keys.verify(&token, &common::READ)).await.map(|verified| {
                        verified.unwrap();
                    })
                }
                "list" => drop_after(polls, store.list(&KeyQuery::new())).await.map(drop),
                "log" => drop_after(polls, store.log(&LogQuery::from(0))).await.map(drop),
                "usage" => drop_after(polls, store.usage(&[id])).await.map(drop),
                _ => drop_after(polls, keys.flush()).await.map(drop),
            };
            let verified = keys.verify(&token, &common::READ).await;
            assert!(verified.is_ok(), "after {flow} was dropped at {polls}: {verified:?}");
            if finished.is_some() && polls > 6 {
                break;
            }
        }
        check(&store).await;
    }
    let used =
        UsageDelta { key: id, hour: common::START, last_address: None, slots: Default::default() };
    store.add(&[used]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_crowd_that_goes_away_leaves_the_pool_usable() {
    let store = empty(store(&Postgres::shared().url(), 4)).await;
    let (keys, actor) = (service(&store), common::system());
    let id = keys.issue(&actor, common::new_key("wanted")).await.unwrap().id();
    for round in 0..20_u64 {
        let crowd: Vec<_> = (0..200)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.get(id).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round * 100)).await;
        crowd.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(store.get(id).await.unwrap().is_some());
    }
}
