//! Which keys a stolen key reached: those whose secrets were handed out to it, or to one of
//! them, as the log tells.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Fault, READ, RowStore, START, builder, new_key, run, scheme, system};
use keyward::{
    AccessRequest, Actor, ApiKey, Compromised, Environment, FakeClock, KeyEdit, KeyId, KeyService,
    NewKey, Reason, StoreErrorKind,
};

use sha2::{Digest, Sha256};

const MANAGE: AccessRequest<'_> =
    AccessRequest::new(Environment::PRODUCTION).scope("api.key.update");
const HOUR: Duration = Duration::from_secs(3_600);

fn service(store: &RowStore) -> KeyService {
    builder(scheme(&[1]), store.clone(), &FakeClock::at(START), 1).build()
}

fn manager(name: &str) -> NewKey {
    new_key(name).permissions(["api.key.*", "read:assets"])
}

fn issue(keys: &KeyService, actor: &Actor, new: NewKey) -> (KeyId, ApiKey) {
    let issued = run(keys.issue(actor, new)).unwrap();
    (issued.id(), issued.into_key())
}

fn acting(keys: &KeyService, key: &ApiKey) -> Actor {
    Actor::from(&run(keys.verify(key.expose_secret(), &MANAGE)).unwrap())
}

fn reached(found: Compromised) -> BTreeSet<KeyId> {
    let views = found.reached.unwrap();
    let ids: BTreeSet<_> = views.iter().map(|view| view.id).collect();
    assert_eq!(ids.len(), views.len(), "one of them twice");
    found.issued.into_key();
    ids
}

#[test]
fn whatever_the_stolen_key_was_handed_is_reached() {
    let store = RowStore::default();
    let keys = service(&store);
    let host = system();
    let (id, stolen) = issue(&keys, &host, manager("stolen"));
    let thief = acting(&keys, &stolen);

    let (child, child_key) = issue(&keys, &thief, manager("child"));
    let (grandchild, grandchild_key) = issue(&keys, &acting(&keys, &child_key), manager("g"));
    let (great, _) = issue(&keys, &acting(&keys, &grandchild_key), new_key("gg"));
    let [(rotated, _), (regenerated, _), (replaced, _)] =
        ["rotated", "regenerated", "replaced"].map(|name| issue(&keys, &host, manager(name)));
    let rotated_key = run(keys.rotate(&thief, rotated, HOUR)).unwrap().into_key();
    run(keys.regenerate(&thief, regenerated)).unwrap().into_key();
    run(keys.compromised(&thief, replaced)).unwrap().issued.into_key();
    let (of_rotated, _) = issue(&keys, &acting(&keys, &rotated_key), new_key("of rotated"));
    run(keys.revoke(&host, great, Reason::Unused)).unwrap();
    // The secret is the thief's own choice.
    let chosen = "lk_0123456789abcdefghijklmnopqrstuv";
    let digest = common::hex(&Sha256::digest(chosen));
    let imported = run(keys.import(&thief, manager("imported"), "legacy", &digest)).unwrap().key.id;
    let of_imported = Actor::from(&run(keys.verify(chosen, &MANAGE)).unwrap());
    let (of_imported, _) = issue(&keys, &of_imported, new_key("of imported"));

    // Touched, but no secret of them was handed out to the thief.
    let (edited, _) = issue(&keys, &host, new_key("edited"));
    run(keys.update(&thief, edited, KeyEdit::new().name("seen"))).unwrap();
    run(keys.disable(&thief, edited)).unwrap();
    let (other, other_key) = issue(&keys, &host, manager("other"));
    issue(&keys, &acting(&keys, &other_key), new_key("other's child"));
    issue(&keys, &host, manager("elsewhere").owner("org_2"));

    let all = BTreeSet::from([
        child,
        grandchild,
        great,
        rotated,
        regenerated,
        replaced,
        of_rotated,
        imported,
        of_imported,
    ]);
    assert_eq!(reached(run(keys.compromised(&host, id)).unwrap()), all);
    assert!(run(keys.verify(stolen.expose_secret(), &READ)).is_err());
    let less = BTreeSet::from([grandchild, great]);
    assert_eq!(reached(run(keys.compromised(&host, child)).unwrap()), less);
    assert!(reached(run(keys.compromised(&host, edited)).unwrap()).is_empty());
    assert!(!reached(run(keys.compromised(&host, other)).unwrap()).is_empty());
}

/// An actor can have any name, that of a key of another owner too.
#[test]
fn other_owners_keys_are_not_shown() {
    let store = RowStore::default();
    let keys = service(&store);
    let (id, _) = issue(&keys, &system(), manager("stolen"));
    let namesake = Actor::system(id.to_string());
    let (own, _) = issue(&keys, &namesake, new_key("own"));
    let (foreign, _) = issue(&keys, &namesake, new_key("foreign").owner("org_2"));
    let owner = Actor::new("alice")
        .for_owner("org_1")
        .holding(["api.key.*", "read:assets"])
        .unwrap()
        .in_environments([Environment::PRODUCTION]);
    let found = run(keys.compromised(&owner, id)).unwrap();
    assert_eq!(reached(found), BTreeSet::from([own]));
    let found = run(keys.compromised(&system(), id)).unwrap();
    assert_eq!(reached(found), BTreeSet::from([own, foreign]));
}

/// The log is longer than a page of it.
#[test]
fn the_log_is_read_to_its_end() {
    let store = RowStore::default();
    let keys = service(&store);
    let (id, stolen) = issue(&keys, &system(), manager("stolen"));
    let thief = acting(&keys, &stolen);
    let (first, _) = issue(&keys, &thief, new_key("first"));
    let (noisy, _) = issue(&keys, &system(), new_key("noisy"));
    for round in 0..1_100 {
        let edit = KeyEdit::new().name(format!("round {round}"));
        run(keys.update(&system(), noisy, edit)).unwrap();
    }
    let (last, _) = issue(&keys, &thief, new_key("last"));
    let found = reached(run(keys.compromised(&system(), id)).unwrap());
    assert_eq!(found, BTreeSet::from([first, last]));
}

/// Whatever fails behind the commit, the new secret comes out, and the failure beside it.
#[test]
fn the_new_secret_survives_what_fails_after_it() {
    let store = RowStore::default();
    let keys = service(&store);
    let (id, stolen) = issue(&keys, &system(), manager("stolen"));
    let (_, _) = issue(&keys, &acting(&keys, &stolen), new_key("child"));
    let (mut survived, mut calls) = (0, 0);
    loop {
        let broken = store.healed().failing(calls, Fault::Error(StoreErrorKind::Unavailable));
        let keys = service(&broken);
        let old = run(keys.compromised(&system(), id));
        calls += 1;
        let healed = service(&broken.healed());
        match old {
            Ok(found) => {
                let failed = found.reached.is_err();
                survived += usize::from(failed);
                let new = found.issued.into_key();
                run(healed.verify(new.expose_secret(), &READ)).unwrap();
                assert!(run(healed.verify(stolen.expose_secret(), &READ)).is_err());
                if broken.calls() < calls {
                    break;
                }
            }
            Err(_) => drop(run(healed.verify(stolen.expose_secret(), &READ)).unwrap()),
        }
    }
    assert!(survived >= 2, "{survived}: neither the log nor a read failed");
}
