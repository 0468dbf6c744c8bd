//! Revocation holds within its bound, whatever happens to nodes, clocks, links and the
//! database: a simulation by seeds, without hints.
//!
//! `KEYWARD_TEST_SEED` runs one seed again.

mod nodes;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use keyward::{ChangeFeed as _, KeyCache, KeyId, KeyRecord, KeyStore as _};
use nodes::database::{Broken, Rows};
use nodes::{Database, MILLI, NodeClock, Random, SECOND, Tasks, Time, is_revoked, key};

const NODES: usize = 3;
const KEYS: usize = 12;

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The bound is changed.
    Bounds,
    /// Somebody sets the wall clocks.
    Clocks,
    Drops,
    Outages,
    /// Processes start anew.
    Restarts,
    Rewrites,
    /// Machines are suspended.
    Suspends,
    /// Heartbeats are switched on and off.
    Switches,
    Trims,
}

/// What may go wrong in a seed, and how much.
struct Weather {
    troubles: Vec<Trouble>,
    /// How often nodes look at the log by themselves, in a thousand steps.
    polls: u64,
    delay: u64,
    /// Whether there are heartbeats from the start.
    heartbeats: bool,
}

impl Weather {
    fn of(random: &mut Random) -> Self {
        use Trouble::{
            Bounds, Clocks, Drops, Outages, Restarts, Rewrites, Suspends, Switches, Trims,
        };
        let likely = [
            (Suspends, 400),
            // Not both: two clocks that are wrong together deceive.
            (Clocks, 400),
            (Bounds, 300),
            // Not both: a new process doesn't know of a longer bound that holds on.
            (Restarts, 300),
            (Drops, 500),
            (Outages, 500),
            (Rewrites, 600),
            (Trims, 300),
            (Switches, 400),
        ];
        let mut troubles = Vec::new();
        for (trouble, per_mille) in likely {
            let excluded = match trouble {
                Clocks => troubles.contains(&Suspends),
                Restarts => troubles.contains(&Bounds),
                _ => false,
            };
            if random.chance(per_mille) && !excluded {
                troubles.push(trouble);
            }
        }
        Self {
            troubles,
            polls: [0, 15, 50, 150][random.index(4)],
            delay: [0, 20 * MILLI, 800 * MILLI, 8 * SECOND][random.index(4)],
            heartbeats: random.chance(600),
        }
    }

    /// In which nodes hear of each other soon enough that it makes a difference.
    fn with_heartbeats(random: &mut Random) -> Self {
        Self {
            polls: [100, 200, 400][random.index(3)],
            delay: [0, 20 * MILLI, 200 * MILLI, 2 * SECOND][random.index(4)],
            heartbeats: true,
            ..Self::of(random)
        }
    }

    fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }
}

/// What has been promised and seen.
#[derive(Default)]
struct Ledger {
    /// When a revoke was acknowledged, and until when the key may still be accepted, in
    /// real time.
    revoked: HashMap<KeyId, (u64, u64)>,
    /// When a node was told that a revoke is in effect everywhere, before its bound had
    /// passed, and of what record.
    everywhere: HashMap<KeyId, (String, u64)>,
    /// How often that was so.
    early: u64,
    /// When a node's own revoke of a key was acknowledged, and of what record.
    own: HashMap<(usize, KeyId), (String, u64)>,
    /// When a node last saw a key revoked, and by what record.
    seen: HashMap<(usize, KeyId), (String, u64)>,
    /// Until when each node's promises may fall short, for a bound it never heard of.
    unknown: [u64; NODES],
    accepted: u64,
    refused: u64,
    unavailable: u64,
    faults: Vec<String>,
}

struct World {
    random: Random,
    weather: Weather,
    time: Time,
    database: Database,
    clocks: Vec<NodeClock>,
    caches: Vec<KeyCache>,
    tasks: Tasks,
    ledger: Rc<RefCell<Ledger>>,
    copies: Vec<Rows>,
    /// The longest bound that any node may still be using, and until when.
    longest: Vec<(u64, u64)>,
}

impl World {
    fn new(mut random: Random, weather: Weather, broken: Option<Broken>) -> Self {
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

    fn step(&mut self) {
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
            let answer = cache.get(id).await;
            let held = database.record(id);
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
    fn heal(&mut self, case: &str) {
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

impl Ledger {
    /// A node was told that its revoke is in effect everywhere.
    fn told(&mut self, node: usize, id: KeyId, document: String, database: &Database) {
        self.early += 1;
        let at = database.time.now().max(self.unknown[node]);
        // Unless that copy is gone already.
        if database.record(id).is_some_and(|record| record.to_document() == document) {
            self.everywhere.entry(id).or_insert((document, at));
        }
    }

    fn saw(
        &mut self,
        node: usize,
        id: KeyId,
        began: u64,
        now: u64,
        answer: Option<&Option<KeyRecord>>,
        held: Option<&KeyRecord>,
    ) {
        const TICK: u64 = 10;
        let Some(answer) = answer else {
            self.unavailable += 1;
            return;
        };
        let Some(record) = answer else { return };
        if is_revoked(record) {
            self.refused += 1;
            self.seen.insert((node, id), (record.to_document(), now));
            return;
        }
        self.accepted += 1;
        // Who asked before that was acknowledged may be told what held then.
        let revoked = self.revoked.get(&id).filter(|(acknowledged, _)| began > *acknowledged);
        if let Some((_, by)) = revoked.filter(|(_, by)| now > *by + TICK) {
            let late = now - by;
            self.faults.push(format!("node {node} accepted {id} at {now}, {late} us too late"));
        }
        // If that is what the database still holds, and no copy without it came between.
        let holds = |document: &String| held.is_some_and(|held| held.to_document() == *document);
        if let Some((document, at)) = self.everywhere.get(&id)
            && began > *at
            && holds(document)
        {
            self.faults.push(format!("node {node}: {id} accepted at {now}, refused everywhere"));
        }
        for (seen, what) in
            [(&self.seen, "came back from the dead"), (&self.own, "outlived its own revoke")]
        {
            if let Some((document, at)) = seen.get(&(node, id))
                && began > *at
                && holds(document)
            {
                self.faults.push(format!("node {node}: {id} {what} at {now}"));
            }
        }
    }
}

async fn sleep(time: Time, duration: Duration) {
    let at = time.now() + u64::try_from(duration.as_micros()).unwrap();
    time.sleep_until(at).await;
}

fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("nothing is slow any more"),
    }
}

/// What came of one seed: how many were accepted, refused, and neither, and how many waits
/// for all nodes were short.
fn run(seed: u64, weather: fn(&mut Random) -> Weather, broken: Option<Broken>) -> [u64; 4] {
    let case = format!("KEYWARD_TEST_SEED={seed}");
    let mut random = Random(seed);
    let weather = weather(&mut random);
    let mut world = World::new(random, weather, broken);
    for _ in 0..500 {
        world.step();
    }
    world.heal(&case);
    let ledger = world.ledger.borrow();
    assert!(
        ledger.faults.is_empty(),
        "{case}: {} faults: {:#?}",
        ledger.faults.len(),
        ledger.faults.first()
    );
    [ledger.accepted, ledger.refused, ledger.unavailable, ledger.early]
}

/// 200 seeds; 2,000 at the scale of CI.
fn many(weather: fn(&mut Random) -> Weather, least: [u64; 4]) {
    if let Ok(seed) = std::env::var("KEYWARD_TEST_SEED") {
        run(seed.parse().unwrap(), weather, None);
        return;
    }
    let mut sums = [0; 4];
    for seed in 0..200 * scale() {
        for (sum, more) in sums.iter_mut().zip(run(seed, weather, None)) {
            *sum += more;
        }
    }
    let [accepted, refused, unavailable, early] = sums;
    println!("accepted {accepted}, refused {refused}, unavailable {unavailable}, early {early}");
    let least = least.map(|least| least * scale());
    assert!(sums.iter().zip(least).all(|(sum, least)| *sum > least), "{sums:?}");
}

#[test]
fn a_revoked_key_is_refused_everywhere_within_the_bound() {
    many(Weather::of, [20_000, 5_000, 5_000, 20]);
}

#[test]
fn a_key_is_accepted_nowhere_once_all_nodes_are_said_to_refuse_it() {
    many(Weather::with_heartbeats, [20_000, 5_000, 5_000, 100]);
}

/// An empty log says nothing of what was in it a moment ago.
#[test]
fn a_log_that_is_trimmed_to_its_end_keeps_nobody_stale() {
    let time = Time::default();
    time.advance(SECOND);
    let database = Database::new(2, &time, 1);
    let cache = KeyCache::builder(database.on(0)).clock(NodeClock::new(&time)).build();
    let id = key(1);
    let write = |revoked| {
        at_once(database.on(1).commit(database.change(id, revoked))).unwrap();
        database.rows.lock().unwrap().log.clear();
    };
    write(false);
    for _ in 0..3 {
        at_once(cache.catch_up()).unwrap();
        assert!(!is_revoked(&at_once(cache.get(id)).unwrap().unwrap()));
    }
    write(true);
    at_once(cache.catch_up()).unwrap();
    assert!(is_revoked(&at_once(cache.get(id)).unwrap().unwrap()));
}

/// With a store that breaks a clause of heartbeats, somebody is told too early.
fn finds(broken: Broken) {
    if let Ok(seed) = std::env::var("KEYWARD_TEST_SEED") {
        run(seed.parse().unwrap(), Weather::with_heartbeats, Some(broken));
        return;
    }
    for seed in 0..1_000 {
        run(seed, Weather::with_heartbeats, Some(broken));
    }
}

#[test]
#[should_panic(expected = "refused everywhere")]
fn the_simulation_finds_a_store_that_removes_rows_that_have_changed() {
    finds(Broken::ChangedRowsAreGone);
}

#[test]
#[should_panic(expected = "refused everywhere")]
fn the_simulation_finds_a_store_whose_epoch_stays() {
    finds(Broken::EpochStays);
}

fn scale() -> u64 {
    std::env::var("KEYWARD_TEST_SCALE").map_or(1, |it| it.parse().unwrap())
}
