use std::time::Duration;

use crate::limit::LimitedBy;
use crate::timestamp::Timestamp;

/// What was decided. Exhaustive on purpose: nothing but `Allow` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Every check passed.
    Allow,
    /// One didn't.
    Deny(Deny),
}

/// Why a request was refused: for the host's own logs and metrics.
///
/// Clients are told less, see [`Rejected`](crate::Rejected).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deny {
    /// Two different keys in one request.
    Ambiguous,
    /// The record is not what was sealed: somebody changed it in the database.
    BadSeal,
    /// The key is disabled.
    Disabled,
    /// The key has expired.
    Expired,
    /// The imported family that the secret belongs to has been switched off.
    FamilyEnded,
    /// Not one of our keys: wrong length, prefix, alphabet or checksum.
    Malformed,
    /// No key in the request.
    Missing,
    /// The client's address is not allowed, or unknown.
    Network,
    /// The key's first instant has not come.
    NotYetValid,
    /// The quota is used up.
    QuotaExceeded {
        /// When it starts anew.
        resets_at: Timestamp,
        /// When there is room, if ever for this cost.
        retry_after: Option<Duration>,
        /// Whose quota.
        limit: LimitName,
    },
    /// A rate limit is used up.
    RateLimited {
        /// When there is room, if ever for this cost.
        retry_after: Option<Duration>,
        /// Which limit.
        limit: LimitName,
    },
    /// The key is restricted to other resources.
    Resource,
    /// The key is revoked.
    Revoked,
    /// A required scope is not granted.
    Scope,
    /// The secret was replaced, and its grace is over.
    Superseded,
    /// No key has this id.
    UnknownKey,
    /// The key's environment is not the request's.
    WrongEnvironment,
    /// The key exists; the secret is not its.
    WrongSecret,
}

/// Which limit is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitName {
    /// One of the key's own.
    Key(LimitedBy),
    /// One that all keys of the owner share.
    Owner(LimitedBy),
}

impl Deny {
    /// Whether whoever asked proved to hold a secret of the key, if only an old one.
    ///
    /// Nothing may be done to a key because of a refusal that is not: anybody can
    /// cause it, knowing the public id. A record whose seal is broken and a family that
    /// has ended prove nothing either.
    pub const fn is_authenticated(self) -> bool {
        !matches!(
            self,
            Self::Ambiguous
                | Self::BadSeal
                | Self::FamilyEnded
                | Self::Malformed
                | Self::Missing
                | Self::UnknownKey
                | Self::WrongSecret
        )
    }

    /// The name in events and metrics, such as `wrong_secret`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::BadSeal => "bad_seal",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::FamilyEnded => "family_ended",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Network => "network",
            Self::NotYetValid => "not_yet_valid",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::RateLimited { .. } => "rate_limited",
            Self::Resource => "resource",
            Self::Revoked => "revoked",
            Self::Scope => "scope",
            Self::Superseded => "superseded",
            Self::UnknownKey => "unknown_key",
            Self::WrongEnvironment => "wrong_environment",
            Self::WrongSecret => "wrong_secret",
        }
    }
}
