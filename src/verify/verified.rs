use std::fmt;

use crate::error::StoreError;
use crate::grant::{ClientIp, Environment, Roles, Scopes};
use crate::limit::{LimitState, Tightest};
use crate::policy::{AccessRequest, Actor, Subject};
use crate::record::{Body, KeyRecord};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// Proof that a request holds a key that may do what it wants.
///
/// Only a verification makes one, and nothing turns it into another credential.
///
/// ```
/// use keyward::Verified;
///
/// fn export(key: &Verified, with_history: bool) -> Result<String, &'static str> {
///     if with_history && !key.can("read:history") {
///         return Err("the key lacks read:history");
///     }
///     Ok(format!("exported for {} by {}", key.owner(), key.key_id()))
/// }
/// ```
#[derive(Clone)]
pub struct Verified {
    record: KeyRecord,
    slot: u8,
    roles: Roles,
    client: ClientIp,
    at: Timestamp,
    limit: Tightest,
}

impl Verified {
    #[inline]
    pub(crate) fn new(
        record: KeyRecord,
        slot: usize,
        roles: Roles,
        request: &AccessRequest<'_>,
        at: Timestamp,
        limit: Tightest,
    ) -> Self {
        let slot = u8::from(slot == 1);
        Self { record, slot, roles, client: request.client, at, limit }
    }

    /// The key's public id, safe to log.
    pub fn key_id(&self) -> KeyId {
        self.record.id()
    }

    /// Whose key it is.
    pub fn owner(&self) -> &str {
        self.record.owner()
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        self.record.name()
    }

    /// Where the key works, and the request was served.
    pub fn environment(&self) -> Option<Environment> {
        self.record.environment()
    }

    /// Whether the key holds these scopes: for what is only known inside a handler.
    pub fn can<'s>(&self, scopes: impl Into<Scopes<'s>>) -> bool {
        let scopes = scopes.into();
        self.body().is_some_and(|body| {
            let subject = Subject { body, slot: Some(self.slot()), roles: &self.roles };
            scopes.satisfied_by(&mut |scope| subject.grants(scope))
        })
    }

    /// The resources of one kind that the key is restricted to; none may mean any.
    pub fn resources(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.body().into_iter().flat_map(move |body| body.grants.resources.values(kind))
    }

    /// The key's tightest limit after this request, for `RateLimit` headers.
    pub fn limit(&self) -> Option<LimitState> {
        self.body()?.grants.limits.state(self.limit, self.at)
    }

    /// When it was verified.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Where the request came from.
    pub fn client(&self) -> ClientIp {
        self.client
    }

    /// Which of the key's two credential slots the secret belongs to: 0 or 1.
    pub fn slot(&self) -> usize {
        self.slot.into()
    }

    /// The key's metadata entry of this name.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.body().and_then(|body| body.metadata.get(key)).map(String::as_str)
    }

    /// The record, as it was when the key was verified.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    fn body(&self) -> Option<&Body> {
        self.record.body()
    }
}

/// A key that manages keys: within its owner, and holding exactly what it has, its
/// limits included.
///
/// The cap on live keys is the plan's and not the key's: add it with
/// [`Actor::key_cap`]. Make the actor anew for each request, from a fresh verify.
impl From<&Verified> for Actor {
    fn from(verified: &Verified) -> Self {
        match verified.record.readable() {
            Ok(body) => Self::of_key(body),
            Err(StoreError { .. }) => Self::new(verified.key_id().to_string()),
        }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("key_id", &self.key_id())
            .field("owner", &self.owner())
            .field("environment", &self.environment())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
