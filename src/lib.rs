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

// Core: data in, decision out. No I/O, no clock reads outside `timestamp::clock`, no async.
mod error;
mod text;
mod timestamp;
mod token;

mod grant;
mod leak;
mod limit;
mod mac;
mod policy;
mod record;
mod scheme;
mod verify;

#[cfg(keyward_constant_time)]
mod secret_memory;

// The async boundary.
mod cache;
mod service;
pub mod store;

// Who watches, and HTTP without any crate of it.
mod gate;
mod monitor;

#[cfg(feature = "conformance")]
pub mod conformance;

// The edge: foreign crates, each behind its feature and named nowhere else.
mod integrations;

pub mod manual;

// The public interface is:
pub use crate::cache::{CaughtUp, KeyCache, KeyCacheBuilder};
pub use crate::error::{FieldError, StoreError, StoreErrorKind};
pub use crate::gate::{Admitted, Answer, Gate, KeySource, Refusal, RequestHead, TrustedProxies};
pub use crate::grant::{
    ClientIp, Environment, Network, NetworkRules, NetworkVerdict, ResourceRules, RoleName, Roles,
    Scope, ScopeExpr, ScopeSet, Scopes,
};
#[cfg(feature = "metrics")]
pub use crate::integrations::MetricsObserver;
#[cfg(feature = "axum")]
pub use crate::integrations::MissingLayer;
#[cfg(feature = "tracing")]
pub use crate::integrations::TracingObserver;
#[cfg(feature = "axum")]
pub use crate::integrations::admin;
#[cfg(feature = "console")]
pub use crate::integrations::console;
#[cfg(feature = "tower")]
pub use crate::integrations::{ApiKeyFuture, ApiKeyGuard, ApiKeyLayer};
#[cfg(feature = "postgres")]
pub use crate::integrations::{PostgresHints, PostgresLimits, PostgresStore};
#[cfg(feature = "redis")]
pub use crate::integrations::{RedisHints, RedisLimits, RedisPublisher};
#[cfg(feature = "tokio")]
pub use crate::integrations::{RunningUpkeep, TokioUpkeep};
#[cfg(feature = "sqlite")]
pub use crate::integrations::{SqliteHints, SqliteOptions, SqliteStore};
pub use crate::leak::Found;
pub use crate::limit::{
    LimitCells, LimitDenied, LimitMode, LimitRules, LimitState, LimitedBy, LocalLimits, OnFailure,
    Quota, RateLimit, Refill, Reservation,
};
pub use crate::mac::{EntropyError, Pepper, PepperId, PepperRing, PepperState};
pub use crate::monitor::{Alert, AlertKind, AlertSink, Monitor, MonitorBuilder};
pub use crate::policy::{
    AccessRequest, Actor, Check, Decision, Deny, LimitName, Outcome as CheckOutcome, Step, Trace,
};
pub use crate::record::{
    Action, Event, EventId, KeyEdit, KeyRecord, KeyView, NewKey, Reason, SecretView, SlotUsage,
    State, Status, Usage, UsageDelta, WrongState,
};
pub use crate::scheme::{ImportDigest, ImportFamily, ImportKey, KeyScheme, Lane, SchemePrefix};
pub use crate::service::{
    Changed, Compromised, IssuedKey, KeyService, KeyServiceBuilder, Maintained, ManageError,
    Observer, Outcome, Page, PepperReport, PepperUse, ReportOptions, Reports, Resealed, Rotation,
    SharedKeyStore,
};
pub use crate::store::{
    Change, ChangeFeed, Changes, Charge, DEFAULT_MAX_STALENESS, Expect, Heartbeat, Hints, KeyQuery,
    KeyStore, LimitStore, LimitSubject, ListPosition, LogOrder, LogQuery, MemoryLimitStore,
    MemoryStore, NodeRow, OwnerCap, RollCall, SharedLimit, SharedLimitStore, Taken, UsageStore,
};
pub use crate::timestamp::{Clock, FakeClock, Moment, SystemClock, TickingClock, Timestamp};
pub use crate::token::{ApiKey, KeyId, Prefix};
pub use crate::verify::{Challenge, ErrorBody, ErrorDetails, Rejected, Verified, VerifyError};
