//! What the layer allocates: the extension that holds the key, and nothing else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use http::{Request, Response};
use keyward::{
    AccessRequest, Actor, ApiKeyLayer, Environment, Gate, KeyScheme, KeyService, MemoryStore,
    NewKey, PepperRing, RateLimit, TrustedProxies, Verified,
};
use pollster::block_on;
use tower::{Layer, Service, service_fn};

/// Something that stands among the extensions already, as under axum.
#[derive(Clone)]
struct Before;

fn keys() -> KeyService {
    let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
    let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
    KeyService::new(scheme, MemoryStore::new())
}

fn key(keys: &KeyService, new: NewKey) -> String {
    let new = new.owner("org_1").permissions(["read:assets"]);
    block_on(keys.issue(&Actor::system("test"), new)).unwrap().into_key().expose_secret().into()
}

fn request(key: &str) -> Request<()> {
    let mut request =
        Request::get("/customers/c_1/sites").header("x-api-key", key).body(()).unwrap();
    request.extensions_mut().insert(Before);
    request.extensions_mut().insert(SocketAddr::from(([10, 0, 0, 1], 80)));
    request.headers_mut().insert("x-forwarded-for", "6.6.6.6, 192.0.2.7".parse().unwrap());
    request
}

/// Allocations from the call to the response, which must come at once.
fn of<S>(service: &mut S, request: Request<()>) -> (u64, Response<String>)
where
    S: Service<Request<()>, Response = Response<String>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut answered = None;
    let counted = measure(|| {
        let future = pin!(service.call(request));
        let Poll::Ready(Ok(response)) = future.poll(&mut context) else {
            panic!("a MemoryStore never waits");
        };
        answered = Some(response);
    });
    (counted.count_total, answered.unwrap())
}

async fn serve(request: Request<()>) -> Result<Response<String>, Infallible> {
    drop(request);
    Ok(Response::new(String::new()))
}

#[test]
fn a_key_at_hand_costs_one_box() {
    let keys = keys();
    let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8"]).unwrap();
    let gate = Gate::new(keys.clone(), Environment::PRODUCTION).trusted_proxies(proxies);
    let layer = ApiKeyLayer::from_gate(gate)
        .require("read:assets")
        .unwrap()
        .resource("customer", |parts| parts.uri.path().split('/').nth(2).map(Into::into));
    let key = key(&keys, NewKey::named("k").customers(["c_1"]).ip_allowlist(["192.0.2.0/24"]));
    let (without, _) = of(&mut service_fn(serve), request(&key));
    assert_eq!(without, 0);
    let mut guarded = layer.layer(service_fn(serve));
    // The first use makes the key's counters.
    assert_eq!(of(&mut guarded, request(&key)).1.status(), 200);
    let (with, response) = of(&mut guarded, request(&key));
    assert_eq!(response.status(), 200);

    let verified = block_on(
        keys.verify(
            &key,
            &AccessRequest::new(Environment::PRODUCTION)
                .resources(&[("customer", "c_1")])
                .from(keyward::ClientIp::Peer([192, 0, 2, 7].into())),
        ),
    );
    let verified = verified.unwrap();
    let mut request = request(&key);
    let insert = measure(|| drop(request.extensions_mut().insert::<Verified>(verified.clone())));
    assert_eq!((with, insert.count_total), (1, 1));
}

/// The values of the headers are text; keys without limits have none.
#[test]
fn limits_cost_their_headers_unless_they_are_off() {
    let keys = keys();
    let key = key(&keys, NewKey::named("k").rate_limit(RateLimit::per_second(1_000).unwrap()));
    let gate = Gate::new(keys, Environment::PRODUCTION);
    let mut plain = ApiKeyLayer::from_gate(gate.clone()).layer(service_fn(serve));
    let mut silent = ApiKeyLayer::from_gate(gate.without_limit_headers()).layer(service_fn(serve));
    for _ in 0..2 {
        assert_eq!(of(&mut plain, request(&key)).1.status(), 200);
    }
    let (with, response) = of(&mut plain, request(&key));
    assert!(response.headers().contains_key("ratelimit") && with <= 20, "{with}");
    assert_eq!(of(&mut silent, request(&key)).0, 1);
}

/// Whatever a client sends: nothing is allocated until somebody wants an answer.
#[test]
fn no_refusal_allocates_before_its_answer() {
    let keys = keys();
    let other = key(&keys, NewKey::named("other"));
    let key = key(&keys, NewKey::named("k").ip_allowlist(["198.51.100.0/24"]));
    let proxies = TrustedProxies::forwarded(["10.0.0.0/8"]).unwrap();
    let gate = Gate::new(keys, Environment::PRODUCTION).trusted_proxies(proxies);
    let huge = "k".repeat(1 << 20);
    let hops = "for=\"[2001:db8::1]:80\", ".repeat(5_000);
    for (headers, code) in [
        (&[][..], "MISSING_API_KEY"),
        (&[("x-api-key", "x")], "INVALID_API_KEY"),
        (&[("x-api-key", &*huge), ("authorization", "Bearer \u{fc}\u{1f511}")], "INVALID_API_KEY"),
        (&[("x-api-key", &*key), ("x-api-key", &*key)], "AMBIGUOUS_API_KEY"),
        (
            &[("x-api-key", &*key), ("authorization", &format!("Bearer {other}"))],
            "AMBIGUOUS_API_KEY",
        ),
        (&[("x-api-key", &*key)], "IP_NOT_ALLOWED"),
        (&[("x-api-key", &*key), ("forwarded", "for=192.0.2.7, for=10.1.1.1")], "IP_NOT_ALLOWED"),
        (&[("x-api-key", &*key), ("forwarded", &*hops)], "IP_NOT_ALLOWED"),
        (&[("x-api-key", &*other)], "INSUFFICIENT_PERMISSIONS"),
    ] {
        let mut request = Request::get("/").extension(SocketAddr::from(([10, 0, 0, 1], 80)));
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let wanted = AccessRequest::new(Environment::PRODUCTION).scope("admin");
        let mut refused = None;
        let counted = measure(|| {
            let checked = pin!(gate.check(&parts, wanted));
            let checked = checked.poll(&mut Context::from_waker(Waker::noop()));
            refused = Some(checked);
        });
        let Some(Poll::Ready(Err(refusal))) = refused else { panic!("{code}: {refused:?}") };
        assert_eq!((refusal.code(), counted.count_total), (code, 0));
    }
}
