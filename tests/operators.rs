//! Actors of one owner who manage everybody's keys: what they keep of their own.

mod fixture;

use fixture::{World, at};
use keyward::{AccessRequest, Actor, Environment, LocalLimits, ManageError, NewKey, Roles};
use pollster::block_on;

/// An actor made from a key of `org_1` with everything that `new` says.
fn operator(world: &World, new: NewKey) -> Actor {
    let (_, key) = world.issue(new.owner("org_1"));
    let request = AccessRequest::new(Environment::PRODUCTION);
    let verified = block_on(world.keys.verify(key.expose_secret(), &request)).unwrap();
    Actor::from(&verified).for_all_owners()
}

fn refused(result: Result<keyward::IssuedKey, ManageError>) -> Vec<String> {
    match result {
        Err(ManageError::GrantExceedsActor(fields)) => {
            fields.iter().map(|field| field.field().to_owned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_key_that_names_nobody_is_the_actors() {
    let world = World::new();
    let admin = operator(&world, NewKey::named("admin").permissions(["api.key.*"]));
    let own = block_on(world.keys.issue(&admin, NewKey::named("own"))).unwrap();
    assert_eq!(own.view().owner, "org_1");
    let other = block_on(world.keys.issue(&admin, NewKey::named("x").owner("org_2"))).unwrap();
    assert_eq!(other.view().owner, "org_2");
    let repeated = || NewKey::named("once").idempotency_key("1");
    let first = block_on(world.keys.issue(&admin, repeated())).unwrap();
    let again = block_on(world.keys.issue(&admin, repeated().owner("org_1")));
    assert!(matches!(again, Err(ManageError::IdempotencyMismatch)), "{again:?} {first:?}");

    let nobody = Actor::new("nobody").holding(["api.key.*"]).unwrap().for_all_owners();
    let homeless = block_on(world.keys.issue(&nobody, NewKey::named("x")));
    assert!(matches!(homeless, Err(ManageError::Invalid(_))), "{homeless:?}");
}

/// A role of the actor's owner may mean less than the common one of the same name.
#[test]
fn a_role_means_what_it_means_at_home() {
    let roles = Roles::none()
        .role("Support", ["write:*", "api.key.*"])
        .unwrap()
        .owner_role("org_1", "Support", ["read:a", "api.key.create"])
        .unwrap();
    let world = World::with(roles, LocalLimits::new());
    let support = operator(&world, NewKey::named("support").role("Support"));
    let issue = |new: NewKey| block_on(world.keys.issue(&support, new.owner("org_2")));
    let _reader = issue(NewKey::named("reader").permissions(["read:a"])).unwrap();
    assert_eq!(refused(issue(NewKey::named("writer").permissions(["write:a"]))), ["permissions"]);
    assert_eq!(refused(issue(NewKey::named("theirs").role("Support"))), ["roles"]);
}

#[test]
fn keys_outlive_their_maker_only_by_leave() {
    let world = World::new();
    let mortal = NewKey::named("first").permissions(["api.key.*"]).expires_at(at(86_400));
    let admin = operator(&world, mortal);
    let issue = |actor: &Actor| block_on(world.keys.issue(actor, NewKey::named("second")));
    assert_eq!(refused(issue(&admin)), ["expires_at"]);
    assert_eq!(issue(&admin.without_end()).unwrap().view().expires_at, None);
}
