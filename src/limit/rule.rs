//! What rate limits and quotas have in common: a name, where they count, and how they fail.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::FieldError;

const LONGEST_NAME: usize = 64;

/// Where a limit is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitMode {
    /// In each process by itself: no round trip, and n processes admit n times as much.
    #[default]
    Local,
    /// In one place shared by all processes, a batch at a time: each process takes units
    /// ahead, and gives them out by itself for at most a second. Most requests need no
    /// round trip; see [`RateLimit::leased`](crate::RateLimit::leased) for what is admitted.
    Leased,
    /// In one place shared by all processes: one round trip for each request.
    Strict,
}

/// What becomes of a request when its limit can't be asked, because a shared store fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is refused.
    #[default]
    Closed,
    /// It is let through, uncounted.
    Open,
}

/// The name of a limit: 1 to 64 of `a` to `z`, `0` to `9`, `_`, `.` and `-`.
pub(super) fn limit_name(field: &str, name: &str) -> Result<Arc<str>, FieldError> {
    let fits = (1..=LONGEST_NAME).contains(&name.len());
    let plain = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'));
    if fits && plain {
        Ok(name.into())
    } else {
        Err(FieldError::new(
            field,
            name,
            "must be 1 to 64 of `a` to `z`, `0` to `9`, `_`, `.` and `-`",
        ))
    }
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
