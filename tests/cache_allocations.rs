//! A verify out of the cache allocates nothing, allowed or refused.

mod common;
mod map_store;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use common::{READ, START, builder, new_key, run, scheme, system};
use keyward::{Deny, FakeClock, KeyCache, KeyService, RateLimit, Reason};
use map_store::MapStore;

/// `run` without anything of its own.
fn verify(keys: &KeyService, token: &str) -> Option<Deny> {
    match pin!(keys.verify(token, &READ)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.err().and_then(|error| error.deny()),
        Poll::Pending => panic!("a hit never waits"),
    }
}

#[test]
fn a_hit_allocates_nothing() {
    let clock = FakeClock::at(START);
    let cache = KeyCache::builder(MapStore::default()).clock(clock.clone()).build();
    for shares_clock in [true, false] {
        let keys = builder(scheme(&[1]), cache.clone(), &clock, 1 + u64::from(shares_clock));
        let keys = if shares_clock { keys.build() } else { keys.clock(clock.clone()).build() };
        let limited = new_key("k").rate_limit(RateLimit::per_second(1_000).unwrap());
        let key = run(keys.issue(&system(), limited)).unwrap().into_key();
        let issued = run(keys.issue(&system(), new_key("revoked"))).unwrap();
        run(keys.revoke(&system(), issued.id(), Reason::Unused)).unwrap();
        let revoked = issued.into_key();
        run(keys.maintain()).unwrap();
        for _ in 0..2 {
            assert_eq!(verify(&keys, key.expose_secret()), None);
            assert_eq!(verify(&keys, revoked.expose_secret()), Some(Deny::Revoked));
            run(keys.maintain()).unwrap();
            clock.advance(Duration::from_secs(1));
        }
        let counted = measure(|| {
            for _ in 0..1_000 {
                assert_eq!(verify(&keys, key.expose_secret()), None);
                assert_eq!(verify(&keys, revoked.expose_secret()), Some(Deny::Revoked));
                assert_eq!(verify(&keys, "ak_live_nothing"), Some(Deny::Malformed));
            }
        });
        assert_eq!((counted.count_total, counted.bytes_current), (0, 0));
    }
}
