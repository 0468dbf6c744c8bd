//! Revocation holds within its bound, whatever happens to nodes, clocks, links and the
//! database: a simulation by seeds, without hints.
//!
//! `KEYWARD_TEST_SEED` runs one seed again.

mod ledger;
#[path = "../nodes/mod.rs"]
mod nodes;
mod weather;
mod world;

use keyward::{KeyCache, KeyStore as _};
use nodes::database::Broken;
use nodes::{Database, NodeClock, Random, SECOND, Time, is_revoked, key};
use weather::Weather;
use world::{World, at_once};

const NODES: usize = 3;
const KEYS: usize = 12;

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
