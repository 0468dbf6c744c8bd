//! A store that fails never lets anybody in, and never leaves half a key behind.

mod common;

use common::{
    ALL, Done, Fault, Flow, READ, RowStore, TOKENS, World, check_invariants, new_key, outcomes,
    poll_times, run, system,
};
use keyward::{ManageError, StoreErrorKind};

/// Without a fault: how many calls a flow makes, and what tokens verify to after it.
fn undisturbed(world: &World, flow: Flow) -> (usize, Vec<(&'static str, u16)>) {
    let store = world.store();
    let done = run(flow.run(&World::service(&store, 7), world));
    let calls = store.calls();
    match done.unwrap_or_else(|error| panic!("{flow:?}: {error}")) {
        Done::Issued(token) => {
            assert!(run(World::service(&store, 8).verify(&token, &READ)).is_ok(), "{flow:?}");
        }
        Done::Verified(found) => assert_eq!(found, TOKENS),
        Done::Nothing => {}
    }
    let after = run(outcomes(&World::service(&store, 8), world));
    check_invariants(world, &store, &after, &format!("{flow:?}"));
    (calls, after)
}

fn disturbed(world: &World, flow: Flow, call: usize, fault: Fault, after: &[(&'static str, u16)]) {
    let case = format!("{flow:?}, call {call}: {fault:?}");
    let store = world.store().failing(call, fault);
    let keys = World::service(&store, 7);
    match poll_times(flow.run(&keys, world), 10_000) {
        Some(Ok(Done::Verified(found))) => {
            for ((name, found), (_, wanted)) in found.into_iter().zip(TOKENS) {
                assert!(found == wanted || found == 503, "{case}: {name} got {found}");
            }
        }
        Some(Ok(Done::Issued(token))) => {
            assert!(run(keys.verify(&token, &READ)).is_ok(), "{case}: a dead secret");
        }
        Some(Ok(Done::Nothing)) => {}
        Some(Err(error)) => {
            assert_eq!(error.status(), 503, "{case}: {error}");
            let unknown = matches!(
                &error,
                ManageError::Store(error) if error.kind() == StoreErrorKind::Unavailable
            );
            let changed = store.snapshot().log != world.kept.log;
            assert!(unknown || !changed, "{case}: changed, but says {error}");
        }
        None => assert!(matches!(fault, Fault::Hangs | Fault::HangsAfter), "{case}"),
    }
    check_invariants(world, &store, after, &case);
    let same = run(outcomes(&keys, world));
    assert_eq!(same, run(outcomes(&World::service(&store.healed(), 9), world)), "{case}");
    assert!(store.snapshot().rows.len() <= world.kept.rows.len() + 1, "{case}");
    if flow == Flow::IssueOnce {
        assert_eq!(retried(&store), 1, "{case}: a retry made a second key");
    }
    if flow == Flow::IssueAgain {
        assert_eq!(named(&store, "once"), 1, "{case}: a second key");
    }
}

/// How many keys there are after the client has sent its request again, twice.
fn retried(store: &RowStore) -> usize {
    let new = || new_key("new").idempotency_key("fresh");
    for attempt in 0..2 {
        let again = run(World::service(store, 20 + attempt).issue(&system(), new()));
        let expected = match &again {
            Ok(_) => attempt == 0,
            Err(error) => matches!(error, ManageError::AlreadyIssued(_)),
        };
        assert!(expected, "{again:?}");
    }
    named(store, "new")
}

fn named(store: &RowStore, name: &str) -> usize {
    store.snapshot().records().filter(|record| record.name() == name).count()
}

#[test]
fn every_call_of_every_flow_fails_closed() {
    let world = World::new();
    for flow in ALL {
        let (calls, after) = undisturbed(&world, flow);
        assert!(calls > 0, "{flow:?} makes no call");
        for call in 0..calls {
            for fault in Fault::ALL {
                disturbed(&world, flow, call, fault, &after);
            }
        }
    }
}

#[test]
fn a_verify_of_a_failing_store_is_unavailable_for_every_kind_of_error() {
    let world = World::new();
    for kind in [
        StoreErrorKind::AlreadyExists,
        StoreErrorKind::Conflict,
        StoreErrorKind::Corrupt,
        StoreErrorKind::Other,
        StoreErrorKind::OwnerCapReached,
        StoreErrorKind::Unavailable,
    ] {
        for (name, _) in TOKENS {
            let store = world.store().failing(0, Fault::Error(kind));
            let keys = World::service(&store, 7);
            let error = run(keys.verify(world.token(name), &READ)).unwrap_err();
            assert_eq!((error.status(), error.code()), (503, "UNAVAILABLE"), "{name}, {kind:?}");
            assert!(error.deny().is_none() && error.retry_after().is_some());
            assert!(error.body(&READ).to_json().contains("UNAVAILABLE"));
        }
    }
}

#[test]
fn a_pass_of_upkeep_that_failed_is_made_up_for_by_the_next() {
    let world = World::new();
    let (calls, _) = undisturbed(&world, Flow::Maintain);
    let id = world.id("old pepper");
    for call in 1..calls {
        for fault in Fault::ALL {
            let store = world.store().failing(call, fault);
            let keys = World::service(&store, 7);
            let _ = poll_times(Flow::Maintain.run(&keys, &world), 10_000);
            let passing = matches!(
                fault,
                Fault::Error(StoreErrorKind::Unavailable)
                    | Fault::ErrorAfter
                    | Fault::Hangs
                    | Fault::HangsAfter
            );
            if !passing {
                run(keys.verify(world.token("old pepper"), &READ)).unwrap();
            }
            run(keys.maintain()).unwrap();
            run(keys.flush()).unwrap();
            let case = format!("call {call}: {fault:?}");
            let (_, document) = store.document(id);
            let old = common::pepper(1).id().to_string();
            assert!(!document.contains(&old), "{case}: the new tag was lost");
            let uses = run(keys.usage(&system(), id)).unwrap().uses;
            let twice = matches!(fault, Fault::ErrorAfter | Fault::HangsAfter);
            let wanted = if passing { 1 } else { 2 };
            assert!(uses == wanted || (twice && uses == 2), "{case}: {uses} uses");
        }
    }
}
