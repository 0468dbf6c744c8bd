//! The edge: one module per foreign crate, each behind its feature.

#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteHints, SqliteOptions, SqliteStore};
