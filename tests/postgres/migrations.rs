//! The schema is made once, whoever makes it, and nothing of anybody else's is touched.

use keyward::{KeyQuery, KeyStore, PostgresStore};

use super::servers::{PgBouncer, Postgres};
use super::{PgConnectOptions, PgPoolOptions, common, said, service, store};

const CALLERS: usize = 20;

async fn migrate_at_once(stores: Vec<PostgresStore>) {
    let callers: Vec<_> = stores
        .into_iter()
        .map(|store| tokio::spawn(async move { store.migrate().await }))
        .collect();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn twenty_callers_make_one_schema() {
    let server = Postgres::shared();
    let schema = server.schema();
    let stores = || {
        let caller = |_| store(&server.url(), 1).schema(&schema).unwrap();
        (0..CALLERS).map(caller).collect()
    };
    migrate_at_once(stores()).await;
    migrate_at_once(stores()).await;
    let count = format!("SELECT count(*) FROM \"{schema}\".keyward_migrations");
    assert_eq!(server.psql("postgres", &count), "1");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and PgBouncer"]
async fn twenty_callers_behind_a_pooler_make_one_schema() {
    let server = Postgres::shared();
    let schema = server.schema();
    let stores = (0..CALLERS).map(|_| {
        let url = PgBouncer::shared().url_of("postgres");
        let options = url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        PostgresStore::new(pool).behind_pooler().schema(&schema).unwrap()
    });
    migrate_at_once(stores.collect()).await;
    let count = format!("SELECT count(*) FROM \"{schema}\".keyward_migrations");
    assert_eq!(server.psql("postgres", &count), "1");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn the_exported_sql_makes_the_same_schema() {
    let server = Postgres::shared();
    let store = store(&server.url(), 2);
    let store = store.schema(&server.schema()).unwrap().prefix("Kw_").unwrap();
    assert!(store.check().await.is_err());
    server.psql("postgres", &store.schema_sql(0));
    store.check().await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.schema_sql(PostgresStore::SCHEMA_VERSION), "");
    let _ =
        service(&store).issue(&common::system(), common::new_key("made by hand")).await.unwrap();
    assert_eq!(store.list(&KeyQuery::new()).await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_newer_schema_is_left_alone() {
    let server = Postgres::shared();
    let schema = server.schema();
    let store = store(&server.url(), 2).schema(&schema).unwrap();
    store.migrate().await.unwrap();
    let newer = format!("INSERT INTO \"{schema}\".keyward_migrations VALUES (2)");
    server.psql("postgres", &newer);
    for refused in [store.migrate().await, store.check().await] {
        let said = said(&refused.unwrap_err());
        assert!(said.contains("newer release"), "{said}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn tables_of_somebody_else_are_left_alone() {
    let server = Postgres::shared();
    for table in ["keys", "log", "settings", "limits", "overview", "migrations"] {
        let schema = server.schema();
        let theirs = format!("\"{schema}\".keyward_{table}");
        server.psql("postgres", &format!("CREATE TABLE {theirs} AS SELECT 'theirs' AS mine"));
        let store = store(&server.url(), 2).schema(&schema).unwrap();
        for refused in [store.migrate().await, store.check().await] {
            let said = said(&refused.unwrap_err());
            assert!(said.contains("choose another `prefix`"), "{table}: {said}");
        }
        let kept = server.psql("postgres", &format!("SELECT mine FROM {theirs}"));
        assert_eq!(kept, "theirs");
        let count = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'");
        assert_eq!(server.psql("postgres", &count), "1", "{table}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_dropped_migration_leaves_nothing_or_all() {
    let server = Postgres::shared();
    for polls in 0..25 {
        let schema = server.schema();
        let store = store(&server.url(), 1).schema(&schema).unwrap();
        drop(super::common::drop_after(polls, store.migrate()).await);
        store.migrate().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_dump_restores() {
    let server = Postgres::shared();
    let (from, to) = (server.database(), server.database());
    let dumped = store(&server.url_of(&from), 2);
    dumped.migrate().await.unwrap();
    let keys = service(&dumped);
    let issued = keys.issue(&common::system(), common::new_key("kept")).await.unwrap();
    let dump = server.dump(&from);
    server.psql_file(&to, &dump);
    let restored = store(&server.url_of(&to), 2);
    restored.check().await.unwrap();
    let before = dumped.get(issued.id()).await.unwrap().unwrap();
    let after = restored.get(issued.id()).await.unwrap().unwrap();
    assert_eq!(after.to_document(), before.to_document());
    assert_eq!(restored.list(&KeyQuery::new().owner("org_1")).await.unwrap().len(), 1);
}
