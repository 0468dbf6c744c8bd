//! A fleet of processes over one store, whose peppers change while they run, stop in the
//! midst of their upkeep, and start anew.

use std::collections::BTreeMap;
use std::time::Duration;

use keyward::{
    FakeClock, KeyId, KeyService, KeyStore, ManageError, Rotation, UsageStore, VerifyError,
};

use crate::common::{
    READ, START, Seeded, builder, drop_after, new_key, pepper, ring, scheme, system,
};

/// Where the keys of a fleet are.
pub(crate) trait Place {
    type Store: KeyStore + UsageStore + Clone;

    /// The store as a new process opens it.
    async fn open(&self) -> Self::Store;

    /// What happens to the store itself now and then.
    async fn crash(&self) {}
}

/// One process of the fleet.
struct Node {
    keys: KeyService,
    ring: Vec<u8>,
}

struct Fleet<P> {
    place: P,
    clock: FakeClock,
    rng: Seeded,
    nodes: Vec<Node>,
    /// Every secret that must work.
    tokens: BTreeMap<KeyId, Vec<String>>,
}

const GRACE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How often what is unavailable is asked for again: a server that has just started refuses
/// those who hold a connection from before.
const ATTEMPTS: usize = 20;

impl<P: Place> Fleet<P> {
    async fn new(place: P, seed: u64) -> Self {
        let mut fleet = Self {
            place,
            clock: FakeClock::at(START),
            rng: Seeded(seed),
            nodes: Vec::new(),
            tokens: BTreeMap::new(),
        };
        for _ in 0..3 {
            let node = fleet.started(&[1]).await;
            fleet.nodes.push(node);
        }
        for _ in 0..8 {
            fleet.issue(0).await;
        }
        fleet
    }

    /// A new process, which checks its peppers before it serves.
    async fn started(&mut self, ring: &[u8]) -> Node {
        let seed = self.rng.number();
        let store = self.place.open().await;
        let keys = builder(scheme(ring), store, &self.clock, seed).build();
        keys.check_peppers().await.unwrap();
        Node { keys, ring: ring.to_vec() }
    }

    async fn issue(&mut self, node: usize) {
        let issued = self.nodes[node].keys.issue(&system(), new_key("key")).await.unwrap();
        let id = issued.view().id;
        self.tokens.insert(id, vec![issued.into_key().expose_secret().to_owned()]);
    }

    async fn verify(&self, node: usize, id: KeyId) {
        for token in &self.tokens[&id] {
            let mut verified = self.nodes[node].keys.verify(token, &READ).await;
            for _ in 0..ATTEMPTS {
                if matches!(verified, Err(VerifyError::Unavailable(_))) {
                    verified = self.nodes[node].keys.verify(token, &READ).await;
                }
            }
            assert_eq!(verified.map(|key| key.key_id()).ok(), Some(id), "a false reject");
        }
    }

    async fn step(&mut self) {
        self.rng.number();
        self.clock.advance(Duration::from_secs(self.rng.number() % 20));
        let node = self.rng.below(self.nodes.len());
        let ids: Vec<KeyId> = self.tokens.keys().copied().collect();
        let id = *self.rng.pick(&ids);
        let keys = self.nodes[node].keys.clone();
        match self.rng.below(12) {
            0 => self.issue(node).await,
            1 => {
                let rotation = Rotation::grace(GRACE).replacing_older();
                let token = keys.rotate(&system(), id, rotation).await.unwrap().into_key();
                let tokens = self.tokens.get_mut(&id).unwrap();
                tokens.push(token.expose_secret().to_owned());
                tokens.drain(..tokens.len() - 2);
            }
            2 => {
                let token = keys.regenerate(&system(), id).await.unwrap().into_key();
                self.tokens.insert(id, vec![token.expose_secret().to_owned()]);
            }
            3 => drop(keys.maintain().await.unwrap()),
            4 if self.rng.below(4) == 0 => {
                assert!(keys.reseal_all(&system()).await.unwrap().refused.is_empty());
            }
            // It crashes with whatever it had queued or half done, and starts anew.
            5 => {
                let polls = self.rng.below(12);
                if self.rng.below(2) == 0 {
                    drop(drop_after(polls, keys.maintain()).await);
                } else {
                    drop(drop_after(polls, keys.reseal_all(&system())).await);
                }
                drop(keys);
                if self.rng.below(4) == 0 {
                    self.crash().await;
                }
                let ring = self.nodes[node].ring.clone();
                self.nodes[node] = self.started(&ring).await;
            }
            _ => self.verify(node, id).await,
        }
    }

    /// The store itself crashes; the processes go on as soon as it is there again.
    async fn crash(&mut self) {
        self.place.crash().await;
        for node in &self.nodes {
            let mut attempts = 0;
            while let Err(error) = node.keys.check_peppers().await {
                attempts += 1;
                assert!(attempts < ATTEMPTS, "{error}");
            }
        }
    }

    /// Gives each process another ring, in turn, while the others go on.
    async fn roll_out(&mut self, ring: &[u8], steps: usize) {
        for node in 0..self.nodes.len() {
            for _ in 0..steps / self.nodes.len() {
                self.step().await;
            }
            self.nodes[node] = self.started(ring).await;
        }
        for _ in 0..steps / 4 {
            self.step().await;
        }
    }

    /// Lets every key be used once, and the upkeep write what came of it.
    async fn settle(&mut self) {
        for id in self.tokens.keys() {
            self.verify(0, *id).await;
        }
        self.nodes[0].keys.maintain().await.unwrap();
        let resealed = self.nodes[0].keys.reseal_all(&system()).await.unwrap();
        assert!(resealed.refused.is_empty());
    }
}

/// A fleet goes from the first pepper to the third: no key is refused, and none is left
/// behind under a pepper that is to go.
pub(crate) async fn rotates_twice(place: impl Place, seed: u64, steps: usize) {
    let mut fleet = Fleet::new(place, seed).await;
    for (old, new) in [(1, 2), (2, 3)] {
        fleet.roll_out(&[old, new], steps).await;
        fleet.roll_out(&[new, old], steps).await;
        let keys = fleet.nodes[0].keys.clone();
        let old_id = pepper(old).id();
        let without = ring(&[new]);
        match keys.check_ring(&without).await {
            Err(ManageError::PepperInUse(missing)) => assert_eq!(missing, [old_id]),
            Ok(report) => assert!(report.peppers[&old_id].is_unused()),
            Err(error) => panic!("{error}"),
        }
        fleet.settle().await;
        let report = keys.check_ring(&without).await.expect("some key is stuck");
        assert!(report.peppers[&old_id].is_unused() && report.unreadable == 0);
        assert_eq!(report.in_use().collect::<Vec<_>>(), [pepper(new).id()]);
        drop(keys);
        fleet.roll_out(&[new], steps).await;
    }
    let ids: Vec<KeyId> = fleet.tokens.keys().copied().collect();
    for (node, id) in ids.into_iter().enumerate() {
        fleet.verify(node % 3, id).await;
    }
}
