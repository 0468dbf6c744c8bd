use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::baseline::{Baseline, Unusual, VolumeRules, hour_of};
use super::networks::Networks;
use super::origin::Origin;
use crate::record::Usage;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

const SHARDS: usize = 16;
const WAYS: usize = 8;

/// What is learnt of keys that are in use: how often, and from where.
///
/// Only a use gets a key in here, so nobody gets one in without the secret of a key that
/// works. If there are more keys than places, those that were used last stay. A key has two
/// sets of places to choose from, so that nearly all are taken before one is given up.
pub(super) struct Profiles {
    shards: Box<[Mutex<Shard>]>,
    rules: ProfileRules,
}

/// What makes a use worth an alert.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProfileRules {
    pub(super) volume: VolumeRules,
    /// How long a key's addresses are learnt before one can be new, in hours.
    pub(super) settled: u32,
}

struct Shard {
    /// The ids apart, so that looking for one reads little.
    ids: Box<[Option<KeyId>]>,
    profiles: Box<[Profile]>,
}

#[derive(Clone, Copy)]
struct Profile {
    first: u32,
    last: Timestamp,
    baseline: Baseline,
    networks: Networks,
}

/// What was noteworthy about a use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) unusual: Option<Unusual>,
    pub(super) is_new_address: bool,
}

impl Profiles {
    pub(super) fn new(capacity: usize, rules: ProfileRules) -> Self {
        let places = capacity.div_ceil(SHARDS * WAYS).max(2) * WAYS;
        let shard = || {
            let profiles = vec![Profile::new(Timestamp::UNIX_EPOCH); places].into();
            Mutex::new(Shard { ids: vec![None; places].into(), profiles })
        };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), rules }
    }

    /// Learns from a use. It waits for nobody: `None` if another thread is at this shard.
    #[inline]
    pub(super) fn used(&self, key: KeyId, origin: Option<Origin>, at: Timestamp) -> Option<Noted> {
        let (shard, sets) = self.place(key)?;
        let mut shard = match shard.try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let profile = shard.profile(key, sets, at)?;
        Some(profile.used(origin, at, &self.rules))
    }

    /// Whether an address is new to a key, without learning it.
    pub(super) fn is_new_address(&self, key: KeyId, origin: Origin, at: Timestamp) -> bool {
        let Some((shard, sets)) = self.place(key) else { return false };
        let shard = locked(shard);
        let profile = shard.find(key, sets).and_then(|place| shard.profiles.get(place));
        let hour = hour_of(at);
        profile.is_some_and(|profile| {
            let settled = self.rules.settled;
            hour.saturating_sub(profile.first) >= settled
                && profile.networks.is_new(origin, hour, settled)
        })
    }

    /// Takes a key's baseline from how it was used before.
    pub(super) fn learn(&self, key: KeyId, usage: &Usage) {
        let Some((first, _)) = usage.hours.first() else { return };
        let mut baseline = Baseline::at(hour_of(*first));
        for (hour, uses) in &usage.hours {
            let uses = u32::try_from(*uses).unwrap_or(u32::MAX);
            baseline.add(hour_of(*hour), uses, &self.rules.volume);
        }
        let Some((shard, sets)) = self.place(key) else { return };
        let mut shard = locked(shard);
        let last = usage.last_used_at.unwrap_or(*first);
        let is_known = shard.find(key, sets).is_some();
        if let Some(profile) = shard.profile(key, sets, last) {
            profile.baseline = baseline;
            if !is_known {
                // Its addresses are learnt from its first use on.
                profile.first = u32::MAX;
            }
        }
    }

    pub(super) fn memory(&self) -> usize {
        let places: usize = self.shards.iter().map(|shard| locked(shard).ids.len()).sum();
        self.shards.len() * size_of::<Mutex<Shard>>()
            + places * (size_of::<Option<KeyId>>() + size_of::<Profile>())
    }

    /// The shard of a key, and two numbers to choose its sets by. An id that is a key's was
    /// made here at random, or is a digest: it needs no hash.
    fn place(&self, key: KeyId) -> Option<(&Mutex<Shard>, [usize; 2])> {
        let (sets, rest) = key.as_bytes().as_chunks::<4>();
        let number = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).ok();
        let sets = [number(sets.first()?)?, number(sets.get(1)?)?];
        Some((self.shards.get(usize::from(*rest.first()?) % SHARDS)?, sets))
    }
}

impl Shard {
    fn find(&self, key: KeyId, sets: [usize; 2]) -> Option<usize> {
        sets.into_iter().find_map(|set| {
            let start = self.start(set);
            let ids = self.ids.get(start..start + WAYS)?;
            Some(start + ids.iter().position(|id| *id == Some(key))?)
        })
    }

    /// The profile of a key; if it has none, a new one, in the place of the key that was
    /// used longest ago.
    fn profile(&mut self, key: KeyId, sets: [usize; 2], at: Timestamp) -> Option<&mut Profile> {
        if let Some(place) = self.find(key, sets) {
            return self.profiles.get_mut(place);
        }
        let place = self.oldest(sets)?;
        *self.ids.get_mut(place)? = Some(key);
        let profile = self.profiles.get_mut(place)?;
        *profile = Profile::new(at);
        Some(profile)
    }

    /// Of two sets, a place in the emptier; of full ones, the place used longest ago.
    fn oldest(&self, sets: [usize; 2]) -> Option<usize> {
        let ranked = |set: usize| {
            let start = self.start(set);
            let ids = self.ids.get(start..start + WAYS)?;
            let taken = ids.iter().flatten().count();
            let used = |place: &usize| {
                let last = self.profiles.get(start + place).map(|profile| profile.last);
                ids.get(*place).copied().flatten().and(last)
            };
            let place = (0..WAYS).min_by_key(used)?;
            Some(((taken, used(&place)), start + place))
        };
        let best = sets.into_iter().filter_map(ranked).min_by_key(|(rank, _)| *rank)?;
        Some(best.1)
    }

    fn start(&self, set: usize) -> usize {
        set % (self.ids.len() / WAYS).max(1) * WAYS
    }
}

impl Profile {
    fn new(at: Timestamp) -> Self {
        let first = hour_of(at);
        let (baseline, networks) = (Baseline::at(first), Networks::default());
        Self { first, last: at, baseline, networks }
    }

    #[inline]
    fn used(&mut self, origin: Option<Origin>, at: Timestamp, rules: &ProfileRules) -> Noted {
        let hour = hour_of(at);
        self.last = at;
        self.first = self.first.min(hour);
        let unusual = self.baseline.count(hour, &rules.volume);
        let is_new = origin.is_some_and(|it| self.networks.note(it, hour, rules.settled));
        let is_settled = hour.saturating_sub(self.first) >= rules.settled;
        Noted { unusual, is_new_address: is_new && is_settled }
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
