//! Nodes over one limit store that does as it is told.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keyward::{
    AccessRequest, Actor, ApiKey, Charge, Environment, FakeClock, KeyEdit, KeyScheme, KeyService,
    LimitStore, LocalLimits, MemoryLimitStore, MemoryStore, NewKey, PepperRing, StoreError,
    StoreErrorKind, Taken, Timestamp, Verified, VerifyError,
};

use super::turns::turns;

pub(crate) const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

pub(crate) fn start() -> Timestamp {
    Timestamp::from_unix_seconds(1_750_000_000)
}

/// Counts in memory and remembers what it was asked; fails, or lets others run, as told.
#[derive(Clone, Default)]
pub(crate) struct Store {
    limits: MemoryLimitStore,
    down: Arc<AtomicBool>,
    slow: Arc<AtomicUsize>,
    pub(crate) calls: Arc<Mutex<Vec<Vec<u32>>>>,
    /// How long a call takes after it counted.
    takes: Arc<Mutex<Option<(FakeClock, Duration)>>>,
}

impl Store {
    pub(crate) fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Vec<u32> {
        self.calls.lock().unwrap().last().cloned().unwrap_or_default()
    }

    pub(crate) fn fail(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    pub(crate) fn take_time(&self, clock: &FakeClock, time: Duration) {
        *self.takes.lock().unwrap() = Some((clock.clone(), time));
    }

    pub(crate) fn turns(&self, turns: usize) {
        self.slow.store(turns, Ordering::Relaxed);
    }
}

impl LimitStore for Store {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        self.calls.lock().unwrap().push(charges.iter().map(|charge| charge.cost).collect());
        turns(self.slow.load(Ordering::Relaxed)).await;
        if self.down.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        let taken = self.limits.take(charges).await;
        if let Some((clock, time)) = &*self.takes.lock().unwrap() {
            clock.advance(*time);
        }
        turns(self.slow.load(Ordering::Relaxed)).await;
        taken
    }
}

/// Polls all of these in turn until each is ready.
pub(crate) fn join<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(&mut context)
            {
                *output = Some(ready);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) {
            return waiting.into_iter().filter_map(|(_, output)| output).collect();
        }
    }
    panic!("somebody waits for ever");
}

/// Nodes that share a limit store and the keys.
pub(crate) struct Nodes {
    pub(crate) services: Vec<KeyService>,
    pub(crate) store: Store,
    pub(crate) clock: FakeClock,
}

impl Nodes {
    pub(crate) fn new(count: usize) -> Self {
        Self::with(count, LocalLimits::new)
    }

    pub(crate) fn with(count: usize, local: impl Fn() -> LocalLimits) -> Self {
        let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        let (keys, store, clock) = (MemoryStore::new(), Store::default(), FakeClock::at(start()));
        let node = |_| {
            KeyService::builder(scheme.clone(), keys.clone())
                .limits(local())
                .limit_store(store.clone())
                .clock(clock.clone())
                .build()
        };
        Self { services: (0..count).map(node).collect(), store, clock }
    }

    pub(crate) fn issue(&self, new: NewKey) -> ApiKey {
        let setup = Actor::system("setup");
        pollster::block_on(self.services[0].issue(&setup, new)).unwrap().into_key()
    }

    pub(crate) fn edit(&self, key: &ApiKey, edit: impl FnOnce(KeyEdit) -> KeyEdit) {
        let setup = Actor::system("setup");
        let id = self.now(0, key, 0).unwrap().key_id();
        let edited = self.services[0].update(&setup, id, edit(KeyEdit::new()));
        pollster::block_on(edited).unwrap();
    }

    pub(crate) async fn verify(
        &self,
        node: usize,
        key: &ApiKey,
        cost: u32,
    ) -> Result<Verified, VerifyError> {
        self.services[node].verify(key.expose_secret(), &REQUEST.cost(cost)).await
    }

    pub(crate) fn now(
        &self,
        node: usize,
        key: &ApiKey,
        cost: u32,
    ) -> Result<Verified, VerifyError> {
        pollster::block_on(self.verify(node, key, cost))
    }

    /// How many requests in a row pass.
    pub(crate) fn passing(&self, node: usize, key: &ApiKey) -> usize {
        (0..1_000).take_while(|_| self.now(node, key, 1).is_ok()).count()
    }
}
