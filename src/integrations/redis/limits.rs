use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

use super::error::{timed_out, told};
use super::script::{TakeScript, taken};
use super::{TIMEOUT, client, connection, name};
use crate::error::{FieldError, StoreError};
use crate::store::{Charge, LimitStore, Taken};

/// Shared limits, counted in Redis.
///
/// All limits of a request are taken by one call of a script, which is atomic, exact, and
/// uses the time of the server: a caller's clock gains nothing. It needs Redis 5 or later,
/// or Valkey; a cluster will do, since the counters of an owner are in one slot.
///
/// Counters vanish when they hold nothing, a minute later at the soonest, so that a clock of
/// the server that steps back by less refills nothing. **Redis must not drop them earlier:**
/// set `maxmemory-policy noeviction`. What Redis loses in a crash or a failover, limits get
/// back: persist it (`appendonly yes`) if that matters.
///
/// ```no_run
/// use keyward::{Environment, KeyScheme, KeyService, MemoryStore, PepperRing, RedisLimits};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let scheme = KeyScheme::new(
/// #     PepperRing::from_base64(&PepperRing::generate()?)?,
/// #     [("ak_live", Environment::PRODUCTION)],
/// # )?;
/// let limits = RedisLimits::open("redis://:password@10.0.0.7:6379/0")?;
/// limits.check().await?;
/// let keys = KeyService::builder(scheme, MemoryStore::new()).limit_store(limits).build();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisLimits {
    connection: Arc<dyn Connection>,
    script: Arc<TakeScript>,
    prefix: Arc<str>,
    timeout: Duration,
}

impl RedisLimits {
    /// Limits in the Redis at a URL, such as `redis://user:password@host:6379/0`.
    ///
    /// Nothing is sent yet: a host may start while Redis is down. A lost connection is made
    /// again at the next call, which fails at once if it can't be. TLS (`rediss://`) is a
    /// matter of the host's own connection, see [`RedisLimits::new`].
    ///
    /// # Errors
    ///
    /// If the URL can't be read, or there is no Tokio runtime.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self::new(connection(client(url)?)?))
    }

    /// Limits over a connection that the host made: a `ConnectionManager`, a multiplexed or
    /// a cluster connection of the crate `redis` 1.
    pub fn new(connection: impl ConnectionLike + Clone + Send + Sync + 'static) -> Self {
        Self {
            connection: Arc::new(connection),
            script: Arc::new(TakeScript::new()),
            prefix: "keyward".into(),
            timeout: TIMEOUT,
        }
    }

    /// Begins the names of all counters with something else than `keyward`: 1 to 64 letters,
    /// digits, `_`, `.`, `:` and `-`. Services with one prefix count together.
    ///
    /// # Errors
    ///
    /// If the prefix breaks its rule.
    pub fn prefix(self, prefix: &str) -> Result<Self, FieldError> {
        let prefix = name("redis.prefix", prefix)?.into();
        Ok(Self { prefix, ..self })
    }

    /// How long Redis may take to answer, before a call fails; the default is 500 ms.
    ///
    /// A verify waits so long when Redis has gone silent.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks Redis once, as a verify would: for the host to say at its start what is wrong.
    ///
    /// # Errors
    ///
    /// Redis can't be reached, refuses the password, or doesn't let this user run scripts.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.call(&[]).await.map(|_| ())
    }

    async fn call(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let answer = async {
            let by_digest = self.script.by_digest(&self.prefix, charges);
            match self.connection.ask(by_digest).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.connection.ask(self.script.in_full(&self.prefix, charges)).await
                }
                answer => answer,
            }
        };
        let answer = tokio::time::timeout(self.timeout, answer).await.map_err(|_| timed_out())?;
        taken(&answer.map_err(told)?, charges)
    }
}

impl LimitStore for RedisLimits {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        if charges.iter().all(|charge| charge.cost > 0) {
            return if charges.is_empty() { Ok(Taken::All) } else { self.call(charges).await };
        }
        let (places, costly): (Vec<usize>, Vec<Charge>) = charges
            .iter()
            .enumerate()
            .filter(|(_, charge)| charge.cost > 0)
            .map(|(place, charge)| (place, charge.clone()))
            .unzip();
        if costly.is_empty() {
            return Ok(Taken::All);
        }
        Ok(match self.call(&costly).await? {
            Taken::Denied { charge, retry_after, resets_at } => {
                let charge = places.get(charge).copied().unwrap_or(charge);
                Taken::Denied { charge, retry_after, resets_at }
            }
            Taken::All => Taken::All,
        })
    }
}

impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = RedisResult<Value>> + Send + 'a>>;

/// A connection with its type forgotten.
pub(super) trait Connection: Send + Sync {
    fn ask(&self, command: Cmd) -> Answer<'_>;
}

impl<C: ConnectionLike + Clone + Send + Sync> Connection for C {
    fn ask(&self, command: Cmd) -> Answer<'_> {
        let mut connection = self.clone();
        Box::pin(async move { connection.req_packed_command(&command).await?.extract_error() })
    }
}
