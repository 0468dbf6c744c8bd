//! A cache over a store that fails, hangs or lies never lets anybody in, keeps nothing that
//! it shouldn't, and does so too when whoever asked goes away.

mod common;

use common::{
    ALL, Done, Fault, Flow, READ, RowStore, START, TOKENS, World, builder, check_invariants,
    outcomes, poll_times, run, scheme,
};
use keyward::{FakeClock, KeyCache, KeyService, ManageError};

fn cached(store: &RowStore, seed: u64) -> (KeyService, KeyCache) {
    let clock = FakeClock::at(START);
    let cache = KeyCache::builder(store.clone()).clock(clock.clone()).build();
    (builder(scheme(&[2, 1]), cache.clone(), &clock, seed).build(), cache)
}

/// What every token verifies to by the database.
fn truth(store: &RowStore) -> Vec<(&'static str, u16)> {
    run(outcomes(&World::service(&store.healed(), 9), world()))
}

fn world() -> &'static World {
    static WORLD: std::sync::OnceLock<World> = std::sync::OnceLock::new();
    WORLD.get_or_init(World::new)
}

/// Once with nothing kept, and once with everything.
#[test]
fn every_call_of_every_flow_fails_closed() {
    for flow in ALL {
        // What is cold differs where something is looked up by a verify only.
        let looks_up = matches!(flow, Flow::Verify | Flow::Maintain | Flow::Revoke);
        for warm in [true, false].into_iter().filter(|warm| *warm || looks_up) {
            let start = || {
                let store = world().store();
                let (keys, cache) = cached(&store, 7);
                if warm {
                    run(keys.maintain()).unwrap();
                    assert_eq!(run(outcomes(&keys, world())), TOKENS);
                    run(keys.flush()).unwrap();
                }
                let calls = store.calls();
                (store, keys, cache, calls)
            };
            let (store, keys, _, before) = start();
            assert!(run(flow.run(&keys, world())).is_ok(), "{flow:?}");
            let after = truth(&store);
            let calls = store.calls() - before;
            for call in 0..calls {
                for fault in Fault::ALL {
                    let case = format!("{flow:?}, warm {warm}, call {call}: {fault:?}");
                    let (store, keys, cache, before) = start();
                    let store = store.failing(before + call, fault);
                    let done = poll_times(flow.run(&keys, world()), 10_000);
                    judge(done, fault, &case);
                    check_invariants(world(), &store, &after, &case);
                    assert_eq!(run(outcomes(&keys, world())), truth(&store), "{case}: kept");
                    run(cache.catch_up()).unwrap();
                    assert_eq!(run(outcomes(&keys, world())), truth(&store), "{case}: kept on");
                    assert_eq!(cache.misses(), 0, "{case}");
                }
            }
        }
    }
}

fn judge(done: Option<Result<Done, ManageError>>, fault: Fault, case: &str) {
    match done {
        Some(Ok(Done::Verified(found))) => {
            for ((name, found), (_, wanted)) in found.into_iter().zip(TOKENS) {
                assert!(found == wanted || found == 503, "{case}: {name} got {found}");
            }
        }
        Some(Ok(_)) => {}
        Some(Err(error)) => assert_eq!(error.status(), 503, "{case}: {error}"),
        None => assert!(matches!(fault, Fault::Hangs | Fault::HangsAfter), "{case}"),
    }
}

#[test]
fn a_flow_dropped_at_any_await_leaves_the_cache_right() {
    for flow in ALL {
        let after = {
            let store = world().store();
            assert!(run(flow.run(&cached(&store, 7).0, world())).is_ok(), "{flow:?}");
            truth(&store)
        };
        for polls in 0.. {
            let case = format!("{flow:?} dropped after {polls} polls");
            let store = world().store();
            let (keys, cache) = cached(&store, 7);
            assert_eq!(run(outcomes(&keys, world())), TOKENS);
            let store = store.yielding();
            let done = poll_times(flow.run(&keys, world()), polls);
            check_invariants(world(), &store, &after, &case);
            assert_eq!(run(outcomes(&keys, world())), truth(&store), "{case}");
            assert_eq!(cache.misses(), 0, "{case}");
            if done.is_some() {
                break;
            }
        }
    }
}

/// Of those who wait for one read, the one that reads goes away: another takes its place.
#[test]
fn who_waits_for_a_read_that_is_dropped_reads_himself() {
    for polls in 0..20 {
        let store = world().store().yielding();
        let (keys, cache) = cached(&store, 7);
        let token = world().token("plain");
        let leader = Box::pin(keys.verify(token, &READ));
        let mut leader = Some(leader);
        let mut follower = Box::pin(keys.verify(token, &READ));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut led = false;
        for _ in 0..polls {
            led |=
                leader.as_mut().is_some_and(|it| !led && it.as_mut().poll(&mut context).is_ready());
            if led || follower.as_mut().poll(&mut context).is_ready() {
                return;
            }
        }
        leader = None;
        assert!(leader.is_none());
        assert!(run(follower).is_ok(), "dropped after {polls} polls");
        assert_eq!(cache.misses(), 0);
    }
}
