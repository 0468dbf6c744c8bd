//! An axum handler with the layer and without, under one load generator.
//!
//! All cases are routes of one server, asked over the same connections by requests that differ
//! in the path alone. Batches are short and interleaved, and figures are 10th percentiles of
//! the batches'. The server has axum's usual runtime, and the generator a thread of its own.
//! `KEYWARD_BENCH_ROUNDS` sets the number of batches of a case.

#![allow(clippy::cast_precision_loss)]

mod load;
#[allow(dead_code, reason = "a type of the report's")]
#[path = "../side_by_side/measure.rs"]
mod measure;
#[allow(dead_code, reason = "it has no floor, and measures no memory")]
#[path = "../side_by_side/report.rs"]
mod report;

use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::routing::get;
use axum::{Json, Router};
use keyward::{
    Actor, ApiKeyLayer, Environment, Gate, KeyScheme, KeyService, MemoryStore, NewKey, PepperRing,
    RateLimit,
};
use load::{Load, Requests, requests};
use report::{Report, machine};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::Service;
use tower::layer::layer_fn;

const KEYS: usize = 1_000;

/// Connections, each with one request under way.
const CONNECTIONS: usize = 32;

/// Requests on each connection in one batch.
const EACH: usize = 20;

struct Case {
    name: &'static str,
    requests: Requests,
    /// Nanoseconds of one request, by batch.
    times: Vec<f64>,
    /// The 99th percentile of a request's latency in microseconds, by batch.
    tails: Vec<f64>,
}

fn main() {
    let rounds = std::env::var("KEYWARD_BENCH_ROUNDS");
    let rounds = rounds.map_or(500, |text| text.parse().expect("KEYWARD_BENCH_ROUNDS"));
    println!("{}", machine());
    println!(
        "a handler that answers a JSON of 170 bytes; {KEYS} keys on a MemoryStore, each with an \
         expiry, a network and two scopes, and in `with_limits` with a rate limit, which the \
         answer then tells of; {CONNECTIONS} connections\n"
    );
    let keys = service();
    let plain: Vec<String> = (0..KEYS).map(|number| issue(&keys, key(number))).collect();
    let limit = RateLimit::per_second(1_000_000_000).unwrap();
    let limited = (0..KEYS).map(|number| issue(&keys, key(number).rate_limit(limit.clone())));
    let limited: Vec<String> = limited.collect();
    let nobody = ["ak_live_nobody".to_owned()];

    let runtime = Runtime::new().unwrap();
    let mut load = Load::connect(serve(&runtime, &keys), CONNECTIONS);
    let mut cases = [
        ("without", "/bare", &*plain),
        ("with", "/held", &plain),
        ("with_limits", "/held", &limited),
        // What axum takes for any layer, which does nothing.
        ("idle_layer", "/idle", &plain),
        ("refused", "/held", &nobody),
    ]
    .map(|(name, path, tokens)| {
        let requests = requests(path, tokens);
        Case { name, requests, times: Vec::new(), tails: Vec::new() }
    });
    for _ in 0..rounds {
        for case in &mut cases {
            // A few that aren't timed first: caches and branches are still the last case's.
            load.run(2, &case.requests);
            let (mut latencies, one) = load.run(EACH, &case.requests);
            latencies.sort_by(f64::total_cmp);
            case.times.push(one);
            case.tails.push(latencies[latencies.len() * 99 / 100]);
        }
    }
    report(cases);
}

fn report<const N: usize>(cases: [Case; N]) {
    let p10 = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 10]
    };
    let mut report = Report::default();
    let figures = cases.map(|case| (case.name, p10(case.times), p10(case.tails)));
    let [(_, bare, bare_tail), (_, held, held_tail), (_, limited, _), (_, idle, _), _] =
        figures[..]
    else {
        unreachable!("the cases of `main`");
    };
    println!("{:<14} {:>14} {:>14} {:>10}", "", "requests/s", "added, ns", "p99, µs");
    for (name, time, tail) in figures {
        println!("{name:<14} {:>14.0} {:>14.0} {tail:>10.1}", 1e9 / time, time - bare);
        report.number(&format!("{name}_per_second"), 1e9 / time);
        report.number(&format!("{name}_added_ns"), time - bare);
        report.number(&format!("{name}_p99_us"), tail);
    }
    report.number("http_with_over_without", bare / held);
    report.number("http_with_limits_over_without", bare / limited);
    report.number("http_with_over_idle_layer", idle / held);
    report.number("p99_added_us", held_tail - bare_tail);
    println!();
    report.bar("http_with_over_without", ">= 0.95", |ratio| ratio >= 0.95);
    println!("{:<36} {:>8.3}  µs", "p99_added", held_tail - bare_tail);
    println!("\n{}", report.write("http.json").display());
}

fn service() -> KeyService {
    let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
    let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
    KeyService::new(scheme, MemoryStore::new())
}

fn key(number: usize) -> NewKey {
    NewKey::named(format!("Backend {number}"))
        .owner(format!("org_{}", number / 10))
        .permissions(["read:assets", "write:schedules"])
        .ip_allowlist(["127.0.0.0/8"])
        .expires_at("9000-01-01T00:00:00Z".parse().unwrap())
}

fn issue(keys: &KeyService, new: NewKey) -> String {
    let issued = pollster::block_on(keys.issue(&Actor::system("bench"), new)).unwrap();
    issued.into_key().expose_secret().to_owned()
}

async fn sites() -> Json<Value> {
    Json(json!({
        "data": [
            { "id": "site_1", "name": "Harbour", "kind": "charging", "connectors": 12 },
            { "id": "site_2", "name": "Station", "kind": "charging", "connectors": 8 },
        ],
        "next": null,
    }))
}

/// Passes requests on.
#[derive(Clone)]
struct Idle<S>(S);

impl<S: Service<Request>> Service<Request> for Idle<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.0.call(request)
    }
}

/// Starts the server, and gives its address.
fn serve(runtime: &Runtime, keys: &KeyService) -> SocketAddr {
    let gate = ApiKeyLayer::from_gate(Gate::new(keys.clone(), Environment::PRODUCTION));
    let gate = gate.require_all(["read:assets", "write:schedules"]).unwrap();
    let app = Router::new()
        .route("/held", get(sites).route_layer(gate))
        .route("/idle", get(sites).route_layer(layer_fn(Idle)))
        .route("/bare", get(sites))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}
