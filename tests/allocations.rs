//! A verify allocates nothing, allowed or refused, and a flood of refusals leaves nothing behind.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::{measure, opt_out};
use keyward::{
    AccessRequest, Actor, ClientIp, Clock, Environment, FakeClock, KeyRecord, KeyScheme,
    KeyService, KeyServiceBuilder, KeyStore, LocalLimits, MemoryStore, NewKey, Observer, Outcome,
    PepperRing, Quota, RateLimit, Reason, Refill, Roles, Verified, VerifyError,
};
use pollster::block_on;

const REQUEST: AccessRequest<'static> = AccessRequest::new(Environment::PRODUCTION)
    .all_of(&["read:assets", "write:schedules"])
    .from(ClientIp::Peer(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3))));

/// `block_on` without its waker, which allocates.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a MemoryStore never waits"),
    }
}

struct Setup {
    scheme: KeyScheme,
    store: MemoryStore,
    clock: FakeClock,
    keys: KeyService,
}

impl Setup {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(more: impl FnOnce(KeyServiceBuilder) -> KeyServiceBuilder) -> Self {
        let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        let clock = FakeClock::at("2025-01-01T00:00:00Z".parse().unwrap());
        let store = MemoryStore::new();
        let roles = Roles::none().role("Viewer", ["read:assets", "write:schedules"]).unwrap();
        let builder = KeyService::builder(scheme.clone(), store.clone());
        let keys = more(builder.clock(clock.clone()).roles(roles)).build();
        Self { scheme, store, clock, keys }
    }

    fn issue(&self, new: NewKey) -> Case {
        let key = block_on(self.keys.issue(&Actor::system("test"), new)).unwrap().into_key();
        Case { token: key.expose_secret().to_owned(), request: REQUEST }
    }

    fn id(&self, case: &Case) -> keyward::KeyId {
        self.scheme.begin(&case.token).unwrap().key_id()
    }

    fn verify(&self, Case { token, request }: &Case) -> Result<Verified, VerifyError> {
        at_once(self.keys.verify(token, request))
    }

    /// By `begin` and `finish`, with a record that was fetched before.
    fn finish(
        &self,
        Case { token, request }: &Case,
        record: Option<&KeyRecord>,
        limits: &LocalLimits,
    ) -> Result<Verified, VerifyError> {
        let challenge = self.scheme.begin(token)?;
        challenge.finish(record, request, &Roles::none(), limits, self.clock.now())
    }

    fn record(&self, case: &Case) -> Option<KeyRecord> {
        let challenge = self.scheme.begin(&case.token).ok()?;
        block_on(self.store.get(challenge.key_id())).unwrap()
    }
}

#[derive(Clone)]
struct Case {
    token: String,
    request: AccessRequest<'static>,
}

impl Case {
    fn with(&self, change: impl FnOnce(&mut AccessRequest<'static>)) -> Self {
        let mut case = self.clone();
        change(&mut case.request);
        case
    }

    fn typed(&self, at: usize, text: &str) -> Self {
        let mut case = self.clone();
        case.token.replace_range(at..at + text.len(), text);
        case
    }

    fn token(token: String) -> Self {
        Self { token, request: REQUEST }
    }
}

fn key() -> NewKey {
    NewKey::named("Backend")
        .owner("org_1")
        .permissions(["read:assets", "write:schedules"])
        .ip_allowlist(["10.0.0.0/8"])
        .rate_limit(RateLimit::per_second(1_000_000).unwrap())
}

/// Every kind of refusal, by the name of its `Deny`.
fn refusals(setup: &Setup) -> Vec<(&'static str, Case)> {
    let Setup { clock, keys, .. } = setup;
    let actor = Actor::system("test");
    let good = setup.issue(key());
    let other = |at: usize| if good.token.as_bytes()[at] == b'a' { "b" } else { "a" };
    let mut cases = vec![
        ("Malformed", Case::token(String::new())),
        ("Malformed", Case::token("k".repeat(128))),
        ("Malformed", Case::token("k".repeat(1 << 20))),
        ("Malformed", Case::token(format!("secret-token:{}", "\u{1f511}".repeat(1 << 18)))),
        ("Malformed", Case::token(good.token[1..].to_owned())),
        ("Malformed", good.typed(1, "q")),
        ("Malformed", good.typed(7, "-")),
        ("Malformed", good.typed(9, "u")),
        ("Malformed", good.typed(40, "-")),
        ("Malformed", good.typed(40, other(40))),
        ("UnknownKey", Setup::new().issue(key())),
    ];

    let replaced = setup.issue(key());
    let id = setup.id(&replaced);
    let second = block_on(keys.regenerate(&actor, id)).unwrap().into_key();
    let _third = block_on(keys.regenerate(&actor, id)).unwrap();
    cases.push(("WrongSecret", replaced));
    cases.push(("Superseded", Case::token(second.expose_secret().to_owned())));

    let revoked = setup.issue(key());
    block_on(keys.revoke(&actor, setup.id(&revoked), Reason::Unused)).unwrap();
    cases.push(("Revoked", revoked));
    let disabled = setup.issue(key());
    block_on(keys.disable(&actor, setup.id(&disabled))).unwrap();
    cases.push(("Disabled", disabled));

    let in_a = |hours: u64| clock.now().saturating_add(Duration::from_secs(hours * 3_600));
    cases.push(("NotYetValid", setup.issue(key().not_before(in_a(48)))));
    cases.push(("Expired", setup.issue(key().expires_at(in_a(1)))));
    clock.advance(Duration::from_secs(2 * 3_600));

    let elsewhere = ClientIp::Forwarded([192, 0, 2, 1].into());
    cases.push(("WrongEnvironment", good.with(|it| it.environment = Environment::SANDBOX)));
    cases.push(("Network", good.with(|it| it.client = elsewhere)));
    cases.push(("Network", good.with(|it| it.client = ClientIp::Unknown)));
    let bound = setup.issue(key().resources("customer", ["cust_1"]));
    cases.push(("Resource", bound.with(|it| it.resources = &[("customer", "cust_2")])));
    cases.push(("Resource", bound));
    cases.push(("Scope", good.with(|it| *it = it.scope("admin"))));
    cases.push((
        "Scope",
        setup.issue(key().permissions([""; 0]).roles(["Viewer"])).with(|it| {
            *it = it.scope("admin");
        }),
    ));
    let day = RateLimit::per_day(1).unwrap();
    cases.push(("RateLimited", setup.issue(key().rate_limit(day))));
    let month = Quota::new(1, Refill::Month).unwrap();
    cases.push(("QuotaExceeded", setup.issue(key().quota(month))));
    cases
}

fn name(result: &Result<Verified, VerifyError>) -> String {
    let deny = result.as_ref().err().and_then(VerifyError::deny);
    let text = format!("{deny:?}");
    let name = text.trim_start_matches("Some(");
    name.split([' ', ')']).next().unwrap().to_owned()
}

#[test]
fn no_refusal_allocates() {
    let setup = Setup::new();
    let limits = LocalLimits::new();
    for (expected, case) in refusals(&setup) {
        let record = setup.record(&case);
        // The first use of a key makes its counters, and uses up a limit of one.
        let _ = (setup.verify(&case), setup.finish(&case, record.as_ref(), &limits));
        let mut served = None;
        let counted = measure(|| served = Some(setup.verify(&case)));
        assert_eq!(name(&served.unwrap()), expected);
        assert_eq!(counted.count_total, 0, "{expected} by the service");
        let mut finished = None;
        let counted = measure(|| finished = Some(setup.finish(&case, record.as_ref(), &limits)));
        assert_eq!(name(&finished.unwrap()), expected);
        assert_eq!(counted.count_total, 0, "{expected} by begin and finish");
    }
}

#[test]
fn no_verify_allocates() {
    let setup = Setup::new();
    let limits = LocalLimits::new();
    let quota = Quota::new(1_000, Refill::Day).unwrap();
    let more = key().quota(quota).rate_limit(RateLimit::per_minute(1_000).unwrap());
    for case in [
        setup.issue(key()),
        setup
            .issue(key().resources("customer", ["cust_1"]))
            .with(|it| it.resources = &[("customer", "cust_1")]),
        setup.issue(more),
        setup.issue(key().permissions(["*"])),
        setup.issue(NewKey::named("plain").owner("o").permissions(["*"])),
    ] {
        let record = setup.record(&case);
        for round in 0..3 {
            let counted = measure(|| {
                assert!(setup.verify(&case).is_ok());
                assert!(setup.finish(&case, record.as_ref(), &limits).is_ok());
            });
            assert!(round == 0 || counted.count_total == 0, "{counted:?}");
        }
    }
    block_on(setup.keys.flush()).unwrap();
    let again = setup.issue(key());
    assert!(setup.verify(&again).is_ok());
    block_on(setup.keys.flush()).unwrap();
    let counted = measure(|| assert!(setup.verify(&again).is_ok()));
    assert_eq!(counted.count_total, 0, "after a flush");
    let by_role = setup.issue(key().permissions([""; 0]).roles(["Viewer"]));
    assert!(setup.verify(&by_role).is_ok());
    assert_eq!(measure(|| assert!(setup.verify(&by_role).is_ok())).count_total, 0);
}

#[test]
fn the_limits_of_an_owner_and_an_observer_allocate_nothing() {
    struct Count(Arc<AtomicU64>);
    impl Observer for Count {
        fn verified(&self, _: &Outcome<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let heard = Arc::new(AtomicU64::new(0));
    let limits = LocalLimits::new().per_owner(RateLimit::per_day(3).unwrap()).unwrap();
    let setup = Setup::with(|it| it.limits(limits).observer(Count(Arc::clone(&heard))));
    let case = setup.issue(key());
    assert!(setup.verify(&case).is_ok());
    let counted = measure(|| {
        assert!(setup.verify(&case).is_ok());
        assert!(setup.verify(&case).is_ok());
        assert!(setup.verify(&case).is_err());
        assert!(setup.verify(&Case::token(String::new())).is_err());
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(heard.load(Ordering::Relaxed), 5);
}

/// A hundred thousand well-formed keys with random ids; a million at the scale of CI.
#[test]
fn a_flood_of_unknown_keys_leaves_nothing_and_hot_and_cold_keys_work_beside_it() {
    let scale: usize = std::env::var("KEYWARD_TEST_SCALE").map_or(1, |it| it.parse().unwrap());
    let flood = 100_000 * scale;
    let setup = Setup::new();
    let hot = setup.issue(key());
    let cold: Vec<Case> = (0..1_000).map(|_| setup.issue(key())).collect();
    assert!(setup.verify(&hot).is_ok());
    let mut token = hot.token.clone().into_bytes();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let counted = measure(|| {
        for round in 0..flood {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            rename(&mut token, random);
            let token = str::from_utf8(&token).unwrap();
            let result = at_once(setup.keys.verify(token, &REQUEST));
            let deny = result.unwrap_err().deny();
            assert_eq!(deny, Some(keyward::Deny::UnknownKey));
            if round % 100 == 0 {
                assert!(setup.verify(&hot).is_ok());
            }
            if round % (flood / cold.len()) == 0 {
                // A key's first use makes its counters.
                opt_out(|| assert!(setup.verify(&cold[round / (flood / cold.len())]).is_ok()));
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_current), (0, 0));
}

/// Puts another id into a token, and the checksum that then belongs to it.
fn rename(token: &mut [u8], mut random: u64) {
    for place in &mut token[9..25] {
        *place = b"0123456789abcdefghjkmnpqrstvwxyz"[(random % 32) as usize];
        random = random.rotate_right(5);
    }
    let (body, check) = token.split_at_mut(69);
    let mut crc = crc32fast::hash(body);
    for place in check.iter_mut().rev() {
        *place =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(crc % 62) as usize];
        crc /= 62;
    }
}
