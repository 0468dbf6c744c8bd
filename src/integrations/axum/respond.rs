use axum_core::response::{IntoResponse, Response};

use super::super::tower::response;
use crate::gate::{Answer, Refusal};
use crate::service::ManageError;

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        response(self)
    }
}

impl IntoResponse for Refusal<'_> {
    fn into_response(self) -> Response {
        self.answer().into_response()
    }
}

/// Status and body as the admin API answers them.
impl IntoResponse for ManageError {
    fn into_response(self) -> Response {
        let answer = Answer::new(self.status(), self.body().to_json())
            .header("content-type", "application/json")
            .header("cache-control", "no-store");
        let answer = match self.status() {
            503 => answer.header("retry-after", "1"),
            _ => answer,
        };
        answer.into_response()
    }
}
