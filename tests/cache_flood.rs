//! A flood of well-formed keys that nobody issued, before a slow store: real keys that are
//! not in memory are served, those that are never wait, and nothing grows.

mod common;
mod map_store;
mod nodes;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use common::{READ, Seeded, builder, forged, new_key, run, scheme, system};
use keyward::{
    Change, ChangeFeed, Changes, Event, FakeClock, KeyCache, KeyId, KeyQuery, KeyRecord,
    KeyService, KeyStore, LogQuery, StoreError, Usage, UsageDelta, UsageStore,
};
use map_store::MapStore;
use nodes::{MILLI, NodeClock, Random, Tasks, Time};

/// A store whose every read takes 4 ms.
#[derive(Clone)]
struct Slow(MapStore, Time);

impl KeyStore for Slow {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.1.sleep_until(self.1.now() + 4 * MILLI).await;
        self.0.get(id).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.0.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.0.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.0.log(query).await
    }
}

impl ChangeFeed for Slow {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        self.0.changes(query).await
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        self.0.set_max_staleness(bound).await
    }
}

impl UsageStore for Slow {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.0.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.0.usage(keys).await
    }
}

/// How many of each status were answered.
#[derive(Clone, Default)]
struct Answers(Rc<Cell<[u32; 3]>>);

impl Answers {
    fn count(&self, status: u16) {
        let mut counts = self.0.get();
        counts[match status {
            200 => 0,
            401 => 1,
            503 => 2,
            other => panic!("{other}"),
        }] += 1;
        self.0.set(counts);
    }
}

fn spawn(tasks: &mut Tasks, keys: &KeyService, token: String, answers: &Answers) {
    let (keys, answers) = (keys.clone(), answers.clone());
    tasks.spawn(0, async move {
        let verified = keys.verify(&token, &READ).await;
        answers.count(verified.map_or_else(|error| error.status(), |_| 200));
    });
}

/// Cold, hot and made-up keys for so many milliseconds; each was answered so.
fn flood(millis: usize, junk_per_milli: usize) -> [[u32; 3]; 3] {
    let time = Time::default();
    time.advance(1_000 * MILLI);
    let store = MapStore::default();
    let admin = FakeClock::at(common::START);
    let admin = builder(scheme(&[1]), store.clone(), &admin, 1).build();
    let issue = |name: usize| {
        let issued = run(admin.issue(&system(), new_key(&name.to_string()))).unwrap();
        issued.into_key().expose_secret().to_owned()
    };
    let hot = issue(0);
    let cold: Vec<String> = (1..=millis / 3).map(issue).collect();
    let clock = NodeClock::new(&time);
    let cache = KeyCache::builder(Slow(store, time.clone())).clock(clock).capacity(100).build();
    let keys = KeyService::builder(scheme(&[1]), cache.clone()).build();
    run(keys.maintain()).unwrap();
    let (mut tasks, mut random, mut made_up) = (Tasks::default(), Random(1), Seeded(2));
    let answers: [Answers; 3] = Default::default();
    spawn(&mut tasks, &keys, hot.clone(), &answers[1]);
    for milli in 0..millis {
        if let Some(token) = cold.get(milli / 3).filter(|_| milli % 3 == 0) {
            spawn(&mut tasks, &keys, token.clone(), &answers[0]);
        }
        spawn(&mut tasks, &keys, hot.clone(), &answers[1]);
        for _ in 0..junk_per_milli {
            let id = made_up.text(16, common::CROCKFORD);
            let token = forged(&mut made_up, "ak_live", &format!("key_{id}"));
            spawn(&mut tasks, &keys, token, &answers[2]);
        }
        if milli % 1_000 == 999 {
            let keys = keys.clone();
            tasks.spawn(0, async move {
                keys.maintain().await.unwrap();
            });
        }
        tasks.run(&mut random, |_| true);
        time.advance(MILLI);
        assert!(cache.misses() <= 100 && cache.len() <= 100, "{cache:?} {}", cache.misses());
    }
    for _ in 0..100 {
        tasks.run(&mut random, |_| true);
        time.advance(MILLI);
    }
    assert_eq!((tasks.len(), cache.misses()), (0, 0));
    answers.map(|answers| answers.0.get())
}

#[test]
fn junk_keeps_no_real_key_waiting() {
    let scale: usize = std::env::var("KEYWARD_TEST_SCALE").map_or(1, |it| it.parse().unwrap());
    let [cold, hot, junk] = flood(3_000 * scale, 5);
    println!("cold {cold:?}, hot {hot:?}, made up {junk:?}");
    assert!(cold[0] * 100 >= (cold[0] + cold[1] + cold[2]) * 99, "{cold:?}");
    assert_eq!((hot[1], hot[2]), (0, 0), "{hot:?}");
    assert_eq!(junk[0], 0);
    // What is looked for is so many a second; the rest is told to come again.
    assert!(junk[2] > junk[1] * 10 && junk[1] > 100, "{junk:?}");
}
