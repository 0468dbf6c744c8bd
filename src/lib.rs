#![doc = include_str!("../README.md")]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    clippy::todo
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

// Core: data in, decision out. No I/O, no clock reads outside `timestamp`, no async.
mod error;
mod grant;
mod leak;
mod limit;
mod mac;
mod timestamp;
mod token;

// The public interface is:
pub use crate::error::FieldError;
pub use crate::grant::{
    ClientIp, Environment, Network, NetworkRules, NetworkVerdict, ResourceRules, RoleName, Roles,
    Scope, ScopeExpr, ScopeSet, Scopes,
};
pub use crate::leak::Found;
pub use crate::limit::{
    LimitCells, LimitDenied, LimitMode, LimitRules, LimitState, LimitedBy, LocalLimits, OnFailure,
    Quota, RateLimit, Refill, Reservation,
};
pub use crate::mac::{EntropyError, Pepper, PepperId, PepperRing, PepperState};
pub use crate::timestamp::{Clock, FakeClock, SystemClock, Timestamp};
pub use crate::token::{ApiKey, KeyId, Prefix};
