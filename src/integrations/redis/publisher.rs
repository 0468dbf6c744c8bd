use std::fmt;
use std::sync::Arc;

use ::redis::aio::ConnectionLike;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::limits::Connection;
use super::{CHANNEL, TIMEOUT, client, connection, name, runtime};
use crate::error::{FieldError, StoreError};
use crate::record::Event;
use crate::service::Observer;

/// Tells other nodes through Redis that keys have changed.
///
/// It is an [`Observer`]: given to the service, it publishes after every change. A host with
/// an observer of its own calls [`RedisPublisher::publish`] in its `changed`. Clones share
/// one task; changes that come while one is being published make one more hint together.
///
/// A hint that can't be published is lost. Nothing depends on it: nodes look at the log each
/// second anyway.
///
/// ```no_run
/// use keyward::{Environment, KeyScheme, KeyService, MemoryStore, PepperRing, RedisPublisher};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let scheme = KeyScheme::new(
/// #     PepperRing::from_base64(&PepperRing::generate()?)?,
/// #     [("ak_live", Environment::PRODUCTION)],
/// # )?;
/// let publisher = RedisPublisher::open("redis://10.0.0.7/")?;
/// let keys = KeyService::builder(scheme, MemoryStore::new()).observer(publisher).build();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisPublisher {
    connection: Arc<dyn Connection>,
    channel: Box<str>,
    task: Arc<Task>,
}

struct Task {
    changed: Arc<Notify>,
    publishing: AbortHandle,
}

impl RedisPublisher {
    /// A publisher to the Redis at a URL, on the channel `keyward:changes`.
    ///
    /// # Errors
    ///
    /// If the URL can't be read, or there is no Tokio runtime.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::new(connection(client(url)?)?)
    }

    /// The same over a connection that the host made; see
    /// [`RedisLimits::new`](crate::RedisLimits::new).
    ///
    /// # Errors
    ///
    /// If there is no Tokio runtime.
    pub fn new(
        connection: impl ConnectionLike + Clone + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let connection: Arc<dyn Connection> = Arc::new(connection);
        let task = Task::start(Arc::clone(&connection), CHANNEL.into())?;
        Ok(Self { connection, channel: CHANNEL.into(), task })
    }

    /// Publishes on another channel: 1 to 64 letters, digits, `_`, `.`, `:` and `-`.
    ///
    /// # Errors
    ///
    /// If the name breaks its rule, or there is no Tokio runtime.
    pub fn channel(self, channel: &str) -> Result<Self, FieldError> {
        let channel = name("redis.channel", channel)?;
        let task = Task::start(Arc::clone(&self.connection), channel.clone());
        let task = task.map_err(|error| FieldError::unshown("redis.channel", error.to_string()))?;
        Ok(Self { channel, task, ..self })
    }

    /// Publishes a hint soon. This never waits.
    pub fn publish(&self) {
        self.task.changed.notify_one();
    }
}

impl Observer for RedisPublisher {
    fn changed(&self, _: &Event) {
        self.publish();
    }
}

impl Task {
    fn start(connection: Arc<dyn Connection>, channel: Box<str>) -> Result<Arc<Self>, StoreError> {
        let changed = Arc::new(Notify::new());
        let publish = publish(connection, channel, Arc::clone(&changed));
        let publishing = runtime()?.spawn(publish).abort_handle();
        Ok(Arc::new(Self { changed, publishing }))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

async fn publish(connection: Arc<dyn Connection>, channel: Box<str>, changed: Arc<Notify>) {
    loop {
        changed.notified().await;
        let mut command = ::redis::cmd("PUBLISH");
        command.arg(&*channel).arg("");
        let _ = timeout(TIMEOUT, connection.ask(command)).await;
    }
}

impl fmt::Debug for RedisPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPublisher").field("channel", &self.channel).finish_non_exhaustive()
    }
}
