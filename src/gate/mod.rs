//! A request in, a verified key or an answer out: HTTP without any HTTP crate.

mod answer;
mod credential;
mod forwarded;
mod head;
mod limits;
mod proxies;
mod refusal;
mod source;

use std::fmt;
use std::sync::Arc;

pub use self::answer::Answer;
use self::credential::Credential;
pub use self::head::RequestHead;
use self::limits::LimitHeaders;
pub use self::proxies::TrustedProxies;
pub use self::refusal::Refusal;
pub use self::source::KeySource;
use crate::error::FieldError;
use crate::grant::{ClientIp, Environment};
use crate::policy::{AccessRequest, Deny};
use crate::service::KeyService;
use crate::verify::{Verified, VerifyError};

/// The way into a service: finds the key and the client of an HTTP request, verifies, and
/// answers those it doesn't let through.
///
/// It knows no HTTP library: [`RequestHead`] tells it of a request, and an [`Answer`] is
/// numbers and text. `ApiKeyLayer` (feature `tower`) is made of it.
///
/// By default it
///
/// - reads `Authorization: Bearer`, then `X-API-Key`. A credential that isn't meant to be a
///   key of ours, such as a JWT, is ignored if the other header has one that is, and else
///   answered `INVALID_API_KEY`. The same key in both is one key. Two different keys, and a
///   header that comes twice, are `AMBIGUOUS_API_KEY`. An empty value is none;
/// - takes the peer for the client;
/// - answers `{"error":{"code":"…","message":"…","details":{…}}}`;
/// - tells of limits by `RateLimit-Policy` and `RateLimit`.
///
/// ```
/// use keyward::{AccessRequest, Environment, Gate, KeyService, RequestHead, Verified};
///
/// async fn serve<H: RequestHead>(gate: &Gate, head: &H) -> (u16, String) {
///     const READ: AccessRequest<'_> =
///         AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
///     match gate.check(head, READ).await {
///         Ok(admitted) => (200, format!("hello {}", admitted.verified().owner())),
///         Err(refusal) => {
///             let answer = refusal.answer();
///             // … and `answer.headers()` …
///             (answer.status(), answer.into_body())
///         }
///     }
/// }
///
/// fn gate(keys: KeyService) -> Gate {
///     Gate::new(keys, Environment::PRODUCTION)
/// }
/// ```
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    keys: KeyService,
    environment: Environment,
    settings: Settings,
}

type Rejection = Arc<dyn Fn(&Refusal<'_>) -> Answer + Send + Sync>;

#[derive(Clone)]
struct Settings {
    sources: Vec<KeySource>,
    proxies: Option<TrustedProxies>,
    realm: Box<str>,
    is_problem: bool,
    hides_allowed_ips: bool,
    limit_headers: LimitHeaders,
    rejection: Option<Rejection>,
}

impl Gate {
    /// A gate to what is served in this environment.
    pub fn new(keys: KeyService, environment: Environment) -> Self {
        let x_api_key = KeySource::header("x-api-key").ok();
        let settings = Settings {
            sources: [KeySource::bearer()].into_iter().chain(x_api_key).collect(),
            proxies: None,
            realm: "api".into(),
            is_problem: false,
            hides_allowed_ips: false,
            limit_headers: LimitHeaders::Standard,
            rejection: None,
        };
        Self(Arc::new(Inner { keys, environment, settings }))
    }

    /// Looks for the key at these places, instead of `Authorization: Bearer` and `X-API-Key`.
    #[must_use]
    pub fn sources(self, sources: impl IntoIterator<Item = KeySource>) -> Self {
        self.with(|settings| settings.sources = sources.into_iter().collect())
    }

    /// Takes the client's address from what these proxies say.
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.with(|settings| settings.proxies = Some(proxies))
    }

    /// Answers refusals as `application/problem+json` (RFC 9457).
    #[must_use]
    pub fn problem_json(self) -> Self {
        self.with(|settings| settings.is_problem = true)
    }

    /// Leaves `allowed_ips` out of answers: it tells a thief where to call from.
    #[must_use]
    pub fn hide_allowed_ips(self) -> Self {
        self.with(|settings| settings.hides_allowed_ips = true)
    }

    /// Tells of limits by `X-RateLimit-Limit`, `-Remaining` and `-Reset` too. The last is
    /// seconds since 1970, as most services mean it.
    #[must_use]
    pub fn older_limit_headers(self) -> Self {
        self.with(|settings| settings.limit_headers = LimitHeaders::WithOlder)
    }

    /// Tells nothing of limits but by `Retry-After`.
    #[must_use]
    pub fn without_limit_headers(self) -> Self {
        self.with(|settings| settings.limit_headers = LimitHeaders::None)
    }

    /// The realm in `WWW-Authenticate`; `api` if not set.
    ///
    /// # Errors
    ///
    /// If it is not 1 to 128 characters of 0x20 to 0x7E, without `"` and `\`.
    pub fn realm(self, realm: &str) -> Result<Self, FieldError> {
        let fits = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
        if !(1..=128).contains(&realm.len()) || !realm.bytes().all(fits) {
            let rule = "must be 1 to 128 visible ASCII characters, without `\"` and `\\`";
            return Err(FieldError::new("realm", realm, rule));
        }
        Ok(self.with(|settings| settings.realm = realm.into()))
    }

    /// Answers refusals by this function.
    #[must_use]
    pub fn rejection(
        self,
        answer: impl Fn(&Refusal<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.with(|settings| settings.rejection = Some(Arc::new(answer)))
    }

    /// The service that verifies.
    pub fn keys(&self) -> &KeyService {
        &self.0.keys
    }

    /// Where the requests are served.
    pub fn environment(&self) -> Environment {
        self.0.environment
    }

    /// The client of a request. Allocates nothing.
    pub fn client(&self, head: &impl RequestHead) -> ClientIp {
        if let Some(client) = head.client() {
            return client;
        }
        match &self.settings().proxies {
            Some(proxies) => proxies.client_of(head),
            None => {
                head.peer().map_or(ClientIp::Unknown, |peer| ClientIp::Peer(peer.to_canonical()))
            }
        }
    }

    /// Lets a request through, or not.
    ///
    /// Of `request` the scopes, the resources and the cost count; the environment is the
    /// gate's, and the client is found in `head`. The gate allocates nothing.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], which makes the answer.
    pub fn check<'a>(
        &'a self,
        head: &'a impl RequestHead,
        request: AccessRequest<'a>,
    ) -> impl Future<Output = Result<Admitted, Refusal<'a>>> {
        let asked = self.ask(head, request);
        async move { asked.verified().await }
    }

    /// Lets a request without a key through too: `None`.
    ///
    /// A key that is not valid is refused all the same. A bearer token that isn't meant to
    /// be ours is no key: the host may know whose it is.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], which makes the answer.
    pub fn check_optional<'a>(
        &'a self,
        head: &'a impl RequestHead,
        request: AccessRequest<'a>,
    ) -> impl Future<Output = Result<Option<Admitted>, Refusal<'a>>> {
        let asked = self.ask(head, request);
        async move { if asked.has_key() { asked.verified().await.map(Some) } else { Ok(None) } }
    }

    /// Reads a request, and verifies nothing.
    pub(crate) fn ask<'a>(
        &'a self,
        head: &'a impl RequestHead,
        request: AccessRequest<'a>,
    ) -> Asked<'a> {
        let scheme = self.keys().scheme();
        let credential = Credential::read(head, &self.settings().sources, scheme);
        let client = self.client(head);
        let request = AccessRequest { environment: self.environment(), client, ..request };
        Asked { gate: self, credential, request }
    }

    /// Whether a request has, at this place, what is meant to be a key of ours: what to take
    /// out of a request that is handed on.
    pub fn has_key_at(&self, head: &impl RequestHead, source: &KeySource) -> bool {
        source.ours(head, self.keys().scheme()).is_some()
    }

    /// The places of a request that a key may be at.
    pub fn key_sources(&self) -> &[KeySource] {
        &self.settings().sources
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut Arc::make_mut(&mut self.0).settings);
        self
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("environment", &self.0.environment)
            .field("sources", &self.settings().sources)
            .field("proxies", &self.settings().proxies)
            .finish_non_exhaustive()
    }
}

/// A request that was let through.
#[derive(Clone, Debug)]
pub struct Admitted {
    verified: Verified,
    was_in_query: bool,
    limit_headers: LimitHeaders,
}

impl Admitted {
    /// Whose key it was.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// Whose key it was, to be handed on.
    pub fn into_verified(self) -> Verified {
        self.verified
    }

    /// What is to be added to the response: names in lower case, values of 0x20 to 0x7E.
    ///
    /// - `ratelimit-policy` and `ratelimit` (draft-ietf-httpapi-ratelimit-headers-11) if the
    ///   key has local limits: all of them, and the tightest. Of limits that processes share
    ///   they tell nothing, for what is left of those is not known here. The partition key is
    ///   the id of the key, which is public, as it is shown (`key_…`).
    /// - `cache-control: no-store` if the key was in the query. It replaces the handler's.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let (record, now) = (self.verified.record(), self.verified.at());
        let mut headers = self.limit_headers.passed(record, self.verified.limit(), now);
        if self.was_in_query {
            headers.push(("cache-control", "no-store".to_owned()));
        }
        headers
    }
}

/// A request as it was read, to be verified.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    gate: &'a Gate,
    credential: Credential<'a>,
    request: AccessRequest<'a>,
}

impl<'a> Asked<'a> {
    /// Whether there is anything that may be a key of ours, or is meant to be one.
    pub(crate) fn has_key(&self) -> bool {
        !matches!(self.credential, Credential::Absent | Credential::Foreign(_))
    }

    /// The result, if it needs no waiting; nothing has been done if it does.
    pub(crate) fn at_once(&self) -> Option<Result<Admitted, Refusal<'a>>> {
        let keys = self.gate.keys();
        let result = match self.credential {
            Credential::Absent => keys.rejected(Deny::Missing, &self.request),
            Credential::Several => keys.rejected(Deny::Ambiguous, &self.request),
            credential => keys.verify_at_once(credential.key(), &self.request)?,
        };
        Some(self.told(result))
    }

    /// The result, if it needs waiting.
    pub(crate) async fn waited(self) -> Result<Admitted, Refusal<'a>> {
        self.told(self.gate.keys().verify_waiting(self.credential.key(), &self.request).await)
    }

    async fn verified(self) -> Result<Admitted, Refusal<'a>> {
        match self.at_once() {
            Some(result) => result,
            // Boxed: what a wait keeps would make every future large.
            None => Box::pin(self.waited()).await,
        }
    }

    #[expect(clippy::result_large_err, reason = "a refusal allocates nothing")]
    fn told(&self, result: Result<Verified, VerifyError>) -> Result<Admitted, Refusal<'a>> {
        match result {
            Ok(verified) => Ok(Admitted {
                verified,
                was_in_query: matches!(self.credential, Credential::Given { in_query: true, .. }),
                limit_headers: self.gate.settings().limit_headers,
            }),
            Err(error) => Err(Refusal {
                gate: self.gate,
                error,
                request: self.request,
                was_given: self.credential != Credential::Absent,
            }),
        }
    }
}
