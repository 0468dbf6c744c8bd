//! Without anything kept, each verify sees every change that was acknowledged before it
//! began, by any node: histories by seeds, checked whole.
//!
//! Versions of a key only grow, so a history of one key is linearizable exactly if each
//! read finds no less than what had been acknowledged, or read, before it began, and no
//! more than what had been asked for when it ended.

mod nodes;

use std::cell::RefCell;
use std::rc::Rc;

use keyward::{KeyCache, KeyStore as _};
use nodes::{Database, MILLI, NodeClock, Random, Tasks, Time, key};

const NODES: usize = 3;
const KEYS: usize = 3;

#[derive(Clone, Copy)]
struct Operation {
    key: usize,
    began: u64,
    ended: u64,
    version: u64,
    writes: bool,
}

fn history(seed: u64, read_through: bool) -> Vec<Operation> {
    let time = Time::default();
    let database = Database::new(NODES, &time, seed);
    for link in database.links.lock().unwrap().iter_mut() {
        link.delay = 30 * MILLI;
    }
    let caches: Vec<KeyCache> = (0..NODES)
        .map(|node| {
            let builder = KeyCache::builder(database.on(node));
            let builder = builder.clock(NodeClock::new(&time)).misses_at_once(2);
            if read_through { builder.read_through().build() } else { builder.build() }
        })
        .collect();
    let (mut random, mut tasks) = (Random(seed), Tasks::default());
    let operations: Rc<RefCell<Vec<Operation>>> = Rc::default();
    for _ in 0..200 {
        time.advance(1 + random.below(10 * MILLI));
        let (node, number) = (random.index(NODES), random.index(KEYS));
        let (cache, time, operations) =
            (caches[node].clone(), time.clone(), Rc::clone(&operations));
        let began = time.now();
        if random.chance(250) {
            let change = database.change(key(number), false);
            let version = change.record.version();
            let at = operations.borrow().len();
            // It may happen even if nobody hears of it.
            let asked = Operation { key: number, began, ended: u64::MAX, version, writes: true };
            operations.borrow_mut().push(asked);
            tasks.spawn(node, async move {
                if cache.commit(change).await.is_ok() {
                    operations.borrow_mut()[at].ended = time.now();
                }
            });
        } else {
            tasks.spawn(node, async move {
                if let Ok(found) = cache.get(key(number)).await {
                    let (version, ended) = (found.map_or(0, |found| found.version()), time.now());
                    let read = Operation { key: number, began, ended, version, writes: false };
                    operations.borrow_mut().push(read);
                }
            });
        }
        tasks.run(&mut random, |_| true);
    }
    for _ in 0..100 {
        time.advance(30 * MILLI);
        tasks.run(&mut random, |_| true);
    }
    assert_eq!(tasks.len(), 0, "seed {seed}");
    operations.take()
}

/// The first operation that no order explains.
fn violation(history: &[Operation]) -> Option<Operation> {
    history.iter().filter(|operation| !operation.writes).copied().find(|read| {
        let of_key = history.iter().filter(|other| other.key == read.key);
        let before = of_key.clone().filter(|other| other.ended < read.began);
        let least = before.map(|other| other.version).max().unwrap_or(0);
        let asked = of_key.filter(|other| other.writes && other.began <= read.ended);
        let most = asked.map(|other| other.version).max().unwrap_or(0);
        !(least..=most).contains(&read.version)
    })
}

#[test]
fn reading_through_is_linearizable() {
    let scale: u64 = std::env::var("KEYWARD_TEST_SCALE").map_or(1, |it| it.parse().unwrap());
    let mut reads = 0;
    for seed in 0..200 * scale {
        let history = history(seed, true);
        let found = violation(&history);
        assert!(
            found.is_none(),
            "seed {seed}: version {} at {}",
            found.unwrap().version,
            found.unwrap().began
        );
        reads += history.iter().filter(|operation| !operation.writes).count();
    }
    assert!(reads as u64 > 10_000 * scale, "{reads}");
}

#[test]
fn the_check_finds_a_cache() {
    assert!((0..20).any(|seed| violation(&history(seed, false)).is_some()));
}
