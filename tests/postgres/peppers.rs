//! Peppers change under nodes over one database, which stop half-way and connect again,
//! while the server is killed now and then: no key is refused, and no key is left behind.
//!
//! 2 random histories by default, times `KEYWARD_TEST_SCALE`.

use keyward::PostgresStore;

use super::servers::Postgres;
use super::{common, fleet, store};

/// A server of the test's own, and a schema in it.
struct Killed<'a> {
    server: &'a Postgres,
    schema: String,
}

impl fleet::Place for Killed<'_> {
    type Store = PostgresStore;

    async fn open(&self) -> PostgresStore {
        store(&self.server.url(), 2).schema(&self.schema).unwrap()
    }

    async fn crash(&self) {
        self.server.kill();
        self.server.resume();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn nodes_over_a_database_go_from_pepper_to_pepper_without_a_false_reject() {
    let server = Postgres::start(&["fsync=off"]);
    for seed in 0..2 * common::scale() as u64 {
        let place = Killed { server: &server, schema: server.schema() };
        fleet::Place::open(&place).await.migrate().await.unwrap();
        fleet::rotates_twice(place, seed, 24).await;
    }
}
