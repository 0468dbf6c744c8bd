//! The API Keys page: keys managed in a browser.
//!
//! [`router`] serves one page at `/console`, which talks to the [admin API](crate::admin) of
//! the same origin and to nothing else. The manual's chapter on the
//! [page](crate::manual::_14_console) tells what it can do.
//!
//! ```
//! use keyward::console;
//!
//! let app: axum::Router = axum::Router::new().merge(console::router());
//! # let _ = app;
//! ```

mod files;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

use self::files::{FILES, File};

/// What the page may do: run its own scripts, use its own styles, and call its own origin.
///
/// Nothing may frame it, and no text can become markup: with Trusted Types, a browser that
/// knows them refuses to write any.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'",
);

/// The page and its files, at and below `/console`: merge it into the router that has the
/// admin API, so that both have one origin. If both are nested, then below the same path.
///
/// # Security
///
/// The files are the same for everybody and hold no secret: they need no authorization. What
/// the page shows comes from the admin API, whose authorizer decides. The key that somebody
/// types into the page is held in a variable of its script, and sent as
/// `Authorization: Bearer` to the admin API; a reload forgets it.
///
/// Serve it over HTTPS: over plain HTTP everything can be read on the way, and browsers give
/// a page no clipboard.
pub fn router() -> Router {
    let to_page =
        (StatusCode::PERMANENT_REDIRECT, guarded("text/plain"), [(LOCATION, "../console")]);
    let router = Router::new().route("/console/", get(|| async { to_page }));
    FILES.iter().fold(router, |router, File { path, kind, text }| {
        router.route(path, get(|| async { (guarded(kind), *text).into_response() }))
    })
}

/// The headers of every answer.
fn guarded(kind: &'static str) -> [(HeaderName, HeaderValue); 5] {
    [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]
}

#[cfg(test)]
mod tests;
