use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::authorizer::{Authorizer, Credentials, Unauthorized};
use crate::grant::{ClientIp, Environment};
use crate::policy::{AccessRequest, Actor};
use crate::service::KeyService;
use crate::verify::{Rejected, Verified, VerifyError};

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
    service: KeyService,
    environment: Environment,
    acting: Arc<dyn Fn(&Verified) -> Actor + Send + Sync>,
}

impl KeyAuthorizer {
    /// Lets in the keys of an environment, each as itself.
    pub fn new(service: KeyService, environment: Environment) -> Self {
        Self { service, environment, acting: Arc::new(|key| Actor::from(key)) }
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
        let request = AccessRequest::new(self.environment).from(client(parts));
        let refused = |error: &VerifyError| refuse(error, &request);
        let presented =
            presented(&self.service, &parts.headers).map_err(|it| refused(&it.into()))?;
        match self.service.verify(presented, &request).await {
            Ok(verified) => Ok((self.acting)(&verified)),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Explicit with a key: nothing else is read, and no browser adds one.
    fn credentials(&self, parts: &Parts) -> Credentials {
        match presented(&self.service, &parts.headers) {
            Ok(_) => Credentials::Explicit,
            Err(_) => Credentials::Ambient,
        }
    }
}

impl fmt::Debug for KeyAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("KeyAuthorizer");
        shown.field("environment", &self.environment).finish_non_exhaustive()
    }
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn client(parts: &Parts) -> ClientIp {
    match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => ClientIp::Peer(peer.ip()),
        None => ClientIp::Unknown,
    }
}

fn presented<'h>(service: &KeyService, headers: &'h HeaderMap) -> Result<&'h str, Rejected> {
    let own = sole(headers, &X_API_KEY)?;
    let bearer = sole(headers, &AUTHORIZATION)?.and_then(bearer);
    match (bearer, own) {
        (None, None) => Err(Rejected::missing()),
        (Some(bearer), Some(own)) if bearer != own => {
            let both = service.scheme().begin(bearer).is_ok();
            if both { Err(Rejected::ambiguous()) } else { Ok(own) }
        }
        (Some(key), _) | (None, Some(key)) => Ok(key),
    }
}

/// The one header of this name; what is no text is no key.
fn sole<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Rejected> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.to_str().unwrap_or_default())),
        _ => Err(Rejected::ambiguous()),
    }
}

fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, key) = credentials.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn refuse(error: &VerifyError, request: &AccessRequest<'_>) -> Unauthorized {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let refused = Unauthorized { status, headers: HeaderMap::new(), body: error.body(request) };
    let challenge = match (status, error.code()) {
        (StatusCode::UNAUTHORIZED, "MISSING_API_KEY") => "Bearer",
        (StatusCode::UNAUTHORIZED, _) => "Bearer error=\"invalid_token\"",
        _ => "",
    };
    let refused = if challenge.is_empty() {
        refused
    } else {
        refused.with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    };
    match error.retry_after() {
        Some(after) => {
            let seconds = after.as_millis().div_ceil(1_000);
            match HeaderValue::from_str(&seconds.to_string()) {
                Ok(seconds) => refused.with(RETRY_AFTER, seconds),
                Err(_) => refused,
            }
        }
        None => refused,
    }
}
