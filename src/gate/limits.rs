//! What the answers say of a key's limits.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::limit::{LimitRules, LimitState, LimitedBy, Quota, RateLimit, Refill};
use crate::policy::{Deny, LimitName};
use crate::record::KeyRecord;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Which headers tell of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitHeaders {
    None,
    Standard,
    WithOlder,
}

pub(super) type Headers = Vec<(&'static str, String)>;

/// One limit, as it stands.
struct Told<'r> {
    /// Its name; `None` if it is its owner's, whose names are told to nobody.
    name: Option<&'r str>,
    most: u64,
    left: u64,
    reset: Option<Duration>,
}

impl LimitHeaders {
    /// Those of a request that was let through.
    pub(super) fn passed(
        self,
        record: &KeyRecord,
        state: Option<LimitState>,
        now: Timestamp,
    ) -> Headers {
        let (Some(state), Some(rules)) = (state, rules(record)) else { return Headers::new() };
        let told = Told {
            name: Some(name(rules, state.rule())),
            most: state.limit(),
            left: state.remaining(),
            reset: Some(state.reset_after()),
        };
        self.written(record, rules, &told, now)
    }

    /// Those of one that a limit refused.
    pub(super) fn refused(self, record: &KeyRecord, deny: Deny, now: Timestamp) -> Headers {
        let (Deny::RateLimited { retry_after, limit }
        | Deny::QuotaExceeded { retry_after, limit, .. }) = deny
        else {
            return Headers::new();
        };
        let Some(rules) = rules(record) else { return Headers::new() };
        let (name, most) = match limit {
            LimitName::Key(rule) => (Some(name(rules, rule)), most(rules, rule)),
            LimitName::Owner(_) => (None, 0),
        };
        self.written(record, rules, &Told { name, most, left: 0, reset: retry_after }, now)
    }

    fn written(
        self,
        record: &KeyRecord,
        rules: &LimitRules,
        told: &Told<'_>,
        now: Timestamp,
    ) -> Headers {
        if self == Self::None {
            return Headers::new();
        }
        let partition = partition(record.id());
        let partition = str::from_utf8(&partition).unwrap_or_default();
        let reset = told.reset.map(whole_seconds);
        let mut headers = Headers::with_capacity(if self == Self::WithOlder { 5 } else { 2 });
        let policy = policy(rules, partition);
        headers.extend((!policy.is_empty()).then_some(("ratelimit-policy", policy)));
        headers.push(("ratelimit", state(told, reset, partition)));
        if self == Self::WithOlder {
            headers.extend(told.name.map(|_| ("x-ratelimit-limit", told.most.to_string())));
            headers.push(("x-ratelimit-remaining", told.left.to_string()));
            let at = reset.map(|reset| now.saturating_add(Duration::from_secs(reset)));
            headers.extend(at.map(|at| ("x-ratelimit-reset", rounded_up(at).to_string())));
        }
        headers
    }
}

/// `key_…` in base64. The id is public, is in the key that was presented, and says nothing of
/// the owner.
fn partition(id: KeyId) -> [u8; 28] {
    let mut shown = *b"key_0000000000000000";
    if let Some(characters) = shown.last_chunk_mut() {
        *characters = id.encode();
    }
    let mut text = [b'='; 28];
    let _ = BASE64_STANDARD.encode_slice(shown, &mut text);
    text
}

fn state(told: &Told<'_>, reset: Option<u64>, partition: &str) -> String {
    let mut state = String::with_capacity(128);
    parts(&mut state, &["\"", told.name.unwrap_or("owner"), "\";r="]);
    number(&mut state, told.left);
    if let Some(reset) = reset {
        state.push_str(";t=");
        number(&mut state, reset);
    }
    if told.name.is_some() {
        parts(&mut state, &[";pk=:", partition, ":"]);
    }
    state
}

/// Every rule of the key, the same for each of its requests.
fn policy(rules: &LimitRules, partition: &str) -> String {
    let mut policy = String::with_capacity(128);
    let mut item = |name: &str, count: u64, window: Option<u64>| {
        let comma = if policy.is_empty() { "" } else { ", " };
        parts(&mut policy, &[comma, "\"", name, "\";q="]);
        number(&mut policy, count);
        if let Some(window) = window {
            policy.push_str(";w=");
            number(&mut policy, window);
        }
        parts(&mut policy, &[";pk=:", partition, ":"]);
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

fn parts(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
}

/// Adds a number, without the way through `fmt`: it is done for each response.
fn number(text: &mut String, number: u64) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut first = 19;
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        first = place;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(first..).and_then(|digits| str::from_utf8(digits).ok());
    text.push_str(digits.unwrap_or_default());
}

/// The count of a rate limit per whole seconds, which is all that the header can tell.
fn rate_window(rate: &RateLimit) -> (u64, u64) {
    let window = whole_seconds(rate.period());
    if rate.period().subsec_nanos() == 0 {
        return (rate.count().into(), window);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are() {
        for given in [0, 1, 9, 10, 99, 100, 12_345, 1 << 40, u64::MAX - 1, u64::MAX] {
            let mut text = "r=".to_owned();
            number(&mut text, given);
            assert_eq!(text, format!("r={given}"));
        }
    }
}
