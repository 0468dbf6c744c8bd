//! Peppers change under a running fleet: no key is refused, and no key is left behind.
//!
//! 12 random histories of 150 steps by default, times `KEYWARD_TEST_SCALE`.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{
    READ, RowStore, START, Seeded, builder, new_key, pepper, ring, run, scale, scheme, system,
};
use keyward::{
    FakeClock, KeyId, KeyScheme, KeyService, ManageError, PepperRing, Rotation, VerifyError,
};

/// One process of the fleet.
struct Node {
    keys: KeyService,
    ring: Vec<u8>,
}

struct Fleet {
    store: RowStore,
    clock: FakeClock,
    rng: Seeded,
    nodes: Vec<Node>,
    /// Every secret that must work.
    tokens: BTreeMap<KeyId, Vec<String>>,
}

const GRACE: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut fleet = Self {
            store: RowStore::default(),
            clock: FakeClock::at(START),
            rng: Seeded(seed),
            nodes: Vec::new(),
            tokens: BTreeMap::new(),
        };
        for _ in 0..3 {
            let node = fleet.started(&[1]);
            fleet.nodes.push(node);
        }
        for _ in 0..8 {
            fleet.issue(0);
        }
        fleet
    }

    /// A new process, which checks its peppers before it serves.
    fn started(&mut self, ring: &[u8]) -> Node {
        let seed = self.rng.number();
        let keys = builder(scheme(ring), self.store.clone(), &self.clock, seed).build();
        run(keys.check_peppers()).unwrap();
        Node { keys, ring: ring.to_vec() }
    }

    fn issue(&mut self, node: usize) {
        let issued = run(self.nodes[node].keys.issue(&system(), new_key("key"))).unwrap();
        let id = issued.view().id;
        self.tokens.insert(id, vec![issued.into_key().expose_secret().to_owned()]);
    }

    fn verify(&self, node: usize, id: KeyId) {
        for token in &self.tokens[&id] {
            let verified = run(self.nodes[node].keys.verify(token, &READ));
            assert_eq!(verified.map(|key| key.key_id()).ok(), Some(id), "a false reject");
        }
    }

    fn step(&mut self) {
        self.rng.number();
        self.clock.advance(Duration::from_secs(self.rng.number() % 20));
        let node = self.rng.below(self.nodes.len());
        let ids: Vec<KeyId> = self.tokens.keys().copied().collect();
        let id = *self.rng.pick(&ids);
        let keys = self.nodes[node].keys.clone();
        match self.rng.below(12) {
            0 => self.issue(node),
            1 => {
                let rotation = Rotation::grace(GRACE).replacing_older();
                let token = run(keys.rotate(&system(), id, rotation)).unwrap().into_key();
                let tokens = self.tokens.get_mut(&id).unwrap();
                tokens.push(token.expose_secret().to_owned());
                tokens.drain(..tokens.len() - 2);
            }
            2 => {
                let token = run(keys.regenerate(&system(), id)).unwrap().into_key();
                self.tokens.insert(id, vec![token.expose_secret().to_owned()]);
            }
            3 => drop(run(keys.maintain()).unwrap()),
            4 if self.rng.below(4) == 0 => {
                assert!(run(keys.reseal_all(&system())).unwrap().refused.is_empty());
            }
            // It crashes with whatever it had queued, and starts anew.
            5 => {
                let ring = self.nodes[node].ring.clone();
                self.nodes[node] = self.started(&ring);
            }
            _ => self.verify(node, id),
        }
    }

    /// Gives each process another ring, in turn, while the others go on.
    fn roll_out(&mut self, ring: &[u8], steps: usize) {
        for node in 0..self.nodes.len() {
            for _ in 0..steps / self.nodes.len() {
                self.step();
            }
            self.nodes[node] = self.started(ring);
        }
        for _ in 0..steps / 4 {
            self.step();
        }
    }

    /// Lets every key be used once, and the upkeep write what came of it.
    fn settle(&mut self) {
        for id in self.tokens.keys() {
            self.verify(0, *id);
        }
        run(self.nodes[0].keys.maintain()).unwrap();
        assert!(run(self.nodes[0].keys.reseal_all(&system())).unwrap().refused.is_empty());
    }
}

#[test]
fn a_fleet_goes_from_pepper_to_pepper_without_a_false_reject() {
    for seed in 0..12 * scale() as u64 {
        let mut fleet = Fleet::new(seed);
        for (old, new) in [(1, 2), (2, 3)] {
            fleet.roll_out(&[old, new], 24);
            fleet.roll_out(&[new, old], 24);
            let keys = fleet.nodes[0].keys.clone();
            let old_id = pepper(old).id();
            let without = ring(&[new]);
            match run(keys.check_ring(&without)) {
                Err(ManageError::PepperInUse(missing)) => assert_eq!(missing, [old_id]),
                Ok(report) => assert!(report.peppers[&old_id].is_unused()),
                Err(error) => panic!("{error}"),
            }
            fleet.settle();
            let report = run(keys.check_ring(&without)).expect("some key is stuck");
            assert!(report.peppers[&old_id].is_unused() && report.unreadable == 0);
            assert_eq!(report.in_use().collect::<Vec<_>>(), [pepper(new).id()]);
            fleet.roll_out(&[new], 24);
        }
        let ids: Vec<KeyId> = fleet.tokens.keys().copied().collect();
        for (node, id) in ids.into_iter().enumerate() {
            fleet.verify(node % 3, id);
        }
    }
}

fn service(scheme: KeyScheme, store: &RowStore, seed: u64) -> KeyService {
    builder(scheme, store.clone(), &FakeClock::at(START), seed).build()
}

#[test]
fn a_pepper_in_use_is_missed_by_name_and_its_keys_are_unavailable() {
    let store = RowStore::default();
    let before = service(scheme(&[1]), &store, 1);
    let key = run(before.issue(&system(), new_key("key"))).unwrap().into_key();
    for wrong in [vec![2], vec![2, 3]] {
        let keys = service(scheme(&wrong), &store, 2);
        let error = run(keys.check_peppers()).unwrap_err();
        assert!(error.to_string().contains(&pepper(1).id().to_string()), "{error}");
        assert!(matches!(error, ManageError::PepperInUse(missing) if missing == [pepper(1).id()]));
        let error = run(keys.verify(key.expose_secret(), &READ)).unwrap_err();
        assert!(matches!(error, VerifyError::Unavailable(_)), "{error:?}");
        assert_eq!(error.status(), 503);
        let error = run(before.check_ring(&ring(&wrong))).unwrap_err();
        assert!(matches!(error, ManageError::PepperInUse(_)));
    }
    // The seal is under a pepper that only proves tags: every key would be refused.
    let tag_only: PepperRing = ring(&[2]).tag_only(pepper(1)).unwrap();
    let error = run(before.check_ring(&tag_only)).unwrap_err();
    assert!(matches!(error, ManageError::PepperInUse(missing) if missing == [pepper(1).id()]));
    let keys = service(scheme(&[2]).with_peppers(tag_only), &store, 3);
    assert!(run(keys.check_peppers()).is_err());
    run(service(scheme(&[2, 1]), &store, 4).reseal_all(&system())).unwrap();
    run(keys.check_peppers()).unwrap();
    assert!(run(keys.verify(key.expose_secret(), &READ)).is_ok());
}

#[test]
fn an_idempotency_key_outlives_a_change_of_pepper() {
    let store = RowStore::default();
    let new = || new_key("once").idempotency_key("request 1".replace(' ', "-"));
    run(service(scheme(&[1]), &store, 1).issue(&system(), new())).unwrap().into_key();
    for rings in [vec![1, 2], vec![2, 1], vec![3, 2, 1], vec![2, 1]] {
        let keys = service(scheme(&rings), &store, 2);
        let again = run(keys.issue(&system(), new()));
        assert!(matches!(again, Err(ManageError::AlreadyIssued(_))), "{again:?}");
        let other = run(keys.issue(&system(), new().permissions(["other"])));
        assert!(matches!(other, Err(ManageError::IdempotencyMismatch)), "{other:?}");
    }
    assert_eq!(store.snapshot().rows.len(), 1);
}

#[test]
fn a_queued_tag_never_undoes_what_came_between() {
    let store = RowStore::default();
    let before = service(scheme(&[1]), &store, 1);
    let issued = run(before.issue(&system(), new_key("key"))).unwrap();
    let id = issued.view().id;
    let old = issued.into_key();
    let keys = service(scheme(&[2, 1]), &store, 2);
    run(keys.verify(old.expose_secret(), &READ)).unwrap();
    // Both secrets are replaced before the tag of the first is written.
    let other = service(scheme(&[2, 1]), &store, 3);
    run(other.regenerate(&system(), id)).unwrap().into_key();
    let current = run(other.regenerate(&system(), id)).unwrap().into_key();
    let revision = run(keys.get(&system(), id)).unwrap().revision;
    assert_eq!(run(keys.maintain()).unwrap().retagged, 0);
    assert!(run(keys.verify(old.expose_secret(), &READ)).is_err());
    assert!(run(keys.verify(current.expose_secret(), &READ)).is_ok());
    assert_eq!(run(keys.get(&system(), id)).unwrap().revision, revision);
}
