use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward::{
    Action, Change, ChangeFeed, Changes, Event, EventId, Expect, Heartbeat, KeyId, KeyQuery,
    KeyRecord, KeyStore, LogOrder, LogQuery, NodeRow, RollCall, State, StoreError, StoreErrorKind,
    Timestamp, Usage, UsageDelta, UsageStore,
};

use super::{Random, Time};

/// Rows, the log, and the settings: what a copy of a database has.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) keys: BTreeMap<KeyId, (u64, String)>,
    pub(crate) log: Vec<(u64, Event)>,
    pub(crate) next: u64,
    pub(crate) max_staleness: Duration,
    pub(crate) roll: Roll,
}

/// Heartbeats, and who may use what it keeps.
#[derive(Clone, Default)]
pub(crate) struct Roll {
    /// How often they were switched: odd while they are on.
    pub(crate) switched: u64,
    /// Of which copy this is.
    pub(crate) incarnation: u64,
    nodes: BTreeMap<String, NodeRow>,
}

/// A clause of the contract that a store may break.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Rows are removed though they have changed.
    ChangedRowsAreGone,
    /// The epoch stays the same when rows were lost, or others not written.
    EpochStays,
}

/// How a node reaches the database now.
#[derive(Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) down: bool,
    /// The longest delay on either way, in microseconds.
    pub(crate) delay: u64,
}

#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) rows: Arc<Mutex<Rows>>,
    pub(crate) links: Arc<Mutex<Vec<Link>>>,
    pub(crate) random: Arc<Mutex<Random>>,
    pub(crate) time: Time,
    pub(crate) broken: Option<Broken>,
}

impl Database {
    pub(crate) fn new(nodes: usize, time: &Time, seed: u64) -> Self {
        let rows = Rows {
            keys: BTreeMap::new(),
            log: Vec::new(),
            next: 1,
            max_staleness: Duration::from_secs(5),
            roll: Roll::default(),
        };
        Self {
            rows: Arc::new(Mutex::new(rows)),
            links: Arc::new(Mutex::new(vec![Link::default(); nodes])),
            random: Arc::new(Mutex::new(Random(seed ^ 0x5eed))),
            time: time.clone(),
            broken: None,
        }
    }

    pub(crate) fn on(&self, node: usize) -> NodeStore {
        NodeStore { database: self.clone(), node }
    }

    /// What the row of a key holds now.
    pub(crate) fn record(&self, id: KeyId) -> Option<KeyRecord> {
        let rows = self.rows.lock().unwrap();
        let (version, document) = rows.keys.get(&id)?;
        Some(KeyRecord::from_row(id, *version, document))
    }

    /// A change to another state of a key.
    pub(crate) fn change(&self, id: KeyId, revoked: bool) -> Change {
        let version = self.rows.lock().unwrap().keys.get(&id).map(|(version, _)| *version);
        let expect = version.map_or(Expect::Absent { cap: None }, Expect::Version);
        let version = version.unwrap_or(0) + 1;
        let mut bytes = [0; 16];
        let mut random = self.random.lock().unwrap();
        bytes[..8].copy_from_slice(&random.next().to_le_bytes());
        bytes[8..].copy_from_slice(&random.next().to_le_bytes());
        // What differs on another branch of history, at the same version.
        let owner = format!("org_{}", random.below(1_000_000));
        let record = KeyRecord::from_row(id, version, &document(id, version, revoked, &owner));
        assert!(record.is_readable(), "{:?}", record.damage());
        let event = Event {
            id: EventId::from_bytes(bytes),
            at: Timestamp::UNIX_EPOCH,
            actor: "simulation".to_owned(),
            action: if revoked { Action::Revoked } else { Action::Updated },
            key: id,
            owner: "org_1".to_owned(),
            version,
            details: BTreeMap::new(),
        };
        Change { record, expect, event: Some(event) }
    }
}

pub(crate) fn key(number: usize) -> KeyId {
    // Neighbours share their first bytes, and so a counter of the fence.
    let number = u8::try_from(number).unwrap();
    KeyId::from_bytes([0, number / 3, 0, number, 0, 0, 0, 0, 0, number])
}

pub(crate) fn is_revoked(record: &KeyRecord) -> bool {
    matches!(record.state(), Some(State::Revoked { .. }))
}

fn document(id: KeyId, version: u64, revoked: bool, owner: &str) -> String {
    let state = if revoked {
        r#"{"is":"revoked","at":"2026-01-01T00:00:00Z","reason":"unused"}"#
    } else {
        r#"{"is":"enabled"}"#
    };
    format!(
        r#"{{"encoding":1,"id":"{id}","version":{version},"revision":{version},
        "prefix":"ak_live","environment":"production","owner":"{owner}","name":"k",
        "state":{state},"created_at":"2026-01-01T00:00:00Z","created_by":"s","not_before":null,
        "expires_at":null,"rotated_at":null,"grants":{{"scopes":[],"roles":[],
        "networks":{{"allow":[],"deny":[]}},"resources":{{}},"limits":{{}}}},"metadata":{{}},
        "slots":[null,null],"idempotency":null,"seal":null}}"#
    )
}

/// The database as one node sees it.
#[derive(Clone)]
pub(crate) struct NodeStore {
    database: Database,
    node: usize,
}

impl NodeStore {
    /// There and back; the act is in between.
    async fn call<T>(&self, act: impl FnOnce(&mut Rows) -> T) -> Result<T, StoreError> {
        self.travel().await?;
        let done = act(&mut self.database.rows.lock().unwrap());
        self.travel().await?;
        Ok(done)
    }

    async fn travel(&self) -> Result<(), StoreError> {
        let link = self.database.links.lock().unwrap()[self.node];
        if link.delay > 0 {
            let delay = {
                let mut random = self.database.random.lock().unwrap();
                // Most are quick, few take as long as can be.
                let share = random.below(1_000);
                link.delay * share * share / 1_000_000
            };
            self.database.time.sleep_until(self.database.time.now() + delay).await;
        }
        if self.database.links.lock().unwrap()[self.node].down {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        Ok(())
    }
}

impl KeyStore for NodeStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.call(|rows| {
            let row = rows.keys.get(&id);
            row.map(|(version, document)| KeyRecord::from_row(id, *version, document))
        })
        .await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.call(|rows| {
            let stored = rows.keys.get(&change.record.id()).map(|(version, _)| *version);
            match change.expect {
                Expect::Absent { .. } if stored.is_some() => {
                    return Err(StoreError::new(StoreErrorKind::AlreadyExists));
                }
                Expect::Version(expected) if stored != Some(expected) => {
                    return Err(StoreError::new(StoreErrorKind::Conflict));
                }
                _ => {}
            }
            let record = &change.record;
            rows.keys.insert(record.id(), (record.version(), record.to_document()));
            if let Some(event) = change.event {
                rows.log.push((rows.next, event));
                rows.next += 1;
            }
            Ok(())
        })
        .await?
    }

    async fn list(&self, _: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        unimplemented!("the cache lists nothing")
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.call(|rows| log(rows, query)).await
    }
}

fn log(rows: &Rows, query: &LogQuery) -> Vec<(u64, Event)> {
    let mut found: Vec<_> = rows.log.clone();
    found.retain(|(position, event)| query.matches(*position, event));
    if matches!(query.order, LogOrder::Before(_)) {
        found.reverse();
    }
    found.truncate(query.limit);
    found
}

impl ChangeFeed for NodeStore {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        self.call(|rows| {
            let heartbeats = rows.roll.switched % 2 == 1;
            Changes { entries: log(rows, query), max_staleness: rows.max_staleness, heartbeats }
        })
        .await
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        self.call(|rows| rows.max_staleness = bound).await
    }

    async fn set_heartbeats(&self, on: bool) -> Result<(), StoreError> {
        self.call(|rows| rows.roll.switched += 2 - (rows.roll.switched + u64::from(on)) % 2).await
    }

    async fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> Result<RollCall, StoreError> {
        let name = self.database.random.lock().unwrap().next();
        let broken = self.database.broken;
        self.call(|rows| rows.roll.call(name, beat, gone, broken)).await
    }
}

impl Roll {
    fn call(
        &mut self,
        name: u64,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
        broken: Option<Broken>,
    ) -> RollCall {
        if broken == Some(Broken::ChangedRowsAreGone) {
            self.nodes.retain(|node, _| gone.iter().all(|gone| gone.node != *node));
        } else {
            self.nodes.retain(|_, row| !gone.contains(row));
        }
        let own = match beat {
            Heartbeat::Look => None,
            Heartbeat::Enroll { lapses_after } => {
                Some(NodeRow { node: format!("{name:x}"), beats: 0, position: 0, lapses_after })
            }
            Heartbeat::Next { row, position, lapses_after } => {
                let stands = self.nodes.get(&row.node) == Some(row);
                stands.then(|| {
                    let beats = row.beats + 1;
                    NodeRow { beats, position, lapses_after, ..row.clone() }
                })
            }
        };
        self.nodes.extend(own.iter().map(|own| (own.node.clone(), own.clone())));
        let epoch = (self.switched % 2 == 1).then(|| match broken {
            Some(Broken::EpochStays) => "always".to_owned(),
            _ => format!("{}/{}", self.incarnation, self.switched),
        });
        RollCall { epoch, own, nodes: self.nodes.values().cloned().collect() }
    }
}

impl UsageStore for NodeStore {
    async fn add(&self, _: &[UsageDelta]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn usage(&self, _: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        Ok(HashMap::new())
    }
}
