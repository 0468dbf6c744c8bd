use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisResult,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::error::told;
use super::{CHANNEL, TIMEOUT, name, runtime};
use crate::error::{FieldError, StoreError};
use crate::store::Hints;

/// How long a connection may be silent before it is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Hears through Redis that keys have changed: the other end of
/// [`RedisPublisher`](crate::RedisPublisher).
///
/// It has a connection of its own, made again after 50 ms to 5 s when it is lost; then there
/// is one hint for all that were missed. It needs Redis 6 or later, or Valkey (RESP3).
///
/// # Security
///
/// Whoever may publish on the channel can wake the nodes, and nothing else: hints are
/// coalesced and never believed.
pub struct RedisHints {
    client: Client,
    channel: Box<str>,
    heard: Arc<Notify>,
    listening: AbortHandle,
}

impl RedisHints {
    /// Hints from the Redis at a URL, on the channel `keyward:changes`.
    ///
    /// Connecting begins at once, in the background.
    ///
    /// # Errors
    ///
    /// If the URL can't be read, or there is no Tokio runtime.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let info = url.into_connection_info().map_err(told)?;
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(redis)).map_err(told)?;
        Self::listening(client, CHANNEL.into())
    }

    /// Hears on another channel: 1 to 64 letters, digits, `_`, `.`, `:` and `-`.
    ///
    /// # Errors
    ///
    /// If the name breaks its rule, or there is no Tokio runtime.
    pub fn channel(self, channel: &str) -> Result<Self, FieldError> {
        let channel = name("redis.channel", channel)?;
        Self::listening(self.client.clone(), channel)
            .map_err(|error| FieldError::unshown("redis.channel", error.to_string()))
    }

    fn listening(client: Client, channel: Box<str>) -> Result<Self, StoreError> {
        let heard = Arc::new(Notify::new());
        let listen = listen(client.clone(), channel.clone(), Arc::clone(&heard));
        let listening = runtime()?.spawn(listen).abort_handle();
        Ok(Self { client, channel, heard, listening })
    }
}

impl Hints for RedisHints {
    async fn next(&mut self) {
        self.heard.notified().await;
    }
}

impl Drop for RedisHints {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl fmt::Debug for RedisHints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisHints").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Hears for ever; after each failure it connects again.
async fn listen(client: Client, channel: Box<str>, heard: Arc<Notify>) {
    let (mut missed, mut failures) = (false, 0);
    loop {
        let lost = Arc::new(Notify::new());
        let subscribed = subscribe(&client, &channel, &heard, &lost);
        if let Ok(Ok(connection)) = timeout(2 * TIMEOUT, subscribed).await {
            if missed {
                heard.notify_one();
            }
            failures = 0;
            outlive(connection, &lost).await;
        } else {
            failures += 1;
        }
        missed = true;
        sleep(pause(failures)).await;
    }
}

async fn subscribe(
    client: &Client,
    channel: &str,
    heard: &Arc<Notify>,
    lost: &Arc<Notify>,
) -> RedisResult<MultiplexedConnection> {
    let (heard, lost) = (Arc::clone(heard), Arc::clone(lost));
    let push = move |push: PushInfo| {
        match push.kind {
            PushKind::Message => heard.notify_one(),
            PushKind::Disconnection => lost.notify_one(),
            _ => {}
        }
        Ok::<(), ::redis::aio::SendError>(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT))
        .set_push_sender(push);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    connection.subscribe(channel).await?;
    Ok(connection)
}

/// Waits until the connection is lost; a peer that has vanished is noticed by asking it.
async fn outlive(mut connection: MultiplexedConnection, lost: &Notify) {
    while timeout(SILENCE, lost.notified()).await.is_err() {
        let pong: RedisResult<()> = ::redis::cmd("PING").query_async(&mut connection).await;
        if pong.is_err() {
            return;
        }
    }
}

/// Twice as long after each failure, and at random up to half of it less, so that nodes
/// don't come back all at once.
fn pause(failures: u32) -> Duration {
    let longest = (SHORTEST_PAUSE * 2_u32.saturating_pow(failures.min(16))).min(LONGEST_PAUSE);
    let [random, ..] = RandomState::new().hash_one(failures).to_le_bytes();
    longest.saturating_sub(longest / 2 * u32::from(random) / 255)
}
