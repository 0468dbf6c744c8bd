use std::sync::Arc;

use serde_json::{Map, Value as Json};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::{corrupt, replica};
use super::lanes::{Answered, Batch};
use super::names::Names;
use super::statement::{Protocol, Statement, Value};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Change, Expect};
use crate::token::KeyId;

/// Rows by their ids.
pub(super) struct Lookup {
    /// For so many ids each; fewer are filled up with the last, so that a few plans serve
    /// every number of them.
    statements: [(usize, Statement); 4],
    protocol: Protocol,
}

impl Lookup {
    pub(super) fn new(names: &Names, protocol: Protocol) -> Self {
        // One row at least says whether the server is a replica.
        let sql = |ids: &str| {
            let sql = format!(
                "SELECT here.standby, k.id, k.version, k.document \
                 FROM (SELECT pg_catalog.pg_is_in_recovery() AS standby) AS here \
                 LEFT JOIN \"{{schema}}\".\"{{prefix}}keys\" AS k ON k.id {ids}"
            );
            Statement::new(names.fill(&sql))
        };
        let statements = [1, 4, 16, Self::MOST].map(|count| {
            let places: Vec<String> = (1..=count).map(|place| format!("${place}")).collect();
            (count, sql(&format!("IN ({})", places.join(", "))))
        });
        Self { statements, protocol }
    }
}

impl Batch for Lookup {
    type Question = KeyId;
    type Answer = Option<(u64, String)>;
    const MOST: usize = 64;
    const REPEATABLE: bool = true;
    const APART: bool = false;

    async fn ask(
        &self,
        connection: &mut PgConnection,
        ids: &[KeyId],
    ) -> Result<Vec<Answered<Self>>, sqlx::Error> {
        let texts: Vec<String> = ids.iter().map(KeyId::to_string).collect();
        let mut values: Vec<Value<'_>> = texts.iter().map(|text| Value::Text(text)).collect();
        let fitting = self.statements.iter().find(|(count, _)| *count >= values.len());
        let (Some((count, statement)), Some(last)) = (fitting, values.last().copied()) else {
            return Ok(Vec::new());
        };
        values.resize(*count, last);
        let rows = statement.rows(connection, self.protocol, &values).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<bool, _>(0)? {
                return Ok(ids.iter().map(|_| Err(replica())).collect());
            }
            if let Some(id) = row.try_get::<Option<&str>, _>(1)? {
                found.push((id, row));
            }
        }
        let answer = |text: &String| {
            let row = found.iter().find(|(id, _)| id == text);
            row.map(|(_, row)| version_and_document(row, 2)).transpose()
        };
        texts.iter().map(|text| answer(text).map(Ok)).collect()
    }
}

/// The version and the document of a row, from this column on. No version is negative;
/// one that somebody made so belongs to no document.
pub(super) fn version_and_document(
    row: &PgRow,
    column: usize,
) -> Result<(u64, String), sqlx::Error> {
    let version: i64 = row.try_get(column)?;
    Ok((u64::try_from(version).unwrap_or_default(), row.try_get(column + 1)?))
}

/// Changes, in the order in which they came: those that come while the server is busy go
/// together, in one transaction.
pub(super) struct Commits {
    commit: Statement,
    protocol: Protocol,
}

impl Commits {
    pub(super) fn new(names: &Names, protocol: Protocol) -> Self {
        let sql = "SELECT \"{schema}\".\"{prefix}commit\"($1::text)";
        Self { commit: Statement::new(names.fill(sql)), protocol }
    }
}

impl Batch for Commits {
    type Question = Arc<str>;
    type Answer = ();
    const MOST: usize = 64;
    const REPEATABLE: bool = false;
    const APART: bool = true;

    async fn ask(
        &self,
        connection: &mut PgConnection,
        changes: &[Arc<str>],
    ) -> Result<Vec<Answered<Self>>, sqlx::Error> {
        let list = format!("[{}]", changes.join(","));
        let rows = self.commit.rows(connection, self.protocol, &[Value::Text(&list)]).await?;
        let outcomes: &str = rows.first().map_or(Ok(""), |row| row.try_get(0))?;
        let mut outcomes = outcomes.split(',');
        Ok(changes.iter().map(|_| outcome(outcomes.next().unwrap_or_default())).collect())
    }
}

fn outcome(word: &str) -> Result<(), StoreError> {
    match word {
        "done" => Ok(()),
        "exists" => Err(StoreError::new(StoreErrorKind::AlreadyExists)),
        "conflict" => Err(StoreError::new(StoreErrorKind::Conflict)),
        "full" => Err(StoreError::new(StoreErrorKind::OwnerCapReached)),
        _ => Err(corrupt("the function that commits is not this release's: call `migrate`")),
    }
}

/// A change as the function that commits reads it.
pub(super) fn written(change: &Change) -> Result<Arc<str>, StoreError> {
    let Change { record, expect, event } = change;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Json| fields.insert(name.to_owned(), value);
    put("id", record.id().to_string().into());
    put("version", record.version().into());
    put("document", record.to_document().into());
    match expect {
        Expect::Version(version) => {
            // No row has a version beyond what the column holds.
            put("expect", i64::try_from(*version).unwrap_or(-1).into());
        }
        Expect::Absent { cap: None } => {}
        Expect::Absent { cap: Some(cap) } => {
            put("cap", cap.max.into());
            put("now", cap.now.as_micros().into());
            put("owner", record.owner().into());
        }
    }
    if let Some(event) = event {
        let event = serde_json::to_string(event).map_err(|error| {
            StoreError::new(StoreErrorKind::Other)
                .with_context("the event can't be written as JSON")
                .with_source(error)
        })?;
        put("event", event.into());
    }
    Ok(Json::Object(fields).to_string().into())
}
