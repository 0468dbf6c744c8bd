//! Keys that have to be fetched, slow clients, and many of them.

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use keyward::{
    ApiKeyLayer, Change, Environment, Event, Gate, KeyId, KeyQuery, KeyRecord, KeyService,
    KeyStore, LogQuery, MemoryStore, NewKey, StoreError, StoreErrorKind, UsageStore, Verified,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::fixture::{World, scheme};
use crate::server::{Answer, Server};

/// A store that takes its time, or fails.
#[derive(Clone)]
struct Slow {
    store: MemoryStore,
    fails: bool,
}

impl KeyStore for Slow {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        sleep(Duration::from_millis(20)).await;
        if self.fails {
            return Err(StoreError::new(StoreErrorKind::Unavailable).with_source("at db.internal"));
        }
        self.store.get(id).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.store.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.store.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.store.log(query).await
    }
}

impl UsageStore for Slow {
    async fn add(&self, deltas: &[keyward::UsageDelta]) -> Result<(), StoreError> {
        self.store.add(deltas).await
    }

    async fn usage(
        &self,
        ids: &[KeyId],
    ) -> Result<std::collections::HashMap<KeyId, keyward::Usage>, StoreError> {
        self.store.usage(ids).await
    }
}

#[tokio::test]
async fn a_key_that_is_fetched_is_decided_alike() {
    let world = World::new();
    let slow = Slow { store: world.store.clone(), fails: false };
    let keys = KeyService::builder(scheme(), slow.clone()).clock(world.clock.clone()).build();
    let layer = ApiKeyLayer::new(keys, Environment::PRODUCTION)
        .require("read:a")
        .unwrap()
        .resource("path", |parts| Some(parts.uri.path().into()))
        .resource("query", |parts| parts.uri.query().map(Into::into));
    let server = Server::guarding(layer.clone()).await;
    let new = || NewKey::named("k").owner("o").permissions(["read:a"]);
    let key = world.issue(new().resources("path", ["/"]).resources("query", ["q"])).1;
    let given = [("x-api-key", key.expose_secret())];
    assert_eq!(server.get_of("/?q", &given).await.status, 200);
    assert_eq!(server.get_of("/?p", &given).await.code(), "RESOURCE_NOT_ALLOWED");
    assert_eq!(server.get_of("/", &given).await.code(), "RESOURCE_NOT_ALLOWED");
    let unknown = World::new().issue(new()).1;
    let answer = server.get(&[("x-api-key", unknown.expose_secret())]).await;
    assert_eq!(answer.code(), "INVALID_API_KEY");
    assert_eq!(server.get(&[]).await.code(), "MISSING_API_KEY");

    let keys = KeyService::new(scheme(), Slow { fails: true, ..slow });
    let server = Server::guarding(ApiKeyLayer::new(keys, Environment::PRODUCTION)).await;
    let answer = server.get(&given).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!answer.body.contains("internal"), "{}", answer.body);
}

/// The limits of a fetched key are taken once, and told on the response too.
#[tokio::test]
async fn a_fetched_key_is_counted_once() {
    let world = World::new();
    let slow = Slow { store: world.store.clone(), fails: false };
    let keys = KeyService::builder(scheme(), slow).clock(world.clock.clone()).build();
    let server = Server::guarding(ApiKeyLayer::new(keys, Environment::PRODUCTION)).await;
    let rate = keyward::RateLimit::per_minute(5).unwrap();
    let key = world.issue(NewKey::named("k").owner("o").rate_limit(rate)).1;
    for left in [4, 3, 2, 1, 0] {
        let answer = server.get(&[("x-api-key", key.expose_secret())]).await;
        let state = answer.header("ratelimit").unwrap().to_owned();
        assert!(state.starts_with(&format!("\"minute\";r={left};")), "{state}");
    }
    assert_eq!(server.get(&[("x-api-key", key.expose_secret())]).await.status, 429);
}

async fn echo(key: Verified, body: String) -> String {
    format!("{} {body}", key.owner())
}

/// A refusal doesn't wait for the body, and whoever dribbles holds up nobody else.
#[tokio::test]
async fn slow_clients_hold_up_nobody() {
    let world = World::new();
    let layer = ApiKeyLayer::from_gate(Gate::new(world.keys.clone(), Environment::PRODUCTION));
    let server = Server::start(Router::new().route("/", post(echo)).route_layer(layer)).await;
    let key = world.issue(NewKey::named("k").owner("o")).1;
    let head = |key: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: t\r\nx-api-key: {key}\r\ncontent-length: 8\r\nconnection: close\r\n\r\n"
        )
    };
    // Half of them stop in the head and half in the body, until they are told to go on.
    let (go_on, told) = tokio::sync::watch::channel(false);
    let mut dribbling = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let text = format!("{}12345678", head(key.expose_secret()));
        let stop = if number % 2 == 0 { text.len() / 2 } else { text.len() - 4 };
        let mut told = told.clone();
        dribbling.push(tokio::spawn(async move {
            let (first, rest) = text.split_at(stop);
            stream.write_all(first.as_bytes()).await.unwrap();
            told.wait_for(|go_on| *go_on).await.unwrap();
            for piece in rest.as_bytes().chunks(8) {
                stream.write_all(piece).await.unwrap();
                sleep(Duration::from_millis(5)).await;
            }
            let mut response = Vec::new();
            stream.read_to_end(&mut response).await.unwrap();
            Answer::read(&response)
        }));
    }
    for _ in 0..50 {
        let whole = format!("{}12345678", head(key.expose_secret()));
        let answer = timeout(Duration::from_secs(60), server.send(whole.as_bytes())).await;
        assert_eq!(answer.expect("held up").body, "o 12345678");
    }

    // The body never comes, and the refusal does.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head("ak_live_no").as_bytes()).await.unwrap();
    let mut response = Vec::new();
    let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut response)).await;
    read.expect("waited for the body").unwrap();
    assert_eq!(Answer::read(&response).code(), "INVALID_API_KEY");

    assert!(dribbling.iter().all(|client| !client.is_finished()));
    go_on.send(true).unwrap();
    for answer in dribbling {
        assert_eq!(answer.await.unwrap().body, "o 12345678");
    }
}
