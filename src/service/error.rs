use serde_json::{Value, json};

use crate::error::{FieldError, StoreError, StoreErrorKind};
use crate::mac::{EntropyError, PepperId};
use crate::record::{KeyView, WrongState};
use crate::verify::ErrorBody;

/// An operation on keys that was not carried out. Nothing was changed, unless the
/// store's error says that the outcome is unknown.
///
/// ```
/// # use keyward::{Actor, Environment, KeyScheme, KeyService, MemoryStore, NewKey, PepperRing};
/// # pollster::block_on(async {
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// # let keys = KeyService::new(scheme, MemoryStore::new());
/// # let admin = Actor::system("docs");
/// let error = keys.issue(&admin, NewKey::named("").owner("org 1")).await.unwrap_err();
/// assert_eq!((error.status(), error.code()), (422, "VALIDATION_FAILED"));
/// assert!(error.body().to_json().contains(r#""field":"owner""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// A request with this idempotency key has been carried out before; here is its
    /// key, without the secret.
    #[error("this request has been carried out before")]
    AlreadyIssued(Box<KeyView>),
    /// Somebody else changed the key meanwhile.
    #[error("the key was changed by someone else meanwhile; it is at revision {revision}")]
    Conflict {
        /// The revision the key is at.
        revision: u64,
    },
    /// The source of randomness failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The actor lacks a management permission.
    #[error("the actor lacks the permission `{permission}`")]
    Forbidden {
        /// The permission.
        permission: &'static str,
    },
    /// The key would have more than the actor has.
    #[error("the key would have more than the actor: {}", join(.0))]
    GrantExceedsActor(Vec<FieldError>),
    /// The idempotency key was used before, for another request.
    #[error("this idempotency key was used before, for another request")]
    IdempotencyMismatch,
    /// The input breaks rules: all of them, field by field.
    #[error("the input is not valid: {}", join(.0))]
    Invalid(Vec<FieldError>),
    /// The owner has as many live keys as the plan allows.
    #[error("the owner has the most keys allowed, {max}; revoke one, or raise the limit")]
    KeyLimitReached {
        /// The most.
        max: u32,
    },
    /// There is no such key, or it is another owner's.
    #[error("there is no such key")]
    NotFound,
    /// Keys are still under a pepper that is not in the ring.
    #[error("keys in the store need peppers that are not in the ring: {}", ids(.0))]
    PepperInUse(Vec<PepperId>),
    /// The record is not what was sealed: somebody changed it in the database.
    #[error("the key's record was changed in the database; it can only be revoked")]
    SealBroken,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The key's state doesn't allow it.
    #[error(transparent)]
    WrongState(#[from] WrongState),
}

impl ManageError {
    /// The code for clients, such as `VALIDATION_FAILED`.
    pub fn code(&self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.row().1
    }

    /// The JSON body for the client.
    pub fn body(&self) -> ErrorBody {
        let details = match self {
            Self::AlreadyIssued(key) => json!({ "key": key }),
            Self::Conflict { revision } => json!({ "revision": revision }),
            Self::Forbidden { permission } => json!({ "required": permission }),
            Self::GrantExceedsActor(fields) | Self::Invalid(fields) => json!({ "fields": fields }),
            Self::KeyLimitReached { max } => json!({ "max": max }),
            Self::WrongState(wrong) => json!({ "status": wrong.status }),
            _ => Value::Null,
        };
        ErrorBody::new(self.code(), sentence(&self.to_string()), details)
    }

    fn row(&self) -> (&'static str, u16) {
        match self {
            Self::AlreadyIssued(_) => ("ALREADY_ISSUED", 409),
            Self::Conflict { .. } => ("VERSION_CONFLICT", 412),
            Self::Entropy(_) | Self::PepperInUse(_) | Self::Store(_) => ("UNAVAILABLE", 503),
            Self::Forbidden { .. } => ("INSUFFICIENT_PERMISSIONS", 403),
            Self::GrantExceedsActor(_) => ("GRANT_EXCEEDS_ACTOR", 403),
            Self::IdempotencyMismatch => ("IDEMPOTENCY_MISMATCH", 422),
            Self::Invalid(_) => ("VALIDATION_FAILED", 422),
            Self::KeyLimitReached { .. } => ("KEY_LIMIT_REACHED", 409),
            Self::NotFound => ("KEY_NOT_FOUND", 404),
            Self::SealBroken | Self::WrongState(_) => ("WRONG_STATE", 409),
        }
    }
}

impl From<StoreError> for ManageError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FieldError> for ManageError {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl From<Vec<FieldError>> for ManageError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::Invalid(errors)
    }
}

/// Whether a commit lost a race: read again and try again.
pub(super) fn lost_race(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Conflict
}

fn join(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn ids(peppers: &[PepperId]) -> String {
    peppers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
