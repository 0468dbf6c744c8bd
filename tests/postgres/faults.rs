//! Each call of a store over a database fails, in each flow and each way, with a cache
//! before it and without; and the connections under it are cut at each message. What the
//! database then holds is read by SQL.

use std::collections::BTreeMap;
use std::time::Duration;

use keyward::PostgresStore;
use sqlx::{AssertSqlSafe, Executor, PgPool, Row};

use super::common::{
    ALL, Done, Flow, READ, RowStore, START, Snapshot, TOKENS, World, builder, check_invariants,
    outcomes, run, scale, scheme,
};
use super::faulted::{self, Cache, Place, every_call_of_every_flow_fails_closed};
use super::servers::{Postgres, Proxy};
use super::store;

/// A schema of the test's own, and a connection beside the store's.
struct Schema {
    name: String,
    store: PostgresStore,
    sql: PgPool,
}

impl Schema {
    async fn new() -> Self {
        let server = Postgres::shared();
        let name = server.schema();
        let store = store(&server.url(), 4).schema(&name).unwrap();
        store.migrate().await.unwrap();
        Self { name, store, sql: PgPool::connect(&server.url()).await.unwrap() }
    }

    fn filled(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("SCHEMA", &self.name))
    }
}

impl Place for Schema {
    type Store = PostgresStore;

    fn store(&self) -> PostgresStore {
        self.store.clone()
    }

    async fn load(&self, kept: &Snapshot) {
        let rows = kept.rows.iter().map(|(id, (version, document))| {
            serde_json::json!({ "id": id, "version": version, "document": document })
        });
        let rows = rows.collect::<serde_json::Value>().to_string();
        let log = kept.log.iter().map(|event| serde_json::to_string(event).unwrap());
        let log = serde_json::json!(log.collect::<Vec<_>>()).to_string();
        let mut transaction = self.sql.begin().await.unwrap();
        // The row that each commit locks comes first, here too.
        let tables = "UPDATE SCHEMA.keyward_settings SET position = 0; \
                      DELETE FROM SCHEMA.keyward_keys; DELETE FROM SCHEMA.keyward_log; \
                      DELETE FROM SCHEMA.keyward_usage; DELETE FROM SCHEMA.keyward_usage_hours";
        transaction.execute(sqlx::raw_sql(self.filled(tables))).await.unwrap();
        let insert = "INSERT INTO SCHEMA.keyward_keys (id, version, document) SELECT * FROM \
                      jsonb_to_recordset($1::jsonb) AS new (id text, version bigint, document text)";
        let insert = sqlx::query(self.filled(insert)).bind(rows);
        transaction.execute(insert).await.unwrap();
        let insert = "INSERT INTO SCHEMA.keyward_log (position, event) SELECT place, event FROM \
                      jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS new (event, place)";
        transaction.execute(sqlx::query(self.filled(insert)).bind(log)).await.unwrap();
        let head = "UPDATE SCHEMA.keyward_settings SET position = \
                    (SELECT count(*) FROM SCHEMA.keyward_log)";
        transaction.execute(sqlx::query(self.filled(head))).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn content(&self) -> Snapshot {
        let sql = "SELECT (SELECT coalesce(json_agg(json_build_array(id, version, document)), \
                   '[]') FROM SCHEMA.keyward_keys)::text, \
                   (SELECT coalesce(json_agg(event ORDER BY position), '[]') \
                   FROM SCHEMA.keyward_log)::text";
        let found = self.sql.fetch_one(sqlx::query(self.filled(sql))).await.unwrap();
        let rows: Vec<(String, u64, String)> = serde_json::from_str(found.get(0)).unwrap();
        let rows = rows
            .into_iter()
            .map(|(id, version, document)| (id.parse().unwrap(), (version, document)));
        let log: Vec<String> = serde_json::from_str(found.get(1)).unwrap();
        let log = log.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        Snapshot { rows: rows.collect(), log, usage: BTreeMap::new() }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn every_call_fails_closed() {
    every_call_of_every_flow_fails_closed(Schema::new().await, Cache::None).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn every_call_fails_closed_under_a_cold_cache() {
    every_call_of_every_flow_fails_closed(Schema::new().await, Cache::Cold).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn every_call_fails_closed_under_a_warm_cache() {
    every_call_of_every_flow_fails_closed(Schema::new().await, Cache::Warm).await;
}

/// The n-th message of a flow, or the answer to it, is lost with all connections: of the
/// first ten each, then each fifth, or all of them if `KEYWARD_TEST_SCALE` is above 1.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn every_message_that_is_cut_fails_closed() {
    let (place, world) = (Schema::new().await, World::new());
    let proxy = Proxy::before(Postgres::shared().port());
    let behind = store(&proxy.url_of("postgres"), 2).schema(&place.name).unwrap();
    let behind = behind.patience(Duration::from_secs(20));
    let start = async || {
        place.load(&world.kept).await;
        let clock = keyward::FakeClock::at(START);
        builder(scheme(&[2, 1]), behind.clone(), &clock, 7).build()
    };
    let mut cuts = 0;
    for flow in ALL {
        let keys = start().await;
        assert!(flow.run(&keys, &world).await.is_ok(), "{flow:?}");
        let rows = RowStore::of(place.content().await);
        let after = run(outcomes(&World::service(&rows, 8), &world));
        for is_answer in [false, true] {
            // What many rows need is one message like the other.
            let is_tried =
                |message: &usize| *message < 10 || message.is_multiple_of(5) || scale() > 1;
            for message in (0..).filter(is_tried) {
                let case = format!("{flow:?}, message {message}, answer {is_answer}");
                let keys = start().await;
                // So that the connection is there, and what is counted is the flow's alone.
                keys.get(&super::common::system(), world.id("plain")).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                proxy.cut_at_message(message, is_answer);
                let done = flow.run(&keys, &world).await;
                let is_cut = proxy.mend_messages();
                faulted::settle(&place.store()).await;
                let rows = RowStore::of(quiet(&place).await);
                match done {
                    Ok(Done::Verified(found)) => {
                        for ((name, found), (_, wanted)) in found.into_iter().zip(TOKENS) {
                            assert!(found == wanted || found == 503, "{case}: {name} got {found}");
                        }
                    }
                    Ok(Done::Issued(token)) => {
                        assert!(keys.verify(&token, &READ).await.is_ok(), "{case}: a dead secret");
                    }
                    Ok(Done::Nothing) => {}
                    Err(error) => assert_eq!(error.status(), 503, "{case}: {error}"),
                }
                check_invariants(&world, &rows, &after, &case);
                let truth = run(outcomes(&World::service(&rows, 9), &world));
                assert_eq!(outcomes(&keys, &world).await, truth, "{case}: another answer");
                if !is_cut {
                    break;
                }
                cuts += 1;
                assert!(message < 300 || flow == Flow::Verify, "{case}: it never ends");
            }
        }
    }
    assert!(cuts > 100, "{cuts} cuts");
}

/// What the database holds once no statement that was cut is still under way.
async fn quiet(place: &Schema) -> Snapshot {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
               AND position('SCHEMA' in query) > 0 AND pid <> pg_backend_pid()";
    loop {
        let running = place.sql.fetch_one(sqlx::query(place.filled(sql))).await.unwrap();
        if running.get::<i64, _>(0) == 0 {
            return place.content().await;
        }
    }
}
