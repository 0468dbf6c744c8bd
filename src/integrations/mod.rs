//! The edge: one module per foreign crate, each behind its feature.

#[cfg(feature = "axum")]
pub mod admin;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "console")]
pub mod console;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "axum")]
pub use self::axum::MissingLayer;
#[cfg(feature = "metrics")]
pub use self::metrics::MetricsObserver;
#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresHints, PostgresLimits, PostgresStore};
#[cfg(feature = "redis")]
pub use self::redis::{RedisHints, RedisLimits, RedisPublisher};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteHints, SqliteOptions, SqliteStore};
#[cfg(feature = "tokio")]
pub use self::tokio::{RunningUpkeep, TokioUpkeep};
#[cfg(feature = "tower")]
pub use self::tower::{ApiKeyFuture, ApiKeyGuard, ApiKeyLayer};
#[cfg(feature = "tracing")]
pub use self::tracing::TracingObserver;
