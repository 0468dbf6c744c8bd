//! C1 to C4 and C7: what a commit does and refuses.

use super::poll::join_all;
use super::probe::{Checked, Clause, is_same};
use super::sample::{Sample, create, create_within, replace};
use crate::error::StoreErrorKind;
use crate::record::KeyRecord;
use crate::store::{KeyQuery, KeyStore};
use crate::timestamp::Timestamp;

/// C1: `Absent` creates, or fails with `AlreadyExists`; it never overwrites.
///
/// Creates a key, and tries to create another of the same id over it: as it is, with
/// room under a cap, after it was changed, and after it was revoked.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c1_absent_never_overwrites<S: KeyStore>(store: S) -> Checked {
    let clause = Clause::new("C1", "`Absent` creates or is `AlreadyExists`; it never overwrites");
    let store = clause.probe(&store);
    let first = Sample::number(1);
    let other = Sample { name: "another".to_owned(), ..first.clone() }.record();
    store.lacks(first.id()).await?;
    store.accepts(create(&first.record())).await?;
    store.holds(&first.record()).await?;

    let second = first.next();
    let revoked = Sample { state: "revoked", ..second.next() };
    let mut version = None;
    for present in [&first, &second, &revoked] {
        if let Some(version) = version {
            store.accepts(replace(version, &present.record())).await?;
        }
        version = Some(present.version);
        store.refuses(create(&other), StoreErrorKind::AlreadyExists).await?;
        store.holds(&present.record()).await?;
        let roomy = create_within(&other, 100, other.created_at());
        store.refuses(roomy, StoreErrorKind::AlreadyExists).await?;
        store.holds(&present.record()).await?;
    }
    Ok(())
}

/// C2: `Version(v)` replaces the whole record only if the stored version is `v`; of
/// several commits with one `v`, exactly one succeeds.
///
/// Replaces every field, the owner and the environment among them, and looks for the
/// new record in `get` and for it alone in `list`. Then it polls 16 commits over one
/// version in turn. A store that doesn't suspend between its check and its write
/// answers them one after the other; the stale ones are then the proof, and running
/// them on several threads would prove no more.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c2_one_commit_per_version<S: KeyStore>(store: S) -> Checked {
    const RACERS: u16 = 16;
    let clause = Clause::new("C2", "of several commits over one version exactly one succeeds");
    let store = clause.probe(&store);
    let first = Sample::number(1);
    let second = Sample {
        owner: "org_2".to_owned(),
        environment: "sandbox",
        state: "disabled",
        expires_at: Some(Timestamp::from_unix_seconds(9_000_000_000)),
        metadata: [("note".to_owned(), "new".to_owned())].into(),
        ..first.next()
    };
    store.accepts(create(&first.record())).await?;
    store.accepts(replace(1, &second.record())).await?;
    store.holds(&second.record()).await?;
    let all = store.list(&KeyQuery::new().with_revoked()).await?;
    clause.ensure(all.len() == 1, || format!("`list` gave {} records of one key", all.len()))?;
    store.same(all.first(), &second.record(), "`list`")?;
    let former = store.list(&KeyQuery::new().owner("org_1")).await?;
    clause.ensure(former.is_empty(), || "`list` still has the former owner's key".to_owned())?;

    let racers: Vec<KeyRecord> = (0..RACERS)
        .map(|n| Sample { name: format!("racer {n}"), ..second.next() }.record())
        .collect();
    let commits = racers.iter().map(|racer| store.store.commit(replace(2, racer)));
    let results = join_all(commits).await;
    let mut winners = racers.iter().zip(&results).filter(|(_, result)| result.is_ok());
    let won = winners.clone().count();
    clause.ensure(won == 1, || format!("{won} of {RACERS} commits over version 2 succeeded"))?;
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        clause.ensure(error.kind() == StoreErrorKind::Conflict, || {
            format!("a commit that lost the race failed with {:?}, not Conflict", error.kind())
        })?;
    }
    match winners.next() {
        Some((winner, _)) => store.holds(winner).await,
        None => Ok(()),
    }
}

/// C3: a stale version or a missing row is `Conflict`, and nothing changes.
///
/// Commits over an older version, a newer one, and a key that doesn't exist.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c3_stale_is_conflict<S: KeyStore>(store: S) -> Checked {
    let clause = Clause::new("C3", "a stale version or a missing row is `Conflict`");
    let store = clause.probe(&store);
    let first = Sample::number(1);
    let second = first.next();
    store.accepts(create(&first.record())).await?;
    store.accepts(replace(1, &second.record())).await?;

    let lost = Sample { name: "a lost update".to_owned(), ..second.clone() };
    for (expected, version) in [(1, 2), (1, 3), (0, 1), (3, 4), (u64::MAX >> 1, 3)] {
        let stale = lost.clone().version(version).record();
        store.refuses(replace(expected, &stale), StoreErrorKind::Conflict).await?;
        store.holds(&second.record()).await?;
    }
    let missing = Sample::number(2);
    for expected in [0, 1] {
        let record = missing.clone().version(expected + 1).record();
        store.refuses(replace(expected, &record), StoreErrorKind::Conflict).await?;
        store.lacks(missing.id()).await?;
    }
    let all = store.list(&KeyQuery::new().with_revoked()).await?;
    clause.ensure(all.len() == 1, || format!("`list` gave {} records of one key", all.len()))?;
    store.same(all.first(), &second.record(), "`list`")
}

/// C4: the service assigns versions; the store never invents one.
///
/// Creates a key at version 7 and replaces it at version 12: those are the versions
/// that come back, from `get` and from `list`.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c4_versions_are_given<S: KeyStore>(store: S) -> Checked {
    let clause = Clause::new("C4", "the store never invents a version");
    let store = clause.probe(&store);
    let key = Sample::number(1);
    let [seventh, twelfth] = [7, 12].map(|version| key.clone().version(version).record());
    store.accepts(create(&seventh)).await?;
    store.holds(&seventh).await?;
    store.accepts(replace(7, &twelfth)).await?;
    store.holds(&twelfth).await?;
    let all = store.list(&KeyQuery::new()).await?;
    store.same(all.first(), &twelfth, "`list`")
}

/// C7: the store judges nothing and reads no clock; an instant it needs is in the
/// argument.
///
/// Keys that have expired, have not begun, are disabled, revoked or unreadable are
/// kept and given back like others; a revoked one is replaced by an enabled one if
/// that is what a commit says. A cap counts a key as live that expired long ago, when
/// the instant in the argument is before.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c7_no_judgement_no_clock<S: KeyStore>(store: S) -> Checked {
    let clause = Clause::new("C7", "the store judges nothing and reads no clock");
    let store = clause.probe(&store);
    let [year_2000, year_2001, year_2200] =
        [946_684_800, 978_307_200, 7_258_118_400].map(Timestamp::from_unix_seconds);
    let expired = Sample {
        created_at: year_2000,
        expires_at: Some(year_2001),
        ..Sample::number(1).owner("past")
    };
    let records = [
        expired.record(),
        Sample { created_at: year_2200, ..Sample::number(2) }.record(),
        Sample { not_before: Some(year_2200), ..Sample::number(3) }.record(),
        Sample { state: "disabled", ..Sample::number(4) }.record(),
        Sample { state: "revoked", ..Sample::number(5) }.record(),
        KeyRecord::from_row(Sample::number(6).id(), 1, r#"{"owner":"org_1","encoding":9}"#),
    ];
    for record in &records {
        store.accepts(create(record)).await?;
        store.holds(record).await?;
    }
    let listed = store.list(&KeyQuery::new().with_revoked()).await?;
    for record in &records {
        let found = listed.iter().find(|listed| listed.id() == record.id());
        store.same(found, record, "`list`")?;
    }
    let again = Sample::number(5).version(2).record();
    store.accepts(replace(1, &again)).await?;
    store.holds(&again).await?;

    let then = Timestamp::from_micros(year_2001.as_micros() - 1);
    let second = Sample::number(7).owner("past").record();
    let kind = StoreErrorKind::OwnerCapReached;
    store.refuses(create_within(&second, 1, then), kind).await?;
    let found = store.get(expired.id()).await?;
    let kept = found.is_some_and(|found| is_same(&found, &expired.record()));
    clause.ensure(kept, || "an expired key has gone".to_owned())
}
