use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::timeout;

use super::error::{refused, replica, store_error};
use super::names::Names;
use super::statement::DURABLE;
use super::store::PostgresStore;
use crate::error::{StoreError, StoreErrorKind};

/// What each version of the schema adds to the one before, from version 1.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// The oldest server whose SQL this is.
const OLDEST_SERVER: i32 = 130_000;

impl PostgresStore {
    /// The version of the schema that this release works with.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Makes the tables, or brings them up to this release. It does nothing to a schema
    /// that is up to date.
    ///
    /// - Everything happens in one transaction, or nothing.
    /// - Any number of processes may call it at the same time: one works, others wait.
    /// - It keeps its own record, in the table `migrations` behind the prefix.
    /// - The user needs the right to create in the schema; the user of the pool needs
    ///   only what it is granted on the tables and functions. Hosts that migrate by other
    ///   means run [`schema_sql`](Self::schema_sql) instead, and may call
    ///   [`check`](Self::check).
    ///
    /// # Errors
    ///
    /// The schema doesn't exist, is of a newer release, or holds tables of these names
    /// that are somebody else's; the server is a replica, too old, or can't be reached.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut loan = self.config().loan().await?;
        // Waiting for others to migrate, and building an index, may take their time.
        let migrated = migrate(loan.connection(), &self.config().names).await;
        loan.settle(Ok(migrated))?;
        self.check().await
    }

    /// Whether this release can work with what is there: worth a call at start, if the
    /// host does not call [`migrate`](Self::migrate).
    ///
    /// # Errors
    ///
    /// The first thing that stands in the way, and what to do.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut loan = self.config().loan().await?;
        let names = &self.config().names;
        let checked = timeout(self.config().patience, check(loan.connection(), names)).await;
        loan.settle(checked)
    }

    /// The SQL that brings a schema from a version, 0 for none, to that of this release:
    /// to be run once, in one transaction, by the host's own means.
    ///
    /// ```no_run
    /// # fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = keyward::PostgresStore::new(pool).schema("auth")?;
    /// std::fs::write("migrations/0042_keyward.sql", store.schema_sql(0))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn schema_sql(&self, from: u32) -> String {
        sql(&self.config().names, from)
    }
}

fn sql(names: &Names, from: u32) -> String {
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let missing = MIGRATIONS.iter().skip(from);
    missing.map(|migration| names.fill(migration)).collect::<Vec<_>>().join("\n")
}

/// What is there already.
struct Found {
    version: i32,
    has_schema: bool,
    has_migrations: bool,
    has_tables: bool,
}

async fn found(connection: &mut PgConnection, names: &Names) -> Result<Found, StoreError> {
    let sql = "SELECT pg_catalog.pg_is_in_recovery(), \
               pg_catalog.current_setting('server_version_num')::int, \
               pg_catalog.current_setting('server_encoding') = 'UTF8', \
               EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '{schema}'), \
               EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = '{schema}' \
               AND tablename = '{prefix}migrations'), \
               EXISTS (SELECT FROM pg_catalog.pg_class AS c \
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
               WHERE n.nspname = '{schema}' AND c.relname IN ('{prefix}keys', '{prefix}log', \
               '{prefix}settings', '{prefix}nodes', '{prefix}usage', '{prefix}usage_hours', \
               '{prefix}limits', '{prefix}overview'))";
    let rows = plain(connection, names.fill(sql)).await?;
    let Some(row) = rows.first() else { return Err(refused("the server gave no answer")) };
    let yes = |column: usize| row.try_get::<bool, _>(column).map_err(store_error);
    if yes(0)? {
        return Err(replica());
    }
    if row.try_get::<i32, _>(1).map_err(store_error)? < OLDEST_SERVER {
        return Err(refused("the server is older than PostgreSQL 13"));
    }
    if !yes(2)? {
        return Err(refused("the database's encoding must be UTF8"));
    }
    let mut found =
        Found { version: 0, has_schema: yes(3)?, has_migrations: yes(4)?, has_tables: yes(5)? };
    if found.has_migrations {
        let sql = "SELECT max(version) FROM \"{schema}\".\"{prefix}migrations\"";
        let rows = plain(connection, names.fill(sql)).await?;
        let version: Option<i32> =
            rows.first().map_or(Ok(None), |row| row.try_get(0)).map_err(|_| foreign())?;
        found.version = version.unwrap_or_default();
    }
    if !found.has_schema {
        let context = "there is no schema of this name: create it, or correct `schema`";
        return Err(refused(context));
    }
    if found.version > i32::try_from(PostgresStore::SCHEMA_VERSION).unwrap_or(i32::MAX) {
        return Err(refused(
            "the schema was made by a newer release of keyward: use that release, or restore a \
             backup from before it",
        ));
    }
    Ok(found)
}

async fn migrate(connection: &mut PgConnection, names: &Names) -> Result<(), StoreError> {
    // At another isolation the transaction would not see what it waited for.
    plain(connection, "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned()).await?;
    let migrated = migrate_locked(connection, names).await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = plain(connection, end.to_owned()).await;
    migrated.and(ended.map(drop))
}

async fn migrate_locked(connection: &mut PgConnection, names: &Names) -> Result<(), StoreError> {
    let lock = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('{channel}'))";
    plain(connection, names.fill(lock)).await?;
    let found = found(connection, names).await?;
    if found.version == 0 && (found.has_tables || found.has_migrations) {
        return Err(foreign());
    }
    let version = u32::try_from(found.version).unwrap_or_default();
    if version < PostgresStore::SCHEMA_VERSION {
        let durable = format!("SELECT {DURABLE}");
        plain(connection, durable).await?;
        plain(connection, sql(names, version)).await?;
    }
    Ok(())
}

async fn check(connection: &mut PgConnection, names: &Names) -> Result<(), StoreError> {
    let found = found(connection, names).await?;
    if !found.has_migrations && found.has_tables {
        return Err(foreign());
    }
    if found.version < i32::try_from(PostgresStore::SCHEMA_VERSION).unwrap_or(i32::MAX) {
        return Err(refused(
            "the tables of keyward are not there, or of an older release: call `migrate`, or run \
             what `schema_sql` gives",
        ));
    }
    Ok(())
}

fn foreign() -> StoreError {
    StoreError::new(StoreErrorKind::Other).with_context(
        "there are tables of these names that keyward did not make: choose another `prefix` or \
         `schema`",
    )
}

async fn plain(
    connection: &mut PgConnection,
    sql: String,
) -> Result<Vec<sqlx::postgres::PgRow>, StoreError> {
    connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(store_error)
}
