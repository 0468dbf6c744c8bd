use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::{corrupt, late, refused, store_error};
use super::list::{NO_SETTINGS, entries, log_page};
use super::names::Names;
use super::roll::{self, is_on};
use super::statement::Protocol;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Changes, DEFAULT_MAX_STALENESS, Heartbeat, LogQuery, NodeRow, RollCall};

/// The one connection that changes are read from, made when it is needed.
pub(super) struct Feed {
    address: PgConnectOptions,
    names: Names,
    patience: Duration,
    connection: Mutex<Option<PgConnection>>,
}

/// What is asked on it.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Changes(&'a LogQuery),
    Roll(Heartbeat<'a>, &'a [NodeRow]),
}

enum Answer {
    Changes(Changes),
    Roll(RollCall),
}

const ANOTHER: &str = "the answer to another question";

impl Feed {
    pub(super) fn new(address: PgConnectOptions, names: Names, patience: Duration) -> Self {
        Self { address, names, patience, connection: Mutex::new(None) }
    }

    pub(super) async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        match self.ask(Asked::Changes(query)).await? {
            Answer::Changes(changes) => Ok(changes),
            Answer::Roll(_) => Err(corrupt(ANOTHER)),
        }
    }

    /// Asked twice after a connection broke, a beat finds its row changed by itself, and the
    /// node enrols anew.
    pub(super) async fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> Result<RollCall, StoreError> {
        match self.ask(Asked::Roll(beat, gone)).await? {
            Answer::Roll(roll) => Ok(roll),
            Answer::Changes(_) => Err(corrupt(ANOTHER)),
        }
    }

    async fn ask(&self, asked: Asked<'_>) -> Result<Answer, StoreError> {
        if Handle::try_current().is_err() {
            return Err(refused("a store over PostgreSQL must be used on a Tokio runtime"));
        }
        match timeout(self.patience, self.insist(asked)).await {
            Ok(answer) => answer,
            Err(_) => Err(late()),
        }
    }

    async fn insist(&self, asked: Asked<'_>) -> Result<Answer, StoreError> {
        let mut kept = self.connection.lock().await;
        // Taken out: a call that is dropped takes its connection with it.
        if let Some(mut connection) = kept.take() {
            match self.answer(&mut connection, asked).await {
                Ok(answer) => {
                    *kept = Some(connection);
                    return Ok(answer);
                }
                // It may only have been a connection from before a restart.
                Err(error) if error.kind() == StoreErrorKind::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
        let mut connection = self.address.connect().await.map_err(store_error)?;
        let answer = self.answer(&mut connection, asked).await?;
        *kept = Some(connection);
        Ok(answer)
    }

    async fn answer(
        &self,
        connection: &mut PgConnection,
        asked: Asked<'_>,
    ) -> Result<Answer, StoreError> {
        Ok(match asked {
            Asked::Changes(query) => Answer::Changes(self.page(connection, query).await?),
            Asked::Roll(beat, gone) => {
                Answer::Roll(roll::call(connection, &self.names, beat, gone).await?)
            }
        })
    }

    async fn page(
        &self,
        connection: &mut PgConnection,
        query: &LogQuery,
    ) -> Result<Changes, StoreError> {
        let rows = log_page(connection, &self.names, Protocol::Plain, query).await?;
        let entries = entries(&rows)?;
        let Some(first) = rows.first() else { return Err(corrupt(NO_SETTINGS)) };
        let bound: Option<i64> = first.try_get(3).map_err(store_error)?;
        let bound = bound.map(|micros| Duration::from_micros(micros.unsigned_abs()));
        let max_staleness = bound.unwrap_or(DEFAULT_MAX_STALENESS);
        let heartbeats = is_on(first.try_get(4).map_err(store_error)?);
        Ok(Changes { entries, max_staleness, heartbeats })
    }
}
