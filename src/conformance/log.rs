//! C12 and C13: the log.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::{Pin, pin};

use super::poll::{join_all, poll_once, turn};
use super::probe::{Checked, Clause, Probe};
use super::sample::{Sample, create, replace};
use crate::error::StoreErrorKind;
use crate::record::{Event, EventId};
use crate::store::{Change, KeyStore, LogQuery};
use crate::token::KeyId;

/// C12: the event is in the log exactly when the record is visible.
///
/// The newest entry is the event of the last commit, whole; a commit without an event
/// and a refused one add none. Between the polls of a commit, nobody sees the one
/// without the other.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c12_event_comes_with_record<S: KeyStore>(store: S) -> Checked {
    let clause = Clause::new("C12", "the event is in the log exactly when the record is visible");
    let store = clause.probe(&store);
    let first = Sample::number(1);
    let second = first.next();
    for change in [create(&first.record()), replace(1, &second.record())] {
        store.accepts(change.clone()).await?;
        let newest = store.newest().await?.into_iter().next().map(|(_, event)| event);
        clause.ensure(newest == change.event, || {
            format!("the newest entry is {newest:?}, not {:?}", change.event)
        })?;
    }
    let before = store.newest().await?;
    let silent = Change { event: None, ..replace(2, &second.next().record()) };
    store.accepts(silent).await?;
    let third = second.next();
    let stale = Sample { name: "stale".to_owned(), ..third.next() };
    store.refuses(replace(2, &stale.record()), StoreErrorKind::Conflict).await?;
    let after = store.newest().await?;
    clause.ensure(before == after, || {
        format!("a refused commit, or one without an event, added entries: {after:?}")
    })?;

    watched(&store, create(&Sample::number(10).record())).await?;
    watched(&store, replace(1, &Sample::number(10).next().record())).await
}

/// Commits poll by poll, and looks in between.
async fn watched<S: KeyStore>(store: &Probe<'_, S>, change: Change) -> Checked {
    let (id, version) = (change.record.id(), change.record.version());
    let Some(event) = change.event.as_ref().map(|event| event.id) else { return Ok(()) };
    let mut commit = pin!(store.store.commit(change));
    for _ in 0..10_000 {
        let done = poll_once(commit.as_mut()).await;
        // A commit may land at any moment, so the log is read on both sides.
        let logged_before = store.logged(event).await?;
        let visible = store.get(id).await?.is_some_and(|record| record.version() == version);
        let logged_after = store.logged(event).await?;
        store.clause.ensure(visible || !logged_before, || {
            format!("the event of {id} at version {version} is in the log before the record is")
        })?;
        store.clause.ensure(logged_after || !visible, || {
            format!("{id} is at version {version} before its event is in the log")
        })?;
        match done {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => {
                return Err(store.clause.violated(format!("`commit` failed: {error}")));
            }
            None => turn().await,
        }
    }
    Err(store.clause.violated("a commit did not end within 10,000 polls"))
}

/// C13: once a reader has seen position n, no entry at or below n appears later. The
/// log may have gaps, and may be trimmed at its old end.
///
/// Polls 12 commits and a reader in turn: no entry may appear behind the reader's
/// back, and none may move. Then it checks the two orders, the bounds, the filter by
/// key and the limit of [`LogQuery`] against each other.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c13_log_positions_grow<S: KeyStore>(store: S) -> Checked {
    const WRITERS: u16 = 12;
    let clause = Clause::new("C13", "no entry appears at or below a position that was seen");
    let store = clause.probe(&store);
    let mut seen = Seen::default();
    let writing = Cell::new(WRITERS);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = Checked> + '_>>> = Vec::new();
    for number in 0..WRITERS {
        let (store, writing) = (&store, &writing);
        tasks.push(Box::pin(async move {
            let committed = store.accepts(create(&Sample::number(number).record())).await;
            writing.set(writing.get() - 1);
            committed
        }));
    }
    tasks.push(Box::pin(async {
        while writing.get() > 0 {
            seen.read(&store).await?;
            turn().await;
        }
        seen.read(&store).await
    }));
    join_all(tasks).await.into_iter().collect::<Checked>()?;

    for number in (0..WRITERS).step_by(2) {
        let key = Sample::number(number);
        store.accepts(replace(1, &key.next().record())).await?;
        seen.read(&store).await?;
    }
    let newest = store.newest().await?;
    let last = Sample::number(WRITERS - 2).id();
    clause.ensure(newest.first().is_some_and(|(_, event)| event.key == last), || {
        "the newest entry is not that of the last commit".to_owned()
    })?;
    queries(&store, last).await
}

/// What a reader that remembers everything has seen.
#[derive(Default)]
struct Seen(BTreeMap<u64, EventId>);

impl Seen {
    async fn read<S: KeyStore>(&mut self, store: &Probe<'_, S>) -> Checked {
        let clause = store.clause;
        let last = self.0.last_key_value().map_or(0, |(position, _)| *position);
        let entries = store.log(&LogQuery::from(0).limit(1_000)).await?;
        clause.ensure(entries.is_sorted_by(|(a, _), (b, _)| a < b), || {
            let positions: Vec<u64> = entries.iter().map(|(position, _)| *position).collect();
            format!("`log` from 0 gave positions that don't grow: {positions:?}")
        })?;
        for (position, event) in entries {
            let known = self.0.insert(position, event.id);
            clause.ensure(known.is_none_or(|known| known == event.id), || {
                format!("another entry stands at position {position} than before")
            })?;
            clause.ensure(known.is_some() || position > last, || {
                format!("an entry appeared at position {position}, after {last} had been seen")
            })?;
        }
        Ok(())
    }
}

/// Compares every way to read the log with the whole of it.
async fn queries<S: KeyStore>(store: &Probe<'_, S>, key: KeyId) -> Checked {
    let all = store.log(&LogQuery::from(0).limit(1_000)).await?;
    let bounds = all.iter().flat_map(|(at, _)| [at.saturating_sub(1), *at, at + 1]);
    for at in bounds.chain([0, u64::MAX]) {
        for limit in [1, 3, 1_000] {
            for key in [None, Some(key)] {
                let wanted = |entry: &&(u64, Event)| key.is_none_or(|key| entry.1.key == key);
                let from = LogQuery { key, ..LogQuery::from(at) }.limit(limit);
                let upwards = all.iter().filter(|entry| entry.0 >= at).filter(wanted).take(limit);
                expect(store, &from, upwards).await?;
                let before = LogQuery { key, ..LogQuery::before(at) }.limit(limit);
                let downwards = all.iter().rev().filter(|entry| entry.0 < at);
                expect(store, &before, downwards.filter(wanted).take(limit)).await?;
            }
        }
    }
    Ok(())
}

async fn expect<'a, S: KeyStore>(
    store: &Probe<'_, S>,
    query: &LogQuery,
    expected: impl Iterator<Item = &'a (u64, Event)>,
) -> Checked {
    let found = store.log(query).await?;
    let positions: Vec<u64> = found.iter().map(|(position, _)| *position).collect();
    let expected: Vec<&(u64, Event)> = expected.collect();
    store.clause.ensure(found.iter().eq(expected.iter().copied()), || {
        let expected: Vec<u64> = expected.iter().map(|(position, _)| *position).collect();
        format!("`log` of {query:?} gave positions {positions:?}, not {expected:?}")
    })
}
