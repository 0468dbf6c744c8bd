use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use crate::error::FieldError;
use crate::store::Hints;

/// How long to wait between attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// After how much silence the connection is tried.
const SILENCE: Duration = Duration::from_secs(15);
/// How long an attempt to connect, or an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wakes a node when keys change: `LISTEN` on a connection of its own.
///
/// Made by [`PostgresStore::hints`](crate::PostgresStore::hints); the connection is made
/// at the first [`Hints::next`]. A transaction pooler passes no notification on: give
/// [`listen_url`](Self::listen_url) an address that goes around it. After each connect
/// one hint comes, for those that were missed.
pub struct PostgresHints {
    address: PgConnectOptions,
    channel: String,
    listener: Option<PgListener>,
}

impl PostgresHints {
    pub(super) fn new(address: PgConnectOptions, channel: String) -> Self {
        Self { address, channel, listener: None }
    }

    /// The same, listening at another address.
    ///
    /// # Errors
    ///
    /// If it is no URL of `PostgreSQL`. The error doesn't repeat it: it may hold a password.
    pub fn listen_url(self, url: &str) -> Result<Self, FieldError> {
        let rule = "must be a URL such as `postgres://user:password@host:5432/database`";
        let address = PgConnectOptions::from_str(url)
            .ok()
            .filter(|_| url.starts_with("postgres://") || url.starts_with("postgresql://"))
            .ok_or_else(|| FieldError::unshown("listen_url", rule))?;
        Ok(Self { address, listener: None, ..self })
    }

    async fn connect(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(self.address.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&self.channel).await?;
        Ok(listener)
    }
}

impl Hints for PostgresHints {
    async fn next(&mut self) {
        loop {
            let Some(listener) = &mut self.listener else {
                match timeout(PATIENCE, self.connect()).await {
                    Ok(Ok(listener)) => {
                        self.listener = Some(listener);
                        return;
                    }
                    Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
                }
                continue;
            };
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(_))) => return,
                Ok(Ok(None) | Err(_)) => self.listener = None,
                // A connection that was cut without a word looks like one without news.
                Err(_) => {
                    if !matches!(timeout(PATIENCE, listener.execute("SELECT")).await, Ok(Ok(_))) {
                        self.listener = None;
                    }
                }
            }
        }
    }
}

impl fmt::Debug for PostgresHints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresHints")
    }
}
