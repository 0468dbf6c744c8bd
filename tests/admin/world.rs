//! A service with a clock that is moved by hand, behind the admin API on a real socket.

use std::collections::HashMap;

use keyward::admin::{self, Authorizer, Credentials, KeyAuthorizer, Unauthorized};
use keyward::store::{KeyStore, LogQuery, UsageStore};
use keyward::{
    Actor, ApiKeyLayer, Change, Environment, Event, FakeClock, KeyId, KeyQuery, KeyRecord,
    KeyScheme, KeyService, MemoryStore, NewKey, PepperRing, Roles, SharedKeyStore, StoreError,
    StoreErrorKind, Usage, UsageDelta,
};
use serde_json::{Value, json};

use crate::document;
use crate::http_client::{Client, Served};

pub(crate) const START: &str = "2024-01-15T10:00:00Z";

/// What an administrator's key holds in most tests.
pub(crate) const ADMIN: [&str; 4] = ["api.key.*", "read:*", "write:*", "deployments:*"];

pub(crate) struct World {
    pub(crate) keys: KeyService,
    pub(crate) clock: FakeClock,
    pub(crate) served: Served,
}

impl World {
    /// Administrators are keys, each of them as itself.
    pub(crate) fn new() -> Self {
        Self::authorized(|keys| KeyAuthorizer::new(keys, Environment::PRODUCTION))
    }

    pub(crate) fn authorized<A: Authorizer>(by: impl FnOnce(KeyService) -> A) -> Self {
        Self::of(MemoryStore::new(), by)
    }

    /// The same, and beside it a route behind the layer, `/guarded`.
    pub(crate) fn guarded() -> Self {
        let mut world = Self::new();
        let layer = ApiKeyLayer::new(world.keys.clone(), Environment::PRODUCTION);
        let guarded = axum::routing::get(|| async { "" });
        let authorizer = KeyAuthorizer::new(world.keys.clone(), Environment::PRODUCTION);
        let router = axum::Router::new()
            .route("/guarded", guarded)
            .route_layer(layer)
            .merge(admin::router(world.keys.clone(), authorizer));
        world.served = Served::new(router);
        world
    }

    /// The same below a path.
    pub(crate) fn nested(below: &str) -> Self {
        let mut world = Self::new();
        let authorizer = KeyAuthorizer::new(world.keys.clone(), Environment::PRODUCTION);
        let router = admin::router(world.keys.clone(), authorizer);
        world.served = Served::new(axum::Router::new().nest(below, router));
        world
    }

    /// The host itself asks, and the store fails each time.
    pub(crate) fn failing() -> Self {
        Self::of(Failing, |_| Anybody)
    }

    pub(crate) fn of<A: Authorizer>(
        store: impl Into<SharedKeyStore>,
        by: impl FnOnce(KeyService) -> A,
    ) -> Self {
        let ring = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
        let prefixes = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
        let scheme = KeyScheme::new(ring, prefixes).unwrap();
        let clock = FakeClock::at(START.parse().unwrap());
        let roles = Roles::none()
            .role("viewer", ["read:assets"])
            .unwrap()
            .owner_role("org_1", "Auditor", ["read:logs"])
            .unwrap()
            .owner_role("org_2", "Theirs", ["read:*"])
            .unwrap();
        let keys = KeyService::builder(scheme, store).clock(clock.clone()).roles(roles).build();
        let router = admin::router(keys.clone(), by(keys.clone()));
        Self { keys, clock, served: Served::new(router) }
    }

    /// The token of a new key of an owner.
    pub(crate) fn token(&self, owner: &str, permissions: &[&str]) -> String {
        self.give(NewKey::named("given").owner(owner).permissions(permissions.iter().copied())).1
    }

    /// The id and the token of a new key.
    pub(crate) fn give(&self, new: NewKey) -> (String, String) {
        let issued = pollster::block_on(self.keys.issue(&Actor::system("host"), new)).unwrap();
        let id = issued.id().to_string();
        (id, issued.into_key().expose_secret().to_owned())
    }

    /// A client of an administrator of `org_1`.
    pub(crate) fn admin(&self) -> Client {
        self.client(&self.token("org_1", &ADMIN))
    }

    /// A client without credentials, whose every answer is held against the document.
    pub(crate) fn anyone(&self) -> Client {
        self.served.client().checked(document::check)
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        self.anyone().bearer(token)
    }
}

/// Whoever sends the cookie of a session is the host itself, for `org_1`.
pub(crate) struct Cookie;

pub(crate) const SESSION: &str = "session=4711";

impl Authorizer for Cookie {
    async fn authorize(&self, parts: &axum::http::request::Parts) -> Result<Actor, Unauthorized> {
        let cookie = parts.headers.get("cookie").and_then(|cookie| cookie.to_str().ok());
        match cookie {
            Some(SESSION) => Ok(Actor::system("alice").for_owner("org_1")),
            Some("session=banned") => Err(Unauthorized::forbidden()),
            Some("session=lost") => Err(Unauthorized::unavailable()),
            _ => Err(Unauthorized::unauthenticated().challenge("Cookie realm=\"portal\"")),
        }
    }
}

/// The host itself: whatever comes, `root` sent it, by a header of the API's own.
pub(crate) struct Anybody;

impl Authorizer for Anybody {
    async fn authorize(&self, _: &axum::http::request::Parts) -> Result<Actor, Unauthorized> {
        Ok(Actor::system("root").for_owner("org_1"))
    }

    fn credentials(&self, _: &axum::http::request::Parts) -> Credentials {
        Credentials::Explicit
    }
}

/// Issues a key over HTTP.
pub(crate) fn issue(client: &Client, body: &Value) -> Value {
    client.json("POST", "/admin/api-keys", body).expect(201).json()
}

/// A key that may do a little, issued over HTTP.
pub(crate) fn some_key(client: &Client) -> Value {
    issue(client, &json!({ "name": "some", "permissions": ["read:assets"] }))
}

/// The path of a key.
pub(crate) fn path(key: &Value) -> String {
    format!("/admin/api-keys/{}", key["id"].as_str().unwrap())
}

/// A store that is never there.
#[derive(Clone)]
struct Failing;

fn gone<T>() -> Result<T, StoreError> {
    let source = std::io::Error::other("the password of `keyward` is wrong");
    Err(StoreError::new(StoreErrorKind::Unavailable).with_source(source))
}

impl KeyStore for Failing {
    async fn get(&self, _: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        gone()
    }

    async fn commit(&self, _: Change) -> Result<(), StoreError> {
        gone()
    }

    async fn list(&self, _: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        gone()
    }

    async fn log(&self, _: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        gone()
    }
}

impl UsageStore for Failing {
    async fn add(&self, _: &[UsageDelta]) -> Result<(), StoreError> {
        gone()
    }

    async fn usage(&self, _: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        gone()
    }
}
