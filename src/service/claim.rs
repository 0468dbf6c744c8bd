//! What one request needs of the limits that all processes share.

use std::sync::Arc;
use std::time::Duration;

use super::leases::{Group, Leases};
use super::line::{Turn, Waited};
use crate::error::{StoreError, StoreErrorKind};
use crate::limit::{
    Lease, LeasedUnits, LimitMode, LimitRules, LimitedBy, OnFailure, Quota, RateLimit,
};
use crate::policy::LimitName;
use crate::record::Body;
use crate::store::{Charge, LimitSubject, SharedLimit, SharedLimitStore, Taken};
use crate::timestamp::{Clock, Timestamp};

/// The shared limits of one request, and the units of leases it holds already.
///
/// Those units are put back when it is dropped, unless all limits were taken.
pub(super) struct Claim<'a> {
    clock: &'a dyn Clock,
    owner: &'a str,
    cost: u32,
    /// The leases of the key and of the owner, in the order in which turns are waited for:
    /// the same for everyone, so that no two wait for each other.
    groups: [Option<Arc<Group>>; 2],
    limits: Vec<Limit<'a>>,
}

struct Limit<'a> {
    rule: Rule<'a>,
    subject: LimitSubject,
    name: LimitName,
    lease: Option<Arc<Lease>>,
    held: Option<LeasedUnits>,
}

#[derive(Clone, Copy)]
enum Rule<'a> {
    Quota(&'a Quota),
    Rate(&'a RateLimit),
}

/// What became of a claim.
pub(super) enum Claimed {
    /// A limit has no room; nothing was taken.
    Denied { limit: LimitName, retry_after: Option<Duration>, resets_at: Option<Timestamp> },
    /// All limits were taken, or may fail open.
    Taken,
}

/// A charge that goes to the store: the place of its limit, the units asked for, and whether
/// they fill the limit's lease.
#[derive(Clone, Copy)]
struct Wanted {
    place: usize,
    units: u32,
    fills: bool,
}

const KEY: usize = 0;
const OWNER: usize = 1;

impl<'a> Claim<'a> {
    pub(super) fn new(
        leases: &Leases,
        clock: &'a dyn Clock,
        body: &'a Body,
        owners: &'a LimitRules,
        cost: u32,
    ) -> Self {
        let mut claim =
            Self { clock, owner: &body.owner, cost, groups: [None, None], limits: Vec::new() };
        if cost > 0 {
            let group = || leases.of_key(body.id);
            claim.add(leases, &body.grants.limits, LimitSubject::Key(body.id), group);
            claim.add(leases, owners, LimitSubject::Owner, || leases.of_owner(&body.owner));
        }
        claim
    }

    fn add(
        &mut self,
        leases: &Leases,
        rules: &'a LimitRules,
        subject: LimitSubject,
        group: impl FnOnce() -> Arc<Group>,
    ) {
        let rates = (0..)
            .zip(rules.rates())
            .map(|(place, rate)| (Rule::Rate(rate), LimitedBy::Rate(place), rate.mode()));
        let quota = rules.quota().map(|quota| (Rule::Quota(quota), LimitedBy::Quota, quota.mode()));
        let mut modes = rules.rates().iter().map(RateLimit::mode);
        let any_leased = modes.any(|mode| mode == LimitMode::Leased)
            || rules.quota().is_some_and(|quota| quota.mode() == LimitMode::Leased);
        let group = any_leased.then(group);
        for (rule, by, mode) in rates.chain(quota) {
            let lease = match (mode, &group) {
                (LimitMode::Local, _) => continue,
                (LimitMode::Leased, Some(group)) => Some(match rule {
                    Rule::Quota(quota) => leases.on_quota(group, quota),
                    Rule::Rate(rate) => leases.on_rate(group, rate),
                }),
                (LimitMode::Leased | LimitMode::Strict, _) => None,
            };
            let name = match subject {
                LimitSubject::Key(_) => LimitName::Key(by),
                LimitSubject::Owner => LimitName::Owner(by),
            };
            self.limits.push(Limit { rule, subject, name, lease, held: None });
        }
        let place = if subject == LimitSubject::Owner { OWNER } else { KEY };
        if let Some(held) = self.groups.get_mut(place) {
            *held = group;
        }
    }

    /// Takes every limit, or none: leased ones from their leases, and in one call those
    /// that are strict and what the leases lack.
    ///
    /// # Errors
    ///
    /// The store's, unless every limit it was asked for may fail open.
    pub(super) async fn take(
        mut self,
        store: &SharedLimitStore,
        now: Timestamp,
    ) -> Result<Claimed, StoreError> {
        self.hold(now);
        if self.lacking().next().is_none() {
            self.keep();
            return Ok(Claimed::Taken);
        }
        let taken = self.take_lacking(store).await;
        match taken {
            Ok(Claimed::Taken) => self.keep(),
            Err(_) if self.lacking().all(|(_, limit)| limit.may_fail_open()) => {
                self.keep();
                return Ok(Claimed::Taken);
            }
            Ok(Claimed::Denied { .. }) | Err(_) => {}
        }
        taken
    }

    async fn take_lacking(&mut self, store: &SharedLimitStore) -> Result<Claimed, StoreError> {
        let turns = self.turns().await?;
        if turns.iter().any(Option::is_some) {
            self.hold(self.clock.now());
        }
        if self.lacking().next().is_none() {
            return Ok(Claimed::Taken);
        }
        let from = self.clock.now();
        let wanted = self.wanted(from, &turns);
        match store.take(&self.charges(&wanted, from)).await {
            Ok(Taken::All) => {
                self.fill(&wanted, from);
                Ok(Claimed::Taken)
            }
            Ok(Taken::Denied { charge, retry_after, resets_at }) => {
                let asked_ahead = wanted.get(charge).is_some_and(|it| it.units > self.cost);
                self.note_denial(&wanted, charge, from);
                if !asked_ahead {
                    return Ok(self.denied(&wanted, charge, retry_after, resets_at));
                }
                drop(turns);
                self.take_no_more(store).await
            }
            Err(error) => {
                turns.into_iter().flatten().for_each(Turn::fail);
                Err(error)
            }
        }
    }

    /// Asks for no more than this request needs, after there was no room for more.
    async fn take_no_more(&mut self, store: &SharedLimitStore) -> Result<Claimed, StoreError> {
        let from = self.clock.now();
        let wanted: Vec<Wanted> = self.lacking().map(|(place, _)| self.needed(place)).collect();
        match store.take(&self.charges(&wanted, from)).await? {
            Taken::All => Ok(Claimed::Taken),
            Taken::Denied { charge, retry_after, resets_at } => {
                self.note_denial(&wanted, charge, from);
                Ok(self.denied(&wanted, charge, retry_after, resets_at))
            }
        }
    }

    /// Waits where others ask for the same leases, until they are filled or it is this
    /// request's turn to ask. Leases that aren't filled ahead need no turn.
    async fn turns(&mut self) -> Result<[Option<Turn>; 2], StoreError> {
        let mut turns = [None, None];
        for (place, turn) in turns.iter_mut().enumerate() {
            let Some(group) = self.groups.get(place).cloned().flatten() else { continue };
            let (cost, clock) = (self.cost, self.clock);
            let is_owner = place == OWNER;
            let waited = group.line.wait(cost, || {
                let now = clock.now();
                self.hold(now);
                (!self.needs_turn(is_owner, now)).then_some(())
            });
            match waited.await {
                Waited::Ready(()) => {}
                Waited::Turn(taken) => *turn = Some(taken),
                Waited::Failed => {
                    let context = "another request asked for the same lease and failed";
                    return Err(StoreError::new(StoreErrorKind::Unavailable).with_context(context));
                }
            }
        }
        Ok(turns)
    }

    fn needs_turn(&self, is_owner: bool, now: Timestamp) -> bool {
        let mut lacking = self
            .lacking()
            .filter(|(_, limit)| (limit.subject == LimitSubject::Owner) == is_owner)
            .filter_map(|(_, limit)| limit.lease.as_ref())
            .peekable();
        lacking.peek().is_some() && lacking.all(|lease| !lease.is_scarce(now))
    }

    /// Takes from leases what is not held yet.
    fn hold(&mut self, now: Timestamp) {
        for limit in &mut self.limits {
            if limit.held.is_none() {
                limit.held = limit.lease.as_ref().and_then(|lease| lease.take(now, self.cost));
            }
        }
    }

    fn keep(&mut self) {
        self.limits.clear();
    }

    /// The limits that the store must be asked for.
    fn lacking(&self) -> impl Iterator<Item = (usize, &Limit<'a>)> {
        self.limits.iter().enumerate().filter(|(_, limit)| limit.held.is_none())
    }

    fn wanted(&self, now: Timestamp, turns: &[Option<Turn>; 2]) -> Vec<Wanted> {
        let [key, owner] = turns;
        let wanted = |(place, limit): (usize, &Limit<'_>)| {
            let turn = if limit.subject == LimitSubject::Owner { owner } else { key };
            match (&limit.lease, turn) {
                (Some(lease), Some(turn)) => {
                    let units = lease.wanted(now, self.cost, turn.waiting());
                    Wanted { place, units, fills: true }
                }
                _ => self.needed(place),
            }
        };
        self.lacking().map(wanted).collect()
    }

    fn needed(&self, place: usize) -> Wanted {
        Wanted { place, units: self.cost, fills: false }
    }

    fn charges(&self, wanted: &[Wanted], now: Timestamp) -> Vec<Charge> {
        let owner: Arc<str> = self.owner.into();
        let charge = |Wanted { place, units, .. }: &Wanted| {
            let limit = self.limits.get(*place)?;
            let (owner, subject) = (Arc::clone(&owner), limit.subject);
            Some(Charge { owner, subject, limit: limit.rule.to_owned(), cost: *units, now })
        };
        wanted.iter().filter_map(charge).collect()
    }

    fn fill(&self, wanted: &[Wanted], from: Timestamp) {
        let now = self.clock.now();
        for Wanted { place, units, .. } in wanted.iter().filter(|wanted| wanted.fills) {
            let lease = self.limits.get(*place).and_then(|limit| limit.lease.as_ref());
            if let Some(lease) = lease {
                lease.fill(from, *units, self.cost, now);
            }
        }
    }

    fn note_denial(&self, wanted: &[Wanted], charge: usize, from: Timestamp) {
        let limit = wanted.get(charge).and_then(|it| self.limits.get(it.place));
        if let Some(lease) = limit.and_then(|limit| limit.lease.as_ref()) {
            lease.be_scarce(from);
        }
    }

    fn denied(
        &self,
        wanted: &[Wanted],
        charge: usize,
        retry_after: Option<Duration>,
        resets_at: Option<Timestamp>,
    ) -> Claimed {
        let limit = wanted.get(charge).and_then(|it| self.limits.get(it.place));
        let limit = limit.map_or(LimitName::Key(LimitedBy::Quota), |limit| limit.name);
        Claimed::Denied { limit, retry_after, resets_at }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.limits.iter().all(|limit| limit.held.is_none()) {
            return;
        }
        let now = self.clock.now();
        for limit in &self.limits {
            if let (Some(lease), Some(units)) = (&limit.lease, limit.held) {
                lease.put_back(units, now);
            }
        }
    }
}

impl Limit<'_> {
    fn may_fail_open(&self) -> bool {
        let on_failure = match self.rule {
            Rule::Quota(quota) => quota.on_failure(),
            Rule::Rate(rate) => rate.on_failure(),
        };
        on_failure == OnFailure::Open
    }
}

impl Rule<'_> {
    fn to_owned(self) -> SharedLimit {
        match self {
            Self::Quota(quota) => SharedLimit::Quota(quota.clone()),
            Self::Rate(rate) => SharedLimit::Rate(rate.clone()),
        }
    }
}
