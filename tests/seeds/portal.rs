//! A platform as its users reach it: over sockets, with its routes, the admin API and the page.

use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router};
use keyward::admin::{self, Authorizer, Credentials, KeyAuthorizer, Unauthorized};
use keyward::{
    Actor, ApiKey, ApiKeyLayer, Environment, Gate, KeyId, TrustedProxies, Verified, console,
};
use serde_json::{Value, json};

use crate::Platform;
use crate::http_client::{Client, Reply, Served};
use crate::page::Page;

/// A platform that is served until this is dropped.
pub(crate) struct Portal(Served);

impl Platform {
    /// Serves one environment: these routes, the admin API, and the page. Clients come through a
    /// proxy, which is this machine and says where they are in `X-Forwarded-For`.
    pub(crate) fn open(
        &self,
        environment: Environment,
        routes: impl FnOnce(ApiKeyLayer) -> Router,
    ) -> Portal {
        let proxies = TrustedProxies::x_forwarded_for(["127.0.0.0/8"]).unwrap();
        let gate = Gate::new(self.keys.clone(), environment).trusted_proxies(proxies);
        let administrators =
            Administrators { host: self.admin.clone(), keys: KeyAuthorizer::behind(gate.clone()) };
        let app = routes(gate.into())
            .merge(admin::router(self.keys.clone(), administrators))
            .merge(console::router());
        Portal(Served::new(app))
    }
}

/// One route that says whose key it saw.
pub(crate) fn guarded(path: &str, gate: ApiKeyLayer) -> Router {
    Router::new().route(path, get(whose).route_layer(gate))
}

async fn whose(key: Verified) -> Json<Value> {
    Json(json!({ "key": key.key_id(), "name": key.name() }))
}

impl Portal {
    /// Without any credential.
    pub(crate) fn anyone(&self) -> Client {
        self.0.client()
    }

    /// With the token of the energy platform's commands.
    pub(crate) fn admin(&self) -> Client {
        self.anyone().bearer("ADMIN_TOKEN")
    }

    /// With a key in `X-API-Key`.
    pub(crate) fn with(&self, key: &ApiKey) -> Client {
        self.anyone().with("X-API-Key", key.expose_secret())
    }

    /// The keys that an administrator sees.
    pub(crate) fn listed(&self) -> Vec<Value> {
        let page = self.admin().get("/admin/api-keys").expect(200).json();
        page["data"].as_array().unwrap().clone()
    }

    /// The page, as a browser loads it.
    pub(crate) fn page(&self) -> Page {
        Page::load(&self.anyone())
    }
}

/// Where the admin API has a key, or something about it: `/usage`, `/rotate`.
pub(crate) fn path(id: KeyId, of: &str) -> String {
    format!("/admin/api-keys/{id}{of}")
}

/// Fails unless this is a refusal with this status and code.
#[track_caller]
pub(crate) fn denied(reply: Reply, status: u16, code: &str) -> Reply {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.body);
    reply
}

/// The host itself by the token `ADMIN_TOKEN`, and keys as themselves.
struct Administrators {
    host: Actor,
    keys: KeyAuthorizer,
}

impl Authorizer for Administrators {
    async fn authorize(&self, parts: &Parts) -> Result<Actor, Unauthorized> {
        if is_host(parts) { Ok(self.host.clone()) } else { self.keys.authorize(parts).await }
    }

    fn credentials(&self, parts: &Parts) -> Credentials {
        if is_host(parts) { Credentials::Explicit } else { self.keys.credentials(parts) }
    }
}

fn is_host(parts: &Parts) -> bool {
    parts.headers.get("authorization").is_some_and(|token| token == "Bearer ADMIN_TOKEN")
}
