//! The script that takes limits, and what goes in and out of it.

use std::fmt::Write;
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, Script, Value};

use super::error::{told, usage};
use crate::error::StoreError;
use crate::limit::{Quota, RateLimit, Refill};
use crate::store::{Charge, LimitSubject, SharedLimit, Taken};
use crate::timestamp::Timestamp;

/// Reads the server's clock, once for all charges.
const CLOCK: &str = include_str!("clock.lua");
const TAKE: &str = include_str!("take.lua");

/// The script, and its digest, by which a server that has seen it knows it.
pub(super) struct TakeScript {
    text: String,
    digest: String,
}

impl TakeScript {
    pub(super) fn new() -> Self {
        Self::at(CLOCK)
    }

    /// The script at the time that a piece of Lua tells.
    fn at(clock: &str) -> Self {
        let text = format!("{clock}{TAKE}");
        let digest = Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }

    /// By digest, which a server that was restarted has forgotten.
    pub(super) fn by_digest(&self, prefix: &str, charges: &[Charge]) -> Cmd {
        command("EVALSHA", &self.digest, prefix, charges)
    }

    pub(super) fn in_full(&self, prefix: &str, charges: &[Charge]) -> Cmd {
        command("EVAL", &self.text, prefix, charges)
    }
}

fn command(name: &str, script: &str, prefix: &str, charges: &[Charge]) -> Cmd {
    let mut command = ::redis::cmd(name);
    command.arg(script).arg(charges.len());
    for charge in charges {
        command.arg(key(prefix, charge));
    }
    for charge in charges {
        match &charge.limit {
            SharedLimit::Quota(quota) => quota_arguments(&mut command, quota, charge.cost),
            SharedLimit::Rate(rate) => rate_arguments(&mut command, rate, charge.cost),
        }
    }
    command
}

fn rate_arguments(command: &mut Cmd, rate: &RateLimit, cost: u32) {
    let gcra = rate.gcra();
    let scale = gcra.scale.max(1);
    let cost = u64::from(cost).checked_mul(gcra.step).filter(|cost| *cost <= gcra.capacity);
    let terms = format!("{} {} {}", gcra.scale, gcra.step, gcra.capacity);
    command.arg("rate").arg(terms).arg(gcra.capacity / scale).arg(gcra.capacity % scale);
    match cost {
        Some(cost) => command.arg(cost / scale).arg(cost % scale),
        None => command.arg(-1).arg(0),
    };
}

fn quota_arguments(command: &mut Cmd, quota: &Quota, cost: u32) {
    let refill = match quota.refill() {
        Refill::Hour => "hour",
        Refill::Day => "day",
        Refill::Week => "week",
        Refill::Month => "month",
        Refill::Year => "year",
    };
    command.arg("quota").arg(refill).arg(quota.limit()).arg(cost).arg("").arg("");
}

/// `{prefix:owner}:key:<id>:rate:<name>`. What is in braces is the hash tag: all counters
/// of an owner, and so of a request, are in one slot of a cluster.
fn key(prefix: &str, charge: &Charge) -> String {
    let mut key = format!("{{{prefix}:");
    for byte in charge.owner.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            key.push(char::from(byte));
        } else {
            let _ = write!(key, "%{byte:02X}");
        }
    }
    key.push('}');
    let _ = match charge.subject {
        LimitSubject::Key(id) => write!(key, ":key:{id}"),
        LimitSubject::Owner => write!(key, ":owner"),
    };
    let _ = match &charge.limit {
        SharedLimit::Quota(quota) => write!(key, ":quota:{}", quota.name()),
        SharedLimit::Rate(rate) => write!(key, ":rate:{}", rate.name()),
    };
    key
}

/// What the script answered about these charges.
pub(super) fn taken(answer: &Value, charges: &[Charge]) -> Result<Taken, StoreError> {
    let answer: Vec<i64> = Vec::from_redis_value_ref(answer).map_err(|error| told(error.into()))?;
    let foreign = usage("Redis answered something else than the script");
    match *answer {
        [1] => Ok(Taken::All),
        [0, place, wait, window, now] => {
            let place = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
            let Some((place, charge)) = place.and_then(|at| Some((at, charges.get(at)?))) else {
                return Err(foreign);
            };
            let wait = u64::try_from(wait).ok().map(Duration::from_micros);
            Ok(match &charge.limit {
                SharedLimit::Quota(quota) => {
                    let window = u32::try_from(window).unwrap_or(u32::MAX);
                    let resets_at = quota.refill().end(window);
                    let now = Timestamp::from_micros(now);
                    let retry_after = wait.map(|_| resets_at.saturating_duration_since(now));
                    Taken::Denied { charge: place, retry_after, resets_at: Some(resets_at) }
                }
                SharedLimit::Rate(_) => {
                    Taken::Denied { charge: place, retry_after: wait, resets_at: None }
                }
            })
        }
        _ => Err(foreign),
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
