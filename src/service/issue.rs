use std::time::Duration;

use sha2::{Digest, Sha256};

use super::issued::IssuedKey;
use super::{KeyService, ManageError, another_key};
use crate::error::{FieldError, StoreError, StoreErrorKind};
use crate::limit::LimitRules;
use crate::mac::TagBlock;
use crate::policy::Actor;
use crate::record::{
    Action, Body, Encoding, EventId, IdempotencyMark, KeyRecord, NewKey, Reason, Slot, State,
    ValidNewKey,
};
use crate::store::{Expect, LogQuery, OwnerCap};
use crate::timestamp::Timestamp;
use crate::token::{Generated, KeyId, Secret, assemble, generate};

/// How many ids are tried before an issue gives up: one collision is expected among
/// a billion keys, and two in a row never.
const ATTEMPTS: u8 = 8;

impl KeyService {
    /// Issues a key. The answer holds the only copy of its secret.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with `new` at once; no permission `api.key.create`; a
    /// key that would have more than the actor; the actor's cap on live keys; a
    /// request that was carried out before, by its idempotency key; the store's own.
    pub async fn issue(&self, actor: &Actor, new: NewKey) -> Result<IssuedKey, ManageError> {
        self.permit(actor, "api.key.create")?;
        let repeat = self.repeat(actor, &new);
        let mut attempt = 0;
        if let Some(repeat) = &repeat {
            attempt = self.first_free(repeat, 0).await?;
        }
        let now = self.now();
        let mut body = self.new_body(actor, new, now)?;
        let prefix = body.prefix;
        body.idempotency = repeat.as_ref().map(|repeat| repeat.mark.clone());
        loop {
            let Generated { id, secret, event } = generate(&mut &self.0.entropy, 0)?;
            let random = repeat.as_ref().map_or(id, |repeat| repeat.random(attempt));
            body.id = self.0.scheme.ids(random).next().unwrap_or(body.id);
            body.slots = [Some(self.slot(&body, &secret, now)?), None];
            let record = self.0.scheme.sealed(body);
            let event = EventId::from_bytes(event);
            match self.insert(actor, &record, Action::Issued, event, now).await {
                Ok(()) => {
                    if let Some(repeat) = &repeat
                        && let Some(answer) = self.outrun(actor, repeat, random, &record).await
                    {
                        return Err(answer);
                    }
                    let key = assemble(&prefix, record.id(), &secret);
                    // No node can have kept what was before it.
                    let receipt = self.receipt(&record, None, Duration::ZERO);
                    return Ok(IssuedKey::new(key, receipt));
                }
                Err(ManageError::Store(error))
                    if error.kind() == StoreErrorKind::AlreadyExists && attempt < ATTEMPTS =>
                {
                    attempt = match &repeat {
                        Some(repeat) => self.first_free(repeat, attempt).await?,
                        None => attempt + 1,
                    };
                    body = record.readable()?.clone();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A record with everything but its id and its secret.
    pub(super) fn new_body(
        &self,
        actor: &Actor,
        new: NewKey,
        now: Timestamp,
    ) -> Result<Body, ManageError> {
        let owner = actor.home();
        let scheme = &self.0.scheme;
        let valid = new.validate(owner, |environment, prefix, limits| {
            let place = scheme.choose(environment, prefix).err();
            place.into_iter().chain(self.check_limits(limits).err()).collect()
        })?;
        let place = scheme.choose(valid.environment, valid.prefix)?;
        let ValidNewKey { name, owner, grants, not_before, expires_at, metadata, .. } = valid;
        let body = Body {
            encoding: Encoding::V1,
            id: KeyId::from_bytes([0; 10]),
            version: 1,
            revision: 1,
            prefix: place.prefix,
            environment: place.environment,
            owner,
            name,
            state: State::Enabled,
            created_at: now,
            created_by: actor.name().into(),
            not_before,
            expires_at,
            rotated_at: None,
            grants,
            metadata,
            slots: [None, None],
            idempotency: None,
            seal: None,
        };
        self.check_excess(actor, &body)?;
        Ok(body)
    }

    /// Refuses what the actor does not have itself.
    pub(super) fn check_excess(&self, actor: &Actor, body: &Body) -> Result<(), ManageError> {
        let mut excess = actor.excess(body, &self.roles());
        if !actor.manages(&body.owner) {
            excess.push(FieldError::new("owner", &body.owner, "must be the actor's"));
        }
        if excess.is_empty() { Ok(()) } else { Err(ManageError::GrantExceedsActor(excess)) }
    }

    /// Refuses strict limits when there is nowhere to count them.
    pub(super) fn check_limits(&self, limits: &LimitRules) -> Result<(), FieldError> {
        if limits.has_shared() && self.0.limit_store.is_none() {
            let rule = "must be counted locally: this service has no limit store";
            return Err(FieldError::unshown("rate_limits", rule));
        }
        Ok(())
    }

    /// The credential of a secret that was just made.
    pub(super) fn slot(
        &self,
        body: &Body,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Slot, ManageError> {
        let scheme = &self.0.scheme;
        let prefix = scheme.prefix_at(body.prefix.as_str().as_bytes());
        let made = scheme.current().zip(prefix).and_then(|(keys, prefix)| {
            Some((
                keys.id,
                keys.auth(prefix, &TagBlock::new(body.id.as_bytes(), secret.as_bytes()))?,
            ))
        });
        let (pepper, tag) = made.ok_or_else(|| {
            let rule = "must be one of the scheme's: add it as a retired prefix";
            FieldError::new("prefix", body.prefix.as_str(), rule)
        })?;
        Ok(Slot { imported: None, tag, pepper, issued_at: now, valid_until: None })
    }

    /// Commits a new record, within the actor's cap.
    pub(super) async fn insert(
        &self,
        actor: &Actor,
        record: &KeyRecord,
        action: Action,
        event: EventId,
        now: Timestamp,
    ) -> Result<(), ManageError> {
        let event = Self::event(event, actor, action, record.readable()?, now);
        let cap = actor.cap().map(|max| OwnerCap { max, now });
        match self.commit(record, Expect::Absent { cap }, event).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == StoreErrorKind::OwnerCapReached => {
                Err(ManageError::KeyLimitReached { max: actor.cap().unwrap_or_default() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What marks this request, if the caller gave an idempotency key.
    fn repeat(&self, actor: &Actor, new: &NewKey) -> Option<Repeat> {
        let key = new.repeat_key()?;
        let owner = new.owner_or(actor.home());
        if !actor.manages(owner) {
            return None;
        }
        let realm = self.0.scheme.realm_name();
        let mark = IdempotencyMark {
            key: hash(&["keyward/v1/idem-key", realm, owner, actor.name(), key].map(str::as_bytes)),
            request: Sha256::digest(new.substance()).into(),
        };
        let parts = ["keyward/v1/idem", realm, owner, actor.name(), key].map(str::to_owned);
        Some(Repeat { parts, mark })
    }

    /// The answer of another node that carried out the same request a moment before,
    /// while nodes disagree on the current pepper.
    ///
    /// The request then has a different id on each, and inserting doesn't decide; the
    /// log does: whose entry came later revokes its own key. Whoever came first may have
    /// answered already. A store that fails here takes nobody's secret away.
    async fn outrun(
        &self,
        actor: &Actor,
        repeat: &Repeat,
        random: u64,
        record: &KeyRecord,
    ) -> Option<ManageError> {
        for id in self.0.scheme.ids(random).filter(|id| *id != record.id()) {
            let Ok(Some(other)) = self.0.store.get(id).await else { continue };
            let marked = other.body().and_then(|body| body.idempotency.as_ref());
            if other.id() != id || marked.is_none_or(|mark| mark.key != repeat.mark.key) {
                continue;
            }
            if self.born(id).await.ok()? < self.born(record.id()).await.ok()? {
                let now = self.now();
                let body = record.body()?;
                let revoked = body.revoked(Reason::Superseded, now)?;
                let details = vec![("reason", Reason::Superseded.as_str().to_owned())];
                // If this fails, a key is left whose secret nobody has.
                let _ = self
                    .commit_next(actor, Action::Revoked, body.version, revoked, details, now)
                    .await;
                return Some(self.answer_again(repeat, &other).await);
            }
        }
        None
    }

    /// Where in the log a key begins; trimmed entries were before all others.
    async fn born(&self, id: KeyId) -> Result<u64, StoreError> {
        let first = self.0.store.log(&LogQuery::from(1).key(id).limit(1)).await?;
        Ok(first.first().map_or(0, |(position, _)| *position))
    }

    /// The answer to a request whose key is there already.
    async fn answer_again(&self, repeat: &Repeat, record: &KeyRecord) -> ManageError {
        let mark = record.body().and_then(|body| body.idempotency.as_ref());
        if mark.is_none_or(|mark| mark.request != repeat.mark.request) {
            return ManageError::IdempotencyMismatch;
        }
        ManageError::AlreadyIssued(Box::new(self.view(record, self.now()).await))
    }

    /// The first attempt from `from` on whose id no other request has taken.
    async fn first_free(&self, repeat: &Repeat, from: u8) -> Result<u8, ManageError> {
        for attempt in from..ATTEMPTS {
            let (mut taken, mut ours) = (false, None);
            for id in self.0.scheme.ids(repeat.random(attempt)) {
                let Some(record) = self.0.store.get(id).await? else { continue };
                if record.id() != id {
                    return Err(another_key().into());
                }
                taken = true;
                // What can't be read may be the very key that is asked for.
                let body = record.readable()?;
                let is_ours =
                    body.idempotency.as_ref().is_some_and(|mark| mark.key == repeat.mark.key);
                // Of two that nodes with different peppers have made, one was revoked.
                let is_revoked = matches!(body.state, State::Revoked { .. });
                if is_ours && (ours.is_none() || !is_revoked) {
                    ours = Some(record);
                }
            }
            if let Some(record) = ours {
                return Err(self.answer_again(repeat, &record).await);
            }
            if !taken {
                return Ok(attempt);
            }
        }
        Ok(ATTEMPTS)
    }
}

/// A request that may be a repeated one.
struct Repeat {
    parts: [String; 5],
    mark: IdempotencyMark,
}

impl Repeat {
    /// The random part of the id at an attempt: 60 bits.
    fn random(&self, attempt: u8) -> u64 {
        let mut parts: Vec<&[u8]> = self.parts.iter().map(String::as_bytes).collect();
        let attempt = [attempt];
        parts.push(&attempt);
        let first = hash(&parts).first_chunk().copied().unwrap_or_default();
        u64::from_be_bytes(first) >> 4
    }
}

/// SHA-256 over parts, each with its length.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut message = Vec::new();
    for part in parts {
        crate::mac::write_lv(&mut message, part);
    }
    Sha256::digest(&message).into()
}
