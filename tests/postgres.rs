//! The store contract over a real PostgreSQL, directly and through a transaction pooler.

#![cfg(feature = "postgres")]

mod servers;

use keyward::PostgresStore;
use servers::{PgBouncer, Postgres};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

mod direct {
    keyward::conformance_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL"]
        super::direct().await
    );
}

mod through_pgbouncer {
    keyward::conformance_suite!(
        #[tokio::test]
        #[ignore = "needs PostgreSQL and PgBouncer"]
        super::through_pgbouncer().await
    );
}

async fn direct() -> PostgresStore {
    let pool = PgPool::connect_lazy(&Postgres::shared().url()).unwrap();
    empty(PostgresStore::new(pool)).await
}

async fn through_pgbouncer() -> PostgresStore {
    let url = PgBouncer::shared().url_of("postgres");
    let options = url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
    let pool = PgPoolOptions::new().connect_lazy_with(options);
    empty(PostgresStore::new(pool).behind_pooler()).await
}

async fn empty(store: PostgresStore) -> PostgresStore {
    let store = store.schema(&Postgres::shared().schema()).unwrap();
    store.migrate().await.unwrap();
    store
}
