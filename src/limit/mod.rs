//! Rate limits and quotas: the rules, the arithmetic, and the counters of this process.
//!
//! Nothing here reads a clock; every call is given the instant it happens at.

mod cells;
mod gcra;
mod lease;
mod local;
mod quota;
mod rate;
mod refill;
mod rule;
mod rules;
mod shards;
mod state;
mod sync;

#[cfg(test)]
mod gcra_tests;
#[cfg(test)]
mod lease_tests;

pub(crate) use self::cells::Tightest;
pub use self::cells::{LimitCells, Reservation};
pub(crate) use self::lease::{Lease, LeasedUnits};
pub use self::local::LocalLimits;
pub use self::quota::Quota;
pub use self::rate::RateLimit;
pub use self::refill::Refill;
pub use self::rule::{LimitMode, OnFailure};
pub use self::rules::LimitRules;
pub(crate) use self::shards::Shards;
pub use self::state::{LimitDenied, LimitState, LimitedBy};
