use std::future::Future;
use std::pin::Pin;

use axum::http::request::Parts;
use serde_json::Value;

use crate::gate::Answer;
use crate::policy::Actor;
use crate::verify::ErrorBody;

/// Tells who sent a request to the admin API, and so what they may do.
///
/// # Contract
///
/// - It is asked once about every request that reaches the API, before its body is read.
/// - The [`Actor`] it gives is the whole of the authorization: which owners' keys, which
///   management permissions, and what may be given away. `Actor::system` may do everything.
/// - What it can't tell, it refuses: there is no answer that means "nobody".
/// - [`credentials`](Authorizer::credentials) says whether a browser would send the
///   credentials of this request by itself. The default is that it would, which is always safe.
///
/// ```
/// use axum::http::request::Parts;
/// use keyward::Actor;
/// use keyward::admin::{Authorizer, Unauthorized};
///
/// /// Whoever is signed in manages the keys of their own organisation.
/// struct Session;
///
/// impl Authorizer for Session {
///     async fn authorize(&self, parts: &Parts) -> Result<Actor, Unauthorized> {
///         let cookie = parts.headers.get("cookie").and_then(|cookie| cookie.to_str().ok());
///         match cookie {
///             // Looked up in the host's own table of sessions.
///             Some("session=4711") => Actor::new("alice@example.com")
///                 .for_owner("org_1")
///                 .holding(["api.key.*", "read:*"])
///                 .map_err(|_| Unauthorized::forbidden()),
///             _ => Err(Unauthorized::unauthenticated()),
///         }
///     }
/// }
/// ```
pub trait Authorizer: Send + Sync + 'static {
    /// Who sent this request.
    ///
    /// # Errors
    ///
    /// The answer for somebody who is not let in.
    fn authorize(&self, parts: &Parts) -> impl Future<Output = Result<Actor, Unauthorized>> + Send;

    /// Where the credentials that [`authorize`](Authorizer::authorize) would read come from.
    ///
    /// # Security
    ///
    /// [`Credentials::Explicit`] lifts a guard against other sites' forms. Say it only if
    /// nothing that a browser adds to a request by itself can make this one succeed.
    fn credentials(&self, parts: &Parts) -> Credentials {
        let _ = parts;
        Credentials::Ambient
    }
}

/// Whether the credentials of a request prove that its sender meant to send it.
///
/// A page of another site can make a browser send a form here, and the browser adds whatever
/// it adds to every request. Such a form can't say that it is JSON: three content types are
/// all that a form has, and a script that sets another must ask first (the Fetch standard's
/// CORS preflight), which the admin API never allows. So a request with ambient credentials
/// has to say `Content-Type: application/json`, even without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A browser adds them by itself: a cookie, HTTP Basic or Negotiate, a client
    /// certificate, the network it is in.
    Ambient,
    /// Only a program that holds them can send them: `Authorization: Bearer`, or a header
    /// of the API's own such as `X-API-Key`. Neither is among the headers that a form, or a
    /// script of another origin, may set unasked.
    Explicit,
}

/// The answer for somebody whom an [`Authorizer`] doesn't let in.
///
/// Any other answer than these can be made [from](Unauthorized::from) an [`Answer`].
///
/// ```
/// use keyward::Answer;
/// use keyward::admin::Unauthorized;
///
/// let refused = Unauthorized::unauthenticated().challenge("Bearer realm=\"portal\"");
/// let elsewhere = Unauthorized::from(Answer::new(303, "").header("location", "/sign-in"));
/// # let _ = (refused, elsewhere);
/// ```
#[derive(Clone, Debug)]
pub struct Unauthorized(pub(super) Answer);

impl Unauthorized {
    /// 401 `UNAUTHORIZED`: nobody is signed in.
    pub fn unauthenticated() -> Self {
        Self::new(401, "UNAUTHORIZED", "Sign in to manage API keys")
    }

    /// 403 `FORBIDDEN`: whoever is signed in has no business here.
    pub fn forbidden() -> Self {
        Self::new(403, "FORBIDDEN", "This account may not manage API keys")
    }

    /// 503 `UNAVAILABLE`, to be tried again after a second: it can't be told who asks.
    pub fn unavailable() -> Self {
        let Self(answer) =
            Self::new(503, "UNAVAILABLE", "Who is asking can't be told at the moment");
        Self(answer.header("retry-after", "1"))
    }

    /// The same with a `WWW-Authenticate` header, which RFC 9110 wants in a 401: how to
    /// authenticate.
    #[must_use]
    pub fn challenge(self, challenge: impl Into<String>) -> Self {
        Self(self.0.header("www-authenticate", challenge))
    }

    fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self(Answer::new(status, ErrorBody::new(code, message, Value::Null).to_json()))
    }
}

impl From<Answer> for Unauthorized {
    fn from(answer: Answer) -> Self {
        Self(answer)
    }
}

type Authorized<'a> = Pin<Box<dyn Future<Output = Result<Actor, Unauthorized>> + Send + 'a>>;

/// Any authorizer, with its type forgotten.
pub(super) trait DynAuthorizer: Send + Sync {
    fn authorize_dyn<'a>(&'a self, parts: &'a Parts) -> Authorized<'a>;

    fn credentials_dyn(&self, parts: &Parts) -> Credentials;
}

impl<A: Authorizer> DynAuthorizer for A {
    fn authorize_dyn<'a>(&'a self, parts: &'a Parts) -> Authorized<'a> {
        Box::pin(self.authorize(parts))
    }

    fn credentials_dyn(&self, parts: &Parts) -> Credentials {
        self.credentials(parts)
    }
}
