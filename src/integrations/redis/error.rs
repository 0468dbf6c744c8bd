use ::redis::{ErrorKind, RedisError};

use crate::error::{StoreError, StoreErrorKind};

/// What Redis said, with what to do about it. The password is in none of it.
pub(super) fn told(error: RedisError) -> StoreError {
    use StoreErrorKind::{Corrupt, Other, Unavailable};
    let (kind, context) = match (error.kind(), error.code()) {
        (_, Some("KEYWARD" | "WRONGTYPE")) => {
            (Corrupt, "a key of this name holds something else: give keyward a prefix of its own")
        }
        (_, Some("LOADING" | "BUSY")) => (Unavailable, "Redis is busy: try again"),
        (_, Some("CROSSSLOT" | "MOVED" | "ASK")) => {
            (Other, "Redis is a cluster: give `RedisLimits::new` a cluster connection")
        }
        (_, Some("NOPERM")) => (
            Other,
            "the Redis user lacks a permission: it needs `+eval +evalsha +time +get +set +publish \
             +subscribe +ping` and the keys and channels of the prefix",
        ),
        (_, Some("OOM")) => (Unavailable, "Redis has no memory left: raise its `maxmemory`"),
        (_, Some("READONLY")) => (Unavailable, "Redis is a replica: give the URL of the primary"),
        (_, Some("NOAUTH" | "WRONGPASS")) | (ErrorKind::AuthenticationFailed, _) => {
            (Other, "Redis refused the password: check user and password of the URL")
        }
        (ErrorKind::InvalidClientConfig, _) => {
            (Other, "the Redis URL must be like `redis://user:password@host:6379/0`")
        }
        (ErrorKind::RESP3NotSupported, _) => (Other, "hints need Redis 6 or later, with RESP3"),
        (ErrorKind::Io, _) if error.is_timeout() => {
            (Unavailable, "Redis did not answer in time: check that it can be reached")
        }
        (ErrorKind::Io, _) => {
            (Unavailable, "Redis can't be reached: check that it runs at the URL that was given")
        }
        _ if error.is_connection_dropped() => (Unavailable, "the connection to Redis was lost"),
        _ => (Other, "Redis refused"),
    };
    StoreError::new(kind).with_context(context).with_source(error)
}

/// Redis took longer than it may.
pub(super) fn timed_out() -> StoreError {
    let context = "Redis did not answer in time: check that it can be reached";
    StoreError::new(StoreErrorKind::Unavailable).with_context(context)
}

pub(super) const fn usage(context: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Other).with_context(context)
}
