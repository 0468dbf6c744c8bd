use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::alert::{Alert, AlertKind};
use super::baseline::hour_of;
use crate::timestamp::Timestamp;

/// How many things that alerts were about are remembered, for each proof.
const REMEMBERED: usize = 1_024;
const WAYS: usize = 16;
const KINDS: usize = AlertKind::ALL.len();

/// Holds alerts back: the same one again, and any beyond a number for an hour and a kind.
///
/// Those that were authenticated are counted apart, so that strangers can't use up what
/// there is for them.
pub(super) struct Delivery {
    authenticated: Mutex<Delivered>,
    others: Mutex<Delivered>,
    hasher: RandomState,
    repeat_after: Duration,
    per_hour: u32,
}

struct Delivered {
    subjects: Box<[Option<Subject>]>,
    budgets: [Budget; KINDS],
}

/// What an alert was about.
#[derive(Clone, Copy)]
struct Subject {
    hash: u64,
    delivered_at: Timestamp,
    held_back: u64,
}

#[derive(Clone, Copy, Default)]
struct Budget {
    hour: u32,
    used: u32,
    held_back: u64,
}

impl Delivery {
    pub(super) fn new(repeat_after: Duration, per_hour: u32) -> Self {
        let delivered = || {
            let subjects = vec![None; REMEMBERED].into();
            Mutex::new(Delivered { subjects, budgets: [Budget::default(); KINDS] })
        };
        Self {
            authenticated: delivered(),
            others: delivered(),
            hasher: RandomState::new(),
            repeat_after,
            per_hour,
        }
    }

    /// The alert as it is to be delivered, unless it is held back.
    pub(super) fn admit(&self, alert: Alert) -> Option<Alert> {
        let hash = if alert.kind.is_about_an_address() {
            self.hasher.hash_one((alert.kind, alert.address))
        } else {
            self.hasher.hash_one((alert.kind, alert.key))
        };
        let delivered = if alert.authenticated { &self.authenticated } else { &self.others };
        let mut delivered = locked(delivered);
        let held_back = delivered.admit(hash, &alert, self.repeat_after, self.per_hour)?;
        Some(Alert { held_back, ..alert })
    }

    pub(super) fn memory() -> usize {
        2 * REMEMBERED * size_of::<Option<Subject>>()
    }
}

impl Delivered {
    /// How many were held back before, if this one is not.
    fn admit(
        &mut self,
        hash: u64,
        alert: &Alert,
        repeat_after: Duration,
        per_hour: u32,
    ) -> Option<u64> {
        let at = alert.last_at;
        let sets = (REMEMBERED / WAYS) as u64;
        let start = usize::try_from(hash % sets).unwrap_or_default() * WAYS;
        let set = self.subjects.get_mut(start..start + WAYS)?;
        let known = |place: &&mut Option<Subject>| place.is_some_and(|known| known.hash == hash);
        let mut before = 0;
        if let Some(Some(known)) = set.iter_mut().find(known) {
            // By both directions: a clock may have been wrong.
            let since = at
                .saturating_duration_since(known.delivered_at)
                .max(known.delivered_at.saturating_duration_since(at));
            if since < repeat_after {
                known.held_back = known.held_back.saturating_add(1);
                return None;
            }
            before = known.held_back;
        }
        let kind = AlertKind::ALL.iter().position(|kind| *kind == alert.kind)?;
        let budget = self.budgets.get_mut(kind)?;
        let hour = hour_of(at);
        if budget.hour != hour {
            (budget.hour, budget.used) = (hour, 0);
        }
        if budget.used >= per_hour {
            budget.held_back = budget.held_back.saturating_add(1);
            return None;
        }
        budget.used += 1;
        let rank = |place: &&mut Option<Subject>| {
            let is_it = place.is_some_and(|known| known.hash == hash);
            (!is_it, place.map(|known| known.delivered_at))
        };
        if let Some(place) = set.iter_mut().min_by_key(rank) {
            *place = Some(Subject { hash, delivered_at: at, held_back: 0 });
        }
        Some(before.saturating_add(std::mem::take(&mut budget.held_back)))
    }
}

fn locked(delivered: &Mutex<Delivered>) -> MutexGuard<'_, Delivered> {
    delivered.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
