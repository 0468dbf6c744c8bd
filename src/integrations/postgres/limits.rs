use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sqlx::{PgPool, Row};
use tokio::time::timeout;

use super::error::{corrupt, store_error};
use super::loan::Loan;
use super::names::Names;
use super::statement::{Protocol, Statement, Value};
use super::store::Config;
use crate::error::StoreError;
use crate::store::{Charge, LimitStore, LimitSubject, SharedLimit, Taken};
use crate::timestamp::Timestamp;

/// Strict limits counted in `PostgreSQL`, by the server's clock: one round trip for all
/// charges of a request.
///
/// Made by [`PostgresStore::limits`](crate::PostgresStore::limits), in whose schema the
/// counters are. All charges of a call are taken or none; of concurrent calls on one
/// counter, one waits for the other, so nothing is ever admitted too much.
///
/// The counters are in a table that is not logged, as they are written often and worth
/// little: after a crash of the server, and on a replica that takes its place, every
/// limit is full again. [`sweep`](Self::sweep) drops counters that hold nothing.
#[derive(Clone)]
pub struct PostgresLimits(Arc<Inner>);

struct Inner {
    pool: PgPool,
    protocol: Protocol,
    patience: Duration,
    take: Statement,
    sweep: Statement,
}

impl PostgresLimits {
    pub(super) fn new(config: &Config) -> Self {
        let Config { pool, protocol, patience, names, .. } = config;
        Self(Arc::new(Inner {
            pool: pool.clone(),
            protocol: *protocol,
            patience: *patience,
            take: Statement::new(names.fill("SELECT \"{schema}\".\"{prefix}take\"($1::text)")),
            sweep: Statement::new(sweep_sql(names)),
        }))
    }

    /// Drops counters that have held nothing for an hour, and says how many: as if they
    /// had never been.
    ///
    /// Nobody else calls it. Without it there is a row for each limit of each key that was
    /// ever used; once a day, from any node, is enough: see
    /// `TokioUpkeep::each` of the feature `tokio`.
    ///
    /// # Errors
    ///
    /// The store can't be written.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let Inner { pool, protocol, patience, sweep, .. } = &*self.0;
        let mut loan = Loan::of(pool, *patience).await?;
        let swept = sweep.rows(loan.connection(), *protocol, &[]).await;
        let count = |rows: Vec<sqlx::postgres::PgRow>| {
            let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
            Ok(u64::try_from(count).unwrap_or_default())
        };
        loan.settle(Ok(swept.and_then(count).map_err(store_error)))
    }
}

impl LimitStore for PostgresLimits {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        if charges.is_empty() {
            return Ok(Taken::All);
        }
        let list: Json = charges.iter().map(written).collect();
        let list = list.to_string();
        let Inner { pool, protocol, patience, take, .. } = &*self.0;
        let mut loan = Loan::of(pool, *patience).await?;
        let values = [Value::Text(&list)];
        let rows = take.rows_insisting(loan.connection(), *protocol, &values);
        let said = timeout(*patience, rows).await.map(|rows| {
            let text =
                rows.and_then(|rows| rows.first().map_or(Ok(String::new()), |row| row.try_get(0)));
            text.map_err(store_error).and_then(|text| taken(&text))
        });
        loan.settle(said)
    }
}

/// A rate whose first call was denied before its place in the list has no scale yet.
fn sweep_sql(names: &Names) -> String {
    names.fill(
        "WITH swept AS (DELETE FROM \"{schema}\".\"{prefix}limits\" WHERE CASE kind \
         WHEN 'rate' THEN full_at / coalesce(scale, 1) \
         ELSE \"{schema}\".\"{prefix}window_end\"(refill, period) END \
         < pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::numeric * 1000000 \
         - 3600000000 RETURNING 1) SELECT pg_catalog.count(*) FROM swept",
    )
}

/// A charge as the function that takes reads it.
fn written(charge: &Charge) -> Json {
    let subject = match &charge.subject {
        LimitSubject::Key(key) => key.to_string(),
        LimitSubject::Owner => format!("owner_{}", charge.owner),
    };
    match &charge.limit {
        SharedLimit::Rate(rate) => {
            let ticks = rate.gcra();
            json!({
                "subject": subject, "kind": "rate", "name": rate.name(), "cost": charge.cost,
                "scale": ticks.scale, "step": ticks.step, "capacity": ticks.capacity,
            })
        }
        SharedLimit::Quota(quota) => json!({
            "subject": subject, "kind": "quota", "name": quota.name(), "cost": charge.cost,
            "limit": quota.limit(), "refill": quota.refill(),
        }),
    }
}

fn taken(said: &str) -> Result<Taken, StoreError> {
    if said == "taken" {
        return Ok(Taken::All);
    }
    let mut parts = said.split(',');
    let denied = parts.next() == Some("denied");
    let charge = parts.next().and_then(|place| place.parse().ok()).filter(|_| denied);
    let Some(charge) = charge else {
        return Err(corrupt(
            "the function that takes limits is not this release's: call `migrate`",
        ));
    };
    let retry_after = parts.next().and_then(|micros| micros.parse().ok());
    let resets_at = parts.next().and_then(|micros| micros.parse().ok());
    Ok(Taken::Denied {
        charge,
        retry_after: retry_after.map(Duration::from_micros),
        resets_at: resets_at.map(Timestamp::from_micros),
    })
}

impl fmt::Debug for PostgresLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresLimits")
    }
}
