//! What is served: one guarded route, the admin API, and the page.

use axum::routing::get;
use axum::{Json, Router};
use keyward::{ApiKeyLayer, Environment, KeyService, Verified, admin, console};
use serde_json::{Value, json};

use crate::{Result, administrator};

pub(crate) fn router(keys: KeyService) -> Result<Router> {
    let gate = ApiKeyLayer::new(keys.clone(), Environment::PRODUCTION);
    let needs_read = gate.require("read:assets")?;
    Ok(Router::new()
        .route("/inventory-service/sites", get(sites).route_layer(needs_read))
        .merge(admin::router(keys.clone(), administrator::authorizer(keys)))
        .merge(console::router()))
}

async fn sites(key: Verified) -> Json<Value> {
    Json(json!({
        "data": [
            { "id": "site_1", "name": "Riverside Depot", "owner": key.owner() },
            { "id": "site_2", "name": "Harbour Works", "owner": key.owner() },
        ]
    }))
}
