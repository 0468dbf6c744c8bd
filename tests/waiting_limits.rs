//! What a request finds when the limits it waited for have answered.

mod common;
mod map_store;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{READ, START, builder, new_key, run, scheme, system};
use keyward::{
    ApiKey, Charge, Deny, FakeClock, KeyCache, KeyEdit, KeyId, KeyService, LimitStore, MemoryStore,
    RateLimit, Reason, StoreError, Taken, VerifyError,
};
use map_store::MapStore;

/// Lets everything pass, after something else has happened.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Option<Happening>>>);

type Happening = Box<dyn FnOnce() + Send>;

impl Slow {
    fn meanwhile(&self, happening: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(happening));
    }
}

impl LimitStore for Slow {
    async fn take(&self, _: &[Charge]) -> Result<Taken, StoreError> {
        let happening = self.0.lock().unwrap().take();
        if let Some(happening) = happening {
            happening();
        }
        Ok(Taken::All)
    }
}

/// Two nodes of one store, each with a cache; the second has limits to wait for.
struct World {
    store: MapStore,
    clock: FakeClock,
    admin: KeyService,
    keys: KeyService,
    limits: Slow,
    id: KeyId,
    key: ApiKey,
}

impl World {
    fn new() -> Self {
        let (store, clock) = (MapStore::default(), FakeClock::at(START));
        let node = |seed| {
            let cache = KeyCache::builder(store.clone()).clock(clock.clone()).build();
            builder(scheme(&[1]), cache, &clock, seed)
        };
        let limits = Slow::default();
        let [admin, keys] = [1, 2].map(|seed| node(seed).limit_store(limits.clone()).build());
        let strict = RateLimit::per_hour(1_000).unwrap().strict().fail_open();
        let new = new_key("k").rate_limit(RateLimit::per_minute(3).unwrap()).rate_limit(strict);
        let issued = run(admin.issue(&system(), new)).unwrap();
        let (id, key) = (issued.id(), issued.into_key());
        let world = Self { store, clock, admin, keys, limits, id, key };
        // Read on both sides of a pass, so that it is in memory and stays there.
        assert_eq!(world.status(), 200);
        run(world.keys.maintain()).unwrap();
        assert_eq!(world.status(), 200);
        world
    }

    fn verify(&self) -> Result<(), VerifyError> {
        run(self.keys.verify(self.key.expose_secret(), &READ)).map(drop)
    }

    fn status(&self) -> u16 {
        self.verify().map_or_else(|error| error.status(), |()| 200)
    }
}

const BEYOND: Duration = Duration::from_secs(10);

#[test]
fn a_record_that_ran_out_meanwhile_is_read_again() {
    let world = World::new();
    run(world.admin.revoke(&system(), world.id, Reason::Compromised)).unwrap();
    let clock = world.clock.clone();
    world.limits.meanwhile(move || clock.advance(BEYOND));
    assert!(matches!(world.verify(), Err(VerifyError::Rejected(no)) if no.deny() == Deny::Revoked));
}

#[test]
fn if_it_cannot_be_read_again_that_is_no_answer() {
    let world = World::new();
    let (clock, store) = (world.clock.clone(), world.store.clone());
    world.limits.meanwhile(move || {
        clock.advance(BEYOND);
        store.set_down(true);
    });
    assert_eq!(world.status(), 503);
    // And what was counted in memory is given back: of three two had been used before.
    world.store.set_down(false);
    assert_eq!(run(world.keys.maintain()).unwrap().caught_up.entries, 0);
    assert_eq!([world.status(), world.status()], [200, 429]);
}

#[test]
fn an_edit_that_came_meanwhile_holds() {
    let world = World::new();
    let (keys, admin, id) = (world.keys.clone(), world.admin.clone(), world.id);
    world.limits.meanwhile(move || {
        let narrower = KeyEdit::new().permissions(["read:nothing"]);
        run(admin.update(&system(), id, narrower)).unwrap();
        run(keys.catch_up()).unwrap();
    });
    assert_eq!(world.status(), 403);
}

#[test]
fn what_is_as_it_was_passes_and_is_not_read_again() {
    let world = World::new();
    let before = world.store.reads();
    let clock = world.clock.clone();
    world.limits.meanwhile(move || clock.advance(Duration::from_secs(1)));
    assert_eq!(world.status(), 200);
    assert_eq!(world.store.reads(), before);
}

/// Refuses whom it is told to, when it is told to, and lets all others pass.
#[derive(Clone, Default)]
struct Gate {
    holds: Arc<AtomicBool>,
    opens: Arc<AtomicBool>,
}

impl LimitStore for Gate {
    async fn take(&self, _: &[Charge]) -> Result<Taken, StoreError> {
        if !self.holds.swap(false, Ordering::SeqCst) {
            return Ok(Taken::All);
        }
        let is_open =
            || if self.opens.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending };
        poll_fn(|_| is_open()).await;
        Ok(Taken::Denied { charge: 0, retry_after: None, resets_at: None })
    }
}

/// What a bucket refilled while a request waited is not given back to it a second time.
#[test]
fn a_refusal_gives_back_what_was_taken_less_what_has_come_since() {
    let (gate, clock) = (Gate::default(), FakeClock::at(START));
    let keys = builder(scheme(&[1]), MemoryStore::new(), &clock, 1).limit_store(gate.clone());
    let keys = keys.build();
    let strict = RateLimit::per_hour(1_000).unwrap().strict();
    let new = new_key("k").rate_limit(RateLimit::per_minute(60).unwrap()).rate_limit(strict);
    let key = run(keys.issue(&system(), new)).unwrap().into_key();

    gate.holds.store(true, Ordering::SeqCst);
    let request = READ.cost(30);
    let mut waits = pin!(keys.verify(key.expose_secret(), &request));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending());
    // Of 60 there are 30, and after 20 seconds 50, of which another takes 30.
    clock.advance(Duration::from_secs(20));
    assert!(run(keys.verify(key.expose_secret(), &READ.cost(30))).is_ok());
    gate.opens.store(true, Ordering::SeqCst);
    assert!(run(waits).is_err());
    // As if the first had never come: 60 less 30.
    let passed = (0..100).take_while(|_| run(keys.verify(key.expose_secret(), &READ)).is_ok());
    assert_eq!(passed.count(), 30);
}
