//! C11: how many live keys an owner may have.

use super::poll::join_all;
use super::probe::{Checked, Clause};
use super::sample::{Sample, create, create_within, replace};
use crate::error::StoreErrorKind;
use crate::record::KeyRecord;
use crate::store::{KeyQuery, KeyStore};
use crate::timestamp::Timestamp;

/// C11: `Absent` with an [`OwnerCap`](crate::OwnerCap) counts the owner's live keys
/// and inserts in one step.
///
/// Polls 100 commits in turn under a cap of 10: exactly 10 succeed. Then: revoked keys
/// and those that have expired at the cap's instant don't count; disabled, unreadable
/// and not yet valid ones do; other owners' don't; no cap is no limit.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c11_cap_counts_live_keys<S: KeyStore>(store: S) -> Checked {
    const RACERS: u16 = 100;
    const CAP: u32 = 10;
    let clause = Clause::new("C11", "a cap counts the owner's live keys and inserts in one step");
    let store = clause.probe(&store);
    let full = StoreErrorKind::OwnerCapReached;
    let now = Timestamp::from_unix_seconds(4_500_000_000);

    let racers: Vec<KeyRecord> = (0..RACERS).map(|n| Sample::number(n).record()).collect();
    let commits = racers.iter().map(|racer| store.store.commit(create_within(racer, CAP, now)));
    let results = join_all(commits).await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    clause
        .ensure(won == 10, || format!("{won} of {RACERS} commits under a cap of 10 succeeded"))?;
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        clause.ensure(error.kind() == full, || {
            format!("a commit over the cap failed with {:?}, not {full:?}", error.kind())
        })?;
    }
    let kept = store.list(&KeyQuery::new().limit(1_000)).await?.len();
    clause.ensure(kept == 10, || format!("the owner has {kept} keys under a cap of 10"))?;

    let elsewhere = Sample::number(200).owner("ORG_1").record();
    store.accepts(create_within(&elsewhere, 1, now)).await?;
    store.accepts(create(&Sample::number(201).record())).await?;

    let owner = |n| Sample::number(n).owner("org_2");
    let dead =
        [Sample { state: "revoked", ..owner(300) }, Sample { expires_at: Some(now), ..owner(301) }];
    for dead in &dead {
        store.accepts(create(&dead.record())).await?;
    }
    let mut live: u32 = 0;
    for alive in [
        owner(310),
        Sample { state: "disabled", ..owner(311) },
        Sample { not_before: Some(now.saturating_add(SECOND)), ..owner(312) },
        Sample { expires_at: Some(now.saturating_add(SECOND)), ..owner(313) },
    ] {
        let record = alive.record();
        store.refuses(create_within(&record, live, now), full).await?;
        store.lacks(record.id()).await?;
        live += 1;
        store.accepts(create_within(&record, live, now)).await?;
    }
    let unreadable = KeyRecord::from_row(owner(320).id(), 1, r#"{"owner":"org_2","later":true}"#);
    store.accepts(create(&unreadable)).await?;
    live += 1;
    let next = owner(330).record();
    store.refuses(create_within(&next, live, now), full).await?;

    let ended = Sample { state: "revoked", ..owner(310).next() };
    store.accepts(replace(1, &ended.record())).await?;
    store.accepts(create_within(&next, live, now)).await
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
