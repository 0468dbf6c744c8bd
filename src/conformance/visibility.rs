//! C5, C6, C9 and C10: what is seen of a commit, when, and from where.

use super::poll::drop_after;
use super::probe::{Checked, Clause, Probe, is_same};
use super::sample::{Sample, create, replace};
use super::usage::delta;
use crate::record::KeyRecord;
use crate::store::{Change, KeyQuery, KeyStore, UsageStore};

/// C5: a commit that was awaited is seen by every later `get`, on any clone.
///
/// Asks for each key before every commit, so that a handle that remembers its answers
/// gives itself away.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c5_commits_are_seen_at_once<S: KeyStore + Clone>(store: S) -> Checked {
    let clause = Clause::new("C5", "an awaited commit is seen by every later `get`");
    let clones = [store.clone(), store.clone()];
    let store = clause.probe(&store);
    let mut key = Sample::number(1);
    store.lacks(key.id()).await?;
    store.accepts(create(&key.record())).await?;
    store.holds(&key.record()).await?;
    // A clone that has not heard of the key at all is C9's matter.
    let clones = clones.iter().map(|clone| clause.probe(clone));
    let mut sharing = Vec::new();
    for clone in clones {
        if clone.get(key.id()).await?.is_some() {
            sharing.push(clone);
        }
    }
    for _ in 0..3 {
        let next = key.next();
        store.accepts(replace(key.version, &next.record())).await?;
        store.holds(&next.record()).await?;
        for clone in &sharing {
            clone.holds(&next.record()).await?;
        }
        key = next;
    }
    Ok(())
}

/// C6: a commit whose future is dropped happened wholly or not at all.
///
/// Creates and replaces keys, each time dropping the future after one more poll, until
/// a commit gets to its end. After each, another key is committed, behind which a
/// transaction that was let go must have ended; then `get`, `list` and `log` must
/// agree, and the key can be committed again.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c6_dropped_is_all_or_nothing<S: KeyStore>(store: S) -> Checked {
    const MOST_POLLS: u16 = 1_000;
    let clause = Clause::new("C6", "a dropped commit happened wholly or not at all");
    let store = clause.probe(&store);
    for replaces in [false, true] {
        for polls in 0..MOST_POLLS {
            let number = 4 * polls + 2 * u16::from(replaces);
            let key = Sample::number(number);
            let (before, after) = (key.record(), key.next().record());
            let (change, record) = if replaces {
                store.accepts(create(&before)).await?;
                (replace(1, &after), after)
            } else {
                (create(&before), before)
            };
            let committed = drop_after(polls.into(), store.store.commit(change.clone())).await;
            let finished = committed.is_some();
            if let Some(Err(error)) = committed {
                return Err(clause.violated(format!("`commit` failed: {error}")));
            }
            store.accepts(create(&Sample::number(number + 1).record())).await?;
            let happened = agreed(&store, &change, polls).await?;
            if happened {
                let next = Sample { version: record.version(), ..key }.next().record();
                store.accepts(replace(record.version(), &next)).await?;
            } else {
                clause.ensure(!finished, || "a commit that was awaited did nothing".to_owned())?;
                store.accepts(change).await?;
            }
            if finished {
                break;
            }
        }
    }
    Ok(())
}

/// Whether a commit happened, as `get`, `list` and `log` say with one voice.
async fn agreed<S: KeyStore>(store: &Probe<'_, S>, change: &Change, polls: u16) -> Checked<bool> {
    let Change { record, event, .. } = change;
    let got = store.get(record.id()).await?.is_some_and(|found| is_same(&found, record));
    let all = store.list(&KeyQuery::new().limit(10_000)).await?;
    let listed = all.iter().any(|found| is_same(found, record));
    let logged = match event {
        Some(event) => store.logged(event.id).await?,
        None => got,
    };
    store.clause.ensure(got == listed && got == logged, || {
        let says = |yes| if yes { "happened" } else { "did not happen" };
        format!(
            "after {polls} polls and a drop, the commit {} for `get`, {} for `list` and {} for `log`",
            says(got),
            says(listed),
            says(logged),
        )
    })?;
    Ok(got)
}

/// C9: clones share state.
///
/// What one clone commits, another reads, lists and finds in the log; and so with
/// usage. One clone is made before anything is written and one after.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c9_clones_share_state<S: KeyStore + UsageStore + Clone>(store: S) -> Checked {
    let clause = Clause::new("C9", "clones share state");
    let early = store.clone();
    let [first, second] = [1, 2].map(|number| Sample::number(number).record());
    clause.probe(&store).accepts(create(&first)).await?;
    clause.probe(&early).accepts(create(&second)).await?;
    let late = early.clone();
    for (handle, whose) in [(&store, "the first"), (&early, "an early"), (&late, "a late")] {
        let probe = clause.probe(handle);
        for record in [&first, &second] {
            probe.holds(record).await?;
        }
        let listed = probe.list(&KeyQuery::new()).await?.len();
        let logged = probe.newest().await?.len();
        clause.ensure(listed == 2 && logged == 2, || {
            format!("{whose} handle lists {listed} and logs {logged} of 2 keys")
        })?;
    }
    let used = delta(first.id(), 1, 0, 3);
    clause.probe(&early).add(std::slice::from_ref(&used)).await?;
    for (handle, whose) in [(&store, "the first"), (&early, "an early"), (&late, "a late")] {
        let usage = clause.probe(handle).usage(&[first.id()]).await?;
        let counted = usage.get(&first.id()).map(|usage| usage.uses);
        clause.ensure(counted == Some(used.uses()), || {
            format!("{whose} handle counts {counted:?} uses of {}", used.uses())
        })?;
    }
    Ok(())
}

/// C10: the same document text comes back, hostile strings included.
///
/// Names, metadata and whole documents with quotes, SQL, escapes, other scripts,
/// whitespace that a JSON column would lose, keys given twice, and text that is no
/// JSON. No document holds a NUL, not even as `\u0000`: the service refuses it.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c10_documents_come_back<S: KeyStore>(store: S) -> Checked {
    let clause = Clause::new("C10", "the same document text comes back");
    let store = clause.probe(&store);
    let long = "ä".repeat(8_000);
    let hostile = [
        "Robert'); DROP TABLE keys;--",
        "\"}]}, \\\" \\\\ \\u0041 \\n",
        "$1 $$ ? :name %s %00 {0} ${jndi:ldap://x} <script>",
        "  both ends and\ttabs\nand lines  ",
        "e\u{301} is not é; İ ı ß ẞ Ω \u{fffd} 🗝\u{fe0f} 漢字 עברית",
        "1e999 NaN null true 0x1F",
        long.as_str(),
    ];
    let named = hostile.iter().map(|name| (*name).to_owned());
    let mut records: Vec<KeyRecord> = (1..)
        .zip(named)
        .map(|(number, text)| {
            let metadata = [(text.chars().take(20).collect(), text.clone())].into();
            Sample { name: text, metadata, ..Sample::number(number) }.record()
        })
        .collect();
    let quoted = Sample::number(50).owner(r#"o'"\%_`$1;--"#);
    records.push(quoted.record());
    let text = Sample::number(51).document();
    let pretty = format!("{text:#}  \n");
    let texts = [
        pretty,
        r#"{"owner":"a","owner":"b","z":1.0,"a":1e400,"a":100000000000000000000001}"#.to_owned(),
        r#"{"encoding":2,"owner":"org_1","later":{"field":[null,"\ud83d\udd11","\/"]}}"#.to_owned(),
        "\"only a string\"".to_owned(),
        "{ damaged".to_owned(),
        "not JSON at all; 'quoted' \\".to_owned(),
    ];
    let texts = (60..).zip(texts);
    records.extend(
        texts.map(|(number, text)| KeyRecord::from_row(Sample::number(number).id(), 1, &text)),
    );
    for record in &records {
        store.accepts(create(record)).await?;
        store.holds(record).await?;
    }
    let listed = store.list(&KeyQuery::new().with_revoked()).await?;
    for record in &records {
        let found = listed.iter().find(|listed| listed.id() == record.id());
        store.same(found, record, "`list`")?;
    }
    let owned = store.list(&KeyQuery::new().owner(quoted.owner.as_str())).await?;
    store.same(owned.first(), &quoted.record(), "`list` by owner")
}
