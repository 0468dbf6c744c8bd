//! Limits that are counted in a store shared by all processes: how a verify takes them.

use super::KeyService;
use super::claim::{Claim, Claimed};
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Roles;
use crate::policy::{AccessRequest, Deny};
use crate::record::KeyRecord;
use crate::timestamp::{Clock, Timestamp};
use crate::verify::{Authentic, Challenge, LocalTaken, Rejected, Verified, VerifyError, refused};

impl KeyService {
    pub(super) async fn decided_shared(
        &self,
        challenge: &Challenge<'_>,
        record: KeyRecord,
        request: &AccessRequest<'_>,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        let roles = self.roles_for(&record);
        let authentic = challenge.decide(&record, request, &roles, now)?;
        let taken = authentic.take(&self.0.limits, request.cost, &roles, now)?;
        let (slot, limit) = (authentic.slot, taken.tightest());
        let undo = UndoLocal { local: Some(taken), clock: &*self.0.clock };
        self.take_shared(&authentic, request.cost, &roles, now).await?;
        let Some(another) = self.another_since(&record).await? else {
            undo.keep();
            self.count(challenge, &authentic, request, now);
            return Ok(Verified::new(record, slot, roles, request, now, limit));
        };
        let now = self.now();
        let roles = self.roles_for(&another);
        let authentic = challenge.decide(&another, request, &roles, now)?;
        undo.keep();
        let slot = authentic.slot;
        self.count(challenge, &authentic, request, now);
        Ok(Verified::new(another, slot, roles, request, now, limit))
    }

    /// The record that a cache gives now, if it is another than the one it gave before the
    /// limits were waited for: that may have taken longer than a record may be used.
    async fn another_since(&self, before: &KeyRecord) -> Result<Option<KeyRecord>, VerifyError> {
        let Some(cache) = self.0.store.cache().filter(|cache| !cache.reads_through()) else {
            return Ok(None);
        };
        let id = before.id();
        match cache.look_up(id, || self.0.scheme.lane(id)).await {
            Ok(Some(record)) => Ok(Some(record).filter(|record| !record.is_same_as(before))),
            Ok(None) => Err(VerifyError::Rejected(Rejected::new(Deny::UnknownKey))),
            Err(error) => Err(VerifyError::Unavailable(error)),
        }
    }

    /// Takes the limits that are counted in the shared store, in one call.
    async fn take_shared(
        &self,
        authentic: &Authentic<'_>,
        cost: u32,
        roles: &Roles,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let inner = &*self.0;
        let Some(store) = &inner.limit_store else {
            let context = "there is a shared limit, and the service has no limit store";
            let error = StoreError::new(StoreErrorKind::Other).with_context(context);
            return Err(VerifyError::Unavailable(error));
        };
        let (body, owners) = (authentic.body, inner.limits.owner_rules());
        let claim = Claim::new(&inner.leases, &*inner.clock, body, owners, cost);
        match claim.take(store, now).await {
            Ok(Claimed::Taken) => Ok(()),
            Ok(Claimed::Denied { limit, retry_after, resets_at }) => {
                let deny = match resets_at {
                    Some(resets_at) => Deny::QuotaExceeded { resets_at, retry_after, limit },
                    None => Deny::RateLimited { retry_after, limit },
                };
                Err(refused(deny, authentic.record, roles))
            }
            Err(error) => Err(VerifyError::Unavailable(error)),
        }
    }
}

/// Gives local limits back when dropped, unless they are kept.
struct UndoLocal<'a> {
    local: Option<LocalTaken<'a>>,
    clock: &'a dyn Clock,
}

impl UndoLocal<'_> {
    fn keep(mut self) {
        self.local = None;
    }
}

impl Drop for UndoLocal<'_> {
    fn drop(&mut self) {
        if let Some(local) = &self.local {
            // As of then: what has been refilled meanwhile is not given back again.
            local.undo(self.clock.now());
        }
    }
}
