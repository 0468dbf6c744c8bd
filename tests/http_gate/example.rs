//! The example that is shown first does what it says.

use keyward::NewKey;

use crate::fixture::World;
use crate::server::Server;

#[allow(dead_code, reason = "its `main` is for people")]
#[path = "../../examples/axum_minimal.rs"]
mod axum_minimal;

#[tokio::test]
async fn the_minimal_server_serves_its_keys() {
    assert!(include_str!("../../examples/axum_minimal.rs").lines().count() < 40);
    let world = World::new();
    let server = Server::start(axum_minimal::app(world.keys.clone()).unwrap()).await;
    let reader = world.issue(NewKey::named("k").owner("o").permissions(["read:assets"])).1;
    let writer = world.issue(NewKey::named("k").owner("o").permissions(["write:assets"])).1;
    let answer = server.get_of("/sites", &[("x-api-key", reader.expose_secret())]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "the sites of o\n"));
    let answer = server.get_of("/sites", &[("x-api-key", writer.expose_secret())]).await;
    assert_eq!(answer.code(), "INSUFFICIENT_PERMISSIONS");
    assert_eq!(server.get_of("/sites", &[]).await.code(), "MISSING_API_KEY");
    assert_eq!(server.get_of("/", &[]).await.status, 404, "what isn't there isn't guarded");
}
