//! A whole server with one protected route: `cargo run --example axum_minimal`.

use std::{error::Error, net::SocketAddr};

use axum::{Router, routing::get};
use keyward::{
    Actor, ApiKeyLayer, Environment, FieldError, KeyScheme, KeyService, MemoryStore, NewKey,
    PepperRing, Verified,
};

async fn sites(key: Verified) -> String {
    format!("the sites of {}\n", key.owner())
}

pub(crate) fn app(keys: KeyService) -> Result<Router, FieldError> {
    let gate = ApiKeyLayer::new(keys, Environment::PRODUCTION);
    Ok(Router::new().route("/sites", get(sites)).route_layer(gate.require("read:assets")?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Keep a pepper, and a store on disk, if keys are to outlive the process.
    let pepper = match std::env::var("KEYWARD_PEPPER") {
        Ok(pepper) => PepperRing::from_base64(&pepper)?,
        Err(_) => PepperRing::from_base64(&PepperRing::generate()?)?,
    };
    let scheme = KeyScheme::new(pepper, [("ak_live", Environment::PRODUCTION)])?;
    let keys = KeyService::new(scheme, MemoryStore::new());
    let new = NewKey::named("first").owner("org_1").permissions(["read:assets"]);
    let key = keys.issue(&Actor::system("setup"), new).await?.into_key();
    println!("curl -H 'X-API-Key: {}' http://127.0.0.1:8080/sites", key.expose_secret());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let app = app(keys)?.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
