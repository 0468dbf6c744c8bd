//! Histories of a key that is revoked while others verify it, on a real store: what a verify
//! saw lies between what was acknowledged before it and what was asked before it ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyward::{
    Change, Event, KeyId, KeyQuery, KeyRecord, KeyService, KeyStore, LogQuery, Reason, StoreError,
    Usage, UsageDelta, UsageStore, VerifyError,
};

use super::common::{READ, system};

pub(crate) const READERS: usize = 6;
/// So often a reader is denied before it stops.
const DENIALS: usize = 10;
/// Nobody goes on for longer, whatever a store does.
const PATIENCE: Duration = Duration::from_secs(60);
/// A [`Stale`] store answers one read in so many with what it once read.
const STALE_ONE_IN: usize = 50;

pub(crate) struct History {
    /// Counts what happens: each verify and the revoke twice, when it begins and when it ends.
    clock: AtomicU64,
    asked: AtomicU64,
    acknowledged: AtomicU64,
    until: Instant,
}

/// How many verifies of a history were allowed, denied, and under way during the revoke.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    allowed: usize,
    denied: usize,
    during: usize,
}

impl History {
    pub(crate) fn new() -> Self {
        let never = || AtomicU64::new(u64::MAX);
        let until = Instant::now() + PATIENCE;
        Self { clock: AtomicU64::new(1), asked: never(), acknowledged: never(), until }
    }

    /// Verifies until it has been denied often enough; or what no order explains.
    pub(crate) async fn read(&self, keys: &KeyService, token: &str) -> Result<Seen, String> {
        let (mut seen, mut denied_at) = (Seen::default(), u64::MAX);
        while seen.denied < DENIALS {
            self.goes_on()?;
            let began = self.tick();
            let verified = keys.verify(token, &READ).await;
            let ended = self.tick();
            let (asked, acknowledged) = (self.asked.load(SeqCst), self.acknowledged.load(SeqCst));
            seen.during += usize::from(began < acknowledged && ended > asked);
            match verified {
                Ok(_) if began > acknowledged => {
                    return Err("allowed after a revoke was acknowledged".into());
                }
                Ok(_) if began > denied_at => return Err("allowed after it was denied".into()),
                Ok(_) => seen.allowed += 1,
                Err(VerifyError::Rejected(_)) if ended < asked => {
                    return Err("denied before it was revoked".into());
                }
                Err(VerifyError::Rejected(_)) => {
                    denied_at = denied_at.min(ended);
                    seen.denied += 1;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(seen)
    }

    /// Revokes the key once the readers have begun, and some of their verifies have ended.
    pub(crate) async fn revoke(&self, number: usize, keys: &KeyService, id: KeyId) {
        let some = 4 * READERS + number % 10 * READERS;
        while self.clock.load(SeqCst) < some as u64 && self.goes_on().is_ok() {
            super::turns::turns(1).await;
        }
        self.asked.store(self.tick(), SeqCst);
        keys.revoke(&system(), id, Reason::Unused).await.unwrap();
        self.acknowledged.store(self.tick(), SeqCst);
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    fn goes_on(&self) -> Result<(), String> {
        if Instant::now() < self.until { Ok(()) } else { Err("it is never denied".into()) }
    }
}

/// What all readers saw of a history; or the first thing that no order explains.
pub(crate) fn together(readers: Vec<Result<Seen, String>>) -> Result<Seen, String> {
    readers.into_iter().try_fold(Seen::default(), |all, seen| {
        let seen = seen?;
        Ok(Seen {
            allowed: all.allowed + seen.allowed,
            denied: all.denied + seen.denied,
            during: all.during + seen.during,
        })
    })
}

/// A history proves nothing if all verifies were over before the revoke, or began after it.
pub(crate) fn check(histories: &[Result<Seen, String>]) {
    for (number, seen) in histories.iter().enumerate() {
        let seen = seen.as_ref().unwrap_or_else(|error| panic!("history {number}: {error}"));
        assert!(seen.allowed > 0, "history {number}: the revoke came first");
        assert!(seen.denied > 0, "history {number}: the revoke came last");
    }
    let during = histories.iter().flatten().filter(|seen| seen.during > 0).count();
    assert!(during * 2 > histories.len(), "{during} of {} were races", histories.len());
}

/// A store that now and then answers a read with the first record of the key that it read.
#[derive(Clone)]
pub(crate) struct Stale<S> {
    store: S,
    first: Arc<Mutex<HashMap<KeyId, KeyRecord>>>,
    reads: Arc<AtomicUsize>,
}

impl<S> Stale<S> {
    pub(crate) fn of(store: S) -> Self {
        Self { store, first: Arc::default(), reads: Arc::default() }
    }
}

impl<S: KeyStore> KeyStore for Stale<S> {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let found = self.store.get(id).await?;
        let is_stale = self.reads.fetch_add(1, SeqCst) % STALE_ONE_IN == STALE_ONE_IN - 1;
        let mut first = self.first.lock().unwrap();
        let first = found.as_ref().map(|found| first.entry(id).or_insert_with(|| found.clone()));
        Ok(if is_stale { first.cloned() } else { found })
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.store.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.store.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.store.log(query).await
    }
}

impl<S: UsageStore> UsageStore for Stale<S> {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.store.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.store.usage(keys).await
    }
}
