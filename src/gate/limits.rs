//! What the answers say of a key's limits.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::limit::{LimitRules, LimitState, LimitedBy, Quota, RateLimit, Refill};
use crate::policy::{Deny, LimitName};
use crate::record::KeyRecord;
use crate::timestamp::Timestamp;

/// Which headers tell of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitHeaders {
    None,
    Standard,
    WithOlder,
}

pub(super) type Headers = Vec<(&'static str, String)>;

impl LimitHeaders {
    /// Those of a request that was let through.
    pub(super) fn passed(
        self,
        record: &KeyRecord,
        state: Option<LimitState>,
        now: Timestamp,
    ) -> Headers {
        let (Some(state), Some(rules)) = (state, rules(record)) else { return Headers::new() };
        let name = name(rules, state.rule());
        self.written(
            record,
            rules,
            Some(name),
            state.limit(),
            state.remaining(),
            Some(state.reset_after()),
            now,
        )
    }

    /// Those of one that a limit refused.
    pub(super) fn refused(self, record: &KeyRecord, deny: Deny, now: Timestamp) -> Headers {
        let (Deny::RateLimited { retry_after, limit }
        | Deny::QuotaExceeded { retry_after, limit, .. }) = deny
        else {
            return Headers::new();
        };
        let Some(rules) = rules(record) else { return Headers::new() };
        match limit {
            LimitName::Key(rule) => {
                let most = most(rules, rule);
                self.written(record, rules, Some(name(rules, rule)), most, 0, retry_after, now)
            }
            LimitName::Owner(_) => self.written(record, rules, None, 0, 0, retry_after, now),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the figures of the headers, from two sources")]
    fn written(
        self,
        record: &KeyRecord,
        rules: &LimitRules,
        name: Option<&str>,
        most: u64,
        left: u64,
        reset: Option<Duration>,
        now: Timestamp,
    ) -> Headers {
        if self == Self::None {
            return Headers::new();
        }
        let reset = reset.map(whole_seconds);
        // The id is public, in the presented key, and not a word about the owner.
        let partition = format!(";pk=:{}:", BASE64_STANDARD.encode(record.id().to_string()));
        let mut state = format!("\"{}\";r={left}", name.unwrap_or("owner"));
        if let Some(reset) = reset {
            let _ = write!(state, ";t={reset}");
        }
        let mut headers = Headers::new();
        if name.is_some() {
            state.push_str(&partition);
        }
        let policy = policy(rules, &partition);
        headers.extend((!policy.is_empty()).then_some(("ratelimit-policy", policy)));
        headers.push(("ratelimit", state));
        if self == Self::WithOlder {
            headers.extend(name.map(|_| ("x-ratelimit-limit", most.to_string())));
            headers.push(("x-ratelimit-remaining", left.to_string()));
            let at = reset.map(|reset| now.saturating_add(Duration::from_secs(reset)));
            headers.extend(at.map(|at| ("x-ratelimit-reset", rounded_up(at).to_string())));
        }
        headers
    }
}

/// Every rule of the key, the same for each of its requests.
fn policy(rules: &LimitRules, partition: &str) -> String {
    let mut policy = String::new();
    let mut item = |name: &str, count: u64, window: Option<u64>| {
        let comma = if policy.is_empty() { "" } else { ", " };
        let _ = write!(policy, "{comma}\"{name}\";q={count}");
        if let Some(window) = window {
            let _ = write!(policy, ";w={window}");
        }
        policy.push_str(partition);
    };
    for rate in rules.rates() {
        let (count, window) = rate_window(rate);
        item(rate.name(), count, Some(window));
    }
    if let Some(quota) = rules.quota() {
        item(quota.name(), quota.limit(), quota_window(quota));
    }
    policy
}

/// The count of a rate limit per whole seconds, which is all that the header can tell.
fn rate_window(rate: &RateLimit) -> (u64, u64) {
    let window = whole_seconds(rate.period());
    let count = u128::from(rate.count()) * u128::from(window) * 1_000_000_000;
    let count = count / rate.period().as_nanos().max(1);
    (u64::try_from(count).unwrap_or(u64::MAX), window)
}

/// The seconds of a quota's window, if all its windows are as long.
fn quota_window(quota: &Quota) -> Option<u64> {
    match quota.refill() {
        Refill::Hour => Some(3_600),
        Refill::Day => Some(86_400),
        Refill::Week => Some(604_800),
        Refill::Month | Refill::Year => None,
    }
}

fn rules(record: &KeyRecord) -> Option<&LimitRules> {
    record.body().map(|body| &body.grants.limits)
}

fn name(rules: &LimitRules, rule: LimitedBy) -> &str {
    let name = match rule {
        LimitedBy::Quota => rules.quota().map(Quota::name),
        LimitedBy::Rate(place) => rules.rates().get(usize::from(place)).map(RateLimit::name),
    };
    name.unwrap_or_default()
}

fn most(rules: &LimitRules, rule: LimitedBy) -> u64 {
    let most = match rule {
        LimitedBy::Quota => rules.quota().map(Quota::limit),
        LimitedBy::Rate(place) => {
            rules.rates().get(usize::from(place)).map(|rate| rate.burst_size().into())
        }
    };
    most.unwrap_or_default()
}

/// Seconds, rounded up.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// Seconds since 1970, rounded up.
fn rounded_up(at: Timestamp) -> u64 {
    whole_seconds(at.saturating_duration_since(Timestamp::UNIX_EPOCH))
}
