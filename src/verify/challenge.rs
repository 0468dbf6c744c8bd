use super::rejection::{Rejected, VerifyError};
use super::seal::SealVerdict;
use super::verified::Verified;
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Roles;
use crate::limit::{LocalLimits, Tightest};
use crate::mac::{PepperId, Tag, TagBlock, equal};
use crate::policy::{AccessRequest, Decision, Deny, Subject};
use crate::record::{Body, KeyRecord, Slot};
use crate::scheme::{DigestBytes, ImportFamily, KeyScheme, PepperKeys};
use crate::timestamp::Timestamp;
use crate::token::{self, KeyId, slot_of};

/// A presented key that is well formed, and still to be proven.
///
/// ```
/// use keyward::{AccessRequest, Challenge, Environment, KeyRecord, KeyScheme, LocalLimits};
/// use keyward::{Roles, Timestamp, Verified, VerifyError};
///
/// fn verify(
///     scheme: &KeyScheme,
///     presented: &str,
///     fetch: impl Fn(keyward::KeyId) -> Option<KeyRecord>,
///     limits: &LocalLimits,
///     now: Timestamp,
/// ) -> Result<Verified, VerifyError> {
///     let challenge = scheme.begin(presented)?;
///     let record = fetch(challenge.key_id());
///     let request = AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
///     challenge.finish(record.as_ref(), &request, &Roles::none(), limits, now)
/// }
/// ```
pub struct Challenge<'a> {
    scheme: &'a KeyScheme,
    id: KeyId,
    presented: Presented<'a>,
}

enum Presented<'a> {
    Imported { family: usize, digest: DigestBytes },
    Native { prefix: usize, secret: &'a [u8; 43], block: TagBlock },
}

/// A record whose secret the caller has proven to hold.
#[derive(Clone, Copy)]
pub(crate) struct Authentic<'a> {
    pub(crate) record: &'a KeyRecord,
    pub(crate) body: &'a Body,
    pub(crate) slot: usize,
}

/// A tag to put in the place of one under an old pepper. It holds no secret.
#[derive(Clone)]
pub(crate) struct Retag {
    pub(crate) id: KeyId,
    pub(crate) slot: usize,
    pub(crate) old: Tag,
    pub(crate) new: Tag,
    pub(crate) pepper: PepperId,
}

impl KeyScheme {
    /// Reads a presented key: length, grammar, checksum, prefix. Allocates nothing.
    ///
    /// # Errors
    ///
    /// A string that can't be one of this scheme's keys.
    pub fn begin<'a>(&'a self, presented: &'a str) -> Result<Challenge<'a>, Rejected> {
        self.challenge(presented).ok_or(Rejected::new(Deny::Malformed))
    }

    /// [`KeyScheme::begin`] for those who say themselves what `None` is: a whole error
    /// that is handed on costs more than the check that found it.
    #[inline]
    pub(crate) fn challenge<'a>(&'a self, presented: &'a str) -> Option<Challenge<'a>> {
        match token::parse(presented, |prefix| self.head_at(prefix)) {
            Ok(token) => Some(Challenge {
                scheme: self,
                id: token.id,
                presented: Presented::Native {
                    prefix: token.prefix,
                    secret: token.secret,
                    block: TagBlock::new(token.id.as_bytes(), token.secret),
                },
            }),
            Err(_) if self.families().is_empty() => None,
            Err(_) => self.begin_imported(presented),
        }
    }

    #[cold]
    fn begin_imported<'a>(&'a self, presented: &str) -> Option<Challenge<'a>> {
        self.families().iter().enumerate().find_map(|(family, rules)| {
            let digest = rules.digest(presented)?;
            let id = rules.id(&digest);
            Some(Challenge { scheme: self, id, presented: Presented::Imported { family, digest } })
        })
    }
}

impl Challenge<'_> {
    /// The id of the record to fetch: public, and anybody may have made it up.
    pub fn key_id(&self) -> KeyId {
        self.id
    }

    /// Proves the secret and decides, the limits last. Allocates nothing on any refusal.
    ///
    /// `record` is what the host found under [`Challenge::key_id`]; `None` costs as
    /// much as a wrong secret and answers the same bytes.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Rejected`], and [`VerifyError::Unavailable`] for a record that
    /// can't be read, is another key's, is under a pepper that the scheme doesn't
    /// have while the secret might still work, or has limits that are counted in a
    /// shared store, which this function can't ask: [`KeyService::verify`](crate::KeyService::verify) does.
    pub fn finish(
        &self,
        record: Option<&KeyRecord>,
        request: &AccessRequest<'_>,
        roles: &Roles,
        limits: &LocalLimits,
        now: Timestamp,
    ) -> Result<Verified, VerifyError> {
        let Some(record) = record else {
            self.prove_nothing();
            return Err(Rejected::new(Deny::UnknownKey).into());
        };
        let authentic = self.decide(record, request, roles, now)?;
        if authentic.body.grants.limits.has_shared() || limits.owner_rules().has_shared() {
            return Err(unavailable(
                StoreErrorKind::Other,
                "this key has limits in a shared store, which only the service can ask",
            ));
        }
        let limit = authentic.spend(limits, request.cost, roles, now)?;
        Ok(authentic.verified(request, roles, now, limit))
    }

    /// The work of a proof, for an answer without one that takes as long.
    pub(crate) fn prove_nothing(&self) {
        if let Some(tag) = self.scheme.current().and_then(|keys| self.tag(keys)) {
            let _ = std::hint::black_box(equal(&tag, &DUMMY));
        }
    }

    /// Every check but the limits.
    #[inline]
    pub(crate) fn decide<'r>(
        &self,
        record: &'r KeyRecord,
        request: &AccessRequest<'_>,
        roles: &Roles,
        now: Timestamp,
    ) -> Result<Authentic<'r>, VerifyError> {
        let authentic = self.authenticate(record, now)?;
        let Authentic { record, body, slot } = authentic;
        match (Subject { body, slot: Some(slot), roles }).evaluate(request, now) {
            Decision::Allow => Ok(authentic),
            Decision::Deny(deny) => Err(refused(deny, record, roles)),
        }
    }

    #[inline]
    fn authenticate<'r>(
        &self,
        record: &'r KeyRecord,
        now: Timestamp,
    ) -> Result<Authentic<'r>, VerifyError> {
        if record.id() != self.id {
            return Err(unavailable(
                StoreErrorKind::Corrupt,
                "the store gave another key's record",
            ));
        }
        let Some(body) = record.body() else {
            return Err(unavailable(StoreErrorKind::Corrupt, "the key's document can't be read"));
        };
        let slot = self.slot();
        let wrong = |deny| Err(refused(deny, record, &Roles::none()));
        let Some(credential) = body
            .slots
            .get(slot)
            .and_then(Option::as_ref)
            .filter(|credential| self.fits(body, credential))
        else {
            self.prove_nothing();
            return wrong(Deny::WrongSecret);
        };
        let keys = self.scheme.keys(credential.pepper);
        let Some(tag) = keys.and_then(|keys| self.tag(keys)) else {
            if body.has_ended(credential, now) && self.scheme.prove(record).is_ok() {
                self.prove_nothing();
                return wrong(Deny::WrongSecret);
            }
            return Err(unavailable(
                StoreErrorKind::Corrupt,
                "the key's pepper is not in the ring",
            ));
        };
        // Public: whether the whole secret is right.
        if !bool::from(equal(&tag, &credential.tag)) {
            return wrong(Deny::WrongSecret);
        }
        // Public: whether the seal holds.
        match self.scheme.prove(record) {
            Ok(()) => {}
            Err(SealVerdict::UnknownPepper) => {
                let context = "the pepper of the key's seal is not in the ring";
                return Err(unavailable(StoreErrorKind::Corrupt, context));
            }
            Err(_) => return wrong(Deny::BadSeal),
        }
        if self.family_has_ended(now) {
            return wrong(Deny::FamilyEnded);
        }
        Ok(Authentic { record, body, slot })
    }

    /// Whether the secret was proven under a pepper that is not the current one.
    pub(crate) fn is_outdated(&self, authentic: &Authentic<'_>) -> bool {
        let credential = authentic.body.slots.get(authentic.slot).and_then(Option::as_ref);
        let current = self.scheme.current().map(|keys| keys.id);
        credential.map(|credential| credential.pepper) != current
    }

    /// The tag to write in the place of one under an old pepper.
    pub(crate) fn retag(&self, authentic: &Authentic<'_>) -> Option<Retag> {
        let current = self.scheme.current()?;
        let credential = authentic.body.slots.get(authentic.slot)?.as_ref()?;
        Some(Retag {
            id: self.id,
            slot: authentic.slot,
            old: credential.tag,
            new: self.tag(current)?,
            pepper: current.id,
        })
    }

    /// Imported secrets always sit in slot 0; native ones say their slot by parity.
    #[inline]
    fn slot(&self) -> usize {
        match self.presented {
            Presented::Imported { .. } => 0,
            Presented::Native { secret, .. } => slot_of(secret),
        }
    }

    /// Whether the slot holds the kind of secret that was presented.
    #[inline]
    fn fits(&self, body: &Body, slot: &Slot) -> bool {
        match self.presented {
            Presented::Imported { family, .. } => {
                let name = self.scheme.families().get(family).map(ImportFamily::name);
                slot.imported.as_deref() == name
            }
            Presented::Native { prefix, .. } => {
                let known = self.scheme.prefixes().get(prefix).map(|known| known.prefix);
                slot.imported.is_none() && known == Some(body.prefix)
            }
        }
    }

    #[inline]
    fn tag(&self, keys: &PepperKeys) -> Option<Tag> {
        match &self.presented {
            Presented::Imported { digest, .. } => Some(keys.import(digest.as_slice())),
            Presented::Native { prefix, block, .. } => keys.auth(*prefix, block),
        }
    }

    fn family_has_ended(&self, now: Timestamp) -> bool {
        match self.presented {
            Presented::Imported { family, .. } => {
                self.scheme.families().get(family).is_none_or(|family| family.has_ended(now))
            }
            Presented::Native { .. } => false,
        }
    }
}

const DUMMY: Tag = [0; 32];

impl Authentic<'_> {
    /// The tag that the secret was proven with.
    pub(crate) fn tag(&self) -> Option<Tag> {
        self.body.slots.get(self.slot).and_then(Option::as_ref).map(|slot| slot.tag)
    }

    pub(crate) fn verified(
        &self,
        request: &AccessRequest<'_>,
        roles: &Roles,
        now: Timestamp,
        limit: Tightest,
    ) -> Verified {
        Verified::new(self.record.clone(), self.slot, roles.clone(), request, now, limit)
    }
}

pub(crate) fn refused(deny: Deny, record: &KeyRecord, roles: &Roles) -> VerifyError {
    Rejected::of(deny, record, roles).into()
}

fn unavailable(kind: StoreErrorKind, context: &'static str) -> VerifyError {
    VerifyError::Unavailable(StoreError::new(kind).with_context(context))
}
