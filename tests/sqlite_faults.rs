//! Each call of an SQLite file fails, in each flow and each way, with a cache before it and
//! without; what the file then holds is read by SQL.

#![cfg(feature = "sqlite")]

mod common;
mod faulted;
mod sqlite;

use std::collections::BTreeMap;

use common::Snapshot;
use faulted::{Cache, Place, every_call_of_every_flow_fails_closed};
use keyward::SqliteStore;
use rusqlite::Connection;
use sqlite::Scratch;

struct File {
    store: SqliteStore,
    sql: Connection,
    _folder: Scratch,
}

impl File {
    fn new() -> Self {
        let folder = Scratch::new();
        let (store, sql) = (folder.open(), folder.sql());
        sql.execute_batch("PRAGMA synchronous = OFF; PRAGMA busy_timeout = 5000").unwrap();
        Self { store, sql, _folder: folder }
    }
}

impl Place for File {
    type Store = SqliteStore;

    fn store(&self) -> SqliteStore {
        self.store.clone()
    }

    async fn load(&self, kept: &Snapshot) {
        let tables = "DELETE FROM keys; DELETE FROM log; DELETE FROM usage; \
                      DELETE FROM usage_hours";
        self.sql.execute_batch("BEGIN IMMEDIATE").unwrap();
        self.sql.execute_batch(tables).unwrap();
        let mut insert =
            self.sql.prepare("INSERT INTO keys (id, version, document) VALUES (?, ?, ?)").unwrap();
        for (id, (version, document)) in &kept.rows {
            insert.execute((id.to_string(), i64::try_from(*version).unwrap(), document)).unwrap();
        }
        let mut insert =
            self.sql.prepare("INSERT INTO log (position, event) VALUES (?, ?)").unwrap();
        for (position, event) in (1..).zip(&kept.log) {
            insert.execute((position, serde_json::to_string(event).unwrap())).unwrap();
        }
        self.sql.execute_batch("COMMIT").unwrap();
    }

    async fn content(&self) -> Snapshot {
        self.sql.execute_batch("BEGIN").unwrap();
        let mut rows = self.sql.prepare("SELECT id, version, document FROM keys").unwrap();
        let rows = rows.query_map([], |row| {
            let (id, version): (String, i64) = (row.get(0)?, row.get(1)?);
            Ok((id.parse().unwrap(), (version.try_into().unwrap(), row.get(2)?)))
        });
        let rows = rows.unwrap().collect::<Result<BTreeMap<_, _>, _>>().unwrap();
        let mut log = self.sql.prepare("SELECT event FROM log ORDER BY position").unwrap();
        let log = log.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let log = log.map(|event| serde_json::from_str(&event.unwrap()).unwrap()).collect();
        self.sql.execute_batch("COMMIT").unwrap();
        Snapshot { rows, log, usage: BTreeMap::new() }
    }
}

#[pollster::test]
async fn every_call_fails_closed() {
    every_call_of_every_flow_fails_closed(File::new(), Cache::None).await;
}

#[pollster::test]
async fn every_call_fails_closed_under_a_cold_cache() {
    every_call_of_every_flow_fails_closed(File::new(), Cache::Cold).await;
}

#[pollster::test]
async fn every_call_fails_closed_under_a_warm_cache() {
    every_call_of_every_flow_fails_closed(File::new(), Cache::Warm).await;
}
