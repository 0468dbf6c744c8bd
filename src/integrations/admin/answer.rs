use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::authorizer::Unauthorized;
use super::input::LONGEST_BODY;
use crate::error::{FieldError, StoreError, StoreErrorKind};
use crate::gate::Answer;
use crate::integrations::tower;
use crate::service::ManageError;
use crate::verify::ErrorBody;

/// What is answered if all went well.
pub(super) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    pub(super) fn ok(content: &impl Serialize) -> Result<Self, Refused> {
        let status = StatusCode::OK;
        Ok(Self { status, headers: HeaderMap::new(), body: to_json(content)? })
    }

    /// A new resource, and where it is.
    pub(super) fn created(self, at: &str) -> Self {
        Self { status: StatusCode::CREATED, ..self }.with_text(LOCATION, at)
    }

    /// Tells the revision that an edit has to name.
    pub(super) fn at_revision(self, revision: u64) -> Self {
        self.with_text(ETAG, &format!("\"{revision}\""))
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        guard(response.headers_mut());
        response
    }

    fn with_text(mut self, name: HeaderName, text: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(text) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// What is answered if not.
#[derive(Debug)]
pub(super) struct Refused(Box<Answer>);

impl Refused {
    pub(super) fn into_response(self) -> Response {
        let (mut parts, body) = tower::response(*self.0).into_parts();
        guard(&mut parts.headers);
        Response::from_parts(parts, body)
    }

    #[cfg(test)]
    pub(super) fn answer(&self) -> &Answer {
        &self.0
    }

    pub(super) fn body_too_large() -> Self {
        let message = format!("The body must have at most {LONGEST_BODY} bytes");
        let details = json!({ "max": LONGEST_BODY });
        Self::new(413, &ErrorBody::new("BODY_TOO_LARGE", message, details))
    }

    pub(super) fn cross_site() -> Self {
        let message = "Requests from pages of other sites are refused";
        Self::new(403, &ErrorBody::new("CROSS_SITE_REQUEST", message, Value::Null))
    }

    pub(super) fn incomplete_body() -> Self {
        let message = "The body did not arrive whole";
        Self::new(400, &ErrorBody::new("INCOMPLETE_BODY", message, Value::Null))
    }

    pub(super) fn malformed_json(line: usize, column: usize) -> Self {
        let message = format!("The body is not JSON: see line {line}, column {column}");
        let details = json!({ "line": line, "column": column });
        Self::new(400, &ErrorBody::new("MALFORMED_JSON", message, details))
    }

    pub(super) fn no_route() -> Self {
        let message = "The admin API has no such route";
        Self::new(404, &ErrorBody::new("ROUTE_NOT_FOUND", message, Value::Null))
    }

    pub(super) fn not_json() -> Self {
        let message = "Send `Content-Type: application/json`, even without a body";
        Self::new(415, &ErrorBody::new("UNSUPPORTED_MEDIA_TYPE", message, Value::Null))
    }

    pub(super) fn precondition_required() -> Self {
        let message = "Send `If-Match` with the `ETag` of the key as you saw it";
        Self::new(428, &ErrorBody::new("PRECONDITION_REQUIRED", message, Value::Null))
    }

    pub(super) fn wrong_method(allowed: &str) -> Self {
        let message = "This route has other methods: see `Allow`";
        let Self(answer) =
            Self::new(405, &ErrorBody::new("METHOD_NOT_ALLOWED", message, Value::Null));
        Self(Box::new(answer.header("allow", allowed)))
    }

    fn new(status: u16, body: &ErrorBody) -> Self {
        let answer = Answer::new(status, body.to_json());
        Self(Box::new(if status == 503 { answer.header("retry-after", "1") } else { answer }))
    }
}

impl From<ManageError> for Refused {
    fn from(error: ManageError) -> Self {
        Self::new(error.status(), &error.body())
    }
}

impl From<FieldError> for Refused {
    fn from(error: FieldError) -> Self {
        ManageError::from(error).into()
    }
}

impl From<Vec<FieldError>> for Refused {
    fn from(errors: Vec<FieldError>) -> Self {
        ManageError::from(errors).into()
    }
}

impl From<Unauthorized> for Refused {
    fn from(Unauthorized(answer): Unauthorized) -> Self {
        Self(Box::new(answer))
    }
}

/// The bytes are wiped once they are sent, since they may hold a secret.
fn to_json(content: &impl Serialize) -> Result<Bytes, Refused> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    match serde_json::to_writer(&mut *bytes, content) {
        Ok(()) => Ok(Bytes::from_owner(bytes)),
        Err(error) => {
            let failed = StoreError::new(StoreErrorKind::Other)
                .with_context("the answer can't be written as JSON")
                .with_source(error);
            Err(ManageError::from(failed).into())
        }
    }
}

fn guard(headers: &mut HeaderMap) {
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
