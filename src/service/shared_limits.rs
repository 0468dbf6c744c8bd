//! Limits that are counted in a store shared by all processes.

use super::KeyService;
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Roles;
use crate::limit::{LimitMode, LimitedBy, OnFailure};
use crate::policy::{AccessRequest, Deny, LimitName};
use crate::record::KeyRecord;
use crate::store::{Charge, LimitSubject, SharedLimit, Taken};
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
        let (charges, names) = self.charges(authentic, cost, now);
        let Some(store) = &self.0.limit_store else {
            let context = "there is a strict limit, and the service has no limit store";
            let error = StoreError::new(StoreErrorKind::Other).with_context(context);
            return Err(VerifyError::Unavailable(error));
        };
        let answer = store.take(&charges).await;
        match answer {
            Ok(Taken::All) => undo.keep(),
            Ok(Taken::Denied { charge, retry_after, resets_at }) => {
                let limit = names.get(charge).copied().unwrap_or(LimitName::Key(LimitedBy::Quota));
                let deny = match resets_at {
                    Some(resets_at) => Deny::QuotaExceeded { resets_at, retry_after, limit },
                    None => Deny::RateLimited { retry_after, limit },
                };
                return Err(refused(deny, authentic.record, roles));
            }
            Err(error) => {
                if !charges.iter().all(may_fail_open) {
                    return Err(VerifyError::Unavailable(error));
                }
                undo.keep();
            }
        }
        Ok(())
    }

    fn charges(
        &self,
        authentic: &Authentic<'_>,
        cost: u32,
        now: Timestamp,
    ) -> (Vec<Charge>, Vec<LimitName>) {
        let body = authentic.body;
        let key = LimitSubject::Key(body.id);
        let owner = LimitSubject::Owner(body.owner.to_string());
        let mut charges = Vec::new();
        let mut names = Vec::new();
        let owners = self.0.limits.owner_rules();
        for (rules, subject, name) in [
            (&body.grants.limits, key, LimitName::Key as fn(LimitedBy) -> LimitName),
            (owners, owner, LimitName::Owner),
        ] {
            let charge = |limit| Charge { subject: subject.clone(), limit, cost, now };
            for (place, rate) in (0..).zip(rules.rates()) {
                if rate.mode() == LimitMode::Strict {
                    charges.push(charge(SharedLimit::Rate(rate.clone())));
                    names.push(name(LimitedBy::Rate(place)));
                }
            }
            if let Some(quota) = rules.quota().filter(|quota| quota.mode() == LimitMode::Strict) {
                charges.push(charge(SharedLimit::Quota(quota.clone())));
                names.push(name(LimitedBy::Quota));
            }
        }
        (charges, names)
    }
}

fn may_fail_open(charge: &Charge) -> bool {
    let on_failure = match &charge.limit {
        SharedLimit::Quota(quota) => quota.on_failure(),
        SharedLimit::Rate(rate) => rate.on_failure(),
    };
    on_failure == OnFailure::Open
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
