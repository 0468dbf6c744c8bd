//! What a limit says: how much is left, or that nothing is.

use std::time::Duration;

use super::gcra::Gcra;
use super::quota::{Quota, Used};
use super::rate::RateLimit;
use super::refill::Refill;
use crate::timestamp::Timestamp;

/// Which rule of a [`LimitRules`](crate::LimitRules) is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitedBy {
    /// The quota.
    Quota,
    /// The rate limit at this place, from 0.
    Rate(u8),
}

/// How much of a limit is left, for `RateLimit` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitState {
    rule: LimitedBy,
    limit: u64,
    left: Left,
}

/// The figures as the cell gave them; what is shown is worked out when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Quota { used: u64, window: u32, refill: Refill, now: Timestamp },
    Rate { gcra: Gcra, backlog: u64 },
}

impl LimitState {
    /// That of a rate limit at this place, from the backlog in its counter.
    pub(super) fn of_rate(rule: &RateLimit, place: u8, backlog: u64) -> Self {
        Self {
            rule: LimitedBy::Rate(place),
            limit: rule.burst_size().into(),
            left: Left::Rate { gcra: rule.gcra(), backlog },
        }
    }

    /// That of a quota at `now`, from what its counter holds.
    pub(super) fn of_quota(rule: &Quota, used: Used, now: Timestamp) -> Self {
        let Used { window, units } = used;
        let left = Left::Quota { used: units, window, refill: rule.refill(), now };
        Self { rule: LimitedBy::Quota, limit: rule.limit(), left }
    }

    /// The rule this is about.
    pub fn rule(&self) -> LimitedBy {
        self.rule
    }

    /// The most units that can be left: the burst of a rate limit, the limit of a quota.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The whole units left now.
    pub fn remaining(&self) -> u64 {
        match self.left {
            Left::Quota { used, .. } => self.limit.saturating_sub(used),
            Left::Rate { gcra, backlog } => gcra.remaining(backlog),
        }
    }

    /// The time until all units are back, rounded up to a microsecond.
    pub fn reset_after(&self) -> Duration {
        match self.left {
            Left::Quota { window, refill, now, .. } => {
                refill.end(window).saturating_duration_since(now)
            }
            Left::Rate { gcra, backlog } => gcra.duration(backlog),
        }
    }
}

/// A request that a limit has no room for; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitDenied {
    /// The first rule that had no room.
    pub rule: LimitedBy,
    /// After this long the rule has room, if nobody else takes it; `None` if the
    /// request costs more than the rule ever has.
    pub retry_after: Option<Duration>,
    /// When the quota starts anew; `None` for a rate limit.
    pub resets_at: Option<Timestamp>,
}
