//! Nodes over one database, and what befalls them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use keyward::{ChangeFeed as _, KeyCache, KeyRecord, KeyStore as _};

use crate::ledger::Ledger;
use crate::nodes::database::{Broken, Rows};
use crate::nodes::{Database, MILLI, NodeClock, Random, SECOND, Tasks, Time, is_revoked, key};
use crate::weather::{Trouble, Weather};
use crate::{KEYS, NODES};

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) time: Time,
    pub(crate) database: Database,
    pub(crate) clocks: Vec<NodeClock>,
    pub(crate) caches: Vec<KeyCache>,
    pub(crate) tasks: Tasks,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) copies: Vec<Rows>,
    /// The longest bound that any node may still be using, and until when.
    pub(crate) longest: Vec<(u64, u64)>,
}

impl World {
    pub(crate) fn new(mut random: Random, weather: Weather, broken: Option<Broken>) -> Self {
        let seed = random.next();
        let time = Time::default();
        time.advance(SECOND);
        let mut database = Database::new(NODES, &time, seed);
        database.broken = broken;
        database.rows.lock().unwrap().roll.switched = weather.heartbeats.into();
        let clocks: Vec<_> = (0..NODES).map(|_| NodeClock::new(&time)).collect();
        let mut world = Self {
            random,
            weather,
            caches: Vec::new(),
            tasks: Tasks::default(),
            ledger: Rc::default(),
            copies: Vec::new(),
            longest: Vec::new(),
            time,
            database,
            clocks,
        };
        world.caches = (0..NODES).map(|node| world.start(node)).collect();
        for link in world.database.links.lock().unwrap().iter_mut() {
            link.delay = world.weather.delay;
        }
        world
    }

    /// A process on a node. Records get old: only the log and the fence keep them right.
    fn start(&mut self, node: usize) -> KeyCache {
        let time = self.time.clone();
        let sleep = move |duration| sleep(time.clone(), duration);
        let builder = KeyCache::builder(self.database.on(node))
            .clock(self.clocks[node].clone())
            .max_age(Duration::from_secs(1_000_000))
            .misses_at_once(1 + self.random.index(4))
            .capacity([4, 1_000][self.random.index(2)]);
        if self.random.chance(500) {
            return builder.build();
        }
        builder.timer(sleep).build()
    }

    pub(crate) fn step(&mut self) {
        let by = [MILLI, 20 * MILLI, 150 * MILLI, 900 * MILLI][self.random.index(4)];
        self.time.advance(1 + self.random.below(by));
        for node in 0..NODES {
            if !self.clocks[node].is_suspended() {
                self.work(node);
            }
        }
        self.trouble();
        let clocks = &self.clocks;
        let is_awake = |node: usize| clocks.get(node).is_none_or(|clock| !clock.is_suspended());
        self.tasks.run(&mut self.random, is_awake);
    }

    fn work(&mut self, node: usize) {
        for _ in 0..self.random.index(4) {
            self.verify(node);
        }
        if self.random.chance(60) {
            self.change(node);
        }
        if self.random.chance(self.weather.polls) {
            let cache = self.caches[node].clone();
            self.tasks.spawn(node, async move {
                let _ = cache.catch_up().await;
            });
        }
        if self.weather.has(Trouble::Drops) && self.random.chance(30) {
            self.tasks.drop_one(&mut self.random);
        }
    }

    fn verify(&mut self, node: usize) {
        let id = key(self.random.index(KEYS));
        let (cache, database) = (self.caches[node].clone(), self.database.clone());
        let (time, ledger) = (self.time.clone(), Rc::clone(&self.ledger));
        self.tasks.spawn(node, async move {
            let began = time.now();
            let stood = ledger.borrow_mut().stood(id, began, &database);
            let answer = cache.get(id).await;
            let held = database.record(id);
            if matches!(answer, Ok(None))
                && stood.is_some_and(|since| ledger.borrow().stands(id, since))
            {
                let now = time.now();
                let fault = format!("node {node}: no {id} at {now}, though it was there");
                ledger.borrow_mut().faults.push(fault);
            }
            ledger.borrow_mut().saw(
                node,
                id,
                began,
                time.now(),
                answer.ok().as_ref(),
                held.as_ref(),
            );
        });
    }

    /// Revokes a key, or issues or edits one that is not revoked.
    fn change(&mut self, node: usize) {
        let id = key(self.random.index(KEYS));
        let record = self.database.record(id);
        if record.as_ref().is_some_and(is_revoked) {
            return;
        }
        let revokes = record.is_some() && self.random.chance(300);
        let change = self.database.change(id, revokes);
        let (cache, database) = (self.caches[node].clone(), self.database.clone());
        let ledger = Rc::clone(&self.ledger);
        let waits = self.random.chance(700);
        self.tasks.spawn(node, async move {
            let document = change.record.to_document();
            if cache.commit(change).await.is_ok() && revokes {
                let own = (document.clone(), database.time.now());
                ledger.borrow_mut().own.insert((node, id), own);
                let acknowledged = database.time.now();
                let unseen = cache.unseen_for().await;
                // Unless that copy is gone already.
                if database.record(id).as_ref().is_some_and(is_revoked) {
                    let mut ledger = ledger.borrow_mut();
                    let unseen = u64::try_from(unseen.as_micros()).unwrap();
                    let by = ledger.unknown[node].max(database.time.now() + unseen);
                    ledger.revoked.entry(id).or_insert((acknowledged, by));
                }
                let slept = |duration| sleep(database.time.clone(), duration);
                // What can't be read of the bound may be an hour.
                let is_short = unseen < Duration::from_secs(20);
                if waits && is_short && cache.everywhere(unseen, slept).await {
                    ledger.borrow_mut().told(node, id, document, &database);
                }
            }
        });
    }

    fn trouble(&mut self) {
        let node = self.random.index(NODES);
        if self.weather.has(Trouble::Outages) && self.random.chance(25) {
            let links = &mut self.database.links.lock().unwrap();
            links[node].down = !links[node].down;
        }
        if self.weather.has(Trouble::Suspends) && self.random.chance(30) {
            if self.clocks[node].is_suspended() {
                self.clocks[node].resume();
            } else {
                self.clocks[node].suspend();
            }
        }
        if self.weather.has(Trouble::Clocks) && self.random.chance(25) {
            let by = [SECOND, 20 * SECOND, 4_000 * SECOND][self.random.index(3)];
            let by = i64::try_from(self.random.below(by)).unwrap();
            self.clocks[node].set(if self.random.chance(500) { by } else { -by });
        }
        if self.weather.has(Trouble::Restarts) && self.random.chance(5) {
            self.tasks.drop_node(node);
            self.caches[node] = self.start(node);
        }
        if self.weather.has(Trouble::Bounds) && self.random.chance(10) {
            self.set_bound();
        }
        if self.weather.has(Trouble::Switches) && self.random.chance(10) {
            let (store, on) = (self.database.on(0), self.random.chance(600));
            self.tasks.spawn(NODES, async move {
                let _ = store.set_heartbeats(on).await;
            });
        }
        if self.weather.has(Trouble::Trims) && self.random.chance(10) {
            let mut rows = self.database.rows.lock().unwrap();
            let kept = self.random.index(rows.log.len() + 1);
            let gone = rows.log.len() - kept;
            rows.log.drain(..gone);
        }
        if self.random.chance(20) {
            let copy = self.database.rows.lock().unwrap().clone();
            self.copies.push(copy);
        }
        if self.weather.has(Trouble::Rewrites) && self.random.chance(8) && !self.copies.is_empty() {
            self.rewrite();
        }
    }

    fn set_bound(&mut self) {
        let bound = Duration::from_millis(500 + self.random.below(12_000));
        let before = self.database.rows.lock().unwrap().max_staleness;
        let micros = u64::try_from(before.as_micros()).unwrap();
        let until = self.time.now() + micros + 2 * self.weather.delay;
        // A node that never heard of the longer bound can't promise it: the documentation
        // says so, and this has to allow for it.
        for node in 0..NODES {
            if self.caches[node].max_staleness() != before {
                self.ledger.borrow_mut().unknown[node] = until;
            }
        }
        self.longest.push((until, micros));
        let store = self.database.on(0);
        self.tasks.spawn(NODES, async move {
            let _ = store.set_max_staleness(bound).await;
        });
    }

    /// Fails over to a copy that lags, or restores an older one.
    fn rewrite(&mut self) {
        let recent = self.copies.len().saturating_sub(3);
        let at = if self.random.chance(700) {
            recent + self.random.index(self.copies.len() - recent)
        } else {
            self.random.index(self.copies.len())
        };
        let mut copy = self.copies[at].clone();
        self.copies.truncate(at + 1);
        let mut rows = self.database.rows.lock().unwrap();
        // What a new process doesn't know of a bound is told in the documentation.
        copy.max_staleness = rows.max_staleness;
        copy.roll.incarnation = self.time.now();
        let bound = u64::try_from(copy.max_staleness.as_micros()).unwrap();
        *rows = copy;
        drop(rows);
        let now = self.time.now();
        let bound = self
            .longest
            .iter()
            .filter(|(until, _)| now < *until)
            .map(|(_, bound)| *bound)
            .fold(bound, u64::max);
        let mut ledger = self.ledger.borrow_mut();
        let ledger = &mut *ledger;
        ledger.replaced();
        // A revoke that this copy lacks is undone. One that it has is to be heard of.
        for number in 0..KEYS {
            let id = key(number);
            if self.database.record(id).as_ref().is_some_and(is_revoked) {
                let (_, by) = ledger.revoked.get(&id).copied().unwrap_or_default();
                ledger.revoked.insert(id, (now, by.max(now + bound)));
            } else {
                ledger.revoked.remove(&id);
                ledger.everywhere.remove(&id);
            }
        }
    }

    /// Everything works again: then every node serves what the database holds.
    pub(crate) fn heal(&mut self, case: &str) {
        for clock in &self.clocks {
            clock.resume();
        }
        for link in self.database.links.lock().unwrap().iter_mut() {
            link.down = false;
        }
        for _ in 0..4_000 {
            if self.tasks.len() == 0 {
                break;
            }
            self.time.advance(100 * MILLI);
            self.tasks.run(&mut self.random, |_| true);
        }
        assert_eq!(self.tasks.len(), 0, "{case}: somebody waits for ever");
        for link in self.database.links.lock().unwrap().iter_mut() {
            link.delay = 0;
        }
        for (node, cache) in self.caches.iter().enumerate() {
            at_once(cache.catch_up()).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(cache.staleness().is_some(), "{case}: not fresh");
            for number in 0..KEYS {
                let found = at_once(cache.get(key(number))).unwrap();
                let held = self.database.record(key(number));
                let text = |record: Option<KeyRecord>| record.map(|record| record.to_document());
                assert_eq!(text(found), text(held), "{case}: node {node} is stale for ever");
            }
        }
    }
}

async fn sleep(time: Time, duration: Duration) {
    let at = time.now() + u64::try_from(duration.as_micros()).unwrap();
    time.sleep_until(at).await;
}

pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("nothing is slow any more"),
    }
}
