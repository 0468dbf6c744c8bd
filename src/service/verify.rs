use super::KeyService;
use super::observer::Outcome;
use crate::error::StoreError;
use crate::policy::{AccessRequest, Deny};
use crate::record::KeyRecord;
use crate::timestamp::Timestamp;
use crate::token::KeyId;
use crate::verify::{Authentic, Challenge, Rejected, Verified, VerifyError};

/// Returns the answer, if it needs no waiting; goes on, with nothing done, if it does.
///
/// It is written out where it is wanted: an answer that is handed on costs as much as a check.
macro_rules! answer_at_hand {
    ($keys:ident, $presented:ident, $request:ident $(, $some:path)?) => {
        let inner = &*$keys.0;
        if let Some(memory) = inner.store.memory() {
            let challenge = inner.scheme.challenge($presented);
            let Some(challenge) = &challenge else {
                return $($some)? ($keys.rejected(Deny::Malformed, $request));
            };
            let now = inner.clock.now();
            let Some(record) = memory.find(challenge.key_id()) else {
                challenge.prove_nothing();
                return $($some)? ($keys.unknown(challenge.key_id(), $request, now));
            };
            if !$keys.has_shared_limits(&record) {
                return $($some)? ($keys.decide(challenge, record, $request, now));
            }
        } else if let Some(cache) = inner.store.cache() {
            let challenge = inner.scheme.challenge($presented);
            let Some(challenge) = &challenge else {
                return $($some)? ($keys.rejected(Deny::Malformed, $request));
            };
            if let Some((record, moment)) = cache.find(challenge.key_id())
                && !$keys.has_shared_limits(&record)
            {
                let shared = inner.cache_shares_clock;
                let now = if shared { inner.clock.now_at(moment) } else { inner.clock.now() };
                return $($some)? ($keys.decide(challenge, record, $request, now));
            }
        }
    };
}

impl KeyService {
    /// Verifies a presented key and decides whether it may do what the request wants.
    ///
    /// Limits are taken last, all of them or none, after every other check: a
    /// refused request uses up nothing; but one whose key is found changed, or can't be
    /// looked at again, after shared limits were waited for has used up those. Nothing is
    /// written on this path; a use is counted in memory.
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
        answer_at_hand!(self, presented, request);
        // Boxed: what a wait keeps would make every verify's future large.
        Box::pin(self.verify_waiting(presented, request)).await
    }

    /// The answer, if it needs no waiting; nothing has been done if it does.
    #[inline]
    pub(crate) fn verify_at_once(
        &self,
        presented: &str,
        request: &AccessRequest<'_>,
    ) -> Option<Result<Verified, VerifyError>> {
        answer_at_hand!(self, presented, request, Some);
        None
    }

    /// The answer, after [`KeyService::verify_at_once`] has given none.
    pub(crate) async fn verify_waiting(
        &self,
        presented: &str,
        request: &AccessRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let inner = &*self.0;
        let Some(challenge) = inner.scheme.challenge(presented) else {
            return self.rejected(Deny::Malformed, request);
        };
        let id = challenge.key_id();
        let record = match inner.store.look_up(id, || inner.scheme.lane(id)).await {
            Ok(record) => record,
            Err(error) => return self.unavailable(id, request, error),
        };
        let now = inner.clock.now();
        let Some(record) = record else {
            challenge.prove_nothing();
            return self.unknown(id, request, now);
        };
        if self.has_shared_limits(&record) {
            let result = self.decided_shared(&challenge, record, request, now).await;
            self.told(id, request, now, result)
        } else {
            self.decide(&challenge, record, request, now)
        }
    }

    /// A refusal of a request in which no key of ours is named.
    #[inline]
    pub(crate) fn rejected(
        &self,
        deny: Deny,
        request: &AccessRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        if self.0.observer.is_some() {
            self.tell_rejected(None, deny, request, self.0.clock.now());
        }
        Err(VerifyError::Rejected(Rejected::new(deny)))
    }

    #[inline]
    fn unknown(
        &self,
        id: KeyId,
        request: &AccessRequest<'_>,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        self.tell_rejected(Some(id), Deny::UnknownKey, request, now);
        Err(VerifyError::Rejected(Rejected::new(Deny::UnknownKey)))
    }

    fn unavailable(
        &self,
        id: KeyId,
        request: &AccessRequest<'_>,
        error: StoreError,
    ) -> Result<Verified, VerifyError> {
        let result = Err(VerifyError::Unavailable(error));
        if self.0.observer.is_some() {
            return self.told(id, request, self.0.clock.now(), result);
        }
        result
    }

    /// Tells of a refusal without a record.
    fn tell_rejected(
        &self,
        key: Option<KeyId>,
        deny: Deny,
        request: &AccessRequest<'_>,
        at: Timestamp,
    ) {
        if let Some(observer) = &self.0.observer {
            let result = Err(&Rejected::new(deny).into());
            observer.verified(&Outcome { key, result, request, at, scheme: &self.0.scheme });
        }
    }

    fn told(
        &self,
        id: KeyId,
        request: &AccessRequest<'_>,
        at: Timestamp,
        result: Result<Verified, VerifyError>,
    ) -> Result<Verified, VerifyError> {
        if let Some(observer) = &self.0.observer {
            let (key, scheme) = (Some(id), &self.0.scheme);
            observer.verified(&Outcome { key, result: result.as_ref(), request, at, scheme });
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
            return self.told(challenge.key_id(), request, now, result);
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

    #[inline]
    pub(super) fn count(
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
}
