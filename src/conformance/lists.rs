//! C8: what `list` gives, and in what order.

use super::probe::{Checked, Clause, Probe};
use super::sample::{Sample, create, replace};
use crate::grant::Environment;
use crate::record::KeyRecord;
use crate::store::{KeyQuery, KeyStore, ListPosition};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// C8: `list` gives what [`KeyQuery::matches`], newest first by (`created_at`, id);
/// fewer than `limit` rows is the end; a row that is there for the whole walk appears
/// exactly once.
///
/// Compares 400 queries with the model, over keys of several owners (that differ in
/// case only), environments and states, some issued in the same microsecond, some
/// unreadable. Then it walks page by page while keys are added and changed.
///
/// # Errors
///
/// What was seen, if that breaks the clause.
pub async fn c8_list_order_and_filters<S: KeyStore>(store: S) -> Checked {
    let clause = Clause::new("C8", "`list` gives what matches, newest first, page by page");
    let store = clause.probe(&store);
    let mut records: Vec<KeyRecord> = (0..24).map(varied).collect();
    records.extend((100..103).map(unreadable));
    for record in &records {
        store.accepts(create(record)).await?;
    }
    records.sort_by_key(|record| std::cmp::Reverse(ListPosition::of(record)));
    for query in queries() {
        expect(&store, &records, &query).await?;
        for limit in [1, 2, 7] {
            expect(&store, &records, &query.clone().limit(limit)).await?;
        }
        for record in records.iter().step_by(5) {
            let query = query.clone().after(ListPosition::of(record));
            expect(&store, &records, &query.clone().limit(4)).await?;
            expect(&store, &records, &query).await?;
        }
    }
    walk(&store, &records).await
}

/// Keys in every combination that a filter tells apart, four to each instant.
fn varied(n: u16) -> KeyRecord {
    let pick = |choices: [&'static str; 3], n: u16| {
        choices.get(usize::from(n % 3)).copied().unwrap_or_default()
    };
    let base = Sample::number(0).created_at;
    let hours = u64::from(n / 4);
    let end = |n: u16| Timestamp::from_unix_seconds(4_000_000_000 + i64::from(n % 7));
    Sample {
        owner: pick(["org_1", "ORG_1", "org_10"], n).to_owned(),
        environment: pick(["production", "sandbox", "staging"], n / 2),
        created_by: pick(["alice", "Alice", "bob"], n / 3),
        state: pick(["enabled", "disabled", "revoked"], n / 5),
        created_at: base.saturating_add(std::time::Duration::from_secs(hours * 3_600)),
        expires_at: n.is_multiple_of(2).then(|| end(n)),
        // The order of ids must not be that of insertion.
        ..Sample::number(n.wrapping_mul(0x4e35) ^ 0x0a5a)
    }
    .record()
}

/// What a newer release might have written, or somebody by hand.
fn unreadable(n: u16) -> KeyRecord {
    let Sample { owner, environment, created_at, .. } = Sample::number(n);
    let document = serde_json::json!({
        "owner": owner, "environment": environment, "created_at": created_at,
    });
    KeyRecord::from_row(Sample::number(n).id(), 1, &document.to_string())
}

fn queries() -> Vec<KeyQuery> {
    let owners = [None, Some("org_1"), Some("ORG_1"), Some("nobody")];
    let filters: [fn(KeyQuery) -> KeyQuery; 6] = [
        |query| query,
        |query| query.environment(Environment::PRODUCTION),
        |query| query.created_by("alice"),
        |query| query.expires_before(Timestamp::from_unix_seconds(4_000_000_003)),
        |query| query.environment(Environment::SANDBOX).created_by("bob"),
        |query| {
            query.after(ListPosition { created_at: Timestamp::MIN, id: KeyId::from_bytes([0; 10]) })
        },
    ];
    let bases = [KeyQuery::new(), KeyQuery::new().with_revoked()];
    let mut queries = Vec::new();
    for base in bases {
        for owner in owners {
            for filter in filters {
                let query = filter(base.clone());
                queries.push(match owner {
                    Some(owner) => query.owner(owner),
                    None => query,
                });
            }
        }
    }
    queries
}

/// Demands what the model gives; `records` are in the order of the list.
async fn expect<S: KeyStore>(
    store: &Probe<'_, S>,
    records: &[KeyRecord],
    query: &KeyQuery,
) -> Checked {
    let expected: Vec<_> =
        records.iter().filter(|record| query.matches(record)).take(query.limit).collect();
    let found = store.list(query).await?;
    let row = |record: &KeyRecord| (record.id(), record.version());
    let same = found.iter().map(row).eq(expected.iter().map(|record| row(record)));
    store.clause.ensure(same, || {
        let found: Vec<_> = found.iter().map(KeyRecord::id).collect();
        let expected: Vec<_> = expected.iter().map(|record| record.id()).collect();
        format!("`list` of {query:?} gave {found:?}, not {expected:?}")
    })
}

/// Walks all pages of four while others write; each key that was there comes once.
async fn walk<S: KeyStore>(store: &Probe<'_, S>, records: &[KeyRecord]) -> Checked {
    let mut query = KeyQuery::new().with_revoked().limit(4);
    let mut seen = Vec::new();
    for page in 0_u16..100 {
        let found = store.list(&query).await?;
        seen.extend(found.iter().map(KeyRecord::id));
        let Some(last) = found.last().filter(|_| found.len() >= query.limit) else { break };
        query = query.after(ListPosition::of(last));
        let newer = Sample::number(1_000 + page);
        store.accepts(create(&newer.record())).await?;
        if page < 3 {
            let created_at = Sample::number(0).created_at.saturating_sub(page_gap(page));
            let older = Sample { created_at, ..Sample::number(2_000 + page) };
            store.accepts(create(&older.record())).await?;
        }
        for n in [page, 20_u16.saturating_sub(page)] {
            change(store, &varied(n)).await?;
        }
    }
    for record in records {
        let times = seen.iter().filter(|id| **id == record.id()).count();
        store.clause.ensure(times == 1, || {
            let id = record.id();
            format!("{id} was there for a whole walk in pages of 4 and came {times} times")
        })?;
    }
    Ok(())
}

fn page_gap(page: u16) -> std::time::Duration {
    std::time::Duration::from_secs(u64::from(page) + 1)
}

/// Writes the next version of a record that nobody else is changing.
async fn change<S: KeyStore>(store: &Probe<'_, S>, record: &KeyRecord) -> Checked {
    let Some(record) = store.get(record.id()).await? else { return Ok(()) };
    let (version, next) = (record.version(), record.version() + 1);
    let document = record.to_document();
    let document = document
        .replace(&format!("\"version\":{version},"), &format!("\"version\":{next},"))
        .replace("\"is\":\"enabled\"", "\"is\":\"disabled\"");
    store.accepts(replace(version, &KeyRecord::from_row(record.id(), next, &document))).await
}
