//! Many at once: an edit that was acknowledged was made, and a key whose revoke was
//! acknowledged is refused from then on.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyward::{
    Change, Expect, KeyEdit, KeyId, KeyRecord, KeyService, KeyStore, LogQuery, ManageError,
    OwnerCap, SlotUsage, StoreErrorKind, UsageDelta, UsageStore,
};

use super::revoked::{self, History, READERS, Seen, Stale};
use super::servers::Postgres;
use super::{common, service, service_through, store};
use crate::PostgresStore;

const WRITERS: usize = 8;

/// Two nodes with pools of their own, over the same tables.
async fn nodes() -> [PostgresStore; 2] {
    let server = Postgres::shared();
    let schema = server.schema();
    let node = || store(&server.url(), 8).schema(&schema).unwrap();
    let nodes = [node(), node()];
    nodes[0].migrate().await.unwrap();
    nodes
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn every_acknowledged_edit_is_applied() {
    let edits = 50 * common::scale();
    let nodes = nodes().await;
    let actor = common::system();
    let id = service(&nodes[0]).issue(&actor, common::new_key("contended")).await.unwrap().id();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let keys = service(&nodes[writer % 2]);
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                while revisions.len() < edits {
                    let name = format!("writer {writer}, edit {}", revisions.len());
                    let edit = KeyEdit::new().name(name);
                    match keys.update(&common::system(), id, edit).await {
                        Ok(changed) => revisions.push(changed.key.revision),
                        Err(ManageError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                revisions
            })
        })
        .collect();
    let mut revisions = BTreeSet::new();
    for writer in writers {
        revisions.extend(writer.await.unwrap());
    }
    let acknowledged = u64::try_from(WRITERS * edits).unwrap();
    assert!(revisions.into_iter().eq(2..=acknowledged + 1), "two edits were told of one revision");
    let record = nodes[1].get(id).await.unwrap().unwrap();
    assert_eq!(record.version(), acknowledged + 1);
    let log = nodes[1].log(&LogQuery::from(0).key(id).limit(1_000_000)).await.unwrap();
    assert!(log.iter().map(|(_, event)| event.version).eq(1..=acknowledged + 1));
}

/// A reader that follows the log from another node never finds an entry behind it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn nothing_appears_behind_a_reader_of_the_log() {
    let nodes = nodes().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let keys = service(&nodes[writer % 2]);
            tokio::spawn(async move {
                for _ in 0..25 {
                    let _ = keys.issue(&common::system(), common::new_key("logged")).await.unwrap();
                }
            })
        })
        .collect();
    let (mut next, mut seen) = (1, Vec::new());
    loop {
        let is_last = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let entries = nodes[0].log(&LogQuery::from(next)).await.unwrap();
        next = entries.last().map_or(next, |(position, _)| position + 1);
        let is_end = entries.is_empty();
        seen.extend(entries);
        if is_last && is_end {
            break;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let all = nodes[1].log(&LogQuery::from(0).limit(10_000)).await.unwrap();
    assert_eq!(seen, all);
}

/// A node commits one change after the other; that nodes exclude each other is the
/// database's doing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn many_nodes_together_keep_a_cap() {
    let server = Postgres::shared();
    let schema = server.schema();
    let node = || store(&server.url(), 1).schema(&schema).unwrap();
    node().migrate().await.unwrap();
    for round in 0..5 * u8::try_from(common::scale()).unwrap_or(u8::MAX / 5) {
        let racers: Vec<_> = (0..12)
            .map(|racer| {
                let (node, text) = (node(), format!("{{\"owner\":\"org_{round}\"}}"));
                tokio::spawn(async move {
                    let mut won = 0;
                    for attempt in 0..4 {
                        let id = KeyId::from_bytes([round, racer, attempt, 0, 0, 0, 0, 0, 0, 0]);
                        let record = KeyRecord::from_row(id, 1, &text);
                        let cap = Some(OwnerCap { max: 10, now: common::START });
                        let expect = Expect::Absent { cap };
                        match node.commit(Change { record, expect, event: None }).await {
                            Ok(()) => won += 1,
                            Err(error) => {
                                assert_eq!(
                                    error.kind(),
                                    StoreErrorKind::OwnerCapReached,
                                    "{error}"
                                );
                            }
                        }
                    }
                    won
                })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            won += racer.await.unwrap();
        }
        assert_eq!(won, 10);
    }
}

/// A history of a new key, by readers with these services, and by two on these nodes.
async fn history(
    number: usize,
    nodes: &[PostgresStore; 2],
    readers: &[KeyService],
) -> Result<Seen, String> {
    let keys = service(&nodes[number % 2]);
    let issued = keys.issue(&common::system(), common::new_key("history")).await.unwrap();
    let (id, history) = (issued.id(), Arc::new(History::new()));
    let token: Arc<str> = issued.into_key().expose_secret().into();
    let read = |keys: &KeyService| {
        let (history, keys, token) = (Arc::clone(&history), keys.clone(), Arc::clone(&token));
        tokio::spawn(async move { history.read(&keys, &token).await })
    };
    let readers: Vec<_> = readers.iter().map(read).collect();
    history.revoke(number, &service(&nodes[(number + 1) % 2]), id).await;
    let mut seen = Vec::new();
    for reader in readers {
        seen.push(reader.await.unwrap());
    }
    for node in nodes {
        assert!(service(node).verify(&token, &common::READ).await.is_err());
    }
    revoked::together(seen)
}

/// Histories of issue, verify and revoke on two nodes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn no_verify_allows_after_an_acknowledged_revoke() {
    let nodes = nodes().await;
    let reader = |reader| {
        let service = if reader < READERS / 2 { service } else { service_through };
        service(&nodes[reader % 2])
    };
    let readers: Vec<_> = (0..READERS).map(reader).collect();
    let mut seen = Vec::new();
    for number in 0..20 * common::scale() {
        seen.push(history(number, &nodes, &readers).await);
    }
    revoked::check(&seen);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn the_check_finds_a_stale_read_now_and_then() {
    let nodes = nodes().await;
    let stale = |reader: usize| Stale::of(nodes[reader % 2].clone());
    let readers: Vec<_> =
        (0..READERS).map(|reader| KeyService::new(common::scheme(&[1]), stale(reader))).collect();
    let mut found = None;
    for number in 0..20 {
        found = found.or(history(number, &nodes, &readers).await.err());
    }
    assert!(found.is_some_and(|error| error.starts_with("allowed after")));
}

/// As many nodes as add uses of the same keys at the same moment.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn uses_are_added_where_all_is_serializable() {
    let store = super::serializable().await;
    let key = KeyId::from_bytes([1; 10]);
    let nodes: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..4 * common::scale() {
                    let mut slots = [SlotUsage::default(); 2];
                    slots[0].uses = 1;
                    let hour = common::START;
                    let used = UsageDelta { key, hour, last_address: None, slots };
                    store.add(&[used]).await.unwrap();
                }
            })
        })
        .collect();
    for node in nodes {
        node.await.unwrap();
    }
    let used = store.usage(&[key]).await.unwrap();
    assert_eq!(used[&key].uses, 64 * 4 * common::scale() as u64);
}
