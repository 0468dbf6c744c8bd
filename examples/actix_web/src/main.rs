//! One protected route on actix-web: `cargo run -p keyward-actix-web-example`.

mod gate;

use std::error::Error;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use keyward::{
    Actor, Environment, Gate, KeyScheme, KeyService, MemoryStore, NewKey, PepperRing, Verified,
};

async fn sites(key: web::ReqData<Verified>) -> String {
    format!("the sites of {}\n", key.owner())
}

fn routes(app: &mut web::ServiceConfig, gate: Gate) {
    let sites = web::resource("/sites").wrap(from_fn(gate::read_assets)).get(sites);
    app.app_data(web::Data::new(gate)).service(sites);
}

fn keys() -> Result<KeyService, Box<dyn Error>> {
    let pepper = match std::env::var("KEYWARD_PEPPER") {
        Ok(pepper) => PepperRing::from_base64(&pepper)?,
        Err(_) => PepperRing::from_base64(&PepperRing::generate()?)?,
    };
    let scheme = KeyScheme::new(pepper, [("ak_live", Environment::PRODUCTION)])?;
    Ok(KeyService::new(scheme, MemoryStore::new()))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let keys = keys()?;
    let new = NewKey::named("first").owner("org_1").permissions(["read:assets"]);
    let key = keys.issue(&Actor::system("setup"), new).await?.into_key();
    println!("curl -H 'X-API-Key: {}' http://127.0.0.1:8080/sites", key.expose_secret());

    let gate = Gate::new(keys, Environment::PRODUCTION);
    let app = move || App::new().configure(|app| routes(app, gate.clone()));
    Ok(HttpServer::new(app).workers(2).bind("127.0.0.1:8080")?.run().await?)
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use keyward::RateLimit;

    use super::*;

    #[actix_web::test]
    async fn the_route_serves_whom_it_may() {
        let keys = keys().unwrap();
        let gate = Gate::new(keys.clone(), Environment::PRODUCTION);
        let app = init_service(App::new().configure(|app| routes(app, gate))).await;
        let issue = async |new: NewKey| {
            let new = new.owner("o");
            let key = keys.issue(&Actor::system("test"), new).await.unwrap().into_key();
            key.expose_secret().to_owned()
        };
        let rate = RateLimit::per_minute(1).unwrap();
        let limited = issue(NewKey::named("r").permissions(["read:assets"]).rate_limit(rate)).await;
        let near = NewKey::named("n").permissions(["read:assets"]).ip_allowlist(["127.0.0.1"]);
        let near = issue(near).await;
        let writer = issue(NewKey::named("w").permissions(["write:assets"])).await;
        for (headers, status, told) in [
            (&[][..], 401, "MISSING_API_KEY"),
            (&[("x-api-key", "no")], 401, "INVALID_API_KEY"),
            (&[("x-api-key", &*writer)], 403, "INSUFFICIENT_PERMISSIONS"),
            (&[("authorization", &*format!("Bearer {near}"))], 200, "the sites of o"),
            (&[("x-api-key", &*near), ("x-api-key", &*near)], 400, "AMBIGUOUS_API_KEY"),
            (&[("x-api-key", &*limited)], 200, "the sites of o"),
            (&[("x-api-key", &*limited)], 429, "RATE_LIMITED"),
        ] {
            let mut request =
                TestRequest::get().uri("/sites").peer_addr("127.0.0.1:1".parse().unwrap());
            for header in headers {
                request = request.append_header(*header);
            }
            let response = call_service(&app, request.to_request()).await;
            assert_eq!(response.status(), status, "{told}");
            assert_eq!(
                response.headers().contains_key("ratelimit"),
                headers == [("x-api-key", &*limited)]
            );
            assert_eq!(
                response.headers().contains_key("www-authenticate"),
                matches!(status, 400..=403)
            );
            let body = read_body(response).await;
            assert!(String::from_utf8_lossy(&body).contains(told), "{body:?}");
        }
    }
}
