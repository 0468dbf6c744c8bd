//! A service behind the admin API, the page and a protected route, on a real socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use keyward::admin::{self, KeyAuthorizer};
use keyward::{
    Actor, ApiKeyLayer, Environment, KeyId, KeyScheme, KeyService, KeyView, MemoryStore, NewKey,
    PepperRing, Roles, console,
};

use crate::http_client::{Client, Served};

/// Whose key signs in to the page.
const PLATFORM: &str = "platform";

pub(crate) struct World {
    pub(crate) keys: KeyService,
    pub(crate) served: Served,
    /// The key that signs in: with it, somebody is the host itself.
    pub(crate) admin: String,
    pub(crate) admin_id: KeyId,
    way: Arc<Way>,
}

/// What becomes of the answers to changes.
#[derive(Default)]
struct Way {
    losing: AtomicBool,
    detaining: AtomicBool,
}

impl World {
    pub(crate) fn new() -> Self {
        let ring = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
        let prefixes = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
        let scheme = KeyScheme::new(ring, prefixes).unwrap();
        let roles = Roles::none()
            .role("viewer", ["read:sites", "read:assets"])
            .and_then(|roles| roles.role("operator", ["write:schedules"]))
            .unwrap();
        let keys = KeyService::builder(scheme, MemoryStore::new()).roles(roles).build();
        let new = NewKey::named("Administrator").owner(PLATFORM).permissions(["api.key.*"]);
        let issued = pollster::block_on(keys.issue(&Actor::system("setup"), new)).unwrap();
        let admin_id = issued.id();
        let admin = issued.into_key().expose_secret().to_owned();

        let way = Arc::new(Way::default());
        // The whole once more below a path, as a host may have it.
        let router = app(&keys, &way).nest("/internal", app(&keys, &way));
        let served = Served::new(router);
        Self { keys, served, admin, admin_id, way }
    }

    /// From now on changes are made, and whoever asked never hears of it.
    pub(crate) fn lose_answers(&self, whether: bool) {
        self.way.losing.store(whether, Ordering::SeqCst);
    }

    /// From now on changes are made, and whoever asked hears of it when this ends.
    pub(crate) fn detain_answers(&self, whether: bool) {
        self.way.detaining.store(whether, Ordering::SeqCst);
    }

    pub(crate) fn issue(&self, new: NewKey) -> (KeyId, String) {
        let issued = pollster::block_on(self.keys.issue(&host(), new)).unwrap();
        let id = issued.id();
        (id, issued.into_key().expose_secret().to_owned())
    }

    pub(crate) fn view(&self, id: KeyId) -> KeyView {
        pollster::block_on(self.keys.get(&host(), id)).unwrap()
    }

    /// The keys that are not revoked, the administrator's aside.
    pub(crate) fn listed(&self) -> Vec<KeyView> {
        let query = keyward::KeyQuery::new().limit(1_000);
        let page = pollster::block_on(self.keys.list(&host(), &query)).unwrap();
        page.data.into_iter().filter(|key| key.owner != PLATFORM).collect()
    }

    /// Uses a key as seed 000 does, and tells the status and the code of a refusal.
    pub(crate) fn call(&self, token: &str, path: &str) -> (u16, String) {
        let client: Client = self.served.client().with("X-API-Key", token);
        let reply = client.get(path);
        let code = if reply.status == 200 { String::new() } else { reply.code() };
        (reply.status, code)
    }

    pub(crate) fn sites(&self, token: &str) -> (u16, String) {
        self.call(token, "/inventory-service/sites")
    }
}

pub(crate) fn host() -> Actor {
    Actor::system("host")
}

fn app(keys: &KeyService, way: &Arc<Way>) -> Router {
    let authorizer =
        KeyAuthorizer::new(keys.clone(), Environment::PRODUCTION).acting(|key| match key.owner() {
            PLATFORM => Actor::system("alice@example.com"),
            "org_all" => Actor::system("bob@example.com").for_owner("org_all").for_all_owners(),
            _ => key.into(),
        });
    let api = admin::router(keys.clone(), authorizer).layer(from_fn({
        let way = Arc::clone(way);
        move |request: Request, next: Next| deliver(Arc::clone(&way), request, next)
    }));
    Router::new().merge(api).merge(console::router()).merge(guarded(keys))
}

/// What the keys are for: sites, all of them or a customer's.
fn guarded(keys: &KeyService) -> Router {
    let gate = ApiKeyLayer::new(keys.clone(), Environment::PRODUCTION)
        .resource("customer", |parts| {
            let rest = parts.uri.path().strip_prefix("/inventory-service/customers/")?;
            rest.split('/').next().map(Into::into)
        })
        .require("read:assets")
        .unwrap();
    Router::new()
        .route("/inventory-service/sites", get("sites"))
        .route("/inventory-service/customers/{customer}/sites", get("sites"))
        .route_layer(gate)
}

async fn deliver(way: Arc<Way>, request: Request, next: Next) -> axum::response::Response {
    let changes = request.method() != Method::GET;
    let answer = next.run(request).await;
    while changes && way.detaining.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if changes && way.losing.load(Ordering::SeqCst) {
        // Ends the connection without a word, and without a message of the test's own.
        std::panic::resume_unwind(Box::new("the answer is lost"));
    }
    answer
}
