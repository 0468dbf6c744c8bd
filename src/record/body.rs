use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::document::{base64_bytes, present, stamp};
use crate::grant::{Environment, NetworkRules, ResourceRules, RoleName, ScopeSet};
use crate::limit::LimitRules;
use crate::mac::{PepperId, Tag};
use crate::timestamp::Timestamp;
use crate::token::{KeyId, Prefix};

/// Every field of a key. The serialised form is the document that stores keep.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    pub(crate) encoding: Encoding,
    pub(crate) id: KeyId,
    pub(crate) version: u64,
    pub(crate) revision: u64,
    pub(crate) prefix: Prefix,
    pub(crate) environment: Environment,
    pub(crate) owner: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) state: State,
    #[serde(with = "stamp")]
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: Box<str>,
    #[serde(with = "stamp::option")]
    pub(crate) not_before: Option<Timestamp>,
    #[serde(with = "stamp::option")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(with = "stamp::option")]
    pub(crate) rotated_at: Option<Timestamp>,
    pub(crate) grants: Grants,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) slots: [Option<Slot>; 2],
    #[serde(deserialize_with = "present")]
    pub(crate) idempotency: Option<IdempotencyMark>,
    #[serde(deserialize_with = "present")]
    pub(crate) seal: Option<Seal>,
}

/// The layout of the document and of the sealed bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) enum Encoding {
    V1,
}

impl From<Encoding> for u8 {
    fn from(Encoding::V1: Encoding) -> Self {
        1
    }
}

impl TryFrom<u8> for Encoding {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::V1),
            _ => Err("this release reads encoding 1 only; a newer one wrote this"),
        }
    }
}

/// What a key may do.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grants {
    pub(crate) scopes: ScopeSet,
    pub(crate) roles: Box<[RoleName]>,
    pub(crate) networks: NetworkRules,
    pub(crate) resources: ResourceRules,
    pub(crate) limits: LimitRules,
}

/// One of a key's two credentials.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    /// The family of an imported secret; `None` for one that this crate made.
    #[serde(deserialize_with = "present")]
    pub(crate) imported: Option<Box<str>>,
    #[serde(with = "base64_bytes")]
    pub(crate) tag: Tag,
    pub(crate) pepper: PepperId,
    #[serde(with = "stamp")]
    pub(crate) issued_at: Timestamp,
    /// When a superseded secret stops; `None` marks the key's current secret.
    #[serde(with = "stamp::option")]
    pub(crate) valid_until: Option<Timestamp>,
}

/// How a key stands, apart from its dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", try_from = "StateFields")]
pub enum State {
    /// In use.
    Enabled,
    /// Switched off for now; it can be enabled again.
    Disabled,
    /// Ended for good.
    Revoked {
        /// When it was revoked.
        #[serde(with = "stamp")]
        at: Timestamp,
        /// Why.
        reason: Reason,
    },
}

/// A [`State`] as it is read: serde lets a tagged unit variant have unknown fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFields {
    is: Box<str>,
    at: Option<Timestamp>,
    reason: Option<Reason>,
}

impl TryFrom<StateFields> for State {
    type Error = &'static str;

    fn try_from(fields: StateFields) -> Result<Self, Self::Error> {
        match (&*fields.is, fields.at, fields.reason) {
            ("enabled", None, None) => Ok(Self::Enabled),
            ("disabled", None, None) => Ok(Self::Disabled),
            ("revoked", Some(at), Some(reason)) => Ok(Self::Revoked { at, reason }),
            _ => Err("expected `enabled`, `disabled`, or `revoked` with `at` and `reason`"),
        }
    }
}

/// Why a key was revoked or its secret replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Someone else may know the secret.
    Compromised,
    /// None of the others.
    Other,
    /// The person or organisation it belonged to has gone.
    OwnerLeft,
    /// A rule of the host demands it.
    Policy,
    /// Another key has taken its place.
    Superseded,
    /// Nobody uses it.
    Unused,
}

impl Reason {
    /// The name in documents, bodies and events, such as `owner_left`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compromised => "compromised",
            Self::Other => "other",
            Self::OwnerLeft => "owner_left",
            Self::Policy => "policy",
            Self::Superseded => "superseded",
            Self::Unused => "unused",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What remains of a caller's idempotency key: two digests.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdempotencyMark {
    #[serde(with = "base64_bytes")]
    pub(crate) key: [u8; 32],
    #[serde(with = "base64_bytes")]
    pub(crate) request: [u8; 32],
}

/// A MAC over every other field.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    pub(crate) pepper: PepperId,
    #[serde(with = "base64_bytes")]
    pub(crate) mac: Tag,
}

/// How a key stands at a given instant, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It works.
    Active,
    /// Its expiry has passed; it must be replaced.
    Expired,
    /// Disabled for now.
    Inactive,
    /// Ended for good.
    Revoked,
    /// Its first instant has not come.
    Scheduled,
    /// Its record can't be read, or is not what was sealed; it can only be revoked.
    Unreadable,
}

impl Body {
    pub(crate) fn status(&self, now: Timestamp) -> Status {
        match self.state {
            State::Revoked { .. } => Status::Revoked,
            _ if self.expires_at.is_some_and(|end| now >= end) => Status::Expired,
            State::Disabled => Status::Inactive,
            State::Enabled if self.not_before.is_some_and(|start| now < start) => Status::Scheduled,
            State::Enabled => Status::Active,
        }
    }

    /// Whether the secret of a slot still works.
    ///
    /// The last replacement has happened, even for a clock that is behind it, so
    /// whatever it ended at once stays ended.
    pub(crate) fn accepts(&self, slot: &Slot, now: Timestamp) -> bool {
        let now = self.rotated_at.map_or(now, |at| now.max(at));
        slot.valid_until.is_none_or(|until| now < until)
    }

    /// Not revoked and not expired: what caps count.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        !matches!(self.status(now), Status::Revoked | Status::Expired)
    }

    /// Whether this secret of the key's can never work again.
    pub(crate) fn has_ended(&self, slot: &Slot, now: Timestamp) -> bool {
        !self.is_live(now) || !self.accepts(slot, now)
    }

    /// The index of the current secret's slot.
    pub(crate) fn current_slot(&self) -> usize {
        usize::from(self.slots[0].as_ref().is_none_or(|slot| slot.valid_until.is_some()))
    }
}
