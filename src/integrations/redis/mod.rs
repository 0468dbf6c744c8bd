//! Redis: shared limits, and hints that keys have changed.

mod error;
mod hints;
mod limits;
mod publisher;
mod script;

pub use self::hints::RedisHints;
pub use self::limits::RedisLimits;
pub use self::publisher::RedisPublisher;

use std::time::Duration;

use ::redis::Client;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use tokio::runtime::Handle;

use self::error::{told, usage};
use crate::error::{FieldError, StoreError};

/// How long Redis may take to answer.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Where hints are published.
const CHANNEL: &str = "keyward:changes";

/// The client for a URL, whose password no error repeats.
fn client(url: &str) -> Result<Client, StoreError> {
    Client::open(url).map_err(told)
}

/// A connection that is made when it is needed, and made again when it is lost.
fn connection(client: Client) -> Result<ConnectionManager, StoreError> {
    runtime()?;
    // Who waits for a limit gets an answer at once, rather than after several attempts.
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1_024);
    ConnectionManager::new_lazy_with_config(client, config).map_err(told)
}

fn runtime() -> Result<Handle, StoreError> {
    Handle::try_current().map_err(|error| {
        usage("Redis needs Tokio: call this inside of a Tokio runtime").with_source(error)
    })
}

/// A piece of the name of keys and channels: 1 to 64 letters, digits, `_`, `.`, `:`, `-`.
fn name(field: &str, name: &str) -> Result<Box<str>, FieldError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        Ok(name.into())
    } else {
        let rule = "must be 1 to 64 letters, digits, `_`, `.`, `:` and `-`";
        Err(FieldError::new(field, name, rule))
    }
}
