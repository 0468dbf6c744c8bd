//! A real store, each of whose calls fails in each flow, in each way: nobody is let in by
//! it, what can't be known is 503 and not 401, and the database holds no half-made key.

use keyward::{
    Change, ChangeFeed, Expect, FakeClock, KeyCache, KeyId, KeyRecord, KeyService, KeyStore,
    ManageError, SharedKeyStore, StoreErrorKind, UsageStore,
};

use crate::common::{
    ALL, Done, Fault, Faulty, Flow, READ, RowStore, START, Snapshot, TOKENS, World, builder,
    check_invariants, new_key, outcomes, run, scheme, system,
};

/// A database that a test has for itself.
pub(crate) trait Place {
    type Store: KeyStore + UsageStore + ChangeFeed + Clone;

    /// The store over it.
    fn store(&self) -> Self::Store;

    /// Puts these rows in the place of all that is there.
    async fn load(&self, kept: &Snapshot);

    /// What is there, by SQL and at one instant.
    async fn content(&self) -> Snapshot;
}

/// What stands between a service and the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cache {
    None,
    Cold,
    Warm,
}

/// Fails each call of each flow in each way.
pub(crate) async fn every_call_of_every_flow_fails_closed(place: impl Place, cache: Cache) {
    let world = World::new();
    let mut cases = 0;
    for flow in ALL {
        // What is cold differs where something is looked up by a verify only.
        let looks_up = matches!(flow, Flow::Verify | Flow::Maintain | Flow::Revoke);
        if cache == Cache::Cold && !looks_up {
            continue;
        }
        let mut case = Case { place: &place, world: &world, flow, after: Vec::new() };
        let calls = case.undisturbed(cache).await;
        assert!(calls > 0 || cache != Cache::None, "{flow:?} makes no call");
        for call in 0..calls {
            for fault in Fault::ALL.into_iter().chain([Fault::Dropped]) {
                case.disturbed(cache, call, fault).await;
                cases += 1;
            }
        }
    }
    assert!(cases > 100, "{cases} cases");
}

struct Case<'a, P> {
    place: &'a P,
    world: &'a World,
    flow: Flow,
    /// What tokens verify to after the flow.
    after: Vec<(&'static str, u16)>,
}

impl<P: Place> Case<'_, P> {
    /// A service over the world as it was, and how many calls were needed to get there.
    async fn start(&self, cache: Cache) -> (KeyService, Faulty<P::Store>, usize) {
        self.place.load(&self.world.kept).await;
        let store = Faulty::of(self.place.store());
        let clock = FakeClock::at(START);
        let through: SharedKeyStore = match cache {
            Cache::None => store.clone().into(),
            Cache::Cold | Cache::Warm => {
                KeyCache::builder(store.clone()).clock(clock.clone()).build().into()
            }
        };
        let keys = builder(scheme(&[2, 1]), through, &clock, 7).build();
        if cache == Cache::Warm {
            keys.maintain().await.unwrap();
            assert_eq!(outcomes(&keys, self.world).await, TOKENS);
            keys.flush().await.unwrap();
        }
        let calls = store.calls();
        (keys, store, calls)
    }

    /// How many calls the flow makes if all goes well.
    async fn undisturbed(&mut self, cache: Cache) -> usize {
        let (keys, store, before) = self.start(cache).await;
        let done = self.flow.run(&keys, self.world).await;
        let calls = store.calls() - before;
        match done.unwrap_or_else(|error| panic!("{:?}: {error}", self.flow)) {
            Done::Issued(token) => assert!(keys.verify(&token, &READ).await.is_ok()),
            Done::Verified(found) => assert_eq!(found, TOKENS),
            Done::Nothing => {}
        }
        let rows = RowStore::of(self.place.content().await);
        self.after = run(outcomes(&World::service(&rows, 8), self.world));
        check_invariants(self.world, &rows, &self.after, &format!("{:?}", self.flow));
        calls
    }

    async fn disturbed(&self, cache: Cache, call: usize, fault: Fault) {
        let (world, flow) = (self.world, self.flow);
        let case = format!("{flow:?}, cache {cache:?}, call {call}: {fault:?}");
        let (keys, store, before) = self.start(cache).await;
        store.fail(before + call, fault);
        let done = store.unless_hung(flow.run(&keys, world)).await;
        settle(&self.place.store()).await;
        let rows = RowStore::of(self.place.content().await);
        match done {
            Some(Ok(Done::Verified(found))) => {
                for ((name, found), (_, wanted)) in found.into_iter().zip(TOKENS) {
                    assert!(found == wanted || found == 503, "{case}: {name} got {found}");
                }
            }
            Some(Ok(Done::Issued(token))) => {
                assert!(keys.verify(&token, &READ).await.is_ok(), "{case}: a dead secret");
            }
            Some(Ok(Done::Nothing)) => {}
            Some(Err(error)) => {
                assert_eq!(error.status(), 503, "{case}: {error}");
                let unknown = matches!(
                    &error,
                    ManageError::Store(error) if error.kind() == StoreErrorKind::Unavailable
                );
                let changed = rows.snapshot().log != world.kept.log;
                assert!(unknown || !changed, "{case}: changed, but says {error}");
            }
            None => {
                let hangs = matches!(fault, Fault::Hangs | Fault::HangsAfter | Fault::Dropped);
                assert!(hangs, "{case}");
            }
        }
        check_invariants(world, &rows, &self.after, &case);
        assert!(rows.snapshot().rows.len() <= world.kept.rows.len() + 1, "{case}");
        let truth = run(outcomes(&World::service(&rows, 9), world));
        assert_eq!(outcomes(&keys, world).await, truth, "{case}: another answer");
        if cache != Cache::None {
            keys.catch_up().await.unwrap();
            assert_eq!(outcomes(&keys, world).await, truth, "{case}: another answer kept");
        }
        match flow {
            Flow::IssueOnce => {
                let new = || new_key("new").idempotency_key("fresh");
                let again =
                    [keys.issue(&system(), new()).await, keys.issue(&system(), new()).await];
                assert!(matches!(again[1], Err(ManageError::AlreadyIssued(_))), "{case}");
                let rows = self.place.content().await;
                assert_eq!(named(&rows, "new"), 1, "{case}: a retry made a second key");
            }
            Flow::IssueAgain => {
                assert_eq!(named(&rows.snapshot(), "once"), 1, "{case}: a second key");
            }
            _ => {}
        }
    }
}

fn named(rows: &Snapshot, name: &str) -> usize {
    rows.records().filter(|record| record.name() == name).count()
}

/// What was asked by who has gone away is done, or never will be: commits keep their order,
/// and one that can't succeed comes after it.
pub(crate) async fn settle(store: &impl KeyStore) {
    let record = KeyRecord::from_row(KeyId::from_bytes([0; 10]), 2, "{}");
    let change = Change { record, expect: Expect::Version(1), event: None };
    let refused = store.commit(change).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict, "{refused}");
}
