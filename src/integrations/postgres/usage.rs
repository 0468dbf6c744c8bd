use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::store_error;
use super::list::present;
use super::names::Names;
use super::statement::{Protocol, Statement, Value};
use crate::error::StoreError;
use crate::record::{SlotUsage, Usage, UsageDelta};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// The statement that adds uses.
pub(super) fn add_sql(names: &Names) -> Statement {
    let sql = "SELECT \"{schema}\".\"{prefix}add_usage\"($1::text, $2::text) IS NULL";
    Statement::new(names.fill(sql))
}

/// A batch as the statement reads it: each key once, and each hour of a key.
pub(super) fn batch(deltas: &[UsageDelta]) -> (String, String) {
    let mut keys: BTreeMap<KeyId, Usage> = BTreeMap::new();
    let mut hours: BTreeMap<(KeyId, Timestamp), u64> = BTreeMap::new();
    for delta in deltas {
        keys.entry(delta.key).or_default().add(delta);
        let uses = hours.entry((delta.key, delta.hour)).or_default();
        *uses = uses.saturating_add(delta.uses());
    }
    let keys = keys.iter().map(|(key, usage)| {
        let [first, second] = usage.slots;
        json!({
            "key": key,
            "uses_0": column(first.uses),
            "last_used_at_0": first.last_used_at.map(Timestamp::as_micros),
            "uses_1": column(second.uses),
            "last_used_at_1": second.last_used_at.map(Timestamp::as_micros),
            "last_address": usage.last_address,
        })
    });
    let hours = hours.iter().map(|((key, hour), uses)| {
        json!({ "key": key, "hour": hour.as_micros(), "uses": column(*uses) })
    });
    (
        keys.collect::<serde_json::Value>().to_string(),
        hours.collect::<serde_json::Value>().to_string(),
    )
}

fn column(uses: u64) -> i64 {
    i64::try_from(uses).unwrap_or(i64::MAX)
}

/// How these keys have been used.
pub(super) async fn usage(
    connection: &mut PgConnection,
    names: &Names,
    protocol: Protocol,
    keys: &[KeyId],
) -> Result<HashMap<KeyId, Usage>, StoreError> {
    let list = json!(keys).to_string();
    let sql = "SELECT here.standby, u.key, u.uses_0, u.last_used_at_0, u.uses_1, \
         u.last_used_at_1, u.last_address, h.hour, h.uses \
         FROM (SELECT pg_catalog.pg_is_in_recovery() AS standby) AS here \
         LEFT JOIN \"{schema}\".\"{prefix}usage\" AS u ON u.key IN \
         (SELECT jsonb_array_elements_text($1::text::jsonb)) \
         LEFT JOIN \"{schema}\".\"{prefix}usage_hours\" AS h ON h.key = u.key \
         ORDER BY u.key, h.hour";
    let statement = Statement::new(names.fill(sql));
    let rows = statement.rows(connection, protocol, &[Value::Text(&list)]).await;
    let mut found: HashMap<KeyId, Usage> = HashMap::new();
    for row in &rows.map_err(store_error)? {
        let Some(key) = present::<&str>(row)? else { continue };
        let Ok(key) = key.parse() else { continue };
        let usage = match found.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(whole(row).map_err(store_error)?)
            }
        };
        let hour: Option<i64> = row.try_get(7).map_err(store_error)?;
        let uses: Option<i64> = row.try_get(8).map_err(store_error)?;
        if let (Some(hour), Some(uses)) = (hour, uses) {
            usage.hours.push((Timestamp::from_micros(hour), count(uses)));
        }
    }
    for usage in found.values_mut() {
        // What a late delta brought back from beyond the oldest hour that is kept.
        if let Some((newest, _)) = usage.hours.last() {
            let oldest = newest.saturating_sub(KEPT);
            usage.hours.retain(|(hour, _)| *hour > oldest);
        }
    }
    Ok(found)
}

/// As long as [`Usage`] keeps an hour.
const KEPT: std::time::Duration = std::time::Duration::from_secs(31 * 24 * 3_600);

fn whole(row: &PgRow) -> Result<Usage, sqlx::Error> {
    let slot = |column: usize| -> Result<SlotUsage, sqlx::Error> {
        let last: Option<i64> = row.try_get(column + 1)?;
        let last_used_at = last.map(Timestamp::from_micros);
        Ok(SlotUsage { uses: count(row.try_get(column)?), last_used_at })
    };
    let slots = [slot(2)?, slot(4)?];
    let address: Option<&str> = row.try_get(6)?;
    Ok(Usage {
        uses: slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.uses)),
        last_used_at: slots.iter().filter_map(|slot| slot.last_used_at).max(),
        last_address: address.and_then(|address| address.parse().ok()),
        slots,
        hours: Vec::new(),
    })
}

fn count(uses: i64) -> u64 {
    u64::try_from(uses).unwrap_or_default()
}
