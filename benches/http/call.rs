//! The layer without sockets: what it adds to a call.

use std::convert::Infallible;
use std::hint::black_box;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use keyward::ApiKeyLayer;
use tower::{Layer, Service, service_fn};

use crate::measure::{Case, Figure, interleaved};

/// The extensions that hyper and axum have put there before.
#[derive(Clone)]
struct Upgrade;

#[derive(Clone)]
struct Path;

/// Nanoseconds of a call without the layer and with it, by keys with and without limits.
pub(crate) fn times(
    rounds: usize,
    gate: &ApiKeyLayer,
    plain: &[String],
    limited: &[String],
) -> Vec<Figure> {
    let case = |name, service: Caller, tokens: &[String]| {
        let (mut service, tokens) = (service, tokens.to_vec());
        let mut next = 0;
        Case::new(name, 100, move |count| {
            for _ in 0..count {
                next = (next + 1) % tokens.len();
                service(request(&tokens[next]));
            }
        })
    };
    let (bare, guarded) = (|| called(service_fn(serve)), || called(gate.layer(service_fn(serve))));
    interleaved(
        rounds,
        vec![
            case("call_without", bare(), plain),
            case("call_with", guarded(), plain),
            case("call_with_limits", guarded(), limited),
        ],
    )
}

type Caller = Box<dyn FnMut(Request<Body>)>;

fn called<S>(mut service: S) -> Caller
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + 'static,
{
    Box::new(move |request| {
        let future = pin!(service.call(request));
        let Poll::Ready(Ok(response)) = future.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it never waits");
        };
        assert!(black_box(response).status().is_success());
    })
}

fn request(token: &str) -> Request<Body> {
    let mut request = Request::builder()
        .uri("/sites")
        .header("host", "api.example.com")
        .header("user-agent", "bench/1.0")
        .header("accept", "application/json")
        .header("x-api-key", token)
        .body(Body::empty())
        .expect("a request");
    let peer = SocketAddr::from(([127, 0, 0, 1], 80));
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(Upgrade);
    request.extensions_mut().insert(Path);
    request
}

async fn serve(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    drop(black_box(request));
    Ok(Response::new(Body::empty()))
}
