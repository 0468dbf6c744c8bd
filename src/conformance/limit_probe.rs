use std::time::Duration;

use super::probe::{Checked, Clause};
use crate::error::FieldError;
use crate::limit::{Quota, RateLimit, Refill};
use crate::store::{Charge, LimitStore, LimitSubject, SharedLimit, Taken};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// 2026-06-15T12:00:00Z, in microseconds; a store may have a clock of its own.
const NOW: i64 = 1_781_524_800_000_000;

/// A store that counts limits, asked on behalf of a clause.
pub(super) struct LimitProbe<'a, S> {
    clause: Clause,
    store: &'a S,
}

/// A denial, as it was given.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) retry_after: Option<Duration>,
    pub(super) resets_at: Option<Timestamp>,
}

impl<'a, S: LimitStore> LimitProbe<'a, S> {
    pub(super) fn new(number: &'static str, rule: &'static str, store: &'a S) -> Self {
        Self { clause: Clause::new(number, rule), store }
    }

    pub(super) fn clause(&self) -> Clause {
        self.clause
    }

    pub(super) async fn take(&self, charges: &[Charge]) -> Checked<Taken> {
        let taken = self.store.take(charges).await;
        taken.map_err(|error| self.clause.violated(format!("`take` failed: {error}")))
    }

    /// Demands that there is room.
    pub(super) async fn takes(&self, charges: &[Charge]) -> Checked {
        let taken = self.take(charges).await?;
        self.clause.ensure(taken == Taken::All, || {
            format!("`take` of {} gave {taken:?}, not All", listed(charges))
        })
    }

    /// Demands that this charge is the first without room.
    pub(super) async fn denies(&self, charges: &[Charge], first: usize) -> Checked<Denied> {
        match self.take(charges).await? {
            Taken::Denied { charge, retry_after, resets_at } if charge == first => {
                Ok(Denied { retry_after, resets_at })
            }
            taken => {
                let list = listed(charges);
                let seen =
                    format!("`take` of {list} gave {taken:?}, not a denial of charge {first}");
                Err(self.clause.violated(seen))
            }
        }
    }

    pub(super) fn ensure(&self, holds: bool, wanted: &str, denied: &Denied) -> Checked {
        self.clause.ensure(holds, || format!("a denial said {denied:?}, not {wanted}"))
    }
}

/// A limit that does not refill while a check runs: `count` units a day.
pub(super) fn per_day(name: &str, count: u32) -> RateLimit {
    let day = Duration::from_secs(86_400);
    valid(RateLimit::new(name, count, day)).strict()
}

#[expect(clippy::expect_used, reason = "what the clauses make is constant, and tested")]
pub(super) fn valid<T>(limit: Result<T, FieldError>) -> T {
    limit.expect("a valid limit")
}

pub(super) fn rate(name: &str, count: u32) -> SharedLimit {
    SharedLimit::Rate(per_day(name, count))
}

/// So many units a year.
pub(super) fn quota(name: &str, limit: u64) -> SharedLimit {
    let quota = Quota::new(limit, Refill::Year).and_then(|quota| quota.named(name));
    SharedLimit::Quota(valid(quota).strict())
}

pub(super) fn key(number: u8) -> LimitSubject {
    LimitSubject::Key(KeyId::from_bytes([number, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
}

/// One unit of a limit of `org_1` or one of its keys.
pub(super) fn charge(subject: LimitSubject, limit: SharedLimit) -> Charge {
    let now = Timestamp::from_micros(NOW);
    Charge { owner: "org_1".into(), subject, limit, cost: 1, now }
}

pub(super) fn rate_charge(subject: LimitSubject, name: &str, count: u32) -> Charge {
    charge(subject, rate(name, count))
}

pub(super) fn of_owner(owner: &str, limit: SharedLimit) -> Charge {
    Charge { owner: owner.into(), ..charge(LimitSubject::Owner, limit) }
}

pub(super) fn with_cost(charge: &Charge, cost: u32) -> Charge {
    Charge { cost, ..charge.clone() }
}

fn listed(charges: &[Charge]) -> String {
    let each = charges.iter().map(|charge| {
        let (kind, name) = match &charge.limit {
            SharedLimit::Quota(quota) => ("quota", quota.name()),
            SharedLimit::Rate(rate) => ("rate", rate.name()),
        };
        format!("{} of {kind} {name} of {:?} of {}", charge.cost, charge.subject, charge.owner)
    });
    format!("[{}]", each.collect::<Vec<_>>().join(", "))
}
