//! An axum handler with the layer and without, under one load generator.
//!
//! All cases are routes of one server, asked over the same connections by requests that differ
//! in the path alone. Batches are short and interleaved, and figures are 10th percentiles of
//! the batches'.
//!
//! The server is as a host runs it, a thread for each core, and the generator one thread more on
//! the same machine: requests a second are of both together. What a request costs the server
//! alone is told by the same cases on a server of one thread, which is then all that waits.
//! `KEYWARD_BENCH_ROUNDS` sets the number of batches of a case.

#![allow(clippy::cast_precision_loss)]

mod call;
mod load;
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
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tower::Service;
use tower::layer::layer_fn;

const KEYS: usize = 1_000;

/// Connections, each with one request under way.
const CONNECTIONS: usize = 32;

/// Requests on each connection in one batch, which is then a millisecond or two: a busy
/// neighbour is not in every one of them.
const EACH: usize = 3;

struct Case {
    name: &'static str,
    requests: Requests,
    /// Nanoseconds of one request, by batch.
    times: Vec<f64>,
    /// Microseconds from request to answer, of each.
    latencies: Vec<f64>,
}

fn main() {
    let rounds = std::env::var("KEYWARD_BENCH_ROUNDS");
    let rounds = rounds.map_or(3_000, |text| text.parse().expect("KEYWARD_BENCH_ROUNDS"));
    println!("{}", machine());
    println!(
        "a handler that answers a page of 20 sites as JSON, and one that answers `ok` (bare); \
         {KEYS} keys on a MemoryStore, each with an expiry, a network and two scopes, and in \
         `with_limits` with a rate limit, which the answer then tells of; {CONNECTIONS} \
         connections\n"
    );
    let keys = service();
    let plain: Vec<String> = (0..KEYS).map(|number| issue(&keys, key(number))).collect();
    let limit = RateLimit::per_second(1_000_000_000).unwrap();
    let limited = (0..KEYS).map(|number| issue(&keys, key(number).rate_limit(limit.clone())));
    let limited: Vec<String> = limited.collect();

    let gate = ApiKeyLayer::from_gate(Gate::new(keys.clone(), Environment::PRODUCTION));
    let gate = gate.require_all(["read:assets", "write:schedules"]).unwrap();
    let mut report = Report::default();
    report.times(call::times(rounds, &gate, &plain, &limited));
    report.table("call_without", "without");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (server, threads) in [("http", cores), ("one_thread", 1)] {
        println!("\n{server}: {threads} threads of the server");
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.unwrap();
        let mut load = Load::connect(serve(&runtime, gate.clone()), CONNECTIONS);
        let cases = under_load(&mut load, rounds, &plain, &limited);
        tell(&mut report, server, cases);
        // Connections end before what they are of.
        drop(load);
    }
    println!();
    report.bar("http_with_over_without", ">= 0.95", |ratio| ratio >= 0.95);
    println!("\n{}", report.write("http.json").display());
}

fn under_load(load: &mut Load, rounds: usize, plain: &[String], limited: &[String]) -> [Case; 7] {
    let nobody = ["ak_live_nobody".to_owned()];
    let mut cases = [
        ("without", "/sites/open", plain),
        ("with", "/sites/held", plain),
        ("with_limits", "/sites/held", limited),
        // What axum takes for any layer, which does nothing.
        ("idle_layer", "/sites/idle", plain),
        ("bare_without", "/bare/open", plain),
        ("bare_with", "/bare/held", plain),
        ("refused", "/bare/held", &nobody),
    ]
    .map(|(name, path, tokens)| {
        let requests = requests(path, tokens);
        Case { name, requests, times: Vec::new(), latencies: Vec::new() }
    });
    for _ in 0..rounds {
        for case in &mut cases {
            // A few that aren't timed first: caches and branches are still the last case's.
            load.run(1, &case.requests);
            let (latencies, one) = load.run(EACH, &case.requests);
            case.times.push(one);
            case.latencies.extend(latencies);
        }
    }
    cases
}

fn tell<const N: usize>(report: &mut Report, server: &str, cases: [Case; N]) {
    let percentile = |mut figures: Vec<f64>, percent: usize| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() * percent / 100]
    };
    let figures =
        cases.map(|case| (case.name, percentile(case.times, 10), percentile(case.latencies, 99)));
    let of = |name| *figures.iter().find(|(known, ..)| *known == name).expect(name);
    println!("{:<14} {:>12} {:>12} {:>12}", "", "requests/s", "ns of one", "p99, µs");
    for (name, time, tail) in figures {
        println!("{name:<14} {:>12.0} {time:>12.0} {tail:>12.1}", 1e9 / time);
        report.number(&format!("{server}_{name}_per_second"), 1e9 / time);
        report.number(&format!("{server}_{name}_p99_us"), tail);
    }
    let (_, without, without_tail) = of("without");
    let (_, with, with_tail) = of("with");
    for (name, figure, unit) in [
        ("with_over_without", without / with, ""),
        ("with_limits_over_without", without / of("with_limits").1, ""),
        ("bare_with_over_without", of("bare_without").1 / of("bare_with").1, ""),
        ("added_ns", with - without, "ns"),
        ("p99_added_us", with_tail - without_tail, "µs"),
    ] {
        let name = format!("{server}_{name}");
        println!("{name:<36} {figure:>10.3} {unit}");
        report.number(&name, figure);
    }
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

#[derive(Serialize)]
struct Page {
    data: Vec<Site>,
    next: Option<&'static str>,
}

#[derive(Serialize)]
struct Site {
    id: String,
    name: &'static str,
    kind: &'static str,
    latitude: f64,
    longitude: f64,
    connectors: u32,
}

/// A page of a list, as a service makes it of what it has in memory: 2 KB.
async fn sites() -> Json<Page> {
    let site = |number: u32| Site {
        id: format!("site_{number}"),
        name: "Harbour, west gate",
        kind: "charging",
        latitude: 53.54 + f64::from(number) / 1e3,
        longitude: 9.98,
        connectors: number % 12,
    };
    Json(Page { data: (0..20).map(site).collect(), next: None })
}

async fn ok() -> &'static str {
    "ok"
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
fn serve(runtime: &Runtime, gate: ApiKeyLayer) -> SocketAddr {
    let app = Router::new()
        .route("/sites/open", get(sites))
        .route("/sites/held", get(sites).route_layer(gate.clone()))
        .route("/sites/idle", get(sites).route_layer(layer_fn(Idle)))
        .route("/bare/open", get(ok))
        .route("/bare/held", get(ok).route_layer(gate))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}
