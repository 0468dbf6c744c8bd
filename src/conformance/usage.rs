//! U1 to U4: how keys have been used.

use super::probe::{Checked, Clause};
use super::sample::{Sample, create};
use crate::record::{SlotUsage, Usage, UsageDelta};
use crate::store::{KeyQuery, KeyStore, UsageStore};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// 2026-01-01T00:00:00Z, in seconds.
const START: i64 = 1_767_225_600;

/// `uses` uses of a key's first secret in an hour, the last one so many seconds into it.
pub(super) fn delta(key: KeyId, hour: i64, seconds: i64, uses: u64) -> UsageDelta {
    let hour = Timestamp::from_unix_seconds(START + hour * 3_600);
    let last = Timestamp::from_micros(hour.as_micros() + seconds * 1_000_000 + 1);
    UsageDelta {
        key,
        hour,
        last_address: None,
        slots: [SlotUsage { uses, last_used_at: Some(last) }, SlotUsage::default()],
    }
}

/// The same uses, of the second secret.
fn second_slot(mut delta: UsageDelta) -> UsageDelta {
    delta.slots.reverse();
    delta
}

/// U1: uses add up, in whatever order they arrive.
///
/// Adds the same deltas in several orders, one by one and in batches, each order to
/// another key: the counts in all, by secret and by hour are those of [`Usage::add`].
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn u1_uses_add_up<S: KeyStore + UsageStore>(store: S) -> Checked {
    let clause = Clause::new("U1", "uses add up in any order");
    let store = clause.probe(&store);
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
    for (number, order) in (1..).zip(orders) {
        let record = Sample::number(number).record();
        store.accepts(create(&record)).await?;
        let key = record.id();
        let deltas = [
            delta(key, 1, 10, 5),
            second_slot(delta(key, 1, 20, 70)),
            delta(key, 2, 0, 300),
            delta(key, 5, 0, 2_000_000_000_000),
        ];
        let mut expected = Usage::default();
        for delta in &deltas {
            expected.add(delta);
        }
        for place in order {
            store.add(deltas.get(place..=place).unwrap_or_default()).await?;
        }
        let usage = store.usage(&[key]).await?.remove(&key).unwrap_or_default();
        let counts =
            |usage: &Usage| (usage.uses, usage.slots.map(|slot| slot.uses), usage.hours.clone());
        clause.ensure(counts(&usage) == counts(&expected), || {
            format!("deltas added in the order {order:?} gave {usage:?}, not {expected:?}")
        })?;
    }
    Ok(())
}

/// U2: the instants of last use only move forward, and the address is that of the
/// last use.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn u2_last_use_moves_forward<S: KeyStore + UsageStore>(store: S) -> Checked {
    let clause = Clause::new("U2", "the last use only moves forward, with its address");
    let store = clause.probe(&store);
    let record = Sample::number(1).record();
    let key = record.id();
    store.accepts(create(&record)).await?;
    let from = |delta: UsageDelta, address: &str| UsageDelta {
        last_address: address.parse().ok(),
        ..delta
    };
    let mut expected = Usage::default();
    for delta in [
        from(delta(key, 3, 100, 1), "192.0.2.3"),
        from(second_slot(delta(key, 3, 50, 1)), "192.0.2.2"),
        from(delta(key, 1, 0, 1), "192.0.2.1"),
        from(second_slot(delta(key, 4, 0, 1)), "2001:db8::4"),
        from(delta(key, 3, 3_599, 1), "192.0.2.5"),
        delta(key, 5, 0, 1),
        from(delta(key, 4, 1, 1), "192.0.2.6"),
    ] {
        expected.add(&delta);
        store.add(std::slice::from_ref(&delta)).await?;
        let usage = store.usage(&[key]).await?.remove(&key).unwrap_or_default();
        let last = |usage: &Usage| {
            (usage.last_used_at, usage.last_address, usage.slots.map(|slot| slot.last_used_at))
        };
        clause.ensure(last(&usage) == last(&expected), || {
            format!("after {delta:?} the last use is {:?}, not {:?}", last(&usage), last(&expected))
        })?;
    }
    Ok(())
}

/// U3: a batch may hold several keys, and one key several times; `usage` gives those
/// that were asked for and have been used.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn u3_batches_hold_several_keys<S: KeyStore + UsageStore>(store: S) -> Checked {
    let clause = Clause::new("U3", "a batch may hold several keys");
    let store = clause.probe(&store);
    let keys = [1, 2, 3, 4].map(Sample::number);
    for key in &keys {
        store.accepts(create(&key.record())).await?;
    }
    let ids = keys.each_ref().map(Sample::id);
    let [first, second, third, unused] = ids;
    store.add(&[]).await?;
    store
        .add(&[
            delta(first, 1, 0, 1),
            delta(second, 1, 0, 20),
            delta(first, 2, 0, 300),
            delta(third, 1, 0, 4_000),
        ])
        .await?;
    for (asked, expected) in [
        (ids.as_slice(), [Some(301), Some(20), Some(4_000), None]),
        (&[second, second, unused], [None, Some(20), None, None]),
        (&[unused], [None; 4]),
        (&[], [None; 4]),
    ] {
        let usage = store.usage(asked).await?;
        let uses = ids.map(|id| usage.get(&id).map(|usage| usage.uses));
        clause.ensure(uses == expected, || {
            format!("`usage` of {asked:?} counts {uses:?} uses of {ids:?}, not {expected:?}")
        })?;
    }
    Ok(())
}

/// U4: usage never touches a record, its version, the list or the log.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn u4_usage_leaves_records_alone<S: KeyStore + UsageStore>(store: S) -> Checked {
    let clause = Clause::new("U4", "usage never touches a record");
    let store = clause.probe(&store);
    let record = Sample::number(1).record();
    store.accepts(create(&record)).await?;
    let logged = store.newest().await?;
    store.add(&[delta(record.id(), 1, 0, 1)]).await?;
    store.holds(&record).await?;
    let unknown = Sample::number(2).id();
    store.add(&[delta(unknown, 1, 0, 1)]).await?;
    store.lacks(unknown).await?;
    let listed = store.list(&KeyQuery::new().with_revoked()).await?;
    clause.ensure(listed.len() == 1, || format!("`list` gave {} records, not 1", listed.len()))?;
    store.same(listed.first(), &record, "`list`")?;
    let after = store.newest().await?;
    clause.ensure(after == logged, || format!("`add` wrote to the log: {after:?}"))
}
