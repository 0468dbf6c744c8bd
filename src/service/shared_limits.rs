//! Limits that are counted in a store shared by all processes: how a verify takes them.

use super::KeyService;
use super::claim::{Claim, Claimed};
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Roles;
use crate::policy::{AccessRequest, Deny};
use crate::record::KeyRecord;
use crate::timestamp::Timestamp;
use crate::verify::{Authentic, Challenge, LocalTaken, Verified, VerifyError, refused};

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
        self.take_shared(&authentic, taken, request.cost, &roles, now).await?;
        self.count(challenge, &authentic, request, now);
        Ok(Verified::new(record, slot, roles, request, now, limit))
    }

    /// Takes the limits that are counted in the shared store, in one call; gives the
    /// local ones back if that refuses, fails or is dropped.
    async fn take_shared(
        &self,
        authentic: &Authentic<'_>,
        local: LocalTaken<'_>,
        cost: u32,
        roles: &Roles,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let undo = UndoLocal { local: Some(local), now };
        let inner = &*self.0;
        let Some(store) = &inner.limit_store else {
            let context = "there is a shared limit, and the service has no limit store";
            let error = StoreError::new(StoreErrorKind::Other).with_context(context);
            return Err(VerifyError::Unavailable(error));
        };
        let (body, owners) = (authentic.body, inner.limits.owner_rules());
        let claim = Claim::new(&inner.leases, &*inner.clock, body, owners, cost);
        match claim.take(store, now).await {
            Ok(Claimed::Taken) => {
                undo.keep();
                Ok(())
            }
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
    now: Timestamp,
}

impl UndoLocal<'_> {
    fn keep(mut self) {
        self.local = None;
    }
}

impl Drop for UndoLocal<'_> {
    fn drop(&mut self) {
        if let Some(local) = &self.local {
            local.undo(self.now);
        }
    }
}
