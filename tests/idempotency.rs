//! Issuing with a caller's key: once, whoever asks again and however often.

mod fixture;

use std::sync::Barrier;

use fixture::{PEPPER, World, at, cases};
use keyward::{
    Actor, Change, Environment, Expect, IssuedKey, KeyId, KeyQuery, KeyRecord, KeyScheme,
    KeyService, KeyStore as _, KeyView, ManageError, MemoryStore, NewKey, Pepper, PepperRing,
    Reason, Status,
};
use pollster::block_on;

fn new() -> NewKey {
    NewKey::named("k").owner("o").permissions(["read:a"]).idempotency_key("order-1")
}

fn again(result: Result<IssuedKey, ManageError>) -> KeyView {
    match result {
        Err(ManageError::AlreadyIssued(view)) => *view,
        other => panic!("{other:?}"),
    }
}

fn keys_in(store: &MemoryStore) -> usize {
    block_on(store.list(&KeyQuery::new().with_revoked().limit(1_000))).unwrap().len()
}

#[test]
fn the_same_request_makes_one_key() {
    let world = World::new();
    let (id, _) = world.issue(new());
    for _ in 0..3 {
        let error = block_on(world.keys.issue(&world.host, new())).unwrap_err();
        assert_eq!((error.code(), error.status()), ("ALREADY_ISSUED", 409));
        assert_eq!(error.body().error().details["key"]["id"], id.to_string());
        assert_eq!(again(Err(error)).id, id);
    }
    assert_eq!(keys_in(&world.store), 1);
    assert_eq!(block_on(world.keys.events(&world.host, id)).unwrap().len(), 1);
}

#[test]
fn another_request_under_the_same_key_is_a_mismatch() {
    let world = World::new();
    world.issue(new());
    let others = [
        new().permissions(["read:b"]),
        new().permissions(["read:a", "read:b"]),
        new().environment(Environment::SANDBOX),
        new().expires_at(at(10)),
        new().metadata("a", "b"),
        NewKey::named("other").owner("o").permissions(["read:a"]).idempotency_key("order-1"),
        NewKey::named("").owner("o").idempotency_key("order-1"),
    ];
    for other in others {
        let error = block_on(world.keys.issue(&world.host, other)).unwrap_err();
        assert_eq!((error.code(), error.status()), ("IDEMPOTENCY_MISMATCH", 422));
    }
    assert_eq!(keys_in(&world.store), 1);
}

#[test]
fn other_owners_actors_and_callers_keys_are_independent() {
    let world = World::new();
    world.issue(new());
    world.issue(new().owner("o2"));
    world.issue(new().idempotency_key("order-2"));
    let other = Actor::system("another host");
    block_on(world.keys.issue(&other, new())).unwrap().into_key();
    block_on(world.keys.issue(&other, new())).unwrap_err();
    assert_eq!(keys_in(&world.store), 4);
    let stranger = Actor::new("host").for_owner("o2").holding(["api.key.*"]).unwrap();
    let error = block_on(world.keys.issue(&stranger, new())).unwrap_err();
    assert_eq!(error.code(), "GRANT_EXCEEDS_ACTOR", "it isn't told that the key exists");
}

#[test]
fn of_racers_one_gets_the_secret() {
    for _ in 0..cases(200, 10) {
        let world = World::new();
        let barrier = Barrier::new(8);
        let secrets: usize = std::thread::scope(|scope| {
            let race = || {
                barrier.wait();
                match block_on(world.keys.issue(&world.host, new())) {
                    Ok(issued) => {
                        issued.into_key();
                        1
                    }
                    Err(ManageError::AlreadyIssued(_)) => 0,
                    Err(other) => panic!("{other:?}"),
                }
            };
            let racers: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!((secrets, keys_in(&world.store)), (1, 1));
    }
}

#[test]
fn a_repeat_tells_how_the_key_stands_now() {
    let world = World::new();
    let dated = || new().expires_at(at(10));
    let (id, _) = world.issue(dated());
    let status = || again(block_on(world.keys.issue(&world.host, dated()))).status;
    assert_eq!(status(), Status::Active);
    block_on(world.keys.disable(&world.host, id)).unwrap();
    assert_eq!(status(), Status::Inactive);
    world.clock.set(at(60));
    assert_eq!(status(), Status::Expired, "though the request is no longer valid");
    block_on(world.keys.revoke(&world.host, id, Reason::Unused)).unwrap();
    assert_eq!(status(), Status::Revoked);
    assert_eq!(keys_in(&world.store), 1);
}

/// The random part of the id stands; the keyed check is looked for under each pepper.
#[test]
fn a_pepper_rotation_makes_no_second_key() {
    let store = MemoryStore::new();
    let old = || Pepper::from_bytes(PEPPER).unwrap();
    let current = || Pepper::from_bytes(b"another pepper of 32 bytes each.").unwrap();
    let service = |ring: PepperRing| {
        let scheme = KeyScheme::new(ring, [("ak_live", Environment::PRODUCTION)]).unwrap();
        KeyService::new(scheme, store.clone())
    };
    let host = Actor::system("host");
    let id = block_on(service(PepperRing::new(old())).issue(&host, new())).unwrap().view().id;
    for ring in [
        PepperRing::new(old()).accept(current()).unwrap(),
        PepperRing::new(current()).accept(old()).unwrap(),
        PepperRing::new(current()).tag_only(old()).unwrap(),
    ] {
        assert_eq!(again(block_on(service(ring).issue(&host, new()))).id, id);
    }
    assert_eq!(keys_in(&store), 1);
}

/// During a rolling upgrade an older node may meet a key that it can't read: that may be
/// the very key that was asked for, so it must not make a second one.
#[test]
fn a_key_that_can_not_be_read_is_not_made_again() {
    let world = World::new();
    let (id, _) = world.issue(new());
    replace(&world, id, |document| document.replacen('{', r#"{"a_newer_field":1,"#, 1));
    let error = block_on(world.keys.issue(&world.host, new())).unwrap_err();
    assert_eq!((error.code(), error.status()), ("UNAVAILABLE", 503));
    assert_eq!(keys_in(&world.store), 1);
}

/// Puts another document in the place of a key's, as somebody with the database could.
fn replace(world: &World, id: KeyId, edit: impl Fn(String) -> String) {
    let record = world.record(id);
    let forged = KeyRecord::from_row(id, record.version(), &edit(record.to_document()));
    let expect = Expect::Version(record.version());
    block_on(world.store.commit(Change { record: forged, expect, event: None })).unwrap();
}

/// 100 racers, a cap of 10: exactly 10 keys.
#[test]
fn a_cap_holds_against_racers() {
    for _ in 0..cases(100, 5) {
        let world = World::new();
        let actor = Actor::system("host").key_cap(10);
        let barrier = Barrier::new(100);
        let made: usize = std::thread::scope(|scope| {
            let race = || {
                barrier.wait();
                match block_on(world.keys.issue(&actor, NewKey::named("k").owner("o"))) {
                    Ok(issued) => {
                        issued.into_key();
                        1
                    }
                    Err(ManageError::KeyLimitReached { max: 10 }) => 0,
                    Err(other) => panic!("{other:?}"),
                }
            };
            let racers: Vec<_> = (0..100).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!((made, keys_in(&world.store)), (10, 10));
    }
}

/// Live is neither revoked nor expired; a disabled key counts.
#[test]
fn a_cap_counts_live_keys_of_the_owner() {
    let world = World::new();
    let actor = Actor::system("host").key_cap(2);
    let issue = |new: NewKey| block_on(world.keys.issue(&actor, new)).map(|key| key.view().id);
    let full = |result: Result<KeyId, ManageError>| {
        let error = result.unwrap_err();
        assert_eq!((error.code(), error.status()), ("KEY_LIMIT_REACHED", 409));
        assert_eq!(error.body().error().details["max"], 2);
    };
    let first = issue(NewKey::named("a").owner("o")).unwrap();
    issue(NewKey::named("b").owner("o").expires_at(at(10))).unwrap();
    full(issue(NewKey::named("c").owner("o")));
    issue(NewKey::named("c").owner("o2")).unwrap();
    block_on(world.keys.disable(&world.host, first)).unwrap();
    full(issue(NewKey::named("c").owner("o")));
    world.clock.set(at(10));
    issue(NewKey::named("c").owner("o")).unwrap();
    block_on(world.keys.enable(&world.host, first)).unwrap();
    full(issue(NewKey::named("d").owner("o")));
    block_on(world.keys.revoke(&world.host, first, Reason::Other)).unwrap();
    issue(NewKey::named("d").owner("o").not_before(at(100))).unwrap();
    full(issue(NewKey::named("e").owner("o")));
    let none = Actor::system("host").key_cap(0);
    let error = block_on(world.keys.issue(&none, NewKey::named("k").owner("o3"))).unwrap_err();
    assert!(matches!(error, ManageError::KeyLimitReached { max: 0 }), "{error:?}");
}
