//! Lists: every filter against one written by hand, and every page of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyward::store::{KeyStore, LogQuery, UsageStore};
use keyward::{
    Actor, Change, Event, KeyId, KeyQuery, KeyRecord, MemoryStore, NewKey, StoreError, Usage,
    UsageDelta,
};
use serde_json::Value;

use crate::http_client::Client;
use crate::world::{Anybody, World};

const KEYS: &str = "/admin/api-keys";

/// Every key of a query, by pages; each page is within the limit.
fn all(client: &Client, query: &str, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    for _ in 0..10_000 {
        let page = client.get(&format!("{KEYS}?limit={limit}{query}{cursor}")).expect(200).json();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        found.extend(data.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
    panic!("the list never ends");
}

fn ids(keys: &[Value]) -> Vec<&str> {
    keys.iter().map(|key| key["id"].as_str().unwrap()).collect()
}

type Wanted = Box<dyn Fn(&Value) -> bool>;

#[test]
fn filters_and_pages() {
    let world = World::authorized(|_| Anybody);
    let client = world.anyone();
    let host = Actor::system("host");
    for i in 0..40 {
        let (prefix, environment) =
            if i % 3 == 0 { ("ak_test", "sandbox") } else { ("ak_live", "production") };
        let mut new = NewKey::named(format!("Key {} {i}", ["Red", "blue", "GREEN"][i % 3]))
            .owner("org_1")
            .prefix(prefix)
            .environment(environment.parse().unwrap());
        if i % 5 == 0 {
            new = new.expires_at("2024-01-15T12:00:00Z".parse().unwrap());
        }
        if i % 7 == 0 {
            new = new.not_before("2025-01-01T00:00:00Z".parse().unwrap());
            new = if i % 5 == 0 { new.not_before(world.keys.now()) } else { new };
        }
        let (id, _) = world.give(new);
        if i % 4 == 0 {
            let id = id.parse().unwrap();
            match i % 8 {
                0 => drop(pollster::block_on(world.keys.disable(&host, id)).unwrap()),
                _ => drop(
                    pollster::block_on(world.keys.revoke(&host, id, keyward::Reason::Other))
                        .unwrap(),
                ),
            }
        }
        if i % 2 == 0 {
            world.clock.advance(Duration::from_secs(1));
        }
    }
    world.clock.set("2024-01-16T00:00:00Z".parse().unwrap());
    let every = all(&client, "&include_revoked=true", 1_000);
    assert_eq!(every.len(), 40);
    let is = |key: &Value, field: &str, value: &str| key[field] == value;
    let queries: Vec<(String, Wanted)> = vec![
        (String::new(), Box::new(move |key| !is(key, "status", "revoked"))),
        ("&include_revoked=true".into(), Box::new(|_| true)),
        ("&include_revoked=false".into(), Box::new(move |key| !is(key, "status", "revoked"))),
        ("&status=revoked".into(), Box::new(move |key| is(key, "status", "revoked"))),
        ("&status=expired".into(), Box::new(move |key| is(key, "status", "expired"))),
        ("&status=inactive".into(), Box::new(move |key| is(key, "status", "inactive"))),
        ("&status=scheduled".into(), Box::new(move |key| is(key, "status", "scheduled"))),
        ("&status=active".into(), Box::new(move |key| is(key, "status", "active"))),
        ("&status=unreadable".into(), Box::new(|_| false)),
        (
            "&environment=sandbox&include_revoked=true".into(),
            Box::new(move |key| is(key, "environment", "sandbox")),
        ),
        (
            "&search=gReeN&include_revoked=true".into(),
            Box::new(|key| key["name"].as_str().unwrap().contains("GREEN")),
        ),
        ("&search=org_1&include_revoked=true".into(), Box::new(|_| true)),
        ("&search=&include_revoked=true".into(), Box::new(|_| true)),
        ("&search=nothing".into(), Box::new(|_| false)),
        ("&created_by=host&include_revoked=true".into(), Box::new(|_| true)),
        ("&created_by=nobody".into(), Box::new(|_| false)),
        (
            "&expires_before=2024-02-01T00:00:00Z&include_revoked=true".into(),
            Box::new(|key| !key["expires_at"].is_null()),
        ),
        (format!("&include_revoked=true&search={}", ids(&every)[17]), {
            let id = every[17]["id"].clone();
            Box::new(move |key| key["id"] == id)
        }),
    ];
    for (query, wanted) in queries {
        let expected: Vec<Value> = every.iter().filter(|key| wanted(key)).cloned().collect();
        for limit in [1, 3, 7, 40, 1_000] {
            let found = all(&client, &query, limit);
            assert_eq!(ids(&found), ids(&expected), "{query} by {limit}");
        }
    }
}

/// A search reads a bounded number of keys for one answer; the pages together find all.
#[test]
fn a_search_among_many() {
    let world = World::authorized(|_| Anybody);
    let rare = [1, 2_600, 5_200, 10_450];
    for i in 0..10_500 {
        let name = if rare.contains(&i) { "needle" } else { "hay" };
        world.give(NewKey::named(name).owner("org_1"));
    }
    let client = world.anyone();
    assert_eq!(all(&client, "&search=needle", 50).len(), 4);
    assert_eq!(all(&client, "&search=needle", 2).len(), 4);
    let first = client.get(&format!("{KEYS}?search=nothing&limit=1")).expect(200).json();
    assert!(first["data"].as_array().unwrap().is_empty() && first["next"].is_string());
    assert!(all(&client, "&search=nothing", 1).is_empty());
}

#[test]
fn a_trail_by_pages() {
    let world = World::authorized(|_| Anybody);
    let client = world.anyone();
    let (id, _) = world.give(NewKey::named("a").owner("org_1"));
    for _ in 0..10 {
        client.json("POST", &format!("{KEYS}/{id}/disable"), &serde_json::json!({})).expect(200);
        client.json("POST", &format!("{KEYS}/{id}/enable"), &serde_json::json!({})).expect(200);
    }
    let whole = client.get(&format!("{KEYS}/{id}/events")).expect(200).json()["data"].clone();
    assert_eq!(whole.as_array().unwrap().len(), 21);
    for limit in [1, 4, 7, 20, 21, 1_000] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("{KEYS}/{id}/events?limit={limit}{cursor}");
            let page = client.get(&path).expect(200).json();
            assert!(page["data"].as_array().unwrap().len() <= limit);
            found.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(Value::from(found), whole, "{limit}");
    }
}

/// A page of a long trail reads as many entries of the log as it shows, and one more.
#[test]
fn a_page_of_a_long_trail_is_read_alone() {
    let counting = Counting { store: MemoryStore::new(), read: Arc::default() };
    let world = World::of(counting.clone(), |_| Anybody);
    let client = world.anyone();
    let (id, _) = world.give(NewKey::named("a").owner("org_1"));
    let host = Actor::system("host");
    for _ in 0..50 {
        pollster::block_on(world.keys.disable(&host, id.parse().unwrap())).unwrap();
        pollster::block_on(world.keys.enable(&host, id.parse().unwrap())).unwrap();
    }
    let mut cursor = String::new();
    for _ in 0..3 {
        counting.read.store(0, Ordering::SeqCst);
        let path = format!("{KEYS}/{id}/events?limit=5{cursor}");
        let page = client.get(&path).expect(200).json();
        assert_eq!(counting.read.load(Ordering::SeqCst), 6);
        cursor = format!("&cursor={}", page["next"].as_str().unwrap());
    }
}

/// A store that counts the entries of its log that were asked for.
#[derive(Clone)]
struct Counting {
    store: MemoryStore,
    read: Arc<AtomicUsize>,
}

impl KeyStore for Counting {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.store.get(id).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.store.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.store.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let entries = self.store.log(query).await?;
        self.read.fetch_add(entries.len(), Ordering::SeqCst);
        Ok(entries)
    }
}

impl UsageStore for Counting {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.store.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.store.usage(keys).await
    }
}
