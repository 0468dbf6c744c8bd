//! One rate limit: so many requests per period, with a burst.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gcra::Gcra;
use super::rule::{LimitMode, OnFailure, is_default, limit_name};
use crate::error::FieldError;

const DAY_MS: u64 = 86_400_000;
const LONGEST_PERIOD_MS: u64 = 366 * DAY_MS;
const LARGEST_COUNT: u64 = 1_000_000_000;
const LONGEST_REFILL_MS: u64 = 36_525 * DAY_MS;

/// At most `count` units per `period`, of which `burst` may come at once.
///
/// A request costs one unit unless it says otherwise. In any window of length t,
/// at most `burst + t * count / period` units are admitted; an idle key has its
/// whole burst again after `burst * period / count`.
///
/// - `name`: 1 to 64 of `a` to `z`, `0` to `9`, `_`, `.` and `-`; unique in a key.
/// - `count`: 1 to 10^9, and at most 10^9 per second.
/// - `period`: whole milliseconds, 1 ms to 366 days.
/// - `burst`: 1 to 10^9, `count` if not set; it must refill within 36,525 days.
///
/// As JSON: `{"name":"minute","count":100,"period_ms":60000,"burst":100}`, with
/// `mode` and `on_failure` when they are not `local` and `closed`.
///
/// # Accuracy
///
/// The rate is exact if `count / gcd(count, period in µs)` is at most 1024, which
/// holds for every count up to 1024 and for most round numbers. Otherwise it is
/// rounded down, by less than one part in 1024 up to 10^6 per second and in 512
/// above. It is never rounded up. Before 1970 and after the year 2398 nothing
/// refills.
///
/// ```
/// use keyward::RateLimit;
/// use std::time::Duration;
///
/// let minute = RateLimit::per_minute(100)?.burst(20)?;
/// assert_eq!((minute.name(), minute.count(), minute.burst_size()), ("minute", 100, 20));
/// let exports = RateLimit::new("exports", 5, Duration::from_secs(600))?.strict();
/// assert!(RateLimit::per_second(0).is_err());
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct RateLimit {
    name: Arc<str>,
    count: u32,
    period_ms: u64,
    burst: u32,
    mode: LimitMode,
    on_failure: OnFailure,
    gcra: Gcra,
}

impl RateLimit {
    /// A local limit of `count` units per `period`, with a burst of `count`.
    ///
    /// # Errors
    ///
    /// If the name, count or period is out of its range.
    pub fn new(name: &str, count: u32, period: Duration) -> Result<Self, FieldError> {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        if Duration::from_millis(period_ms) != period {
            return Err(period_error(&format!("{period:?}")));
        }
        Self::checked(name, u64::from(count), period_ms, u64::from(count))
    }

    /// The limit `second`: `count` units per second.
    ///
    /// # Errors
    ///
    /// If the count is not 1 to 10^9.
    pub fn per_second(count: u32) -> Result<Self, FieldError> {
        Self::new("second", count, Duration::from_secs(1))
    }

    /// The limit `minute`: `count` units per 60 seconds.
    ///
    /// # Errors
    ///
    /// If the count is not 1 to 10^9.
    pub fn per_minute(count: u32) -> Result<Self, FieldError> {
        Self::new("minute", count, Duration::from_secs(60))
    }

    /// The limit `hour`: `count` units per 3,600 seconds.
    ///
    /// # Errors
    ///
    /// If the count is not 1 to 10^9.
    pub fn per_hour(count: u32) -> Result<Self, FieldError> {
        Self::new("hour", count, Duration::from_secs(3_600))
    }

    /// The limit `day`: `count` units per 24 hours, refilled steadily.
    ///
    /// For a count that starts anew at midnight use a [`Quota`](crate::Quota).
    ///
    /// # Errors
    ///
    /// If the count is not 1 to 10^9.
    pub fn per_day(count: u32) -> Result<Self, FieldError> {
        Self::new("day", count, Duration::from_millis(DAY_MS))
    }

    /// The same limit with another burst.
    ///
    /// # Errors
    ///
    /// If `units` is not 1 to 10^9, or would take more than 36,525 days to refill.
    pub fn burst(self, units: u32) -> Result<Self, FieldError> {
        let (count, burst) = (u64::from(self.count), u64::from(units));
        let gcra = arithmetic(count, self.period_ms, burst)?;
        Ok(Self { burst: units, gcra, ..self })
    }

    /// The same limit under another name.
    ///
    /// # Errors
    ///
    /// If the name breaks its rule.
    pub fn named(self, name: &str) -> Result<Self, FieldError> {
        let name = limit_name("rate_limit.name", name)?;
        Ok(Self { name, ..self })
    }

    /// The same limit, counted in the shared store.
    #[must_use]
    pub fn strict(self) -> Self {
        self.mode_of(LimitMode::Strict)
    }

    /// The same limit, counted in the shared store a batch at a time.
    ///
    /// A process takes a batch of units ahead and gives it out by itself: while it lasts,
    /// a request costs no round trip. A batch lasts L = `period` / 20, at most a second
    /// ([`KeyServiceBuilder::longest_lease`](crate::KeyServiceBuilder::longest_lease)),
    /// counted from before it was asked for; what is left of it then is lost, and nothing
    /// is ever given back to the store.
    ///
    /// So in any window of length T at most `burst + (T + L) * count / period` units are
    /// admitted by all processes together. A batch is as large as what the process used in
    /// the last L, and whoever waits now, wants: at most the larger of `count * L / period`
    /// and a twentieth of the burst. When the store has no room for a batch, the process
    /// counts strictly for a time of L.
    ///
    /// Counters are those of [`RateLimit::strict`]: a limit may go from one to the other.
    #[must_use]
    pub fn leased(self) -> Self {
        self.mode_of(LimitMode::Leased)
    }

    /// The same limit; requests pass when the shared store fails.
    #[must_use]
    pub fn fail_open(self) -> Self {
        self.failing(OnFailure::Open)
    }

    /// The same limit; requests are refused when the shared store fails (the default).
    #[must_use]
    pub fn fail_closed(self) -> Self {
        self.failing(OnFailure::Closed)
    }

    /// The name, unique among the rate limits of a key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The units admitted per period in the long run.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The period the count is for.
    pub fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms)
    }

    /// The units that may come at once.
    pub fn burst_size(&self) -> u32 {
        self.burst
    }

    /// Where it is counted.
    pub fn mode(&self) -> LimitMode {
        self.mode
    }

    /// What becomes of a request when it can't be counted.
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// The rule in the ticks it is counted in, for whoever counts by himself too.
    pub(crate) fn gcra(&self) -> Gcra {
        self.gcra
    }

    fn mode_of(self, mode: LimitMode) -> Self {
        Self { mode, ..self }
    }

    fn failing(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    fn checked(name: &str, count: u64, period_ms: u64, burst: u64) -> Result<Self, FieldError> {
        let name = limit_name("rate_limit.name", name)?;
        let gcra = arithmetic(count, period_ms, burst)?;
        Ok(Self {
            name,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            period_ms,
            burst: u32::try_from(burst).unwrap_or(u32::MAX),
            mode: LimitMode::default(),
            on_failure: OnFailure::default(),
            gcra,
        })
    }
}

fn arithmetic(count: u64, period_ms: u64, burst: u64) -> Result<Gcra, FieldError> {
    if !(1..=LARGEST_COUNT).contains(&count) {
        let given = count.to_string();
        let rule = "must be 1 to 1000000000";
        return Err(FieldError::new("rate_limit.count", &given, rule));
    }
    if !(1..=LONGEST_PERIOD_MS).contains(&period_ms) {
        return Err(period_error(&format!("{period_ms}ms")));
    }
    if count > period_ms * (LARGEST_COUNT / 1_000) {
        let given = format!("{count} per {period_ms}ms");
        let rule = "must be at most 1000000000 per second";
        return Err(FieldError::new("rate_limit.count", &given, rule));
    }
    if !(1..=LARGEST_COUNT).contains(&burst) {
        let given = burst.to_string();
        let rule = "must be 1 to 1000000000";
        return Err(FieldError::new("rate_limit.burst", &given, rule));
    }
    if u128::from(burst) * u128::from(period_ms) > u128::from(count) * u128::from(LONGEST_REFILL_MS)
    {
        let given = burst.to_string();
        let rule = "must refill within 36525 days";
        return Err(FieldError::new("rate_limit.burst", &given, rule));
    }
    Ok(Gcra::new(count, period_ms * 1_000, burst))
}

fn period_error(given: &str) -> FieldError {
    FieldError::new(
        "rate_limit.period_ms",
        given,
        "must be whole milliseconds, from 1 ms to 366 days",
    )
}

/// A rate limit as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Arc<str>,
    count: u64,
    period_ms: u64,
    burst: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    mode: LimitMode,
    #[serde(default, skip_serializing_if = "is_default")]
    on_failure: OnFailure,
}

impl From<RateLimit> for Document {
    fn from(rule: RateLimit) -> Self {
        Self {
            name: rule.name,
            count: rule.count.into(),
            period_ms: rule.period_ms,
            burst: Some(rule.burst.into()),
            mode: rule.mode,
            on_failure: rule.on_failure,
        }
    }
}

impl TryFrom<Document> for RateLimit {
    type Error = FieldError;

    fn try_from(it: Document) -> Result<Self, FieldError> {
        let burst = it.burst.unwrap_or(it.count);
        Ok(Self::checked(&it.name, it.count, it.period_ms, burst)?
            .mode_of(it.mode)
            .failing(it.on_failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_short_and_comes_back() {
        let plain = RateLimit::per_minute(100).unwrap();
        let text = r#"{"name":"minute","count":100,"period_ms":60000,"burst":100}"#;
        assert_eq!(serde_json::to_string(&plain).unwrap(), text);
        assert_eq!(serde_json::from_str::<RateLimit>(text).unwrap(), plain);
        let full = plain.clone().burst(7).unwrap().strict().fail_open();
        let text = serde_json::to_string(&full).unwrap();
        assert!(text.ends_with(r#""burst":7,"mode":"strict","on_failure":"open"}"#));
        assert_eq!(serde_json::from_str::<RateLimit>(&text).unwrap(), full);
        let short = r#"{"name":"minute","count":100,"period_ms":60000}"#;
        assert_eq!(serde_json::from_str::<RateLimit>(short).unwrap(), plain);
    }

    #[test]
    fn json_out_of_range_or_unknown_is_refused() {
        for (text, named) in [
            (r#"{"name":"A","count":1,"period_ms":1}"#, "rate_limit.name"),
            (r#"{"name":"","count":1,"period_ms":1}"#, "rate_limit.name"),
            (r#"{"name":"a","count":0,"period_ms":1}"#, "rate_limit.count"),
            (r#"{"name":"a","count":5000000000,"period_ms":9000}"#, "rate_limit.count"),
            (r#"{"name":"a","count":1,"period_ms":0}"#, "rate_limit.period_ms"),
            (r#"{"name":"a","count":1,"period_ms":31622400001}"#, "rate_limit.period_ms"),
            (r#"{"name":"a","count":1,"period_ms":1,"burst":0}"#, "rate_limit.burst"),
            (r#"{"name":"a","count":1,"period_ms":1,"burst":4294967297}"#, "rate_limit.burst"),
            (r#"{"name":"a","count":1,"period_ms":1,"bursts":1}"#, "bursts"),
            (r#"{"name":"a","count":1,"period_ms":1,"mode":"shared"}"#, "shared"),
        ] {
            let error = serde_json::from_str::<RateLimit>(text).unwrap_err();
            assert!(error.to_string().contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn edges_of_the_ranges() {
        let day = Duration::from_secs(86_400);
        assert!(RateLimit::new("a", 1, 366 * day).is_ok());
        assert!(RateLimit::new("a", 1, 366 * day + Duration::from_millis(1)).is_err());
        assert!(RateLimit::new("a", 1, Duration::MAX).is_err());
        assert!(RateLimit::new("a", 1, Duration::from_micros(1_500)).is_err());
        assert!(RateLimit::new("a", 1_000_000, Duration::from_millis(1)).is_ok());
        assert!(RateLimit::new("a", 1_000_001, Duration::from_millis(1)).is_err());
        assert!(RateLimit::per_second(1_000_000_000).is_ok());
        assert!(RateLimit::per_second(1_000_000_001).is_err());
        let daily = RateLimit::per_day(1).unwrap();
        assert!(daily.clone().burst(36_525).is_ok());
        assert!(daily.clone().burst(36_526).is_err());
        assert!(daily.clone().named(&"n".repeat(64)).is_ok());
        assert!(daily.named(&"n".repeat(65)).is_err());
    }
}
