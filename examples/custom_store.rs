//! A store of one's own: `cargo run --example custom_store`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use keyward::{
    AccessRequest, Actor, Change, Environment, Event, Expect, KeyId, KeyQuery, KeyRecord,
    KeyScheme, KeyService, KeyStore, ListPosition, LogOrder, LogQuery, NewKey, PepperRing,
    StoreError, StoreErrorKind, Usage, UsageDelta, UsageStore,
};

/// Rows in maps, as a database has them in tables; clones share them.
#[derive(Clone, Default)]
struct MapStore(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    /// By id: version and document.
    keys: BTreeMap<KeyId, (u64, String)>,
    log: Vec<Event>,
    usage: HashMap<KeyId, Usage>,
}

impl Tables {
    fn records(&self) -> impl Iterator<Item = KeyRecord> {
        self.keys.iter().map(|(id, (version, text))| KeyRecord::from_row(*id, *version, text))
    }
}

impl KeyStore for MapStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let tables = self.0.lock().unwrap();
        let row = tables.keys.get(&id);
        Ok(row.map(|(version, text)| KeyRecord::from_row(id, *version, text)))
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let Change { record, expect, event } = change;
        let mut tables = self.0.lock().unwrap();
        let stored = tables.keys.get(&record.id()).map(|(version, _)| *version);
        match (expect, stored) {
            (Expect::Absent { .. }, Some(_)) => {
                return Err(StoreError::new(StoreErrorKind::AlreadyExists));
            }
            (Expect::Absent { cap: Some(cap) }, None) => {
                let mine = tables.records().filter(|other| other.owner() == record.owner());
                if mine.filter(|other| other.is_live(cap.now)).count() >= cap.max as usize {
                    return Err(StoreError::new(StoreErrorKind::OwnerCapReached));
                }
            }
            (Expect::Version(expected), stored) if stored != Some(expected) => {
                return Err(StoreError::new(StoreErrorKind::Conflict));
            }
            _ => {}
        }
        tables.keys.insert(record.id(), (record.version(), record.to_document()));
        tables.log.extend(event);
        Ok(())
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        let mut found: Vec<_> = self.0.lock().unwrap().records().collect();
        found.retain(|record| query.matches(record));
        found.sort_by_key(|record| Reverse(ListPosition::of(record)));
        found.truncate(query.limit);
        Ok(found)
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let mut found: Vec<_> = (1..).zip(self.0.lock().unwrap().log.clone()).collect();
        found.retain(|(position, event)| query.matches(*position, event));
        if matches!(query.order, LogOrder::Before(_)) {
            found.reverse();
        }
        found.truncate(query.limit);
        Ok(found)
    }
}

impl UsageStore for MapStore {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        let mut tables = self.0.lock().unwrap();
        for delta in batch {
            tables.usage.entry(delta.key).or_default().add(delta);
        }
        Ok(())
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        let tables = self.0.lock().unwrap();
        Ok(keys.iter().filter_map(|key| Some((*key, tables.usage.get(key)?.clone()))).collect())
    }
}

#[pollster::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
    let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
    let keys = KeyService::new(scheme, MapStore::default());

    let new = NewKey::named("Asset Controls Backend").owner("org_1").permissions(["read:assets"]);
    let key = keys.issue(&Actor::system("setup"), new).await?.into_key();
    let request = AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
    let verified = keys.verify(key.expose_secret(), &request).await?;
    println!("{} of {} may read assets", verified.name(), verified.owner());
    Ok(())
}

#[cfg(test)]
mod contract {
    keyward::conformance_suite!(
        #[pollster::test]
        super::MapStore::default()
    );
}
