use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::timestamp::Timestamp;

const SHARDS: usize = 8;

/// How many are counted side by side: the `k` of the algorithm.
pub(super) const WAYS: usize = 16;

/// Counts by key in windows of a fixed length, in memory of a fixed size: the most frequent
/// are kept, by the Space-Saving algorithm (Metwally, Agrawal, El Abbadi, 2005), in sets.
///
/// A key belongs to one set of [`WAYS`] places, by a hash that nobody outside can predict.
/// Of the n that a set heard in a window, every key with more than n / [`WAYS`] is in it,
/// and what is said of a key ([`Tallied::count`]) is never more than there was: so a flood
/// of others can hide a key, and never accuse it.
pub(super) struct Tally<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    window: i64,
}

struct Shard<K> {
    window: i64,
    places: Box<[Place<K>]>,
}

type Place<K> = Option<(K, Counter)>;

#[derive(Clone, Copy)]
struct Counter {
    /// At least as many as there were.
    most: u32,
    /// How many of them may have been others'.
    others: u32,
    first_at: Timestamp,
    authenticated: bool,
}

/// What is known of a key in the present window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tallied {
    /// At most as many as there were.
    pub(super) count: u32,
    /// The first of these.
    pub(super) first_at: Timestamp,
    /// Whether all of these were authenticated.
    pub(super) authenticated: bool,
}

impl<K: Copy + Eq + Hash> Tally<K> {
    /// A tally of at least `capacity` keys.
    pub(super) fn new(capacity: usize, window: Duration) -> Self {
        let sets = capacity.div_ceil(SHARDS * WAYS).max(1);
        let shard = || Mutex::new(Shard { window: 0, places: vec![None; sets * WAYS].into() });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            window: i64::try_from(window.as_micros()).unwrap_or(i64::MAX).max(1),
        }
    }

    /// Counts one.
    pub(super) fn add(&self, key: K, at: Timestamp, authenticated: bool) -> Tallied {
        let hash = self.hasher.hash_one(key);
        let one = Counter { most: 1, others: 0, first_at: at, authenticated };
        let (shard, set) = (hash % SHARDS as u64, hash / SHARDS as u64);
        let Some(shard) = usize::try_from(shard).ok().and_then(|at| self.shards.get(at)) else {
            return one.said();
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.turn_to(at.as_micros().div_euclid(self.window));
        shard.add(set, key, one).said()
    }

    pub(super) fn memory(&self) -> usize {
        self.shards.len() * size_of::<Mutex<Shard<K>>>() + self.places() * size_of::<Place<K>>()
    }

    fn places(&self) -> usize {
        let places = |shard: &Mutex<Shard<K>>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).places.len()
        };
        self.shards.iter().map(places).sum()
    }
}

impl<K: Copy + Eq> Shard<K> {
    /// Forgets the window before. One that came late, from a thread that was slower, is
    /// counted in the present window; a clock that went further back begins anew.
    fn turn_to(&mut self, window: i64) {
        if window != self.window && window != self.window.saturating_sub(1) {
            self.window = window;
            self.places.fill(None);
        }
    }

    fn add(&mut self, set: u64, key: K, one: Counter) -> Counter {
        let sets = (self.places.len() / WAYS) as u64;
        let start = usize::try_from(set % sets.max(1)).unwrap_or_default() * WAYS;
        let Some(set) = self.places.get_mut(start..start + WAYS) else { return one };
        let held = |place: &&mut Place<K>| matches!(place, Some((held, _)) if *held == key);
        if let Some(Some((_, counter))) = set.iter_mut().find(held) {
            counter.most = counter.most.saturating_add(1);
            counter.authenticated &= one.authenticated;
            return *counter;
        }
        let least = |place: &&mut Place<K>| place.as_ref().map_or(0, |(_, counter)| counter.most);
        let Some(place) = set.iter_mut().min_by_key(least) else { return one };
        let others = place.as_ref().map_or(0, |(_, counter)| counter.most);
        let counter = Counter { most: others.saturating_add(1), others, ..one };
        *place = Some((key, counter));
        counter
    }
}

impl Counter {
    fn said(self) -> Tallied {
        let Self { most, others, first_at, authenticated } = self;
        Tallied { count: most.saturating_sub(others), first_at, authenticated }
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
