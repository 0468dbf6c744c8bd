//! The clauses of heartbeats, F4 to F6, over any store.

use std::time::Duration;

use keyward::{ChangeFeed, Heartbeat, LogQuery, NodeRow, RollCall};

const SECOND: Duration = Duration::from_secs(1);

/// `store` and `other` reach one place, in which nobody has enrolled.
pub(crate) async fn is_called_as_the_contract_says(
    store: &impl ChangeFeed,
    other: &impl ChangeFeed,
) {
    off_at_first(store).await;
    store.set_heartbeats(true).await.unwrap();
    assert!(other.changes(&LogQuery::from(0)).await.unwrap().heartbeats);
    let first = epoch(other).await.expect("an epoch");
    assert_eq!(epoch(store).await.as_ref(), Some(&first));

    let (one, two) = (enroll(store, SECOND).await, enroll(other, 7 * SECOND).await);
    assert_ne!(one.node, two.node);
    assert_eq!((one.beats, one.position, one.lapses_after), (0, 0, SECOND));
    assert_eq!(nodes(store).await, sorted([&one, &two]));

    let beaten = next(other, &one, 42, 3 * SECOND).await.own.expect("its row stands");
    let expected =
        NodeRow { beats: 1, position: 42, lapses_after: 3 * SECOND, node: one.node.clone() };
    assert_eq!(beaten, expected);
    assert_eq!(nodes(store).await, sorted([&beaten, &two]));
    // By another of the same name, or again.
    assert_eq!(next(store, &one, 43, SECOND).await.own, None);
    assert_eq!(nodes(other).await, sorted([&beaten, &two]));

    // What has changed meanwhile stays, what has not goes, and beats no more.
    let said = store.roll_call(Heartbeat::Look, &[one, two.clone()]).await.unwrap();
    assert_eq!(said.nodes, std::slice::from_ref(&beaten));
    assert_eq!(next(other, &two, 43, SECOND).await.own, None);
    assert_eq!(nodes(store).await, std::slice::from_ref(&beaten));
    // It goes before it beats.
    let beat = Heartbeat::Next { row: &beaten, position: 50, lapses_after: SECOND };
    let said = store.roll_call(beat, std::slice::from_ref(&beaten)).await.unwrap();
    assert_eq!((said.own, said.nodes), (None, Vec::new()));

    let mut epochs = vec![Some(first)];
    for on in [true, true, false, true, false, false, true] {
        store.set_heartbeats(on).await.unwrap();
        assert_eq!(other.changes(&LogQuery::from(0)).await.unwrap().heartbeats, on);
        let epoch = epoch(other).await;
        assert_eq!(epoch.is_some(), on);
        assert!(!on || !epochs.contains(&epoch), "an epoch came back");
        epochs.push(epoch);
    }
}

async fn off_at_first(store: &impl ChangeFeed) {
    assert!(!store.changes(&LogQuery::from(0)).await.unwrap().heartbeats);
    assert_eq!(epoch(store).await, None);
}

async fn epoch(store: &impl ChangeFeed) -> Option<String> {
    store.roll_call(Heartbeat::Look, &[]).await.unwrap().epoch
}

async fn enroll(store: &impl ChangeFeed, lapses_after: Duration) -> NodeRow {
    store.roll_call(Heartbeat::Enroll { lapses_after }, &[]).await.unwrap().own.unwrap()
}

async fn next(
    store: &impl ChangeFeed,
    row: &NodeRow,
    position: u64,
    lapses_after: Duration,
) -> RollCall {
    store.roll_call(Heartbeat::Next { row, position, lapses_after }, &[]).await.unwrap()
}

async fn nodes(store: &impl ChangeFeed) -> Vec<NodeRow> {
    let nodes = store.roll_call(Heartbeat::Look, &[]).await.unwrap().nodes;
    sorted(&nodes)
}

fn sorted<'a>(rows: impl IntoIterator<Item = &'a NodeRow>) -> Vec<NodeRow> {
    let mut rows: Vec<_> = rows.into_iter().cloned().collect();
    rows.sort_by(|one, other| one.node.cmp(&other.node));
    rows
}
