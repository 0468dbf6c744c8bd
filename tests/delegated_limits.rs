//! A key that manages keys passes its limits on: to itself after an edit, and to every key
//! that it issues, hands out or edits.

mod fixture;

use fixture::World;
use keyward::{
    AccessRequest, Actor, Environment, KeyEdit, KeyId, ManageError, NewKey, Quota, RateLimit,
    Refill, Rotation,
};
use pollster::block_on;

const REQUEST: AccessRequest<'_> =
    AccessRequest::new(Environment::PRODUCTION).scope("api.key.update");

fn minute(count: u32) -> RateLimit {
    RateLimit::per_minute(count).unwrap()
}

fn daily(limit: u64) -> Quota {
    Quota::new(limit, Refill::Day).unwrap()
}

/// A key with both kinds of limits, and the actor that it is.
fn manager(world: &World) -> (KeyId, Actor) {
    let new = NewKey::named("manager")
        .owner("o")
        .permissions(["api.key.*", "read:a"])
        .rate_limit(minute(10))
        .rate_limit(RateLimit::per_hour(100).unwrap().burst(50).unwrap())
        .quota(daily(1_000));
    let (id, key) = world.issue(new);
    (id, Actor::from(&block_on(world.keys.verify(key.expose_secret(), &REQUEST)).unwrap()))
}

fn hour(count: u32, burst: u32) -> RateLimit {
    RateLimit::per_hour(count).unwrap().burst(burst).unwrap()
}

/// Lists of limits that are looser than the manager's in one way each.
fn looser() -> Vec<(&'static str, Vec<RateLimit>, Option<Quota>)> {
    let quota = || Some(daily(1_000));
    vec![
        ("none at all", vec![], None),
        ("no rate limits", vec![], quota()),
        ("one missing", vec![minute(10)], quota()),
        ("no quota", vec![minute(10), hour(100, 50)], None),
        ("a larger count", vec![minute(11), hour(100, 50)], quota()),
        ("a larger burst", vec![minute(10), hour(100, 51)], quota()),
        ("another name", vec![minute(10).named("m").unwrap(), hour(100, 50)], quota()),
        (
            "another period",
            vec![RateLimit::per_second(10).unwrap().named("minute").unwrap(), hour(100, 50)],
            quota(),
        ),
        ("a larger quota", vec![minute(10), hour(100, 50)], Some(daily(1_001))),
        (
            "another refill",
            vec![minute(10), hour(100, 50)],
            Some(Quota::new(1_000, Refill::Hour).unwrap()),
        ),
        (
            "another quota's name",
            vec![minute(10), hour(100, 50)],
            Some(daily(1_000).named("other").unwrap()),
        ),
        ("fails open", vec![minute(10).fail_open(), hour(100, 50)], quota()),
    ]
}

fn with_limits(new: NewKey, rates: Vec<RateLimit>, quota: Option<Quota>) -> NewKey {
    let new = rates.into_iter().fold(new, NewKey::rate_limit);
    quota.into_iter().fold(new, NewKey::quota)
}

fn edit(rates: Vec<RateLimit>, quota: Option<Quota>) -> KeyEdit {
    let edit = KeyEdit::new().rate_limits(rates);
    match quota {
        Some(quota) => edit.quota(quota),
        None => edit.without_quota(),
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, ManageError>, case: &str) {
    match result {
        Err(ManageError::GrantExceedsActor(fields)) => {
            let fields: Vec<_> = fields.iter().map(keyward::FieldError::field).collect();
            assert_eq!(fields, ["rate_limits"], "{case}");
        }
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn a_key_can_not_loosen_its_own_limits() {
    let world = World::new();
    let (id, actor) = manager(&world);
    for (case, rates, quota) in looser() {
        refused(block_on(world.keys.update(&actor, id, edit(rates, quota))), case);
    }
    let view = block_on(world.keys.get(&world.host, id)).unwrap();
    assert_eq!((view.revision, view.rate_limits.len()), (1, 2), "nothing was changed");
    let tighter = edit(vec![minute(9), hour(100, 40)], Some(daily(999)));
    block_on(world.keys.update(&actor, id, tighter)).unwrap();
}

#[test]
fn a_child_has_limits_at_least_as_tight() {
    let world = World::new();
    let (_, actor) = manager(&world);
    let child = || NewKey::named("child").permissions(["read:a"]);
    for (case, rates, quota) in looser() {
        refused(block_on(world.keys.issue(&actor, with_limits(child(), rates, quota))), case);
    }
    for (rates, quota) in [
        (vec![minute(10), hour(100, 50)], daily(1_000)),
        (vec![minute(1), hour(100, 1), RateLimit::per_second(1).unwrap()], daily(1)),
    ] {
        let new = with_limits(child(), rates, Some(quota));
        block_on(world.keys.issue(&actor, new)).unwrap().into_key();
    }
}

/// Made by the host, and without limits: the key may take nothing of it into its hands.
#[test]
fn no_secret_of_a_looser_key_is_handed_out() {
    let world = World::new();
    let (_, actor) = manager(&world);
    let free = NewKey::named("free").owner("o").permissions(["read:a"]);
    let (id, _) = world.issue(free);
    let grace = Rotation::grace(fixture::seconds(60));
    refused(block_on(world.keys.rotate(&actor, id, grace)), "rotate");
    refused(block_on(world.keys.regenerate(&actor, id)), "regenerate");
    refused(block_on(world.keys.compromised(&actor, id)), "compromised");
    block_on(world.keys.disable(&actor, id)).unwrap();
    refused(block_on(world.keys.enable(&actor, id)), "enable");
}

#[test]
fn an_actor_may_be_held_within_limits() {
    let world = World::new();
    let actor = |limits: Vec<RateLimit>| {
        let actor = Actor::new("alice").for_owner("o").holding(["api.key.*", "read:a"]).unwrap();
        actor.in_environments([Environment::PRODUCTION]).within_limits(limits)
    };
    let alice = actor(vec![minute(10)]).unwrap();
    let child = || NewKey::named("child").permissions(["read:a"]);
    refused(block_on(world.keys.issue(&alice, child())), "none");
    refused(block_on(world.keys.issue(&alice, child().rate_limit(minute(11)))), "more");
    let issued = block_on(world.keys.issue(&alice, child().rate_limit(minute(10)))).unwrap();
    let lost = KeyEdit::new().rate_limits([]);
    refused(block_on(world.keys.update(&alice, issued.id(), lost)), "lost");

    assert!(actor(vec![minute(1), minute(2)]).is_err(), "two of one name");
    let nine = (0..9).map(|n| minute(1).named(&format!("n{n}")).unwrap()).collect();
    assert!(actor(nine).is_err(), "nine");
    let free = block_on(world.keys.issue(&actor(vec![]).unwrap(), child())).unwrap();
    free.into_key();
}
