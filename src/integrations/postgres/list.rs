use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::{corrupt, replica, store_error};
use super::keys::version_and_document;
use super::names::Names;
use super::statement::{Protocol, Statement, Value};
use crate::error::StoreError;
use crate::record::{Event, KeyRecord};
use crate::store::{KeyQuery, ListPosition, LogOrder, LogQuery};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

pub(super) const NO_SETTINGS: &str = "the row of the table `settings` is not there";

/// The most rows that one statement gives.
const PAGE: usize = 1_000;

/// Records that match, newest first.
///
/// The columns choose too many at most: what a damaged document seems to say is in its
/// columns, and not in its record.
pub(super) async fn list(
    connection: &mut PgConnection,
    names: &Names,
    protocol: Protocol,
    query: &KeyQuery,
) -> Result<Vec<KeyRecord>, StoreError> {
    let mut found = Vec::new();
    let mut after = query.after;
    while found.len() < query.limit {
        let wanted = (query.limit - found.len()).min(PAGE);
        let page = page(connection, names, protocol, query, after, wanted).await?;
        let is_last = page.len() < wanted;
        after = page.last().map(ListPosition::of).or(after);
        found.extend(page.into_iter().filter(|record| query.matches(record)));
        if is_last {
            break;
        }
    }
    Ok(found)
}

async fn page(
    connection: &mut PgConnection,
    names: &Names,
    protocol: Protocol,
    query: &KeyQuery,
    after: Option<ListPosition>,
    limit: usize,
) -> Result<Vec<KeyRecord>, StoreError> {
    let environment = query.environment.as_ref().map(ToString::to_string);
    let after_id = after.map(|after| after.id.to_string());
    let mut terms = vec![if query.revoked {
        "true".to_owned()
    } else {
        "state IS DISTINCT FROM 'revoked'".to_owned()
    }];
    let mut values = vec![Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))];
    let mut value = |value| {
        values.push(value);
        values.len()
    };
    for (column, text) in [
        ("owner", query.owner.as_deref()),
        ("environment", environment.as_deref()),
        ("created_by", query.created_by.as_deref()),
    ] {
        if let Some(text) = text {
            terms.push(format!("{column} = ${}::text", value(Value::Text(text))));
        }
    }
    if let Some(at) = query.expires_before {
        terms.push(format!("expires_at < ${}::bigint", value(Value::Integer(at.as_micros()))));
    }
    if let (Some(after), Some(id)) = (after, &after_id) {
        let created_at = value(Value::Integer(after.created_at.as_micros()));
        let id = value(Value::Text(id));
        terms.push(format!("(created_at, id) < (${created_at}::bigint, ${id}::text)"));
    }
    let terms = terms.join(" AND ");
    let sql = format!(
        "SELECT here.standby, k.id, k.version, k.document, k.created_at \
         FROM (SELECT pg_catalog.pg_is_in_recovery() AS standby) AS here \
         LEFT JOIN LATERAL (SELECT id, version, document, created_at \
         FROM \"{{schema}}\".\"{{prefix}}keys\" WHERE {terms} \
         ORDER BY created_at DESC, id DESC LIMIT $1::bigint) AS k ON true \
         ORDER BY k.created_at DESC, k.id DESC"
    );
    let statement = Statement::new(names.fill(&sql));
    let rows = statement.rows(connection, protocol, &values).await.map_err(store_error)?;
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        records.extend(record(&row)?);
    }
    Ok(records)
}

fn record(row: &PgRow) -> Result<Option<KeyRecord>, StoreError> {
    let Some(id) = present::<&str>(row)? else { return Ok(None) };
    let id: KeyId = id.parse().map_err(|_| corrupt("a row's id is none"))?;
    let (version, document) = version_and_document(row, 2).map_err(store_error)?;
    let created_at: i64 = row.try_get(4).map_err(store_error)?;
    let record = KeyRecord::from_row(id, version, &document);
    Ok(Some(record.with_created_at(Timestamp::from_micros(created_at))))
}

/// The second column, unless the row is there for the first alone: whether the server is
/// a replica.
pub(super) fn present<'r, T>(row: &'r PgRow) -> Result<Option<T>, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    if row.try_get::<bool, _>(0).map_err(store_error)? {
        return Err(replica());
    }
    row.try_get(1).map_err(store_error)
}

/// A statement for entries of the log, and its values: columns after these three are
/// those of the table `settings`.
pub(super) fn log_sql<'a>(query: &LogQuery, key: Option<&'a str>) -> (String, Vec<Value<'a>>) {
    let position = |position: u64| Value::Integer(i64::try_from(position).unwrap_or(i64::MAX));
    let (term, start, order) = match query.order {
        LogOrder::From(from) => ("position >= $2::bigint", from, "ASC"),
        // No entry is at the last position there is.
        LogOrder::Before(end) => ("position < $2::bigint", end, "DESC"),
    };
    let mut values = vec![position(query.limit as u64), position(start)];
    let of_key = key.map_or("", |key| {
        values.push(Value::Text(key));
        " AND key = $3::text"
    });
    let sql = format!(
        "SELECT here.standby, l.position, l.event, s.max_staleness, s.heartbeats \
         FROM (SELECT pg_catalog.pg_is_in_recovery() AS standby) AS here \
         JOIN \"{{schema}}\".\"{{prefix}}settings\" AS s ON s.one \
         LEFT JOIN LATERAL (SELECT position, event FROM \"{{schema}}\".\"{{prefix}}log\" \
         WHERE {term}{of_key} ORDER BY position {order} LIMIT $1::bigint) AS l ON true \
         ORDER BY l.position {order}"
    );
    (sql, values)
}

/// Entries of the log with their positions, in the order asked for.
pub(super) async fn log(
    connection: &mut PgConnection,
    names: &Names,
    protocol: Protocol,
    query: &LogQuery,
) -> Result<Vec<(u64, Event)>, StoreError> {
    let mut query = query.clone();
    let mut found: Vec<(u64, Event)> = Vec::new();
    let wanted = query.limit;
    while found.len() < wanted {
        query.limit = (wanted - found.len()).min(PAGE);
        let rows = log_page(connection, names, protocol, &query).await?;
        let entries = entries(&rows)?;
        let is_last = entries.len() < query.limit;
        if let Some((last, _)) = entries.last() {
            query.order = match query.order {
                LogOrder::From(_) => LogOrder::From(last.saturating_add(1)),
                LogOrder::Before(_) => LogOrder::Before(*last),
            };
        }
        found.extend(entries);
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// At most a page of the log: a row of no entry at least, whatever the log holds.
pub(super) async fn log_page(
    connection: &mut PgConnection,
    names: &Names,
    protocol: Protocol,
    query: &LogQuery,
) -> Result<Vec<PgRow>, StoreError> {
    let key = query.key.map(|key| key.to_string());
    let (sql, values) = log_sql(query, key.as_deref());
    let statement = Statement::new(names.fill(&sql));
    statement.rows(connection, protocol, &values).await.map_err(store_error)
}

pub(super) fn entries(rows: &[PgRow]) -> Result<Vec<(u64, Event)>, StoreError> {
    if rows.is_empty() {
        return Err(corrupt(NO_SETTINGS));
    }
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(position) = present::<i64>(row)? else { continue };
        let position = u64::try_from(position).unwrap_or_default();
        let event: &str = row.try_get(2).map_err(store_error)?;
        let event = serde_json::from_str(event)
            .map_err(|error| corrupt("an entry of the log can't be read").with_source(error))?;
        entries.push((position, event));
    }
    Ok(entries)
}
