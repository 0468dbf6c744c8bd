//! Shared limits and hints on a real Redis.
#![cfg(feature = "redis")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keyward::{
    AccessRequest, Actor, ApiKey, Charge, Environment, FakeClock, KeyScheme, KeyService,
    KeyServiceBuilder, LimitStore, LimitSubject, LocalLimits, MemoryStore, NewKey, PepperRing,
    Quota, RateLimit, RedisLimits, Refill, SharedLimit, StoreErrorKind, Taken, Timestamp,
    VerifyError,
};
use redis::{Client, Connection};

mod hints;
#[path = "../leases/mod.rs"]
mod leases;
#[path = "../servers/redis.rs"]
mod servers;
mod wrong;

use servers::Redis;

const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

/// One server for all tests that leave it alone.
static SERVER: LazyLock<Redis> = LazyLock::new(Redis::start);

mod contract {
    keyward::conformance_limit_suite!(
        #[tokio::test]
        #[ignore = "needs Redis"]
        super::fresh(&super::SERVER)
    );
}

/// Limits of their own in a server, patient with a busy machine.
fn fresh(server: &Redis) -> RedisLimits {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    open(server).prefix(&prefix).unwrap()
}

fn open(server: &Redis) -> RedisLimits {
    RedisLimits::open(&server.url()).unwrap().timeout(Duration::from_secs(20))
}

fn connect(server: &Redis) -> Connection {
    Client::open(server.url()).unwrap().get_connection().unwrap()
}

fn charge(limit: RateLimit, cost: u32) -> Charge {
    Charge {
        owner: "org_1".into(),
        subject: LimitSubject::Owner,
        limit: SharedLimit::Rate(limit),
        cost,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn per_day(count: u32) -> RateLimit {
    RateLimit::per_day(count).unwrap().strict()
}

/// Nodes that share their keys.
struct Keys {
    scheme: KeyScheme,
    store: MemoryStore,
}

impl Keys {
    fn new() -> Self {
        let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        Self { scheme, store: MemoryStore::new() }
    }

    fn node(&self, limits: RedisLimits) -> KeyServiceBuilder {
        KeyService::builder(self.scheme.clone(), self.store.clone()).limit_store(limits)
    }
}

async fn issue(node: &KeyService, new: NewKey) -> ApiKey {
    node.issue(&Actor::system("setup"), new.owner("org_1")).await.unwrap().into_key()
}

fn key() -> NewKey {
    NewKey::named("limited")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Redis"]
async fn sixty_four_strict_clients_get_exactly_what_there_is() {
    let keys = Keys::new();
    let limits = fresh(&SERVER);
    let first = keys.node(limits.clone()).build();
    let quota = Quota::new(900, Refill::Year).unwrap().strict();
    let rated = issue(&first, key().rate_limit(per_day(1_000))).await;
    let both = issue(&first, key().rate_limit(per_day(1_000)).quota(quota)).await;
    for (key, room) in [(rated, 1_000), (both, 900)] {
        let clients = (0..64).map(|_| {
            let prefix = limits_prefix(&limits);
            let node = keys.node(open(&SERVER).prefix(&prefix).unwrap()).build();
            let key = key.expose_secret().to_owned();
            tokio::spawn(async move {
                let mut passed = 0;
                loop {
                    match node.verify(&key, &REQUEST).await {
                        Ok(_) => passed += 1,
                        Err(VerifyError::Rejected(_)) => return passed,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        });
        let mut passed = 0;
        for client in clients.collect::<Vec<_>>() {
            passed += client.await.unwrap();
        }
        assert_eq!(passed, room);
    }
}

fn limits_prefix(limits: &RedisLimits) -> String {
    let shown = format!("{limits:?}");
    shown.split('"').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Redis"]
async fn leased_clients_stay_within_the_stated_bound() {
    let server = Redis::start();
    let (passed, most) = leases::hold_while_all_are_busy(fresh(&server)).await;
    let calls: String =
        redis::cmd("INFO").arg("commandstats").query(&mut connect(&server)).unwrap();
    println!("{passed} admitted of {most}\n{calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Redis"]
async fn leases_are_void_after_a_pause() {
    leases::are_void_after_a_pause(fresh(&SERVER)).await;
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_forgot_the_script_is_told_again() {
    let mut server = Redis::start();
    let limits = fresh(&server);
    let one = [charge(per_day(2), 1)];
    assert_eq!(limits.take(&one).await.unwrap(), Taken::All);
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connect(&server)).unwrap();
    assert_eq!(limits.take(&one).await.unwrap(), Taken::All);
    assert!(matches!(limits.take(&one).await.unwrap(), Taken::Denied { charge: 0, .. }));
    server.start_again();
    // The lost connection is noticed by the first call; at the next it is made again.
    let mut answers = Vec::new();
    for _ in 0..50 {
        match limits.take(&one).await {
            Ok(taken) => {
                answers.push(taken);
                break;
            }
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(answers, [Taken::All]);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn without_the_server_each_limit_says_what_happens() {
    let mut server = Redis::start();
    let node = Keys::new().node(fresh(&server)).build();
    let local = RateLimit::per_hour(5).unwrap();
    let closed = issue(&node, key().rate_limit(per_day(100))).await;
    let open = key().rate_limit(per_day(100).fail_open()).rate_limit(local);
    let open = issue(&node, open).await;
    assert!(node.verify(closed.expose_secret(), &REQUEST).await.is_ok());
    server.stop();
    for _ in 0..10 {
        let begun = Instant::now();
        let error = node.verify(closed.expose_secret(), &REQUEST).await.unwrap_err();
        assert!(matches!(error, VerifyError::Unavailable(_)), "{error:?}");
        assert_eq!(error.status(), 503);
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    }
    let mut passed = 0;
    while node.verify(open.expose_secret(), &REQUEST).await.is_ok() {
        passed += 1;
    }
    assert_eq!(passed, 5, "the local limit holds");
    server.start_again();
    let mut recovered = false;
    for _ in 0..50 {
        recovered = node.verify(closed.expose_secret(), &REQUEST).await.is_ok();
        if recovered {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(recovered, "the connection was not made again");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn the_time_is_the_servers_and_a_callers_clock_gains_nothing() {
    let (keys, limits) = (Keys::new(), fresh(&SERVER));
    let quota = Quota::new(7, Refill::Hour).unwrap().strict();
    let clocks = ["2001-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2100-01-01T00:00:00Z"];
    let nodes = clocks.map(|at| {
        let clock = FakeClock::at(at.parse().unwrap());
        keys.node(limits.clone()).clock(clock).build()
    });
    for new in [key().rate_limit(per_day(7)), key().quota(quota)] {
        let key = issue(&nodes[0], new).await;
        let mut passed = 0;
        for turn in 0..30 {
            passed +=
                usize::from(nodes[turn % 3].verify(key.expose_secret(), &REQUEST).await.is_ok());
        }
        assert_eq!(passed, 7);
    }
    let one = [charge(RateLimit::per_second(50).unwrap().burst(1).unwrap().strict(), 1)];
    assert_eq!(limits.take(&one).await.unwrap(), Taken::All);
    tokio::time::sleep(Duration::from_millis(25)).await;
    assert_eq!(limits.take(&one).await.unwrap(), Taken::All, "the server's time has passed");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn in_a_cluster_all_counters_of_a_request_are_in_one_slot() {
    let server = Redis::with(&["--cluster-enabled", "yes"]);
    let mut redis = connect(&server);
    let _: () =
        redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).query(&mut redis).unwrap();
    for _ in 0..200 {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut redis).unwrap();
        if info.contains("cluster_state:ok") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let owners = LocalLimits::new().per_owner(per_day(100)).unwrap();
    let node = Keys::new().node(open(&server)).limits(owners).build();
    let quota = Quota::new(3, Refill::Year).unwrap().strict();
    for owner in ["org_1", "}", "{}", "a}b{c"] {
        let new = NewKey::named("k").owner(owner).rate_limit(per_day(9)).quota(quota.clone());
        let key = node.issue(&Actor::system("setup"), new).await.unwrap().into_key();
        let verified = node.verify(key.expose_secret(), &REQUEST).await;
        assert!(verified.is_ok(), "{owner}: {verified:?}");
    }
}
