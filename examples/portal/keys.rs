//! The service: its store, its cache, its pepper, and what keeps it going.

use std::time::Duration;

use keyward::{
    Alert, Environment, KeyCache, KeyQuery, KeyScheme, KeyService, Monitor, PostgresStore, Roles,
    SharedKeyStore, SqliteStore, TokioUpkeep,
};
use sqlx::postgres::PgPoolOptions;

use crate::settings::{Database, Settings};
use crate::{Result, administrator, pepper};

const PREFIXES: [(&str, Environment); 2] =
    [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];

/// How long a database may let a connection wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service, and whether its store held no key when it was opened.
pub(crate) struct Opened {
    pub(crate) keys: KeyService,
    pub(crate) upkeep: TokioUpkeep,
    pub(crate) is_empty: bool,
}

pub(crate) async fn open(settings: &Settings) -> Result<Opened> {
    match &settings.database {
        Database::Postgres(url) => {
            let pool = PgPoolOptions::new()
                .max_connections(10)
                .acquire_timeout(PATIENCE)
                .connect(url)
                .await;
            // Without the URL, which may hold a password.
            let pool = pool.map_err(|error| format!("KEYWARD_DATABASE: {error}"))?;
            let store = PostgresStore::new(pool);
            store.migrate().await?;
            let opened = with_store(settings, KeyCache::new(store.clone()).into()).await?;
            Ok(Opened { upkeep: opened.upkeep.hints(store.hints()), ..opened })
        }
        Database::Sqlite(path) => {
            let store =
                SqliteStore::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let hints = store.hints()?;
            let opened = with_store(settings, KeyCache::new(store).into()).await?;
            Ok(Opened { upkeep: opened.upkeep.hints(hints), ..opened })
        }
    }
}

async fn with_store(settings: &Settings, store: SharedKeyStore) -> Result<Opened> {
    let is_empty = store.list(&KeyQuery::new().with_revoked().limit(1)).await?.is_empty();
    let scheme = KeyScheme::new(pepper::read_or_make(&settings.pepper, is_empty)?, PREFIXES)?;
    let roles = administrator::ROLES
        .into_iter()
        .try_fold(Roles::none(), |roles, (name, scopes)| roles.role(name, scopes))?;
    let monitor = Monitor::new(|alert: &Alert| eprintln!("alert: {alert}"));
    let keys = KeyService::builder(scheme, store).roles(roles).observer(monitor).build();
    keys.check_peppers().await?;
    let upkeep = TokioUpkeep::new(keys.clone()).on_error(|error| eprintln!("upkeep: {error}"));
    Ok(Opened { keys, upkeep, is_empty })
}
