use std::sync::Arc;

use super::challenge::{Authentic, refused};
use super::rejection::VerifyError;
use crate::grant::Roles;
use crate::limit::{LimitCells, LimitDenied, LimitedBy, LocalLimits, Reservation, Tightest};
use crate::policy::{Deny, LimitName};
use crate::timestamp::Timestamp;

impl<'r> Authentic<'r> {
    /// Takes the local limits for good, and tells which of the key's is tightest.
    #[inline]
    pub(crate) fn spend(
        &self,
        limits: &LocalLimits,
        cost: u32,
        roles: &Roles,
        now: Timestamp,
    ) -> Result<Tightest, VerifyError> {
        if limits.owner_rules().has_local() {
            return Ok(self.take(limits, cost, roles, now)?.tightest());
        }
        if !self.body.grants.limits.has_local() {
            return Ok(Tightest::None);
        }
        match self.cells(limits, now).get().spend(now, cost) {
            Ok(tightest) => Ok(tightest),
            Err(denied) => {
                let deny = limit_deny(denied, LimitName::Key);
                Err(refused(deny, self.record, roles))
            }
        }
    }

    /// Takes the local limits, the owner's too: all of them or none.
    pub(crate) fn take(
        &self,
        limits: &LocalLimits,
        cost: u32,
        roles: &Roles,
        now: Timestamp,
    ) -> Result<LocalTaken<'r>, VerifyError> {
        let denied = |denied, name: fn(_) -> LimitName| {
            refused(limit_deny(denied, name), self.record, roles)
        };
        let mut taken = LocalTaken { key: None, owner: None };
        if self.body.grants.limits.has_local() {
            let cells = self.cells(limits, now);
            match cells.get().take(now, cost) {
                Ok(reservation) => taken.key = Some((cells, reservation)),
                Err(limit) => return Err(denied(limit, LimitName::Key)),
            }
        }
        if let Some(cells) = limits.owner_cells(&self.body.owner, now) {
            match cells.take(now, cost) {
                Ok(reservation) => taken.owner = Some((cells, reservation)),
                Err(limit) => {
                    taken.undo(now);
                    return Err(denied(limit, LimitName::Owner));
                }
            }
        }
        Ok(taken)
    }

    /// The key's counters, remembered in the record's handle after the first use.
    #[inline]
    fn cells(&self, limits: &LocalLimits, now: Timestamp) -> Cells<'r> {
        let made = || {
            let cells = limits.cells(*self.record.id().as_bytes(), &self.body.grants.limits, now);
            (limits.id(), cells)
        };
        let (owner, cells) = self.record.limit_cells().get_or_init(made);
        if *owner == limits.id() { Cells::Remembered(cells) } else { Cells::Made(made().1) }
    }
}

enum Cells<'r> {
    Made(Arc<LimitCells>),
    Remembered(&'r LimitCells),
}

impl Cells<'_> {
    fn get(&self) -> &LimitCells {
        match self {
            Cells::Made(cells) => cells,
            Cells::Remembered(cells) => cells,
        }
    }
}

/// Local limits that were taken, and can be given back.
pub(crate) struct LocalTaken<'r> {
    key: Option<(Cells<'r>, Reservation)>,
    owner: Option<(Arc<LimitCells>, Reservation)>,
}

impl LocalTaken<'_> {
    /// Gives everything back, because something else refused.
    pub(crate) fn undo(&self, now: Timestamp) {
        if let Some((cells, reservation)) = &self.key {
            cells.get().undo(*reservation, now);
        }
        if let Some((cells, reservation)) = &self.owner {
            cells.undo(*reservation, now);
        }
    }

    /// The key's own tightest limit.
    pub(crate) fn tightest(&self) -> Tightest {
        self.key.as_ref().map_or(Tightest::None, |(_, reservation)| reservation.tightest())
    }
}

fn limit_deny(denied: LimitDenied, name: impl FnOnce(LimitedBy) -> LimitName) -> Deny {
    let limit = name(denied.rule);
    match denied.resets_at {
        Some(resets_at) => {
            Deny::QuotaExceeded { resets_at, retry_after: denied.retry_after, limit }
        }
        None => Deny::RateLimited { retry_after: denied.retry_after, limit },
    }
}
