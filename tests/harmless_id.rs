//! A public id in a stranger's hands: he can make well-formed tokens of it, and do
//! nothing to the key with them.
//!
//! 14,000 requests by default, times `KEYWARD_TEST_SCALE`.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    READ, RowStore, START, Seeded, World, builder, forged, new_key, run, scale, scheme, system,
};
use keyward::{
    AccessRequest, ClientIp, Environment, Event, FakeClock, KeyId, KeyRecord, LocalLimits,
    Observer, Outcome, RateLimit, ReportOptions,
};

type Seen = (Option<KeyId>, bool);

/// What an alerting host would be told: the key that was named, and whether it is proven.
#[derive(Clone, Default)]
struct Alerts {
    seen: Arc<Mutex<Vec<Seen>>>,
    events: Arc<Mutex<usize>>,
}

impl Observer for Alerts {
    fn verified(&self, outcome: &Outcome<'_>) {
        self.seen.lock().unwrap().push((outcome.key, outcome.is_authenticated()));
    }

    fn changed(&self, _: &Event) {
        *self.events.lock().unwrap() += 1;
    }
}

#[test]
fn made_up_tokens_with_a_victims_id_touch_nothing() {
    let (store, clock, alerts) = (RowStore::default(), FakeClock::at(START), Alerts::default());
    let owners = LocalLimits::new().per_owner(RateLimit::per_day(2).unwrap()).unwrap();
    let keys = builder(scheme(&[1]), store.clone(), &clock, 1)
        .limits(owners)
        .observer(alerts.clone())
        .build();
    let new =
        new_key("victim").rate_limit(RateLimit::per_day(2).unwrap()).ip_allowlist(["10.0.0.0/8"]);
    let issued = run(keys.issue(&system(), new)).unwrap();
    let id = issued.view().id;
    let token = issued.into_key().expose_secret().to_owned();
    let from_home = READ.from(ClientIp::Peer("10.0.0.1".parse().unwrap()));
    let before = store.snapshot();
    let calls = store.calls();

    let mut rng = Seeded(5);
    let mut sent = 0;
    for _ in 0..2_000 * scale() {
        for prefix in ["ak_live", "ak_test", "old_live"] {
            let made_up = forged(&mut rng, prefix, &id.to_string());
            for environment in [Environment::PRODUCTION, Environment::SANDBOX] {
                let request = AccessRequest::new(environment).scope("read:assets").cost(9);
                let error = run(keys.verify(&made_up, &request)).unwrap_err();
                assert_eq!(error.code(), "INVALID_API_KEY");
                sent += 1;
            }
        }
        // The true prefix and id before a secret that is right but for one character.
        let mut close = token[..token.len() - 6].to_owned();
        let last = if close.pop() == Some('a') { 'c' } else { 'a' };
        close.push(last);
        assert!(run(keys.verify(&common::with_checksum(&close), &from_home)).is_err());
        sent += 1;
        clock.advance(Duration::from_millis(1));
    }
    assert_eq!(store.calls() - calls, sent, "one read for each, and nothing else");
    run(keys.maintain()).unwrap();
    run(keys.flush()).unwrap();
    assert!(store.snapshot() == before, "the record, the log or the usage was written to");
    let seen = std::mem::take(&mut *alerts.seen.lock().unwrap());
    assert_eq!(seen.len(), sent);
    assert!(seen.iter().all(|(key, proven)| *key == Some(id) && !proven));
    assert_eq!(*alerts.events.lock().unwrap(), 1, "the issue");

    // The key is neither slowed nor locked: both units of both its limits are there.
    for left in [1, 0] {
        let verified = run(keys.verify(&token, &from_home)).unwrap();
        assert_eq!(verified.limit().unwrap().remaining(), left);
    }
    assert_eq!(alerts.seen.lock().unwrap().as_slice(), [(Some(id), true); 2]);
    let view = run(keys.get(&system(), id)).unwrap();
    assert_eq!((view.uses, view.revision), (2, 1));
    assert_eq!(store.snapshot().record(id).as_ref().map(KeyRecord::version), Some(1));
}

#[test]
fn a_leak_report_of_a_made_up_token_names_a_key_and_proves_nothing() {
    let world = World::new();
    let keys = World::service(&world.store(), 1);
    let mut rng = Seeded(6);
    for name in ["plain", "disabled", "revoked"] {
        let made_up = forged(&mut rng, "ak_live", &world.id(name).to_string());
        let found = keys.scheme().scan(&format!("leaked: {made_up} here"));
        assert_eq!(found.len(), 1);
        let error = run(keys.verify(&made_up, &READ)).unwrap_err();
        assert!(!error.deny().unwrap().is_authenticated(), "{name}");
    }
    let reports = run(keys.reports(&system(), &ReportOptions::default())).unwrap();
    assert!(reports.bad_seals.is_empty() && reports.unreadable.is_empty());
}
