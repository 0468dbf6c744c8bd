use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::StoreError;
use crate::grant::Roles;
use crate::policy::{AccessRequest, Deny, LimitName, Subject};
use crate::record::KeyRecord;
use crate::token::KeyId;

/// A verification that did not end in [`Verified`](crate::Verified).
///
/// ```
/// use keyward::{AccessRequest, VerifyError};
///
/// /// Status, headers and body of the answer, for any HTTP library.
/// fn answer(error: &VerifyError, request: &AccessRequest<'_>) -> (u16, Option<u128>, String) {
///     // Whole seconds, rounded up, as the header wants them.
///     let retry_after = error.retry_after().map(|after| after.as_millis().div_ceil(1_000));
///     (error.status(), retry_after, error.body(request).to_json())
/// }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The key was refused.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Nothing can be said of the key: answer 503, and never allow.
    #[error("the API key can't be verified at the moment")]
    Unavailable(#[source] StoreError),
}

impl VerifyError {
    /// The code for clients, such as `INVALID_API_KEY`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(rejected) => rejected.code(),
            Self::Unavailable(_) => "UNAVAILABLE",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Rejected(rejected) => rejected.status(),
            Self::Unavailable(_) => 503,
        }
    }

    /// After how long the client may try again, if that can help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejected) => rejected.retry_after(),
            Self::Unavailable(_) => Some(Duration::from_secs(1)),
        }
    }

    /// Why, for the host's own logs; `None` if unavailable.
    pub fn deny(&self) -> Option<Deny> {
        match self {
            Self::Rejected(rejected) => Some(rejected.deny()),
            Self::Unavailable(_) => None,
        }
    }

    /// The JSON body for the client.
    pub fn body(&self, request: &AccessRequest<'_>) -> ErrorBody {
        match self {
            Self::Rejected(rejected) => rejected.body(request),
            Self::Unavailable(_) => {
                let message = "API keys can't be verified at the moment";
                let details = json!({ "retry_after": 1 });
                ErrorBody::new(self.code(), message, details)
            }
        }
    }
}

/// A refusal. It reads the same whatever the reason, and details are made only
/// when a [body](Rejected::body) is asked for.
///
/// ```
/// use keyward::{AccessRequest, Environment, Rejected};
///
/// let request = AccessRequest::new(Environment::PRODUCTION);
/// let missing = Rejected::missing();
/// assert_eq!((missing.code(), missing.status()), ("MISSING_API_KEY", 401));
/// assert_eq!(missing.to_string(), "the API key was refused");
/// ```
#[derive(Clone)]
pub struct Rejected {
    deny: Deny,
    context: Option<Context>,
}

#[derive(Clone)]
struct Context {
    record: KeyRecord,
    roles: Roles,
}

impl Rejected {
    /// The refusal of a request without a key.
    pub const fn missing() -> Self {
        Self::new(Deny::Missing)
    }

    /// The refusal of a request with two different keys.
    pub const fn ambiguous() -> Self {
        Self::new(Deny::Ambiguous)
    }

    pub(crate) const fn new(deny: Deny) -> Self {
        Self { deny, context: None }
    }

    /// The refusal of a key that exists.
    pub(crate) fn of(deny: Deny, record: &KeyRecord, roles: &Roles) -> Self {
        Self { deny, context: Some(Context { record: record.clone(), roles: roles.clone() }) }
    }

    /// Why, for the host's own logs and metrics; never for the client.
    pub fn deny(&self) -> Deny {
        self.deny
    }

    /// Which key was named, if it exists; the caller proved to hold it only if
    /// [`Deny::is_authenticated`].
    pub fn key_id(&self) -> Option<KeyId> {
        self.context.as_ref().map(|context| context.record.id())
    }

    /// The record that was refused.
    pub(crate) fn record(&self) -> Option<&KeyRecord> {
        self.context.as_ref().map(|context| &context.record)
    }

    /// The code for clients, such as `INVALID_API_KEY`.
    pub fn code(&self) -> &'static str {
        row(self.deny).0
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        row(self.deny).1
    }

    /// After how long the client may try again, if that can help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.deny {
            Deny::QuotaExceeded { retry_after, .. } | Deny::RateLimited { retry_after, .. } => {
                retry_after
            }
            _ => None,
        }
    }

    /// The JSON body for the client; `request` is the one that was refused.
    ///
    /// # Security
    ///
    /// Nothing about the key is told before the secret is proven: unknown, wrong,
    /// revoked and superseded keys get the same bytes. `allowed_ips` tells a thief
    /// where to call from; [`ErrorBody::without`] leaves it out.
    pub fn body(&self, request: &AccessRequest<'_>) -> ErrorBody {
        let (code, _, message) = row(self.deny);
        let details = self.details(request).unwrap_or(Value::Null);
        ErrorBody::new(code, message, details)
    }

    fn details(&self, request: &AccessRequest<'_>) -> Option<Value> {
        let context = self.context.as_ref()?;
        let body = context.record.body()?;
        match self.deny {
            Deny::NotYetValid => Some(json!({ "valid_from": body.not_before })),
            Deny::Expired => Some(json!({ "expired_at": body.expires_at })),
            Deny::Network => {
                let allowed = body.grants.networks.allow().iter().map(ToString::to_string);
                Some(json!({
                    "client_ip": request.client.address(),
                    "allowed_ips": allowed.collect::<Vec<_>>(),
                }))
            }
            Deny::Resource => {
                let refused = body.grants.resources.refused_by(request.resources)?;
                Some(json!({ "resource": refused }))
            }
            Deny::Scope => {
                let subject = Subject { body, slot: None, roles: &context.roles };
                Some(json!({
                    "required": request.scopes.required(),
                    "missing": request.scopes.missing(&mut |scope| subject.grants(scope)),
                }))
            }
            Deny::RateLimited { retry_after, limit } => Some(json!({
                "limit": name(&context.record, limit),
                "retry_after": retry_after.map(whole_seconds),
            })),
            Deny::QuotaExceeded { resets_at, limit, .. } => Some(json!({
                "limit": name(&context.record, limit),
                "resets_at": resets_at,
            })),
            _ => None,
        }
    }
}

/// Code, status and message of every refusal.
fn row(deny: Deny) -> (&'static str, u16, &'static str) {
    match deny {
        Deny::Ambiguous => ("AMBIGUOUS_API_KEY", 400, "The request carries more than one API key"),
        Deny::Disabled => ("API_KEY_INACTIVE", 401, "This API key is inactive"),
        Deny::Expired => ("API_KEY_EXPIRED", 401, "This API key has expired"),
        Deny::Missing => ("MISSING_API_KEY", 401, "An API key is required"),
        Deny::Network => ("IP_NOT_ALLOWED", 403, "Request from this IP address is not allowed"),
        Deny::NotYetValid => ("API_KEY_NOT_YET_VALID", 401, "This API key is not valid yet"),
        Deny::QuotaExceeded { .. } => {
            ("QUOTA_EXCEEDED", 429, "The quota of this API key is used up")
        }
        Deny::RateLimited { .. } => ("RATE_LIMITED", 429, "Too many requests with this API key"),
        Deny::Resource => {
            ("RESOURCE_NOT_ALLOWED", 403, "This API key may not be used for this resource")
        }
        Deny::Scope => {
            ("INSUFFICIENT_PERMISSIONS", 403, "This API key lacks a required permission")
        }
        Deny::BadSeal
        | Deny::FamilyEnded
        | Deny::Malformed
        | Deny::Revoked
        | Deny::Superseded
        | Deny::UnknownKey
        | Deny::WrongEnvironment
        | Deny::WrongSecret => ("INVALID_API_KEY", 401, "The provided API key is invalid"),
    }
}

/// The name a limit was given; an owner's limits don't tell theirs.
fn name(record: &KeyRecord, limit: LimitName) -> Option<&str> {
    use crate::limit::LimitedBy;
    match limit {
        LimitName::Owner(_) => Some("owner"),
        LimitName::Key(LimitedBy::Quota) => {
            record.body()?.grants.limits.quota().map(crate::limit::Quota::name)
        }
        LimitName::Key(LimitedBy::Rate(place)) => record
            .body()?
            .grants
            .limits
            .rates()
            .get(usize::from(place))
            .map(crate::limit::RateLimit::name),
    }
}

/// Seconds, rounded up, as `Retry-After` wants them.
fn whole_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the API key was refused")
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("deny", &self.deny)
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Rejected {}

/// The JSON body of an error: `{"error":{"code":"…","message":"…","details":{…}}}`.
///
/// `details` is left out when there are none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorBody {
    error: ErrorDetails,
}

/// What an [`ErrorBody`] says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ErrorDetails {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// More, by code.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl ErrorBody {
    pub(crate) fn new(code: &'static str, message: impl Into<String>, details: Value) -> Self {
        let details = match details {
            Value::Object(details) => details,
            _ => Map::new(),
        };
        Self { error: ErrorDetails { code, message: message.into(), details } }
    }

    /// What it says.
    pub fn error(&self) -> &ErrorDetails {
        &self.error
    }

    /// The same body without one of its details.
    #[must_use]
    pub fn without(mut self, detail: &str) -> Self {
        self.error.details.remove(detail);
        self
    }

    /// The body as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}
