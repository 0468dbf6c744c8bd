use super::KeyService;
use super::observer::Outcome;
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Roles;
use crate::limit::{LimitMode, LimitedBy, OnFailure};
use crate::policy::{AccessRequest, Deny, LimitName};
use crate::record::KeyRecord;
use crate::store::{Charge, LimitSubject, SharedLimit, Taken};
use crate::timestamp::Timestamp;
use crate::token::KeyId;
use crate::verify::{Authentic, Challenge, LocalTaken, Rejected, Verified, VerifyError, refused};

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
        let inner = &*self.0;
        // An answer that needs no waiting is made where it is wanted: each time it is
        // handed on costs as much as a check.
        if let Some(memory) = inner.store.memory() {
            let challenge = inner.scheme.challenge(presented);
            let Some(challenge) = &challenge else {
                return self.rejected(None, Deny::Malformed);
            };
            let now = inner.clock.now();
            let Some(record) = memory.find(challenge.key_id()) else {
                challenge.prove_nothing();
                return self.rejected(Some(challenge.key_id()), Deny::UnknownKey);
            };
            if !self.has_shared_limits(&record) {
                return self.decide(challenge, record, request, now);
            }
        }
        // Boxed: what a wait keeps would make every verify's future large.
        Box::pin(self.answer(presented, request)).await
    }

    async fn answer(
        &self,
        presented: &str,
        request: &AccessRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let inner = &*self.0;
        let Some(challenge) = inner.scheme.challenge(presented) else {
            return self.rejected(None, Deny::Malformed);
        };
        let id = challenge.key_id();
        let record = match inner.store.get(id).await {
            Ok(record) => record,
            Err(error) => return self.told(id, Err(VerifyError::Unavailable(error))),
        };
        let now = inner.clock.now();
        let Some(record) = record else {
            challenge.prove_nothing();
            return self.rejected(Some(id), Deny::UnknownKey);
        };
        if self.has_shared_limits(&record) {
            let result = self.decided_shared(&challenge, record, request, now).await;
            self.told(id, result)
        } else {
            self.decide(&challenge, record, request, now)
        }
    }

    /// A refusal without a record.
    #[inline]
    fn rejected(&self, key: Option<KeyId>, deny: Deny) -> Result<Verified, VerifyError> {
        if let Some(observer) = &self.0.observer {
            let result = Err(&Rejected::new(deny).into());
            observer.verified(&Outcome { key, result });
        }
        Err(VerifyError::Rejected(Rejected::new(deny)))
    }

    fn told(
        &self,
        id: KeyId,
        result: Result<Verified, VerifyError>,
    ) -> Result<Verified, VerifyError> {
        if let Some(observer) = &self.0.observer {
            observer.verified(&Outcome { key: Some(id), result: result.as_ref() });
        }
        result
    }

    fn decide(
        &self,
        challenge: &Challenge<'_>,
        record: KeyRecord,
        request: &AccessRequest<'_>,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        if self.0.observer.is_some() {
            let result = self.decided(challenge, record, request, now);
            return self.told(challenge.key_id(), result);
        }
        self.decided(challenge, record, request, now)
    }

    #[inline]
    fn has_shared_limits(&self, record: &KeyRecord) -> bool {
        self.0.limits.owner_rules().has_shared()
            || record.body().is_some_and(|body| body.grants.limits.has_shared())
    }

    #[inline]
    fn decided(
        &self,
        challenge: &Challenge<'_>,
        record: KeyRecord,
        request: &AccessRequest<'_>,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        let roles = self.roles_for(&record);
        let authentic = challenge.decide(&record, request, &roles, now)?;
        let limit = authentic.spend(&self.0.limits, request.cost, &roles, now)?;
        let slot = authentic.slot;
        self.count(challenge, &authentic, request, now);
        Ok(Verified::new(record, slot, roles, request, now, limit))
    }

    async fn decided_shared(
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

    #[inline]
    fn count(
        &self,
        challenge: &Challenge<'_>,
        authentic: &Authentic<'_>,
        request: &AccessRequest<'_>,
        now: Timestamp,
    ) {
        if challenge.is_outdated(authentic) {
            self.0.upkeep.queue(challenge, authentic);
        }
        self.0.usage.count(authentic.record, authentic.slot, now, &request.client);
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
