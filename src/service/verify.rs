use super::KeyService;
use super::observer::Outcome;
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Roles;
use crate::limit::{LimitMode, LimitedBy, OnFailure};
use crate::policy::{AccessRequest, Deny, LimitName};
use crate::store::{Charge, LimitSubject, SharedLimit, Taken};
use crate::timestamp::Timestamp;
use crate::verify::{Authentic, LocalTaken, Verified, VerifyError, refused};

impl KeyService {
    /// Verifies a presented key and decides whether it may do what the request wants.
    ///
    /// Limits are taken last, all of them or none, after every other check: a
    /// refused request uses up nothing. Nothing is written on this path; a use is
    /// counted in memory.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Rejected`] with a code, a status and a body for the client, or
    /// [`VerifyError::Unavailable`] if the store can't be asked or believed.
    pub async fn verify(
        &self,
        presented: &str,
        request: &AccessRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let (key, result) = match self.0.scheme.begin(presented) {
            Ok(challenge) => (Some(challenge.key_id()), self.answer(&challenge, request).await),
            Err(rejected) => (None, Err(rejected.into())),
        };
        if let Some(observer) = &self.0.observer {
            observer.verified(&Outcome { key, result: result.as_ref() });
        }
        result
    }

    #[inline]
    async fn answer(
        &self,
        challenge: &crate::verify::Challenge<'_>,
        request: &AccessRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let inner = &*self.0;
        let record = inner.store.get(challenge.key_id()).await.map_err(VerifyError::Unavailable)?;
        let now = inner.clock.now();
        let roles = self.roles_for(record.as_ref());
        let authentic = challenge.decide(record.as_ref(), request, &roles, now)?;
        let taken = authentic.take(&inner.limits, request.cost, &roles, now)?;
        let limit = taken.state();
        if authentic.body.grants.limits.has_shared() || inner.limits.owner_rules().has_shared() {
            self.take_shared(&authentic, taken, request.cost, &roles, now).await?;
        }
        if challenge.is_outdated(&authentic) {
            inner.upkeep.queue(challenge, &authentic);
        }
        inner.usage.count(authentic.record, authentic.slot, now, request.client.address());
        Ok(authentic.verified(request, &roles, now, limit))
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
                return Err(refused(deny, Some(authentic.record), roles, now));
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
