//! The admin API: keys managed over HTTP, as a router for axum.
//!
//! [`router`] takes the [`KeyService`] and an [`Authorizer`], which tells who asks: there is
//! no router without one. The manual's chapter on the [admin API](crate::manual::_13_admin_api)
//! tells of every route.
//!
//! ```
//! use keyward::admin::{self, KeyAuthorizer};
//! use keyward::{Environment, KeyScheme, KeyService, MemoryStore, PepperRing};
//!
//! let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
//! let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
//! let keys = KeyService::new(scheme, MemoryStore::new());
//!
//! let authorizer = KeyAuthorizer::new(keys.clone(), Environment::PRODUCTION);
//! let app: axum::Router = axum::Router::new().merge(admin::router(keys, authorizer));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod authorizer;
mod cross_site;
mod input;
mod key_authorizer;
mod list;
#[cfg(feature = "openapi")]
mod openapi;
mod operations;
mod request;
mod routes;
mod tree;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;

use self::answer::{Refused, Reply};
use self::authorizer::DynAuthorizer;
pub use self::authorizer::{Authorizer, Credentials, Unauthorized};
pub use self::key_authorizer::KeyAuthorizer;
#[cfg(feature = "openapi")]
pub use self::openapi::openapi;
use self::routes::{Miss, PATHS};
use crate::service::KeyService;

/// Every route of the admin API, below `/admin`: merge it into the host's router.
///
/// All bodies are JSON, and so are all errors: `{"error":{"code","message","details"}}`.
/// No answer may be stored by a cache. Nothing is answered to pages of other origins (there
/// is no CORS), and what changes something is refused if another site's page asked for it.
///
/// A body may have 64 KiB. How long a client may take to send it is for the server to say.
///
/// # Security
///
/// Who asks is decided when the whole of a request is there, body and all: a key that was
/// revoked while its request was still being sent is refused.
///
/// What the authorizer lets in, is let in. It is asked about every request but those for a
/// route that doesn't exist and for the OpenAPI document, which is the same for everybody.
pub fn router(service: KeyService, authorizer: impl Authorizer) -> Router {
    let admin = Arc::new(Admin { service, authorizer: Box::new(authorizer) });
    let serve = any(move |request: Request| {
        let admin = Arc::clone(&admin);
        async move { admin.respond(request).await }
    });
    PATHS.iter().fold(Router::new(), |router, path| router.route(path, serve.clone()))
}

struct Admin {
    service: KeyService,
    authorizer: Box<dyn DynAuthorizer>,
}

impl Admin {
    async fn respond(&self, request: Request) -> Response {
        match self.answer(request).await {
            Ok(answer) => answer.into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn answer(&self, request: Request) -> Result<Reply, Refused> {
        let (parts, body) = request.into_parts();
        let target = match routes::find(&parts.method, parts.uri.path()) {
            Ok(target) => target,
            Err(Miss::Path) => return Err(Refused::no_route()),
            Err(Miss::Method { allowed }) => return Err(Refused::wrong_method(&allowed)),
        };
        #[cfg(feature = "openapi")]
        if target == routes::Target::Keys(routes::Operation::Document) {
            return Reply::ok(&openapi());
        }
        cross_site::check_origin(&parts)?;
        // Before it is asked who sends it: whoever holds a body back is nobody until all of it
        // is here.
        let body = input::receive(&parts, body).await;
        let actor = self.authorizer.authorize_dyn(&parts).await?;
        cross_site::check_type(&parts, self.authorizer.credentials_dyn(&parts))?;
        operations::serve(&self.service, &actor, target, &parts, body).await
    }
}
