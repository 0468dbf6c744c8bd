use std::time::Duration;

use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::{late, refused, store_error};
use crate::error::{StoreError, StoreErrorKind};

/// A connection of the pool's, which goes back to it only if the call came to its end.
pub(super) struct Loan {
    connection: PoolConnection<Postgres>,
    is_whole: bool,
}

impl Loan {
    pub(super) async fn of(pool: &PgPool, patience: Duration) -> Result<Self, StoreError> {
        if Handle::try_current().is_err() {
            return Err(refused("a store over PostgreSQL must be used on a Tokio runtime"));
        }
        match timeout(patience, pool.acquire()).await {
            Ok(Ok(connection)) => Ok(Self { connection, is_whole: false }),
            Ok(Err(error)) => Err(store_error(error)),
            Err(_) => Err(store_error(sqlx::Error::PoolTimedOut)),
        }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Ends the loan with what became of the call.
    pub(super) fn settle<T>(
        mut self,
        called: Result<Result<T, StoreError>, Elapsed>,
    ) -> Result<T, StoreError> {
        let result = called.unwrap_or_else(|_| Err(late()));
        let is_lost =
            result.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Unavailable);
        self.is_whole = !is_lost;
        result
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.close_on_drop();
        }
    }
}
