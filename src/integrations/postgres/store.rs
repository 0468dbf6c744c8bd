use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::error::store_error;
use super::feed::Feed;
use super::hints::PostgresHints;
use super::keys::{Commits, Lookup, written};
use super::lanes::Lanes;
use super::limits::PostgresLimits;
use super::loan::Loan;
use super::names::Names;
use super::statement::{DURABLE, Protocol, Statement, Value};
use super::{list, roll, usage};
use crate::error::{FieldError, StoreError};
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::store::{
    Change, ChangeFeed, Changes, Heartbeat, KeyQuery, KeyStore, LogQuery, NodeRow, RollCall,
    UsageStore,
};
use crate::token::KeyId;

/// How long a call waits for the pool and the server, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most connections that look keys up, unless it is told otherwise.
const LOOKUPS: u32 = 4;

/// Keys in `PostgreSQL` 13 or later, over the host's own pool.
///
/// ```no_run
/// use keyward::PostgresStore;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = sqlx::PgPool::connect("postgres://app@db.internal/app").await?;
/// let store = PostgresStore::new(pool).schema("auth")?;
/// store.migrate().await?;
/// # Ok(())
/// # }
/// ```
///
/// - Tables are in the schema `public`, and their names begin with `keyward_`, unless
///   [`schema`](Self::schema) and [`prefix`](Self::prefix) say otherwise. They are made
///   by [`migrate`](Self::migrate), or by the host from [`schema_sql`](Self::schema_sql).
/// - Settings are made before the first call; clones that were made before a setting
///   keep the old one.
/// - Only the primary will do: a replica that lags shows revoked keys as good, and is
///   refused as `Unavailable`.
/// - Behind a transaction pooler (`PgBouncer`, Supavisor, RDS Proxy), say so by
///   [`behind_pooler`](Self::behind_pooler).
/// - Calls of [`KeyStore::get`] that come while the server is busy are asked together, by
///   a few tasks of the Tokio runtime; so are commits, in one transaction. A caller who
///   goes away leaves no connection in the middle of anything.
///
/// # Security
///
/// Connections are encrypted only if the host enables a TLS feature of its own `sqlx`
/// and asks for it by `ssl_mode`. No secret of a key is ever sent: documents hold tags.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    config: Config,
    lookups: Lanes<Lookup>,
    commits: Lanes<Commits>,
    add_usage: Statement,
    feed: Feed,
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) pool: PgPool,
    pub(super) names: Names,
    pub(super) protocol: Protocol,
    pub(super) patience: Duration,
    lookups: u32,
    feed: Option<PgConnectOptions>,
}

impl PostgresStore {
    /// Keys in the database that this pool connects to.
    pub fn new(pool: PgPool) -> Self {
        let half = pool.options().get_max_connections() / 2;
        Self::of(Config {
            pool,
            names: Names::new(),
            protocol: Protocol::Prepared,
            patience: PATIENCE,
            lookups: half.clamp(1, LOOKUPS),
            feed: None,
        })
    }

    /// The same, with the tables in another schema, which must exist.
    ///
    /// # Errors
    ///
    /// If it is not 1 to 63 of ASCII letters, digits and `_`, without a digit in front.
    /// Case matters: names are always quoted.
    pub fn schema(self, schema: &str) -> Result<Self, FieldError> {
        let config = self.0.config.clone();
        Ok(Self::of(Config { names: config.names.clone().in_schema(schema)?, ..config }))
    }

    /// The same, with tables whose names begin otherwise.
    ///
    /// # Errors
    ///
    /// If it is not at most 40 of ASCII letters, digits and `_`, without a digit in front.
    pub fn prefix(self, prefix: &str) -> Result<Self, FieldError> {
        let config = self.0.config.clone();
        Ok(Self::of(Config { names: config.names.clone().prefixed(prefix)?, ..config }))
    }

    /// The same, over a pool that goes through a transaction pooler: each call is one
    /// message without prepared statements.
    ///
    /// The pool's options need `extra_float_digits(None)` for a `PgBouncer` before 1.20.
    /// Give [`feed_url`](Self::feed_url) an address that goes around the pooler, or
    /// whoever fills it keeps nodes from hearing of a revoke.
    #[must_use]
    pub fn behind_pooler(self) -> Self {
        Self::of(Config { protocol: Protocol::Plain, ..self.0.config.clone() })
    }

    /// The same, with another address for what must not wait for the pool: the one
    /// connection of [`ChangeFeed::changes`], and that of [`hints`](Self::hints).
    ///
    /// Unless it is called, they connect as the pool does, but apart from it.
    ///
    /// # Errors
    ///
    /// If it is no URL of `PostgreSQL`. The error doesn't repeat it: it may hold a password.
    pub fn feed_url(self, url: &str) -> Result<Self, FieldError> {
        let rule = "must be a URL such as `postgres://user:password@host:5432/database`";
        let options = PgConnectOptions::from_str(url)
            .ok()
            .filter(|_| url.starts_with("postgres://") || url.starts_with("postgresql://"))
            .ok_or_else(|| FieldError::unshown("feed_url", rule))?;
        Ok(self.feed_options(options))
    }

    /// The same as [`feed_url`](Self::feed_url), from options.
    #[must_use]
    pub fn feed_options(self, options: PgConnectOptions) -> Self {
        Self::of(Config { feed: Some(options), ..self.0.config.clone() })
    }

    /// The same, with another time after which a call gives up as `Unavailable`; 5 s
    /// unless this is called.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self::of(Config { patience, ..self.0.config.clone() })
    }

    /// The same, with another number of the pool's connections, at least 1, that may
    /// look keys up at a time; half of them, at most 4, unless this is called.
    #[must_use]
    pub fn lookups(self, connections: u32) -> Self {
        Self::of(Config { lookups: connections.max(1), ..self.0.config.clone() })
    }

    /// What wakes nodes when keys change.
    pub fn hints(&self) -> PostgresHints {
        PostgresHints::new(self.feed_address(), self.0.config.names.channel())
    }

    /// Strict limits in the same database, for hosts without Redis.
    pub fn limits(&self) -> PostgresLimits {
        PostgresLimits::new(&self.0.config)
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    fn feed_address(&self) -> PgConnectOptions {
        self.0.config.feed_address()
    }

    fn of(config: Config) -> Self {
        let Config { pool, names, protocol, patience, .. } = &config;
        let lookup = Lookup::new(names, *protocol);
        let most = usize::try_from(config.lookups).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            lookups: Lanes::new(lookup, pool.clone(), most, *patience),
            // One, so that they keep their order and a dropped one has ended before the next.
            commits: Lanes::new(Commits::new(names, *protocol), pool.clone(), 1, *patience),
            add_usage: usage::add_sql(names),
            feed: Feed::new(config.feed_address(), names.clone(), *patience),
            config,
        }))
    }
}

impl Config {
    fn feed_address(&self) -> PgConnectOptions {
        self.feed.clone().unwrap_or_else(|| PgConnectOptions::clone(&self.pool.connect_options()))
    }

    pub(super) async fn loan(&self) -> Result<Loan, StoreError> {
        Loan::of(&self.pool, self.patience).await
    }
}

impl KeyStore for PostgresStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let row = self.0.lookups.ask(id).await?;
        Ok(row.map(|(version, document)| KeyRecord::from_row(id, version, &document)))
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.0.commits.ask(written(&change)?).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        let Config { names, protocol, .. } = &self.0.config;
        let mut loan = self.0.config.loan().await?;
        let listed = list::list(loan.connection(), names, *protocol, query);
        let listed = tokio::time::timeout(self.0.config.patience, listed).await;
        loan.settle(listed)
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let Config { names, protocol, .. } = &self.0.config;
        let mut loan = self.0.config.loan().await?;
        let logged = list::log(loan.connection(), names, *protocol, query);
        let logged = tokio::time::timeout(self.0.config.patience, logged).await;
        loan.settle(logged)
    }

    async fn unseen_for(&self) -> Result<Option<Duration>, StoreError> {
        let newest = LogQuery::before(u64::MAX).limit(1);
        Ok(Some(self.changes(&newest).await?.max_staleness))
    }
}

impl UsageStore for PostgresStore {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (keys, hours) = usage::batch(batch);
        let values = [Value::Text(&keys), Value::Text(&hours)];
        let Config { protocol, patience, .. } = self.0.config;
        let mut loan = self.0.config.loan().await?;
        let added = self.0.add_usage.rows_insisting(loan.connection(), protocol, &values);
        let added = tokio::time::timeout(patience, added).await;
        loan.settle(added.map(|rows| rows.map(drop).map_err(store_error)))
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let Config { names, protocol, .. } = &self.0.config;
        let mut loan = self.0.config.loan().await?;
        let used = usage::usage(loan.connection(), names, *protocol, keys);
        let used = tokio::time::timeout(self.0.config.patience, used).await;
        loan.settle(used)
    }
}

/// On a connection of its own: whoever fills the pool doesn't keep it waiting.
impl ChangeFeed for PostgresStore {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        self.0.feed.changes(query).await
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE \"{{schema}}\".\"{{prefix}}settings\" SET max_staleness = $1::bigint \
             WHERE one RETURNING {DURABLE}"
        );
        let statement = Statement::new(self.0.config.names.fill(&sql));
        let micros = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
        self.set(&statement, micros).await
    }

    async fn set_heartbeats(&self, on: bool) -> Result<(), StoreError> {
        self.set(&roll::switch_sql(&self.0.config.names), on.into()).await
    }

    async fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> Result<RollCall, StoreError> {
        self.0.feed.roll_call(beat, gone).await
    }
}

impl PostgresStore {
    async fn set(&self, statement: &Statement, to: i64) -> Result<(), StoreError> {
        let mut loan = self.0.config.loan().await?;
        let values = [Value::Integer(to)];
        let set = statement.rows(loan.connection(), self.0.config.protocol, &values);
        let set = tokio::time::timeout(self.0.config.patience, set).await;
        loan.settle(set.map(|rows| rows.map(drop).map_err(store_error)))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresStore")
    }
}
