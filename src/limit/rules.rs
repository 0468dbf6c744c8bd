//! The limits of one key, or of all keys of an owner.

use serde::{Deserialize, Serialize};

use super::cells::Tightest;
use super::quota::{Quota, Used};
use super::rate::RateLimit;
use super::rule::LimitMode;
use super::state::LimitState;
use crate::error::FieldError;
use crate::timestamp::Timestamp;

/// The most rate limits in one set.
pub(super) const MOST_RATE_LIMITS: usize = 8;

/// Up to eight rate limits with different names, and perhaps a quota.
///
/// As JSON: `{"rate_limits":[…],"quota":{…}}`, both left out when there are none.
/// The default has no limits.
///
/// ```
/// use keyward::{LimitRules, Quota, RateLimit, Refill};
///
/// let rules = LimitRules::new(
///     vec![RateLimit::per_second(10)?, RateLimit::per_minute(100)?],
///     Some(Quota::new(50_000, Refill::Month)?),
/// );
/// assert!(rules.is_ok_and(|rules| rules.has_local() && !rules.has_shared()));
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct LimitRules {
    rates: Box<[RateLimit]>,
    quota: Option<Quota>,
    has_local: bool,
    has_shared: bool,
}

impl LimitRules {
    /// These limits.
    ///
    /// # Errors
    ///
    /// If there are more than eight rate limits, or two of one name; each fault
    /// with its place, such as `rate_limits[1].name`.
    pub fn new(rates: Vec<RateLimit>, quota: Option<Quota>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        if rates.len() > MOST_RATE_LIMITS {
            let given = rates.len().to_string();
            let rule = "must be at most 8 rate limits";
            errors.push(FieldError::new("rate_limits", &given, rule));
        } else {
            for (i, rule) in rates.iter().enumerate() {
                if rates.iter().take(i).any(|other| other.name() == rule.name()) {
                    let field = format!("rate_limits[{i}].name");
                    let unique = "must differ from the names of the other rate limits";
                    errors.push(FieldError::new(field, rule.name(), unique));
                }
            }
        }
        if errors.is_empty() {
            let modes = || rates.iter().map(RateLimit::mode).chain(quota.iter().map(Quota::mode));
            let has_local = modes().any(|mode| mode == LimitMode::Local);
            let has_shared = modes().any(|mode| mode != LimitMode::Local);
            Ok(Self { rates: rates.into(), quota, has_local, has_shared })
        } else {
            Err(errors)
        }
    }

    /// The rate limits, in the order they are taken.
    pub fn rates(&self) -> &[RateLimit] {
        &self.rates
    }

    /// The quota, taken after the rate limits.
    pub fn quota(&self) -> Option<&Quota> {
        self.quota.as_ref()
    }

    /// How the tightest limit stood at `at`.
    pub(crate) fn state(&self, tightest: Tightest, at: Timestamp) -> Option<LimitState> {
        match tightest {
            Tightest::None => None,
            Tightest::Quota { units, window } => {
                Some(LimitState::of_quota(self.quota()?, Used { window, units }, at))
            }
            Tightest::Rate { place, backlog } => {
                let rule = self.rates.get(usize::from(place))?;
                Some(LimitState::of_rate(rule, place, backlog))
            }
        }
    }

    /// Whether there are no limits.
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.quota.is_none()
    }

    /// Whether any limit is counted in this process.
    pub fn has_local(&self) -> bool {
        self.has_local
    }

    /// Whether any limit is counted in the shared store.
    pub fn has_shared(&self) -> bool {
        self.has_shared
    }
}

/// The limits as they are written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rate_limits: Vec<RateLimit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<Quota>,
}

impl From<LimitRules> for Document {
    fn from(rules: LimitRules) -> Self {
        Self { rate_limits: rules.rates.into(), quota: rules.quota }
    }
}

impl TryFrom<Document> for LimitRules {
    type Error = FieldError;

    fn try_from(it: Document) -> Result<Self, FieldError> {
        Self::new(it.rate_limits, it.quota).map_err(|errors| {
            let fallback = FieldError::unshown("rate_limits", "must be valid");
            errors.into_iter().next().unwrap_or(fallback)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Refill;

    #[test]
    fn names_are_unique_and_eight_are_enough() {
        let rule = RateLimit::per_minute(1).unwrap();
        let named = |i: usize| rule.clone().named(&format!("r{i}")).unwrap();
        assert!(LimitRules::new((0..8).map(named).collect(), None).is_ok());
        let errors = LimitRules::new((0..9).map(named).collect(), None).unwrap_err();
        assert_eq!(errors[0].field(), "rate_limits");
        let twice = vec![named(1), named(2), named(1), named(2)];
        let errors = LimitRules::new(twice, None).unwrap_err();
        let fields: Vec<_> = errors.iter().map(FieldError::field).collect();
        assert_eq!(fields, ["rate_limits[2].name", "rate_limits[3].name"]);
    }

    #[test]
    fn json_comes_back_and_is_checked() {
        assert_eq!(serde_json::to_string(&LimitRules::default()).unwrap(), "{}");
        let quota = Quota::new(5, Refill::Week).unwrap().strict();
        let rates = vec![RateLimit::per_minute(1).unwrap()];
        let rules = LimitRules::new(rates, Some(quota)).unwrap();
        assert!(rules.has_local() && rules.has_shared() && !rules.is_empty());
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<LimitRules>(&text).unwrap(), rules);
        let rule = r#"{"name":"a","count":1,"period_ms":1}"#;
        let twice = format!(r#"{{"rate_limits":[{rule},{rule}]}}"#);
        let error = serde_json::from_str::<LimitRules>(&twice).unwrap_err();
        assert!(error.to_string().contains("rate_limits[1].name"), "{error}");
        assert!(serde_json::from_str::<LimitRules>(r#"{"limits":[]}"#).is_err());
    }
}
