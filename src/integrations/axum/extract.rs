use std::fmt;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::super::tower::{Anonymous, response};
use crate::gate::Answer;
use crate::verify::{ErrorBody, Verified};

/// A handler wants a [`Verified`], and no [`ApiKeyLayer`](crate::ApiKeyLayer) is around its
/// route: a mistake of the host, answered 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingLayer;

/// The key of the request.
///
/// ```
/// use axum::Json;
/// use keyward::Verified;
///
/// async fn export(key: Verified) -> Json<bool> {
///     Json(key.can("read:history"))
/// }
///
/// async fn news(key: Option<Verified>) -> &'static str {
///     if key.is_some() { "all the news" } else { "the headlines" }
/// }
/// # let _ = axum::Router::<()>::new()
/// #     .route("/export", axum::routing::get(export))
/// #     .route("/news", axum::routing::get(news));
/// ```
impl<S: Sync> FromRequestParts<S> for Verified {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingLayer> {
        parts.extensions.get().cloned().ok_or(MissingLayer)
    }
}

/// The key of the request, if it has one: for routes behind an optional layer.
impl<S: Sync> OptionalFromRequestParts<S> for Verified {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, MissingLayer> {
        match parts.extensions.get::<Self>() {
            Some(verified) => Ok(Some(verified.clone())),
            None if parts.extensions.get::<Anonymous>().is_some() => Ok(None),
            None => Err(MissingLayer),
        }
    }
}

impl fmt::Display for MissingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no `ApiKeyLayer` verified a key for this route: add `.route_layer(gate.require(…)?)`; \
             behind `.optional()` take `Option<Verified>`",
        )
    }
}

impl std::error::Error for MissingLayer {}

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        let body = ErrorBody::new("MISSING_LAYER", self.to_string(), serde_json::Value::Null);
        let answer = Answer::new(500, body.to_json());
        response(answer.header("content-type", "application/json"))
    }
}
