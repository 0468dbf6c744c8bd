//! Peppers change under a running fleet: no key is refused, and no key is left behind.
//!
//! 12 random histories of 150 steps by default, times `KEYWARD_TEST_SCALE`.

mod common;
mod fleet;

use common::{READ, RowStore, START, builder, new_key, pepper, ring, run, scale, scheme, system};
use keyward::{FakeClock, KeyScheme, KeyService, ManageError, PepperRing, VerifyError};

/// Rows in memory, read anew at each call.
struct Memory(RowStore);

impl fleet::Place for Memory {
    type Store = RowStore;

    async fn open(&self) -> RowStore {
        self.0.clone()
    }
}

#[test]
fn a_fleet_goes_from_pepper_to_pepper_without_a_false_reject() {
    for seed in 0..12 * scale() as u64 {
        let store = RowStore::default().yielding();
        run(fleet::rotates_twice(Memory(store), seed, 24));
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
