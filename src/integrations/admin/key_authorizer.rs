use std::fmt;
use std::sync::Arc;

use axum::http::request::Parts;

use super::authorizer::{Authorizer, Credentials, Unauthorized};
use crate::gate::Gate;
use crate::grant::Environment;
use crate::policy::{AccessRequest, Actor};
use crate::service::KeyService;
use crate::verify::Verified;

/// Lets in whoever presents one of the service's own keys, as the actor that the key is.
///
/// The key is read from `Authorization: Bearer` or `X-API-Key`, and verified as on every
/// other route: its networks, expiry and limits hold here too. By default it acts as
/// [`Actor::from`] it: it manages its owner's keys alone, needs the management permissions of
/// what it does, and gives away at most what it holds itself, in its own environment, within
/// its own networks and limits, and not beyond its own end.
///
/// So an administrator's key holds `api.key.*` and every scope that the keys it makes may
/// have. One that is to do more needs the host's word, by [`KeyAuthorizer::acting`].
///
/// ```
/// # use keyward::{KeyScheme, KeyService, MemoryStore, PepperRing};
/// use keyward::admin::KeyAuthorizer;
/// use keyward::{Actor, Environment};
///
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// # let keys = KeyService::new(scheme, MemoryStore::new());
/// // The keys of the platform itself manage everybody's, in both environments.
/// let authorizer = KeyAuthorizer::new(keys, Environment::PRODUCTION).acting(|key| {
///     let actor = Actor::from(key);
///     match key.owner() {
///         "platform" => actor
///             .for_all_owners()
///             .in_environments([Environment::PRODUCTION, Environment::SANDBOX]),
///         _ => actor,
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyAuthorizer {
    gate: Gate,
    acting: Arc<dyn Fn(&Verified) -> Actor + Send + Sync>,
}

impl KeyAuthorizer {
    /// Lets in the keys of an environment, each as itself, through a [`Gate`] as it is by
    /// default.
    pub fn new(service: KeyService, environment: Environment) -> Self {
        Self::behind(Gate::new(service, environment))
    }

    /// Lets in whom a gate lets in; its service should be the router's.
    ///
    /// Refusals are the gate's, whatever form it gives them.
    pub fn behind(gate: Gate) -> Self {
        Self { gate, acting: Arc::new(|key| Actor::from(key)) }
    }

    /// Says whom a key acts as, if not as itself.
    ///
    /// # Security
    ///
    /// Go by the key's [owner](Verified::owner), which no key can choose for the keys it
    /// makes. A scope or a role is a weaker sign: whoever holds `*` may give away any scope
    /// but the management permissions.
    #[must_use]
    pub fn acting(self, acting: impl Fn(&Verified) -> Actor + Send + Sync + 'static) -> Self {
        Self { acting: Arc::new(acting), ..self }
    }
}

impl Authorizer for KeyAuthorizer {
    async fn authorize(&self, parts: &Parts) -> Result<Actor, Unauthorized> {
        let request = AccessRequest::new(self.gate.environment());
        match self.gate.check(parts, request).await {
            Ok(admitted) => Ok((self.acting)(admitted.verified())),
            Err(refusal) => Err(refusal.answer().into()),
        }
    }

    /// Explicit if a key is at one of the gate's places, where no browser puts one by itself.
    fn credentials(&self, parts: &Parts) -> Credentials {
        let mut sources = self.gate.key_sources().iter();
        let is_explicit = sources.any(|source| {
            source.header_name() != Some("cookie") && self.gate.has_key_at(parts, source)
        });
        if is_explicit { Credentials::Explicit } else { Credentials::Ambient }
    }
}

impl fmt::Debug for KeyAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAuthorizer").field("gate", &self.gate).finish_non_exhaustive()
    }
}
