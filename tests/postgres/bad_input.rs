//! What hosts get wrong: each is an error that says what to do, gives no password away,
//! answers a request with 503 and never with 401, and allows nothing.

use std::time::Duration;

use keyward::{
    Change, ChangeFeed, Charge, KeyId, KeyStore, LimitStore, LimitSubject, LogQuery, RateLimit,
    SharedLimit, StoreError, StoreErrorKind, UsageStore,
};

use super::servers::{PASSWORD, Postgres, url};
use super::{PATIENCE, PgPoolOptions, common, empty, said, service, store};
use crate::PostgresStore;

/// What a store says to every kind of call; all of them fail.
async fn failures(store: &PostgresStore) -> Vec<(&'static str, StoreError)> {
    let id = KeyId::from_bytes([1; 10]);
    let limit = SharedLimit::Rate(RateLimit::per_day(1).unwrap());
    let subject = LimitSubject::Key(id);
    let owner = "org_1".into();
    let charge = Charge { owner, subject, limit, cost: 1, now: common::START };
    let failed = [
        ("get", store.get(id).await.map(drop)),
        ("commit", store.commit(change(id)).await),
        ("list", store.list(&keyward::KeyQuery::new()).await.map(drop)),
        ("log", store.log(&LogQuery::from(0)).await.map(drop)),
        ("usage", store.usage(&[id]).await.map(drop)),
        ("changes", store.changes(&LogQuery::from(0)).await.map(drop)),
        ("set_max_staleness", store.set_max_staleness(Duration::from_secs(1)).await),
        ("take", store.limits().take(&[charge]).await.map(drop)),
        ("check", store.check().await),
    ];
    failed
        .into_iter()
        .map(|(call, result)| (call, result.expect_err(call)))
        .inspect(|(call, error)| {
            let said = said(error);
            assert!(!said.contains(PASSWORD) && !said.contains("Pa55"), "{call}: {said}");
            assert_ne!(error.kind(), StoreErrorKind::Conflict, "{call}");
        })
        .collect()
}

fn change(id: KeyId) -> Change {
    let record = keyward::KeyRecord::from_row(id, 1, "{}");
    Change { record, expect: keyward::Expect::Absent { cap: None }, event: None }
}

/// Demands that every call says this, but for `except`.
async fn says(store: &PostgresStore, kind: StoreErrorKind, what: &str, except: &[&str]) {
    for (call, error) in failures(store).await {
        if !except.contains(&call) {
            let said = said(&error);
            assert!(said.contains(what), "{call} of {what}: {said}");
            assert_eq!(error.kind(), kind, "{call} of {what}: {said}");
        }
    }
    let token = {
        let store = keyward::MemoryStore::new();
        let keys = keyward::KeyService::new(common::scheme(&[1]), store);
        let issued = keys.issue(&common::system(), common::new_key("elsewhere")).await.unwrap();
        issued.into_key().expose_secret().to_owned()
    };
    let refused = service(store).verify(&token, &common::READ).await.unwrap_err();
    assert_eq!(refused.status(), 503, "{what}: {refused}");
}

fn store_at(url: &str) -> PostgresStore {
    waiting_for(PATIENCE, url)
}

fn waiting_for(patience: Duration, url: &str) -> PostgresStore {
    let pool = PgPoolOptions::new().acquire_timeout(patience).connect_lazy(url).unwrap();
    PostgresStore::new(pool).patience(2 * patience)
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn nobody_at_the_address() {
    let port = super::servers::free_port();
    let store = waiting_for(Duration::from_millis(300), &url(port, "postgres"));
    says(&store, StoreErrorKind::Unavailable, "can't be reached", &["changes"]).await;
    let error = store.changes(&LogQuery::from(0)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_wrong_password_a_wrong_database() {
    let url = Postgres::shared().url();
    let store = store_at(&url.replace("Pa55", "Pa55-wrong"));
    says(&store, StoreErrorKind::Other, "the user or the password", &[]).await;
    let store = store_at(&Postgres::shared().url_of("nowhere"));
    says(&store, StoreErrorKind::Other, "no database of this name", &[]).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn no_schema_no_tables() {
    let server = Postgres::shared();
    let store = store_at(&server.url()).schema("nowhere").unwrap();
    // A function is looked for in no schema as in an empty one.
    says(&store, StoreErrorKind::Other, "`schema`", &[]).await;
    let error = store.migrate().await.unwrap_err();
    assert!(said(&error).contains("create it, or correct `schema`"), "{error}");
    let store = store_at(&server.url()).schema(&server.schema()).unwrap();
    says(&store, StoreErrorKind::Other, "call `migrate`", &[]).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn tables_of_somebody_else() {
    let server = Postgres::shared();
    let schema = server.schema();
    for table in ["keys", "log", "settings", "usage", "limits"] {
        let theirs = format!("CREATE TABLE \"{schema}\".keyward_{table} AS SELECT 1 AS one");
        server.psql("postgres", &theirs);
    }
    let store = store_at(&server.url()).schema(&schema).unwrap();
    says(&store, StoreErrorKind::Other, "keyward", &[]).await;
    let error = store.get(KeyId::from_bytes([1; 10])).await.unwrap_err();
    assert!(said(&error).contains("not keyward's"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn an_exhausted_pool_and_a_closed_one() {
    let server = Postgres::shared();
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy(&server.url())
        .unwrap();
    let store = empty(PostgresStore::new(pool.clone())).await;
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let id = KeyId::from_bytes([1; 10]);
    let error = store.get(id).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(said(&error).contains("exhausted"), "{error}");
    assert!(store.commit(change(id)).await.unwrap_err().is_retryable());
    // The feed has a connection of its own.
    store.changes(&LogQuery::from(0)).await.unwrap();
    drop(held);
    store.get(id).await.unwrap();
    store.commit(change(id)).await.unwrap();
    pool.close().await;
    let error = store.get(id).await.unwrap_err();
    assert!(said(&error).contains("was closed"), "{error}");
}

/// The queue takes 8 GiB to fill: a trigger says what the server would.
#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_full_queue_of_notifications() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 2);
    store.migrate().await.unwrap();
    let trigger = |message| {
        format!(
            "CREATE OR REPLACE FUNCTION full_queue() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION '{message}' USING ERRCODE = '54000'; END $$;
             DROP TRIGGER IF EXISTS full_queue ON keyward_keys;
             CREATE TRIGGER full_queue BEFORE INSERT ON keyward_keys
             EXECUTE FUNCTION full_queue()"
        )
    };
    server.psql(&database, &trigger("too many notifications in the NOTIFY queue"));
    let change = || change(KeyId::from_bytes([1; 10]));
    let error = store.commit(change()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(said(&error).contains("pg_notification_queue_usage()"), "{error}");
    let (first, second) = tokio::join!(store.commit(change()), store.commit(change()));
    assert!(first.unwrap_err().is_retryable() && second.unwrap_err().is_retryable());
    server.psql(&database, &trigger("index row size 4096 exceeds btree maximum"));
    let error = store.commit(change()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Other);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_replica_in_the_place_of_the_primary() {
    let primary = Postgres::start(&["fsync=off"]);
    let store = store_at(&primary.url());
    store.migrate().await.unwrap();
    let issued =
        service(&store).issue(&common::system(), common::new_key("on both")).await.unwrap();
    let replica = primary.replica();
    let count = || replica.psql("postgres", "SELECT count(*) FROM keyward_keys");
    super::servers::wait_for("the replica follows", || count() == "1");
    let store = store_at(&replica.url());
    says(&store, StoreErrorKind::Unavailable, "replica", &[]).await;
    assert!(store.get(issued.id()).await.is_err(), "what a replica says is not believed");
    assert!(store.migrate().await.unwrap_err().is_retryable());
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn rights_that_are_missing() {
    let server = Postgres::shared();
    let database = server.database();
    let owner = store(&server.url_of(&database), 2);
    owner.migrate().await.unwrap();
    server.psql(&database, "CREATE ROLE reader LOGIN PASSWORD 'reader'");
    let url = format!("postgres://reader:reader@127.0.0.1:{}/{database}", server.port());
    let store = store_at(&url);
    says(&store, StoreErrorKind::Other, "lacks a right", &["check"]).await;
    assert!(said(&store.migrate().await.unwrap_err()).contains("lacks a right"));
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader";
    server.psql(&database, grant);
    let issued = service(&store).issue(&common::system(), common::new_key("granted")).await;
    store.check().await.unwrap();
    assert!(issued.is_ok());
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_answers_is_no_postgresql() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let store = store_at(&url(port, "postgres"));
    says(&store, StoreErrorKind::Unavailable, "", &[]).await;
}

#[test]
fn a_url_that_is_none_is_not_repeated() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let store = store_at("postgres://localhost/app");
    for url in
        ["", "app", "mysql://u:s3cret@h/d", "postgres://u:s3cret@h:port/d", "postgres:/s3cret"]
    {
        for error in
            [store.clone().feed_url(url).unwrap_err(), store.hints().listen_url(url).unwrap_err()]
        {
            assert!(error.to_string().contains("must be a URL"), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
    let store = store.feed_url("postgres://u:s3cret@h/d").unwrap();
    let shown = format!("{store:?} {:?} {:?}", store.hints(), store.limits());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_call_outside_of_tokio_is_an_error_and_no_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = {
        let _entered = runtime.enter();
        store_at("postgres://localhost/app")
    };
    for (call, error) in pollster::block_on(failures(&store)) {
        assert!(said(&error).contains("Tokio runtime"), "{call}: {error}");
    }
}
