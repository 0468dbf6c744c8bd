use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::error::{corrupt, store_error};
use super::names::Names;
use super::statement::{DURABLE, Protocol, Statement, Value};
use crate::error::StoreError;
use crate::store::{Heartbeat, NodeRow, RollCall};

/// The statement that switches heartbeats on or off: each time to a number that never was.
pub(super) fn switch_sql(names: &Names) -> Statement {
    let sql = format!(
        "UPDATE \"{{schema}}\".\"{{prefix}}settings\" \
         SET heartbeats = heartbeats + 2 - (heartbeats + $1::bigint) % 2 \
         WHERE one RETURNING {DURABLE}"
    );
    Statement::new(names.fill(&sql))
}

pub(super) fn is_on(switched: i64) -> bool {
    switched % 2 == 1
}

/// What the server says, as JSON.
#[derive(Deserialize)]
struct Said {
    epoch: Option<String>,
    own: Option<SaidRow>,
    nodes: Vec<SaidRow>,
}

#[derive(Deserialize)]
struct SaidRow {
    node: String,
    beats: u64,
    position: u64,
    lapses_after: u64,
}

impl From<SaidRow> for NodeRow {
    fn from(said: SaidRow) -> Self {
        let SaidRow { node, beats, position, lapses_after } = said;
        Self { node, beats, position, lapses_after: Duration::from_micros(lapses_after) }
    }
}

pub(super) async fn call(
    connection: &mut PgConnection,
    names: &Names,
    beat: Heartbeat<'_>,
    gone: &[NodeRow],
) -> Result<RollCall, StoreError> {
    let beat = match beat {
        Heartbeat::Look => json!({}),
        Heartbeat::Enroll { lapses_after } => json!({ "lapses_after": micros(lapses_after) }),
        Heartbeat::Next { row, position, lapses_after } => json!({
            "node": row.node,
            "beats": row.beats,
            "position": position,
            "lapses_after": micros(lapses_after),
        }),
    };
    let gone = gone.iter().map(|row| json!({ "node": row.node, "beats": row.beats }));
    let (beat, gone) = (beat.to_string(), gone.collect::<Json>().to_string());
    let sql = "SELECT \"{schema}\".\"{prefix}roll_call\"($1::text, $2::text)";
    let statement = Statement::new(names.fill(sql));
    let values = [Value::Text(&beat), Value::Text(&gone)];
    let rows = statement.rows(connection, Protocol::Plain, &values).await.map_err(store_error)?;
    let said = rows.first().map_or(Ok(""), |row| row.try_get(0)).map_err(store_error)?;
    let said: Said = serde_json::from_str(said)
        .map_err(|error| corrupt("the roll of nodes can't be read").with_source(error))?;
    Ok(RollCall {
        epoch: said.epoch,
        own: said.own.map(NodeRow::from),
        nodes: said.nodes.into_iter().map(NodeRow::from).collect(),
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
