//! Reads: one record, a list, the log, usage, and what other nodes ask for.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params_from_iter};

use super::failure::failed;
use super::roll::{HEARTBEATS, is_on};
use super::stamp::{instant, integer, natural, stamp};
use super::usage::Used;
use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Event, KeyRecord, Usage};
use crate::store::{Changes, DEFAULT_MAX_STALENESS, KeyQuery, LogOrder, LogQuery};
use crate::token::KeyId;

/// The row of `settings` that holds the bound, in microseconds.
pub(super) const MAX_STALENESS: &str = "max_staleness_micros";

const RECORD: &str = "SELECT version, document FROM keys WHERE id = ?1";
const CREATED_AT: &str = "SELECT created_at FROM keys WHERE id = ?1";
const SETTING: &str = "SELECT value FROM settings WHERE name = ?1";

const LOG_FROM: &str =
    "SELECT position, event FROM log WHERE position >= ?1 ORDER BY position ASC LIMIT ?2";
const LOG_BEFORE: &str =
    "SELECT position, event FROM log WHERE position < ?1 ORDER BY position DESC LIMIT ?2";
const LOG_OF_KEY_FROM: &str = "SELECT position, event FROM log WHERE position >= ?1 AND key = ?3
    ORDER BY position ASC LIMIT ?2";
const LOG_OF_KEY_BEFORE: &str = "SELECT position, event FROM log WHERE position < ?1 AND key = ?3
    ORDER BY position DESC LIMIT ?2";

/// Reads by one connection, which keeps their statements prepared.
#[derive(Clone, Copy)]
pub(super) struct Reading<'c>(&'c Connection);

impl<'c> Reading<'c> {
    pub(super) fn on(connection: &'c Connection) -> Self {
        Self(connection)
    }

    /// Fails where the tables are not as this release makes them.
    pub(super) fn prepare(self) -> rusqlite::Result<()> {
        let logs = [LOG_FROM, LOG_BEFORE, LOG_OF_KEY_FROM, LOG_OF_KEY_BEFORE];
        for sql in [RECORD, CREATED_AT, SETTING].into_iter().chain(logs) {
            self.0.prepare_cached(sql)?;
        }
        Used::prepare(self.0).map(drop)
    }

    pub(super) fn record(self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let text = id.to_string();
        let mut statement = self.0.prepare_cached(RECORD).map_err(failed)?;
        let found = statement.query_row([&text], |row| record(row, id, 0, 1));
        let found = found.optional().map_err(failed)?;
        match found {
            Some(found) if !found.is_readable() => {
                let mut statement = self.0.prepare_cached(CREATED_AT).map_err(failed)?;
                let column = statement.query_row([&text], |row| row.get(0)).optional();
                Ok(Some(dated(found, column.map_err(failed)?)))
            }
            found => Ok(found),
        }
    }

    /// The columns find the rows, and the record decides: where they don't agree, the
    /// document is one that no release writes.
    pub(super) fn list(self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        let (sql, values) = select(query);
        let mut found = Vec::new();
        let mut statement = self.0.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
        while found.len() < query.limit
            && let Some(row) = rows.next().map_err(failed)?
        {
            if let Some(record) = listed(row).map_err(failed)?
                && query.matches(&record)
            {
                found.push(record);
            }
        }
        Ok(found)
    }

    pub(super) fn log(self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let (sql, position) = match (query.order, query.key) {
            (LogOrder::From(first), None) => (LOG_FROM, first),
            (LogOrder::Before(end), None) => (LOG_BEFORE, end),
            (LogOrder::From(first), Some(_)) => (LOG_OF_KEY_FROM, first),
            (LogOrder::Before(end), Some(_)) => (LOG_OF_KEY_BEFORE, end),
        };
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let position = integer(position);
        let rows = match query.key {
            Some(key) => statement.query((position, limit, key.to_string())),
            None => statement.query((position, limit)),
        };
        let mut rows = rows.map_err(failed)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let position: i64 = row.get(0).map_err(failed)?;
            entries.push((natural(position), event(row)?));
        }
        Ok(entries)
    }

    pub(super) fn usage(self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.at_one_instant(|reading| {
            let mut used = Used::prepare(reading.0).map_err(failed)?;
            used.all(keys).map_err(failed)
        })
    }

    pub(super) fn changes(self, query: &LogQuery) -> Result<Changes, StoreError> {
        self.at_one_instant(|reading| {
            let entries = reading.log(query)?;
            let bound = reading.setting(MAX_STALENESS)?;
            let bound = bound.map(|micros| Duration::from_micros(natural(micros)));
            let max_staleness = bound.unwrap_or(DEFAULT_MAX_STALENESS);
            let heartbeats = reading.setting(HEARTBEATS)?.is_some_and(is_on);
            Ok(Changes { entries, max_staleness, heartbeats })
        })
    }

    fn setting(self, name: &str) -> Result<Option<i64>, StoreError> {
        let mut statement = self.0.prepare_cached(SETTING).map_err(failed)?;
        statement.query_row([name], |row| row.get(0)).optional().map_err(failed)
    }

    /// Runs several statements that must see the same commits.
    fn at_one_instant<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.0.unchecked_transaction().map_err(failed)?;
        let found = read(self);
        transaction.rollback().map_err(failed)?;
        found
    }
}

/// The statement of a list, newest first and without an end: whoever reads it stops.
pub(super) fn select(query: &KeyQuery) -> (String, Vec<Box<dyn ToSql>>) {
    let mut sql = "SELECT version, document, id, created_at FROM keys WHERE true".to_owned();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut narrow = |condition: &str, value: Box<dyn ToSql>| {
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(owner) = &query.owner {
        narrow(" AND owner = ?", Box::new(owner.clone()));
    }
    if let Some(environment) = query.environment {
        narrow(" AND environment = ?", Box::new(environment.as_str().to_owned()));
    }
    if let Some(actor) = &query.created_by {
        narrow(" AND created_by = ?", Box::new(actor.clone()));
    }
    if let Some(end) = query.expires_before {
        narrow(" AND expires_at < ?", Box::new(stamp(end)));
    }
    if let Some(after) = query.after {
        narrow(" AND (created_at, id) < (?,", Box::new(stamp(after.created_at)));
        narrow(" ?)", Box::new(after.id.to_string()));
    }
    if !query.includes_revoked() {
        sql.push_str(" AND state IS NOT 'revoked'");
    }
    sql.push_str(" ORDER BY created_at DESC, id DESC");
    (sql, values)
}

/// The record of a row of the list; a row whose id is none is no key.
fn listed(row: &Row<'_>) -> rusqlite::Result<Option<KeyRecord>> {
    let id: String = row.get(2)?;
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(Some(dated(record(row, id, 0, 1)?, row.get(3)?)))
}

/// The record of a row, whatever its document is.
fn record(
    row: &Row<'_>,
    id: KeyId,
    version: usize,
    document: usize,
) -> rusqlite::Result<KeyRecord> {
    let version = natural(row.get(version)?);
    Ok(KeyRecord::from_row(id, version, &text(row.get_ref(document)?)))
}

/// Gives a record that can't be read its place in the list.
fn dated(record: KeyRecord, column: Option<String>) -> KeyRecord {
    match instant(column) {
        Some(created_at) => record.with_created_at(created_at),
        None => record,
    }
}

fn event(row: &Row<'_>) -> Result<Event, StoreError> {
    let text = text(row.get_ref(1).map_err(failed)?).into_owned();
    serde_json::from_str(&text).map_err(|error| {
        StoreError::new(StoreErrorKind::Corrupt)
            .with_context("an entry of the log can't be read; restore a backup")
            .with_source(error)
    })
}

/// The text of a column; bytes that are no UTF-8 become replacement characters.
fn text(column: ValueRef<'_>) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(column.as_bytes().unwrap_or_default())
}
