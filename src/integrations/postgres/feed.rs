use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::{late, refused, store_error};
use super::list::{entries, log_page};
use super::names::Names;
use super::statement::Protocol;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Changes, DEFAULT_MAX_STALENESS, LogQuery};

/// The one connection that changes are read from, made when it is needed.
pub(super) struct Feed {
    address: PgConnectOptions,
    names: Names,
    patience: Duration,
    connection: Mutex<Option<PgConnection>>,
}

impl Feed {
    pub(super) fn new(address: PgConnectOptions, names: Names, patience: Duration) -> Self {
        Self { address, names, patience, connection: Mutex::new(None) }
    }

    pub(super) async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        if Handle::try_current().is_err() {
            return Err(refused("a store over PostgreSQL must be used on a Tokio runtime"));
        }
        match timeout(self.patience, self.read(query)).await {
            Ok(read) => read,
            Err(_) => Err(late()),
        }
    }

    async fn read(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        let mut kept = self.connection.lock().await;
        // Taken out: a call that is dropped takes its connection with it.
        if let Some(connection) = kept.take() {
            match self.page(connection, query).await {
                Ok((connection, changes)) => {
                    *kept = Some(connection);
                    return Ok(changes);
                }
                // It may only have been a connection from before a restart.
                Err(error) if error.kind() == StoreErrorKind::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
        let connection = self.address.connect().await.map_err(store_error)?;
        let (connection, changes) = self.page(connection, query).await?;
        *kept = Some(connection);
        Ok(changes)
    }

    async fn page(
        &self,
        mut connection: PgConnection,
        query: &LogQuery,
    ) -> Result<(PgConnection, Changes), StoreError> {
        let rows = log_page(&mut connection, &self.names, Protocol::Plain, query).await?;
        let entries = entries(&rows)?;
        let bound: Option<i64> =
            rows.first().map_or(Ok(None), |row| row.try_get(3)).map_err(store_error)?;
        let bound = bound.map(|micros| Duration::from_micros(micros.unsigned_abs()));
        let max_staleness = bound.unwrap_or(DEFAULT_MAX_STALENESS);
        Ok((connection, Changes { entries, max_staleness }))
    }
}
