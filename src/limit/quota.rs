//! A quota: so many units per calendar window, counted in one atomic word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use super::refill::Refill;
use super::rule::{LimitMode, OnFailure, is_default, limit_name};
use crate::error::FieldError;
use crate::timestamp::Timestamp;

const USED_BITS: u32 = 40;
const USED: u64 = (1 << USED_BITS) - 1;
const DEFAULT_NAME: &str = "quota";

/// At most `limit` units per hour, day, week, month or year of the UTC calendar.
///
/// - `name`: 1 to 64 of `a` to `z`, `0` to `9`, `_`, `.` and `-`; `quota` if not set.
/// - `limit`: 1 to 2^40 - 1.
///
/// As JSON: `{"name":"quota","limit":10000,"refill":"month"}`, with `mode` and
/// `on_failure` when they are not `local` and `closed`.
///
/// A local quota is counted in memory: it starts anew with the process.
///
/// ```
/// use keyward::{Quota, Refill};
///
/// let quota = Quota::new(10_000, Refill::Month)?.named("exports")?;
/// assert_eq!((quota.name(), quota.limit()), ("exports", 10_000));
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Quota {
    name: Arc<str>,
    limit: u64,
    refill: Refill,
    mode: LimitMode,
    on_failure: OnFailure,
}

impl Quota {
    /// A local quota of `limit` units per window.
    ///
    /// # Errors
    ///
    /// If the limit is not 1 to 2^40 - 1.
    pub fn new(limit: u64, refill: Refill) -> Result<Self, FieldError> {
        if !(1..=USED).contains(&limit) {
            let given = limit.to_string();
            let rule = "must be 1 to 1099511627775";
            return Err(FieldError::new("quota.limit", &given, rule));
        }
        Ok(Self {
            name: DEFAULT_NAME.into(),
            limit,
            refill,
            mode: LimitMode::default(),
            on_failure: OnFailure::default(),
        })
    }

    /// The same quota under another name.
    ///
    /// # Errors
    ///
    /// If the name breaks its rule.
    pub fn named(self, name: &str) -> Result<Self, FieldError> {
        let name = limit_name("quota.name", name)?;
        Ok(Self { name, ..self })
    }

    /// The same quota, counted in the shared store.
    #[must_use]
    pub fn strict(self) -> Self {
        let mode = LimitMode::Strict;
        Self { mode, ..self }
    }

    /// The same quota, counted in the shared store a batch at a time.
    ///
    /// As [`RateLimit::leased`](crate::RateLimit::leased), with batches of at most a
    /// thousandth of the limit that last a second and end with the window. Units that are
    /// left then stay spent: the quota may end a little early, and is never exceeded but by
    /// what the clocks of the processes differ from the store's.
    #[must_use]
    pub fn leased(self) -> Self {
        let mode = LimitMode::Leased;
        Self { mode, ..self }
    }

    /// The same quota; requests pass when the shared store fails.
    #[must_use]
    pub fn fail_open(self) -> Self {
        let on_failure = OnFailure::Open;
        Self { on_failure, ..self }
    }

    /// The same quota; requests are refused when the shared store fails (the default).
    #[must_use]
    pub fn fail_closed(self) -> Self {
        let on_failure = OnFailure::Closed;
        Self { on_failure, ..self }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The units per window.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// When it starts anew.
    pub fn refill(&self) -> Refill {
        self.refill
    }

    /// Where it is counted.
    pub fn mode(&self) -> LimitMode {
        self.mode
    }

    /// What becomes of a request when it can't be counted.
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }
}

/// The use of a quota: the window, and the units taken in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) window: u32,
    pub(super) units: u64,
}

impl Used {
    /// What a cell holds at `now`: in a new window nothing, but a clock that
    /// stepped back stays in the later window, so that it refills nothing.
    pub(super) fn at(refill: Refill, cell: &AtomicU64, now: Timestamp) -> Self {
        Self::unpack(cell.load(Relaxed)).or_later(refill.index(now))
    }

    pub(super) fn pack(self) -> u64 {
        u64::from(self.window) << USED_BITS | self.units.min(USED)
    }

    fn unpack(word: u64) -> Self {
        Self { window: u32::try_from(word >> USED_BITS).unwrap_or(u32::MAX), units: word & USED }
    }

    fn or_later(self, window: u32) -> Self {
        if window > self.window { Self { window, units: 0 } } else { self }
    }
}

/// Takes `cost` units at `now`; the use after it, or the use that left no room.
///
/// A cost of 0 takes nothing and is never denied.
pub(super) fn take(
    quota: &Quota,
    cell: &AtomicU64,
    now: Timestamp,
    cost: u32,
) -> Result<Used, Used> {
    let window = quota.refill.index(now);
    let cost = u64::from(cost);
    let mut word = cell.load(Relaxed);
    loop {
        let used = Used::unpack(word).or_later(window);
        if cost == 0 {
            return Ok(used);
        }
        let units = used.units + cost;
        if units > quota.limit {
            return Err(used);
        }
        let used = Used { units, ..used };
        match cell.compare_exchange_weak(word, used.pack(), Relaxed, Relaxed) {
            Ok(_) => return Ok(used),
            Err(seen) => word = seen,
        }
    }
}

/// Gives back `cost` units taken in `window`, unless that window is over.
pub(super) fn undo(cell: &AtomicU64, window: u32, cost: u32) {
    let _ = cell.fetch_update(Relaxed, Relaxed, |word| {
        let used = Used::unpack(word);
        let units = used.units.saturating_sub(u64::from(cost));
        (used.window == window).then_some(Used { units, ..used }.pack())
    });
}

/// A quota as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default = "default_name")]
    name: Arc<str>,
    limit: u64,
    refill: Refill,
    #[serde(default, skip_serializing_if = "is_default")]
    mode: LimitMode,
    #[serde(default, skip_serializing_if = "is_default")]
    on_failure: OnFailure,
}

fn default_name() -> Arc<str> {
    DEFAULT_NAME.into()
}

impl From<Quota> for Document {
    fn from(quota: Quota) -> Self {
        Self {
            name: quota.name,
            limit: quota.limit,
            refill: quota.refill,
            mode: quota.mode,
            on_failure: quota.on_failure,
        }
    }
}

impl TryFrom<Document> for Quota {
    type Error = FieldError;

    fn try_from(it: Document) -> Result<Self, FieldError> {
        Ok(Self {
            mode: it.mode,
            on_failure: it.on_failure,
            ..Self::new(it.limit, it.refill)?.named(&it.name)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_short_and_comes_back() {
        let plain = Quota::new(10_000, Refill::Month).unwrap();
        let text = r#"{"name":"quota","limit":10000,"refill":"month"}"#;
        assert_eq!(serde_json::to_string(&plain).unwrap(), text);
        let full = plain.clone().named("x").unwrap().strict().fail_open();
        let text = serde_json::to_string(&full).unwrap();
        assert_eq!(serde_json::from_str::<Quota>(&text).unwrap(), full);
        let short = r#"{"limit":10000,"refill":"month"}"#;
        assert_eq!(serde_json::from_str::<Quota>(short).unwrap(), plain);
        for bad in [
            r#"{"limit":0,"refill":"day"}"#,
            r#"{"limit":1099511627776,"refill":"day"}"#,
            r#"{"limit":1,"refill":"decade"}"#,
            r#"{"limit":1,"refill":"day","name":""}"#,
            r#"{"limit":1,"refill":"day","used":0}"#,
        ] {
            assert!(serde_json::from_str::<Quota>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_largest_quota_fits_its_word() {
        let quota = Quota::new(USED, Refill::Hour).unwrap();
        let full = Used { window: (1 << 24) - 1, units: USED };
        let cell = AtomicU64::new(full.pack());
        assert_eq!(take(&quota, &cell, Timestamp::MAX, 1), Err(full));
        assert_eq!(take(&quota, &cell, Timestamp::MAX, u32::MAX), Err(full));
        undo(&cell, full.window, u32::MAX);
        assert!(take(&quota, &cell, Timestamp::MAX, u32::MAX).is_ok());
        assert_eq!(cell.into_inner(), u64::MAX);
    }

    proptest! {
        /// Against a plain counter per furthest window; the clock goes both ways.
        #[test]
        fn equals_a_counter_per_window(
            limit in 1..50_u64,
            requests in prop::collection::vec((-30..40_i64, 0..9_u32, any::<bool>()), 1..300),
        ) {
            let quota = Quota::new(limit, Refill::Hour).unwrap();
            let cell = AtomicU64::new(0);
            let (mut minutes, mut window, mut used) = (30_000_000_i64, 0, 0_u64);
            let mut last: Option<(u32, u32)> = None;
            for (by, cost, undone) in requests {
                minutes += by;
                let now = Timestamp::from_unix_seconds(minutes * 60);
                let held = if minutes / 60 > window { 0 } else { used };
                let fits = cost == 0 || held + u64::from(cost) <= limit;
                let taken = take(&quota, &cell, now, cost);
                prop_assert_eq!(taken.is_ok(), fits);
                if fits && cost > 0 {
                    (window, used) = (window.max(minutes / 60), held);
                    used += u64::from(cost);
                    last = Some((taken.unwrap().window, cost));
                }
                let held = if minutes / 60 > window { 0 } else { used };
                prop_assert_eq!(Used::at(quota.refill, &cell, now).units, held);
                if let Some((taken, cost)) = last.take_if(|_| undone) {
                    undo(&cell, taken, cost);
                    if i64::from(taken) == window {
                        used -= u64::from(cost);
                    }
                }
            }
        }
    }
}
