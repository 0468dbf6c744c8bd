//! All that keyward needs to know of actix-web: a head, an answer, and a middleware.

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};
use keyward::{AccessRequest, Answer, Environment, Gate, RequestHead};

struct Head<'r>(&'r HttpRequest);

impl RequestHead for Head<'_> {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.headers().get_all(name).map(HeaderValue::as_bytes)
    }

    fn query(&self) -> Option<&str> {
        Some(self.0.query_string())
    }

    fn peer(&self) -> Option<IpAddr> {
        self.0.peer_addr().map(|peer| peer.ip())
    }
}

/// Lets requests with a key that may `read:assets` through; handlers find the `Verified`
/// among the extensions. Wrap routes in it by `middleware::from_fn`.
///
/// # Errors
///
/// What the handler's are: a refusal is a response.
pub async fn read_assets(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    const READ: AccessRequest<'_> =
        AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
    let Some(gate) = request.app_data::<web::Data<Gate>>().cloned() else {
        let response = HttpResponse::InternalServerError().body("no `Gate` in the app's data");
        return Ok(request.into_response(response).map_into_right_body());
    };
    let (headers, verified) = match gate.check(&Head(request.request()), READ).await {
        Ok(admitted) => (admitted.headers(), admitted.into_verified()),
        Err(refusal) => {
            let response = response(refusal.answer());
            return Ok(request.into_response(response).map_into_right_body());
        }
    };
    request.extensions_mut().insert(verified);
    let mut response = next.call(request).await?;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response.map_into_left_body())
}

fn response(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status());
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    for header in answer.headers() {
        response.insert_header(header);
    }
    response.body(answer.into_body())
}
