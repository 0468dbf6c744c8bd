//! Where a key is looked for, and what becomes of two.

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use keyward::{ApiKeyLayer, Environment, Gate, KeySource, NewKey, Verified};

use crate::fixture::World;
use crate::server::{Server, whose};

const JWT: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

fn key(world: &World, owner: &str) -> String {
    world.issue(NewKey::named("k").owner(owner)).1.expose_secret().to_owned()
}

#[tokio::test]
async fn every_way_to_present_keys() {
    let world = World::new();
    let server =
        Server::guarding(ApiKeyLayer::new(world.keys.clone(), Environment::PRODUCTION)).await;
    let (one, two) = (&*key(&world, "one"), &*key(&world, "two"));
    let (b, x) = ("authorization", "x-api-key");
    let bearer = |key: &str| format!("Bearer {key}");
    let (b1, b2, jwt) = (&*bearer(one), &*bearer(two), &*bearer(JWT));
    // Mistyped, and still meant to be ours.
    let typo = &*one.replace("ak_live_1", "ak_live_2");
    let uri = &*format!("secret-token:{one}");
    let huge = &*"k".repeat(60_000);
    for (headers, expected) in [
        (&[][..], "MISSING_API_KEY"),
        (&[(x, one)], "one"),
        (&[(b, b1)], "one"),
        (&[("X-API-Key", one)], "one"),
        (&[("AUTHORIZATION", &*format!("bEARER   {one}"))], "one"),
        (&[(x, uri)], "one"),
        // The same key twice is one key, in two headers; one header twice never is.
        (&[(b, b1), (x, one)], "one"),
        (&[(x, one), (x, one)], "AMBIGUOUS_API_KEY"),
        (&[(b, b1), (b, b1)], "AMBIGUOUS_API_KEY"),
        (&[(b, jwt), (b, b1)], "AMBIGUOUS_API_KEY"),
        (&[(b, b1), (x, two)], "AMBIGUOUS_API_KEY"),
        (&[(b, b2), (x, typo)], "AMBIGUOUS_API_KEY"),
        (&[(b, b1), (x, uri)], "AMBIGUOUS_API_KEY"),
        (&[(x, one), ("x-api-key", ""), ("accept", "a")], "AMBIGUOUS_API_KEY"),
        // What isn't ours is ignored beside what is, and refused alone.
        (&[(b, jwt), (x, one)], "one"),
        (&[(b, b1), (x, "their-gateway's-key")], "one"),
        (&[(b, "Basic dXNlcjpwdw=="), (x, one)], "one"),
        (&[(b, jwt)], "INVALID_API_KEY"),
        (&[(x, "theirs"), (b, jwt)], "INVALID_API_KEY"),
        (&[(x, b1)], "INVALID_API_KEY"),
        (&[(x, &*format!("{one},{two}"))], "INVALID_API_KEY"),
        (&[(x, typo)], "INVALID_API_KEY"),
        // Nothing is no key.
        (&[(x, "")], "MISSING_API_KEY"),
        (&[(x, "  "), (b, "Bearer ")], "MISSING_API_KEY"),
        (&[(b, "Bearer")], "MISSING_API_KEY"),
        (&[(b, one)], "MISSING_API_KEY"),
        (&[(b, "Basic dXNlcjpwdw==")], "MISSING_API_KEY"),
        (&[(x, ""), (b, b1)], "one"),
        // Whatever it is, it isn't a key.
        (&[(x, huge)], "INVALID_API_KEY"),
        (&[(b, &*bearer(huge))], "INVALID_API_KEY"),
        (&[(x, "\u{fc}ml\u{e4}ut")], "INVALID_API_KEY"),
        (&[(b, "Bearer \u{1f511}")], "INVALID_API_KEY"),
        (&[(x, huge), (b, b1)], "one"),
        (&[(x, "\u{1f511}"), (b, b1)], "one"),
        (&[("x-api-key2", one)], "MISSING_API_KEY"),
    ] {
        let answer = server.get(headers).await;
        let told = match answer.status {
            200 => answer.body.rsplit(' ').next().unwrap().to_owned(),
            _ => answer.code(),
        };
        assert_eq!(told, expected, "{headers:?}");
        let said = format!("{answer:?}");
        for key in [one, two] {
            let secret = &key.as_bytes()["ak_live_1".len() + 17..];
            let windows = secret.windows(8).map(|window| str::from_utf8(window).unwrap());
            assert!(windows.into_iter().all(|window| !said.contains(window)), "{said}");
        }
    }
    assert_eq!(server.get_of(&format!("/?api_key={one}"), &[]).await.code(), "MISSING_API_KEY");
}

/// Bytes that are no text at all, and a head that is too large for the server.
#[tokio::test]
async fn bytes_that_are_no_text() {
    let world = World::new();
    let server =
        Server::guarding(ApiKeyLayer::new(world.keys.clone(), Environment::PRODUCTION)).await;
    for byte in (0x80..=0xff_u8).chain([b'\t', b'"', b'~']) {
        let value = [b'k', byte, byte, b'k'];
        for header in [b"x-api-key: ".as_slice(), b"authorization: Bearer "] {
            let head = [b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n", header, &value];
            let answer = server.send(&[&head.concat(), b"\r\n\r\n".as_slice()].concat()).await;
            assert_eq!(answer.code(), "INVALID_API_KEY", "{byte:#x}");
        }
    }
    let huge = "k".repeat(1 << 20);
    assert_eq!(server.get(&[("x-api-key", &huge)]).await.status, 431, "the server's own refusal");
}

#[tokio::test]
async fn other_places_are_chosen_explicitly() {
    let world = World::new();
    let gate = Gate::new(world.keys.clone(), Environment::PRODUCTION)
        .sources([KeySource::header("X-Partner-Key").unwrap(), KeySource::query("key").unwrap()]);
    let server = Server::guarding(ApiKeyLayer::from_gate(gate)).await;
    let (one, two) = (&*key(&world, "one"), &*key(&world, "two"));
    assert_eq!(server.get(&[("x-partner-key", one)]).await.status, 200);
    assert_eq!(server.get(&[("x-api-key", one)]).await.code(), "MISSING_API_KEY");
    for (query, headers, expected) in [
        (format!("key={one}"), &[][..], "none"),
        (format!("a=b&key={one}&c"), &[], "none"),
        (format!("key={one}"), &[("x-partner-key", one)], "none"),
        (format!("key={one}"), &[("x-partner-key", two)], "AMBIGUOUS_API_KEY"),
        (format!("key={one}&key={one}"), &[], "AMBIGUOUS_API_KEY"),
        (format!("KEY={one}"), &[], "MISSING_API_KEY"),
        (format!("xkey={one}"), &[], "MISSING_API_KEY"),
        ("key=&key".into(), &[], "MISSING_API_KEY"),
        (format!("key={}", one.replace('_', "%5F")), &[], "INVALID_API_KEY"),
    ] {
        let answer = server.get_of(&format!("/?{query}"), headers).await;
        assert_eq!(answer.code(), expected, "{query}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{query}");
    }
    assert_eq!(server.get(&[("x-partner-key", one)]).await.header("cache-control"), None);
}

async fn perhaps(key: Option<Verified>) -> String {
    key.map_or_else(|| "nobody".to_owned(), |key| key.owner().to_owned())
}

#[tokio::test]
async fn an_optional_layer_refuses_what_is_wrong() {
    let world = World::new();
    let gate = ApiKeyLayer::new(world.keys.clone(), Environment::PRODUCTION);
    let optional = gate.require("read:a").unwrap().optional();
    let app = Router::new()
        .route("/", get(perhaps))
        .route("/must", get(whose))
        .route_layer(optional)
        .route("/open", get(perhaps))
        .route("/mistake", get(whose));
    let server = Server::start(app).await;
    let reader = NewKey::named("k").owner("one").permissions(["read:a"]);
    let reader = world.issue(reader).1;
    let bearer = format!("Bearer {}", reader.expose_secret());
    let narrow = key(&world, "two");
    for (headers, status, body) in [
        (&[][..], 200, "nobody"),
        (&[("authorization", &*bearer)], 200, "one"),
        (&[("authorization", &*format!("Bearer {JWT}"))], 200, "nobody"),
        (&[("authorization", "Bearer ak_live_1oops")], 401, "INVALID_API_KEY"),
        (&[("x-api-key", "oops")], 401, "INVALID_API_KEY"),
        (&[("x-api-key", &*narrow)], 403, "INSUFFICIENT_PERMISSIONS"),
        (&[("x-api-key", &*narrow), ("x-api-key", &*narrow)], 400, "AMBIGUOUS_API_KEY"),
    ] {
        let answer = server.get(headers).await;
        let told = if status == 200 { answer.body.clone() } else { answer.code() };
        assert_eq!((answer.status, told.as_str()), (status, body), "{headers:?}");
    }
    for path in ["/open", "/mistake", "/must"] {
        let answer = server.get_of(path, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "MISSING_LAYER"), "{path}");
        assert!(answer.body.contains("ApiKeyLayer"), "{}", answer.body);
    }
}

/// What the inner service sees of the request.
async fn seen(request: Request) -> String {
    let header = |name: &str| match request.headers().get(name) {
        Some(value) if value.is_sensitive() => format!("[{}]", value.len()),
        Some(value) => value.to_str().unwrap().to_owned(),
        None => "-".to_owned(),
    };
    format!("{} {} {}", header("authorization"), header("x-api-key"), request.uri())
}

#[tokio::test]
async fn credentials_are_hidden_and_taken_out_when_asked() {
    let world = World::new();
    let bearer_header_query = [
        KeySource::bearer(),
        KeySource::header("x-api-key").unwrap(),
        KeySource::query("key").unwrap(),
    ];
    let gate = Gate::new(world.keys.clone(), Environment::PRODUCTION).sources(bearer_header_query);
    let layer = ApiKeyLayer::from_gate(gate);
    let app = |layer| Router::new().route("/", get(seen)).route_layer(layer);
    let (kept, stripped) = (
        Server::start(app(layer.clone())).await,
        Server::start(app(layer.strip_credentials())).await,
    );
    let key = &*key(&world, "one");
    let (bearer, jwt) = (&*format!("Bearer {key}"), &*format!("Bearer {JWT}"));
    let (b, j, k) = (bearer.len(), jwt.len(), key.len());
    for (target, headers, whole, without) in [
        ("/?a", &[("authorization", bearer)][..], format!("[{b}] - /?a"), "- - /?a".into()),
        ("/", &[("x-api-key", key)], format!("- [{k}] /"), "- - /".into()),
        (
            "/",
            &[("authorization", jwt), ("x-api-key", key)],
            format!("[{j}] [{k}] /"),
            format!("[{j}] - /"),
        ),
        (
            &*format!("/?a=b&key={key}&c=d"),
            &[],
            format!("- - /?a=b&key={key}&c=d"),
            "- - /?a=b&c=d".into(),
        ),
        (
            &*format!("/?key={key}"),
            &[("authorization", bearer), ("x-api-key", key)],
            format!("[{b}] [{k}] /?key={key}"),
            "- - /".into(),
        ),
    ] {
        assert_eq!(kept.get_of(target, headers).await.body, whole);
        assert_eq!(stripped.get_of(target, headers).await.body, without);
    }
}
