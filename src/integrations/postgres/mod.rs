//! Keys, hints and strict limits in `PostgreSQL`, by sqlx.
//!
//! A write is one call of a function that is in the schema, so it is one round trip,
//! atomic by itself, and the same through a transaction pooler.

mod error;
mod feed;
mod hints;
mod keys;
mod lanes;
mod limits;
mod list;
mod loan;
mod migrate;
mod names;
mod roll;
mod statement;
mod store;
mod usage;

pub use self::hints::PostgresHints;
pub use self::limits::PostgresLimits;
pub use self::store::PostgresStore;
