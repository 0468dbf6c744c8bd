//! What `explain`, `simulate` and `would_break` foretell comes true, and looking changes
//! nothing.

mod fixture;
mod model;

use fixture::{Random, World, at, cases};
use keyward::{
    AccessRequest, Change, Decision, Expect, KeyEdit, KeyId, KeyQuery, KeyRecord, KeyStore as _,
    LocalLimits, NewKey, RateLimit, Roles,
};
use model::case::{LIVE, ROLES, compare, issue, random_key, random_request, roles, with_request};
use model::{Key, Net, Standing, refusal};
use pollster::block_on;

fn random_edit(random: &mut Random) -> (KeyEdit, impl Fn(&mut Key) + use<>) {
    let donor = random_key(random);
    let fields: Vec<bool> = (0..6).map(|_| random.chance(40)).collect();
    let text = |nets: &[Net]| nets.iter().map(Net::text).collect::<Vec<_>>();
    let mut edit = KeyEdit::new();
    if fields[0] {
        edit = edit.permissions(donor.scopes.iter().copied());
    }
    if fields[1] {
        edit = edit.roles(donor.roles.iter().copied());
    }
    if fields[2] {
        edit = edit.ip_allowlist(text(&donor.allow)).ip_denylist(text(&donor.deny));
    }
    if fields[3] {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let rules = donor.resources.iter();
        edit = edit.resources(rules.map(|(kind, ids)| ((*kind).into(), owned(ids))).collect());
    }
    if fields[4] {
        edit = match donor.expires_at {
            Some(end) => edit.expires_at(at(end)),
            None => edit.never_expires(),
        };
    }
    if fields[5] {
        edit = match donor.not_before {
            Some(start) => edit.not_before(at(start)),
            None => edit.valid_at_once(),
        };
    }
    let apply = move |key: &mut Key| {
        let donor = donor.clone();
        if fields[0] {
            key.scopes = donor.scopes;
        }
        if fields[1] {
            key.roles = donor.roles;
        }
        if fields[2] {
            (key.allow, key.deny) = (donor.allow, donor.deny);
        }
        if fields[3] {
            key.resources = donor.resources;
        }
        if fields[4] {
            key.expires_at = donor.expires_at;
        }
        if fields[5] {
            key.not_before = donor.not_before;
        }
    };
    (edit, apply)
}

/// What `simulate` and `would_break` foretell is what the edit then does.
#[test]
fn simulations_come_true() {
    let mut random = Random(4);
    for _ in 0..cases(10_000, 500) {
        let world = World::with(roles(), LocalLimits::new());
        let roles = roles();
        let mut keys: Vec<(KeyId, Key)> = (0..4)
            .map(|_| {
                let key = random_key(&mut random);
                (issue(&world, &key).0, key)
            })
            .collect();
        let (edit, apply) = random_edit(&mut random);
        let request = random_request(&mut random);
        let when = at(request.at);
        let (host, query) = (&world.host, KeyQuery::new().with_revoked());
        with_request(&request, |asked| {
            let before: Vec<_> = keys
                .iter()
                .map(|(id, _)| world.record(*id).evaluate(asked, &roles, when))
                .collect();
            let traces: Vec<_> = keys
                .iter()
                .map(|(id, _)| {
                    block_on(world.keys.simulate(host, *id, &edit, asked, when)).unwrap()
                })
                .collect();
            let mut broken =
                block_on(world.keys.would_break(host, &query, &edit, asked, when)).unwrap();
            let mut expected = Vec::new();
            for (((id, key), trace), before) in keys.iter_mut().zip(traces).zip(before) {
                apply(key);
                let after = refusal(key, ROLES, &request);
                assert_eq!(trace.allowed, after.is_none(), "{key:?} {edit:?} {request:?}\n{trace}");
                if key.standing != Standing::Revoked {
                    block_on(world.keys.update(host, *id, edit.clone())).unwrap();
                    compare(&world.record(*id), key, &roles, &request);
                }
                if before == Decision::Allow && after.is_some() {
                    expected.push(*id);
                }
            }
            broken.sort_unstable();
            expected.sort_unstable();
            assert_eq!(broken, expected, "{edit:?} {request:?}");
        });
    }
}

/// A key that has expired is explained and simulated like any other.
#[test]
fn simulations_of_keys_that_do_not_work() {
    let world = World::new();
    let (id, _) = world.issue(NewKey::named("k").owner("o").expires_at(at(10)));
    let request = AccessRequest::new(LIVE);
    let renamed = KeyEdit::new().name("other");
    world.clock.set(at(60));
    let (keys, host) = (&world.keys, &world.host);
    let trace = block_on(keys.simulate(host, id, &renamed, &request, at(60))).unwrap();
    assert_eq!(trace.failed().unwrap().check, keyward::Check::Expiry, "{trace}");
    let trace = block_on(keys.simulate(host, id, &renamed, &request, at(5))).unwrap();
    assert!(trace.allowed, "{trace}");
    let restrict = KeyEdit::new().customers(["c1"]);
    let query = KeyQuery::new();
    let broken = block_on(keys.would_break(host, &query, &restrict, &request, at(5))).unwrap();
    assert_eq!(broken, [id]);
}

/// A key that would refuse an edit hides no other, and an edit that fits none is wrong.
#[test]
fn an_edit_that_does_not_fit_one_key_is_tried_with_the_others() {
    let world = World::new();
    let short = world.issue(NewKey::named("short").owner("o").expires_at(at(50))).0;
    let long = world.issue(NewKey::named("long").owner("o")).0;
    let request = AccessRequest::new(LIVE);
    let later = KeyEdit::new().not_before(at(60));
    let (keys, host) = (&world.keys, &world.host);
    let would_break = |query| block_on(keys.would_break(host, &query, &later, &request, at(0)));
    assert_eq!(would_break(KeyQuery::new()).unwrap(), [long]);
    block_on(keys.revoke(host, long, keyward::Reason::Unused)).unwrap();
    assert!(would_break(KeyQuery::new()).is_err());
    assert!(block_on(keys.simulate(host, short, &later, &request, at(0))).is_err());
}

/// A key whose record was changed in the database works for nothing, so no edit breaks it.
#[test]
fn no_edit_breaks_a_forged_key() {
    let world = World::new();
    let (id, _) = world.issue(NewKey::named("k").owner("o").permissions(["read:a"]));
    let record = world.record(id);
    let document = record.to_document().replace("read:a", "read:*");
    let record = KeyRecord::from_row(id, record.version(), &document);
    let change = Change { expect: Expect::Version(record.version()), record, event: None };
    block_on(world.store.commit(change)).unwrap();
    let (request, edit) = (AccessRequest::new(LIVE), KeyEdit::new().customers(["c1"]));
    let trace = block_on(world.keys.explain(&world.host, id, &request, at(0))).unwrap();
    assert_eq!(trace.failed().map(|step| step.check), Some(keyward::Check::Seal));
    let query = KeyQuery::new();
    let broken = block_on(world.keys.would_break(&world.host, &query, &edit, &request, at(0)));
    assert_eq!(broken.unwrap(), []);
}

/// `explain` tells of a limit that all keys of the owner share.
#[test]
fn explain_counts_the_owners_limits() {
    let limits = LocalLimits::new().per_owner(RateLimit::per_minute(1).unwrap()).unwrap();
    let world = World::with(Roles::none(), limits);
    let (id, secret) = world.issue(NewKey::named("k").owner("o"));
    let request = AccessRequest::new(LIVE);
    let explain = || block_on(world.keys.explain(&world.host, id, &request, at(0))).unwrap();
    assert!(explain().allowed);
    assert!(block_on(world.keys.verify(secret.expose_secret(), &request)).is_ok());
    assert!(block_on(world.keys.verify(secret.expose_secret(), &request)).is_err());
    let trace = explain();
    assert_eq!(trace.failed().map(|step| step.check), Some(keyward::Check::Limits), "{trace}");
    assert_eq!(explain(), trace, "looking takes nothing");
}
