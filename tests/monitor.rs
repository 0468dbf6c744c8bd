//! The monitor behind a service: strangers teach it nothing and make it forget nothing, it
//! allocates nothing once it is built, and beside other observers all of them hear.

mod common;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use allocation_counter::{measure, opt_out};
use common::{READ, RowStore, START, Seeded, builder, forged, new_key, run, scale, scheme, system};
use keyward::{
    AccessRequest, Alert, AlertKind, AlertSink, ClientIp, Event, FakeClock, KeyId, KeyService,
    MemoryStore, Monitor, MonitorBuilder, Observer, Outcome, RateLimit, Reason, SharedKeyStore,
};

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Alert>>>);

impl AlertSink for Heard {
    fn alert(&self, alert: &Alert) {
        // A host's own list may allocate.
        opt_out(|| self.0.lock().unwrap().push(*alert));
    }
}

impl Heard {
    fn take(&self) -> Vec<Alert> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn kinds(&self) -> Vec<(AlertKind, Option<KeyId>, bool)> {
        self.take().iter().map(|it| (it.kind, it.key, it.authenticated)).collect()
    }
}

struct Watched<S> {
    clock: FakeClock,
    store: S,
    monitor: Arc<Monitor>,
    heard: Heard,
    keys: KeyService,
    rng: Seeded,
}

impl<S: Clone + Into<SharedKeyStore>> Watched<S> {
    fn new(store: S, with: impl FnOnce(MonitorBuilder) -> MonitorBuilder) -> Self {
        let (clock, heard) = (FakeClock::at(START), Heard::default());
        let monitor = Arc::new(with(Monitor::builder(heard.clone())).build());
        let keys =
            builder(scheme(&[1]), store.clone(), &clock, 1).observer(Arc::clone(&monitor)).build();
        Self { clock, store, monitor, heard, keys, rng: Seeded(3) }
    }

    fn key(&self) -> (KeyId, String) {
        let issued = run(self.keys.issue(&system(), new_key("key"))).unwrap();
        (issued.view().id, issued.into_key().expose_secret().to_owned())
    }

    /// A code, or `OK`.
    fn ask(&self, token: &str, client: ClientIp) -> &'static str {
        run(self.keys.verify(token, &READ.from(client))).map_or_else(|error| error.code(), |_| "OK")
    }

    fn made_up(&mut self, id: KeyId) -> String {
        forged(&mut self.rng, "ak_live", &id.to_string())
    }

    /// Days of use, so many an hour.
    fn use_for(&self, token: &str, client: ClientIp, days: u32, per_hour: u32) {
        for _ in 0..days * 24 {
            (0..per_hour).for_each(|_| assert_eq!(self.ask(token, client), "OK"));
            self.clock.advance(HOUR);
        }
    }
}

fn peer(address: &str) -> ClientIp {
    ClientIp::Peer(address.parse().unwrap())
}

fn any(rng: &mut Seeded) -> ClientIp {
    let bits = u128::from(rng.number()) << 64 | u128::from(rng.number());
    ClientIp::Forwarded(IpAddr::V6(Ipv6Addr::from_bits(bits >> 3 | 1 << 125)))
}

#[test]
fn every_kind_of_alert_through_the_service() {
    let mut it = Watched::new(RowStore::default(), |it| it.unusual_volume(3, 30));
    let (home, away) = (peer("192.0.2.1"), peer("2001:db8::1"));
    let (id, token) = it.key();
    it.use_for(&token, home, 8, 10);
    assert_eq!(it.heard.take(), []);

    assert_eq!(it.ask(&token, away), "OK");
    let alert = it.heard.take()[0];
    assert_eq!(
        (alert.kind, alert.key, alert.authenticated),
        (AlertKind::NewAddress, Some(id), true)
    );
    assert_eq!(alert.address.unwrap().to_string(), "2001:db8::/64");
    assert_eq!((alert.last_at, alert.count, alert.held_back), (it.keys.now(), 1, 0));

    (0..40).for_each(|_| assert_eq!(it.ask(&token, home), "OK"));
    let alert = it.heard.take()[0];
    assert_eq!((alert.kind, alert.count, alert.threshold), (AlertKind::UnusualVolume, 31, 31));
    assert_eq!((alert.authenticated, alert.window_seconds), (true, 3_600));
    assert_eq!(
        alert.to_string(),
        format!(
            "unusual_volume: 31 in 3600 s (alert at 31), key {id}, from 192.0.2.1, \
             authenticated, {} to {}",
            alert.first_at, alert.last_at
        )
    );
    let json = serde_json::to_value(alert).unwrap();
    assert_eq!((&json["kind"], &json["address"]), (&"unusual_volume".into(), &"192.0.2.1".into()));

    let admin = READ.scope("admin").from(home);
    (0..10).for_each(|_| assert!(run(it.keys.verify(&token, &admin)).is_err()));
    assert_eq!(it.heard.kinds(), [(AlertKind::OutOfScope, Some(id), true)]);

    for _ in 0..20 {
        let made_up = it.made_up(id);
        assert_eq!(it.ask(&made_up, away), "INVALID_API_KEY");
    }
    assert_eq!(it.heard.kinds(), [(AlertKind::FailuresByKey, Some(id), false)]);
    (0..50).for_each(|_| _ = it.ask("junk", peer("192.0.2.9")));
    assert_eq!(it.heard.kinds(), [(AlertKind::FailuresByAddress, None, false)]);

    let never = KeyId::from_bytes([9; 10]);
    let made_up = it.made_up(never);
    it.ask(&made_up, home);
    assert_eq!(it.heard.kinds(), [(AlertKind::NeverIssued, Some(never), false)]);
    // A key of the same realm, in another database.
    let elsewhere = builder(scheme(&[1]), MemoryStore::new(), &it.clock, 2).build();
    let lost = run(elsewhere.issue(&system(), new_key("lost"))).unwrap();
    let lost_id = lost.view().id;
    it.ask(lost.into_key().expose_secret(), home);
    assert_eq!(it.heard.kinds(), [(AlertKind::LostRecord, Some(lost_id), false)]);

    let (edited, token_of_edited) = it.key();
    let (version, document) = it.store.document(edited);
    it.store.put(edited, version, &document.replace(r#""key""#, r#""other""#));
    assert_eq!(it.ask(&token_of_edited, home), "INVALID_API_KEY");
    assert_eq!(it.heard.kinds(), [(AlertKind::BadSeal, Some(edited), false)]);

    it.clock.advance(HOUR);
    let second = run(it.keys.regenerate(&system(), id)).unwrap().into_key();
    assert_eq!(it.ask(&token, home), "INVALID_API_KEY");
    assert_eq!(it.heard.kinds(), [(AlertKind::RetiredSecret, Some(id), true)]);
    run(it.keys.revoke(&system(), id, Reason::Compromised)).unwrap();
    it.clock.advance(HOUR);
    assert_eq!(it.ask(second.expose_secret(), home), "INVALID_API_KEY");
    assert_eq!(it.heard.kinds(), [(AlertKind::RetiredSecret, Some(id), true)]);
}

/// Two keys that are used alike; a stranger knows the id of one.
#[test]
fn made_up_tokens_with_a_victims_id_teach_the_monitor_nothing() {
    let mut it = Watched::new(MemoryStore::new(), |it| it.unusual_volume(3, 30));
    let (home, attacker) = (peer("192.0.2.1"), peer("192.0.2.66"));
    let ((victim, of_victim), (control, of_control)) = (it.key(), it.key());
    for _ in 0..8 * 24 {
        for _ in 0..10 {
            assert_eq!((it.ask(&of_victim, home), it.ask(&of_control, home)), ("OK", "OK"));
        }
        for _ in 0..30 * scale() {
            let made_up = it.made_up(victim);
            let client = if it.rng.below(2) == 0 { attacker } else { any(&mut it.rng) };
            assert_eq!(it.ask(&made_up, client), "INVALID_API_KEY");
        }
        it.clock.advance(HOUR);
    }
    let alerts = it.heard.take();
    assert!(!alerts.is_empty(), "bursts");
    assert!(alerts.iter().all(|alert| !alert.authenticated && alert.key != Some(control)));

    // The address is still new to both, and both are unusual at the same count.
    for token in [&of_victim, &of_control] {
        assert_eq!(it.ask(token, attacker), "OK");
        (0..35).for_each(|_| _ = it.ask(token, home));
    }
    let told = it.heard.take();
    for id in [victim, control] {
        let of = told.iter().filter(|alert| alert.key == Some(id));
        let of = of.map(|alert| (alert.kind, alert.count, alert.authenticated));
        let expected = [(AlertKind::NewAddress, 1, true), (AlertKind::UnusualVolume, 31, true)];
        assert_eq!(of.collect::<Vec<_>>(), expected, "{id}");
    }
}

/// Whoever holds a secret that is no longer good teaches nothing either.
#[test]
fn a_refused_holder_teaches_the_monitor_nothing() {
    let it = Watched::new(MemoryStore::new(), |it| it.unusual_volume(3, 30));
    let (home, thief) = (peer("192.0.2.1"), peer("192.0.2.66"));
    let (id, old) = it.key();
    it.use_for(&old, home, 8, 10);
    let new = run(it.keys.regenerate(&system(), id)).unwrap().into_key();
    for _ in 0..5 * 24 {
        (0..40).for_each(|_| assert_eq!(it.ask(&old, thief), "INVALID_API_KEY"));
        (0..10).for_each(|_| assert_eq!(it.ask(new.expose_secret(), home), "OK"));
        it.clock.advance(HOUR);
    }
    it.heard.take();
    assert_eq!(it.ask(new.expose_secret(), thief), "OK");
    (0..35).for_each(|_| _ = it.ask(new.expose_secret(), home));
    let expected = [AlertKind::NewAddress, AlertKind::UnusualVolume];
    assert_eq!(it.heard.kinds(), expected.map(|kind| (kind, Some(id), true)));
}

#[test]
fn what_stops_at_a_limit_is_volume() {
    let it = Watched::new(MemoryStore::new(), |it| it.unusual_volume(3, 30));
    let limited = new_key("limited").rate_limit(RateLimit::per_hour(12).unwrap());
    let issued = run(it.keys.issue(&system(), limited)).unwrap();
    let id = issued.view().id;
    let token = issued.into_key().expose_secret().to_owned();
    it.use_for(&token, ClientIp::Unknown, 4, 10);
    (0..35).for_each(|_| _ = it.ask(&token, ClientIp::Unknown));
    assert_eq!(it.heard.kinds(), [(AlertKind::UnusualVolume, Some(id), true)]);
}

/// A hundred thousand made-up ids from as many addresses; a million at ten times the scale.
#[test]
fn a_flood_takes_no_memory_and_hides_no_key() {
    let mut before = None;
    let built = measure(|| before = Some(Monitor::new(|_: &Alert| ())));
    let monitor = before.unwrap();
    let size = usize::try_from(built.bytes_current).unwrap();
    assert!(size.abs_diff(monitor.memory()) < 16_384, "{size} and {}", monitor.memory());
    assert!(size < 4 << 20, "the documented size: {size}");

    let mut it = Watched::new(MemoryStore::new(), |it| it);
    let home = peer("192.0.2.1");
    let tokens: Vec<String> = (0..500).map(|_| it.key().1).collect();
    let (victim, _) = it.key();
    for day in 0..8 {
        for token in &tokens {
            assert_eq!(it.ask(token, home), "OK", "day {day}");
        }
        it.clock.advance(24 * HOUR);
    }
    let flood = 100_000 * scale();
    let (keys, rng) = (&it.keys, &mut it.rng);
    let mut close = Seeded(9);
    let counted = measure(|| {
        for round in 0..flood {
            let mut token = String::new();
            opt_out(|| {
                let id = KeyId::from_bytes(std::array::from_fn(|_| rng.number().to_be_bytes()[0]));
                let id = if round % 10 == 0 { victim } else { id };
                token = forged(&mut close, "ak_live", &id.to_string());
            });
            let client = any(rng);
            let request = READ.from(client);
            let answer = common::poll_times(keys.verify(&token, &request), 1).unwrap();
            assert!(answer.is_err());
            opt_out(|| drop(token));
        }
    });
    assert_eq!((counted.count_total, counted.bytes_current), (0, 0));
    let alerts = it.heard.take();
    assert!(alerts.len() <= 60 * 3, "{}", alerts.len());
    assert!(alerts.iter().all(|alert| !alert.authenticated));
    assert!(alerts.iter().any(|it| (it.kind, it.key) == (AlertKind::FailuresByKey, Some(victim))));

    // Every key is still known: an address is new to it.
    for token in &tokens[..50] {
        assert_eq!(it.ask(token, peer("192.0.2.2")), "OK");
    }
    assert_eq!(it.heard.take().len(), 50);
    assert_eq!(it.monitor.missed(), 0);
}

#[test]
fn neither_a_use_nor_an_alert_allocates() {
    let it = Watched::new(MemoryStore::new(), |it| it.repeat_after(Duration::from_secs(60)));
    let (_, token) = it.key();
    let home = READ.from(peer("192.0.2.1"));
    let ask = |request: &AccessRequest<'_>| {
        common::poll_times(it.keys.verify(&token, request), 1).unwrap()
    };
    for _ in 0..24 * 8 {
        assert!(ask(&home).is_ok());
        it.clock.advance(HOUR);
    }
    let admin = home.scope("admin");
    let _ = (ask(&home), ask(&admin), ask(&home));
    it.clock.advance(HOUR);
    let counted = measure(|| {
        for minute in 0..100u8 {
            it.clock.advance(Duration::from_secs(61));
            let elsewhere = READ.from(ClientIp::Peer([203, 0, 113, minute / 20].into()));
            assert!(ask(&home).is_ok());
            assert!(ask(&elsewhere).is_ok());
            assert!(ask(&admin).is_err());
            assert!(common::poll_times(it.keys.verify("junk", &home), 1).unwrap().is_err());
        }
    });
    assert_eq!(counted.count_total, 0);
    assert!(it.heard.take().len() > 5);
}

#[test]
fn several_observers_and_several_sinks_all_hear() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>, &'static str);
    impl Observer for Log {
        fn verified(&self, outcome: &Outcome<'_>) {
            let said = format!("{} {:?} {}", self.1, outcome.key.is_some(), outcome.at);
            self.0.lock().unwrap().push(said);
        }
        fn changed(&self, event: &Event) {
            self.0.lock().unwrap().push(format!("{} {}", self.1, event.action));
        }
    }
    let (log, clock) = (Arc::default(), FakeClock::at(START));
    let (one, two) = (Heard::default(), Heard::default());
    let keys = builder(scheme(&[1]), MemoryStore::new(), &clock, 1)
        .observer(Log(Arc::clone(&log), "a"))
        .observer(Monitor::builder(one.clone()).sink(two.clone()).failures_by_key(1).build())
        .observer(Log(Arc::clone(&log), "b"))
        .build();
    let issued = run(keys.issue(&system(), new_key("key"))).unwrap();
    let id = issued.view().id;
    let token = issued.into_key();
    assert!(run(keys.verify(token.expose_secret(), &READ)).is_ok());
    assert!(run(keys.verify("junk", &READ)).is_err());
    assert!(run(keys.verify(&forged(&mut Seeded(1), "ak_live", &id.to_string()), &READ)).is_err());
    let said = [
        "issued".to_owned(),
        format!("true {START}"),
        format!("false {START}"),
        format!("true {START}"),
    ];
    let expected = said.iter().flat_map(|it| [format!("a {it}"), format!("b {it}")]);
    assert_eq!(*log.lock().unwrap(), expected.collect::<Vec<_>>());
    let (one, two) = (one.take(), two.take());
    assert_eq!((one.len(), one.clone()), (1, two));
}

/// Has a key refused for each alert, which is then counted where the alert came from.
#[derive(Clone, Default)]
struct AsksAgain {
    heard: Heard,
    keys: Arc<OnceLock<(KeyService, String)>>,
}

impl AlertSink for AsksAgain {
    fn alert(&self, alert: &Alert) {
        self.heard.alert(alert);
        let (keys, made_up) = self.keys.get().unwrap();
        assert!(run(keys.verify(made_up, &READ)).is_err());
    }
}

/// Eight threads at one key and one victim, whose alerts come back into the monitor: nothing
/// waits for itself, each burst is told once, and no refusal goes uncounted.
#[test]
fn many_threads_at_once_are_counted_and_wait_for_nobody() {
    const THREADS: u64 = 8;
    const EACH: u64 = 500;
    let (sink, clock) = (AsksAgain::default(), FakeClock::at(START));
    let last = u32::try_from(THREADS * EACH).unwrap();
    let monitor = Arc::new(Monitor::builder(sink.clone()).failures_by_key(last).build());
    let keys = builder(scheme(&[1]), MemoryStore::new(), &clock, 1);
    let keys = keys.observer(Arc::clone(&monitor)).build();
    let issue = || run(keys.issue(&system(), new_key("key"))).unwrap();
    let victim = issue().view().id;
    let token = issue().into_key().expose_secret().to_owned();
    let made_up = forged(&mut Seeded(THREADS), "ak_live", &victim.to_string());
    sink.keys.set((keys.clone(), made_up)).unwrap();

    let (done, wait) = mpsc::channel();
    for thread in 0..THREADS {
        let (keys, token, done) = (keys.clone(), token.clone(), done.clone());
        std::thread::spawn(move || {
            let mut rng = Seeded(thread);
            for _ in 0..EACH {
                assert!(run(keys.verify(&token, &READ)).is_ok());
                let made_up = forged(&mut rng, "ak_live", &victim.to_string());
                assert!(run(keys.verify(&made_up, &READ)).is_err());
            }
            done.send(()).unwrap();
        });
    }
    for _ in 0..THREADS {
        wait.recv_timeout(Duration::from_secs(120)).expect("a thread waits, or has panicked");
    }
    // The threshold is the number of all of them: one that is lost, and there is no alert.
    let bursts = sink.heard.take();
    let [burst] = &*bursts else { panic!("{bursts:?}") };
    assert_eq!((burst.kind, burst.key), (AlertKind::FailuresByKey, Some(victim)));
    assert_eq!((burst.count, burst.authenticated), (THREADS * EACH, false));
    assert!(monitor.missed() < THREADS * EACH);
}
