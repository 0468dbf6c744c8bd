//! Shared limits and hints on a real Redis.
#![cfg(feature = "redis")]

use std::error::Error;
use std::fmt::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use keyward::{
    AccessRequest, Actor, ApiKey, Charge, Environment, FakeClock, Hints, KeyScheme, KeyService,
    KeyServiceBuilder, LimitStore, LimitSubject, LocalLimits, MemoryStore, NewKey, PepperRing,
    Quota, RateLimit, RedisHints, RedisLimits, RedisPublisher, Refill, SharedLimit, StoreError,
    StoreErrorKind, Taken, Timestamp, VerifyError,
};
use redis::{Client, Connection};

#[path = "servers/redis.rs"]
mod servers;

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

/// An error and all its sources, as a host may print them.
fn printed(error: &StoreError) -> String {
    let mut text = format!("{error:?}\n{error}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, "\n{error:?}\n{error}");
        source = error.source();
    }
    text
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
    const RATE: u32 = 4_000;
    const BURST: u32 = 400;
    // A lease lasts a twentieth of the period.
    const LASTS: Duration = Duration::from_millis(50);
    let server = Redis::start();
    let (keys, limits) = (Keys::new(), fresh(&server));
    let nodes: Vec<_> = (0..8).map(|_| keys.node(limits.clone()).build()).collect();
    let limit = RateLimit::per_second(RATE).unwrap().burst(BURST).unwrap().leased();
    let key = issue(&nodes[0], key().rate_limit(limit)).await;
    let start = Instant::now();
    let clients = (0..64).map(|client| {
        let (node, key) = (nodes[client % 8].clone(), key.expose_secret().to_owned());
        tokio::spawn(async move {
            let mut passed = Vec::new();
            while start.elapsed() < Duration::from_secs(3) {
                let before = start.elapsed();
                match node.verify(&key, &REQUEST).await {
                    Ok(_) => passed.push((before, start.elapsed())),
                    Err(VerifyError::Rejected(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error:?}"),
                }
            }
            passed
        })
    });
    let mut passed = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        passed.extend(client.await.unwrap());
    }
    let most = |window: Duration| {
        f64::from(BURST) + f64::from(RATE) * (window + LASTS).as_secs_f64() + 1.0
    };
    // What began and ended within a window was admitted in it.
    let ms = Duration::from_millis;
    for (from, length) in
        (0..60_u64).flat_map(|at| [20, 50, 100, 500, 3_500].map(|l| (ms(50 * at), ms(l))))
    {
        let within =
            |(before, after): &&(Duration, Duration)| *before >= from && *after <= from + length;
        let admitted = passed.iter().filter(within).count();
        let most = most(length);
        assert!(
            u32::try_from(admitted).is_ok_and(|admitted| f64::from(admitted) <= most),
            "{admitted} within {length:?} from {from:?}, more than {most}"
        );
    }
    let calls: String =
        redis::cmd("INFO").arg("commandstats").query(&mut connect(&server)).unwrap();
    println!("{} admitted of {}\n{calls}", passed.len(), most(start.elapsed()));
    assert!(passed.len() > 3_000, "{} passed: leases starve", passed.len());
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
async fn a_wrong_password_is_told_and_not_shown() {
    let server = Redis::with(&["--requirepass", "right"]);
    let port = server.port();
    for (url, secret) in [
        (format!("redis://:hunter2wrong@127.0.0.1:{port}/"), "hunter2wrong"),
        (format!("redis://somebody:hunter2wrong@127.0.0.1:{port}/"), "hunter2wrong"),
        (format!("redis://127.0.0.1:{port}/"), "right"),
    ] {
        let limits = RedisLimits::open(&url).unwrap();
        let error = limits.check().await.unwrap_err();
        let text = printed(&error);
        assert!(text.contains("check user and password of the URL"), "{text}");
        assert!(!text.contains(secret), "{text}");
        assert!(!format!("{limits:?}").contains(secret));
        let node = Keys::new().node(limits).build();
        let key = issue(&node, key().rate_limit(per_day(1))).await;
        let error = node.verify(key.expose_secret(), &REQUEST).await.unwrap_err();
        assert_eq!(error.status(), 503);
    }
    let right = RedisLimits::open(&format!("redis://:right@127.0.0.1:{port}/")).unwrap();
    right.check().await.unwrap();
}

#[tokio::test]
async fn a_wrong_url_is_told_and_not_shown() {
    for url in [
        "",
        "hunter2",
        "http://:hunter2@localhost/",
        "redis://:hunter2@localhost:99999/",
        "redis://:hunter2@localhost:6379/many",
        "redis://:hunter2@",
    ] {
        for error in [
            RedisLimits::open(url).unwrap_err(),
            RedisPublisher::open(url).unwrap_err(),
            RedisHints::open(url).unwrap_err(),
        ] {
            let text = printed(&error);
            assert!(text.contains("must be like `redis://"), "{url}: {text}");
            assert!(!text.contains("hunter2"), "{url}: {text}");
        }
    }
    let limits = RedisLimits::open("redis://localhost:1/").unwrap();
    for prefix in ["", "a b", "{a}", "\u{e4}", &"p".repeat(65)] {
        assert!(limits.clone().prefix(prefix).is_err(), "{prefix}");
    }
    let error = limits.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("check that it runs"), "{error}");
}

#[test]
fn outside_of_a_runtime_there_is_an_error_and_no_panic() {
    for error in [
        RedisLimits::open("redis://localhost/").unwrap_err(),
        RedisPublisher::open("redis://localhost/").unwrap_err(),
        RedisHints::open("redis://localhost/").unwrap_err(),
    ] {
        assert!(error.to_string().contains("Tokio runtime"), "{error}");
    }
}

/// Accepts, and never says a word.
#[tokio::test]
async fn a_server_that_is_silent_is_waited_for_so_long_and_no_longer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let wait = Duration::from_millis(200);
    let limits = RedisLimits::open(&url).unwrap().timeout(wait);
    for _ in 0..3 {
        let begun = Instant::now();
        let error = limits.take(&[charge(per_day(1), 1)]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("in time"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    }
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
async fn the_server_says_what_is_wrong_with_it() {
    let replica = ["--replicaof", "127.0.0.1", "1"];
    let user = ["--user", "narrow", "on", ">pw", "~*", "-@all"];
    let server = Redis::with(&[&replica[..], &user[..]].concat());
    let told = |error: StoreError, kind, part| {
        assert!(error.to_string().contains(part), "{}", printed(&error));
        assert_eq!(error.kind(), kind);
    };
    let read_only = fresh(&server).take(&[charge(per_day(1), 1)]).await.unwrap_err();
    told(read_only, StoreErrorKind::Unavailable, "give the URL of the primary");
    let narrow = format!("redis://narrow:pw@127.0.0.1:{}/", server.port());
    let narrow = RedisLimits::open(&narrow).unwrap().check().await.unwrap_err();
    told(narrow, StoreErrorKind::Other, "lacks a permission");

    let server = Redis::start();
    let limits = open(&server).prefix("p").unwrap();
    let name = "{p:org_1}:owner:rate:day";
    for foreign in [["LPUSH", name, "x"], ["SET", name, "rate 1 2 x"]] {
        let mut redis = connect(&server);
        let _: () = redis::cmd("DEL").arg(name).query(&mut redis).unwrap();
        let _: redis::Value = redis::cmd(foreign[0]).arg(&foreign[1..]).query(&mut redis).unwrap();
        let error = limits.take(&[charge(per_day(1), 1)]).await.unwrap_err();
        told(error, StoreErrorKind::Corrupt, "give keyward a prefix of its own");
    }
    let server = Redis::with(&["--maxmemory", "1"]);
    let full = fresh(&server).take(&[charge(per_day(1), 1)]).await.unwrap_err();
    told(full, StoreErrorKind::Unavailable, "raise its `maxmemory`");
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

async fn hears(hints: &mut RedisHints, within: u64) -> bool {
    tokio::time::timeout(Duration::from_millis(within), hints.next()).await.is_ok()
}

/// Waits until the subscription is there.
async fn subscribed(server: &Redis, channel: &str) {
    for _ in 0..400 {
        let mut redis = connect(server);
        let (_, count): (String, u32) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query(&mut redis).unwrap();
        if count > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody subscribes");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_change_is_heard_by_other_nodes() {
    let server = Redis::start();
    let publisher = RedisPublisher::open(&server.url()).unwrap();
    let mut hints = RedisHints::open(&server.url()).unwrap();
    let mut others = RedisHints::open(&server.url()).unwrap().channel("other").unwrap();
    subscribed(&server, "keyward:changes").await;
    subscribed(&server, "other").await;
    let node = Keys::new().node(fresh(&server)).observer(publisher.clone()).build();
    assert!(!hears(&mut hints, 200).await);
    let key = issue(&node, key()).await;
    assert!(hears(&mut hints, 10_000).await);
    assert!(node.verify(key.expose_secret(), &REQUEST).await.is_ok());
    assert!(!hears(&mut hints, 200).await, "a verify is no change");

    for _ in 0..10_000 {
        publisher.publish();
    }
    assert!(hears(&mut hints, 10_000).await);
    let mut more = 0;
    while hears(&mut hints, 300).await {
        more += 1;
    }
    assert!(more <= 2, "10,000 changes made {more} hints more");
    assert!(!hears(&mut others, 1).await);
    let to_others = RedisPublisher::open(&server.url()).unwrap().channel("other").unwrap();
    to_others.publish();
    assert!(hears(&mut others, 10_000).await);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn after_a_reconnect_there_is_one_hint() {
    let mut server = Redis::start();
    let publisher = RedisPublisher::open(&server.url()).unwrap();
    let mut hints = RedisHints::open(&server.url()).unwrap();
    subscribed(&server, "keyward:changes").await;
    for _ in 0..3 {
        server.stop();
        publisher.publish();
        assert!(!hears(&mut hints, 300).await);
        server.start_again();
        assert!(hears(&mut hints, 20_000).await, "no hint for those that were lost");
        assert!(!hears(&mut hints, 300).await);
        // The publisher's connection is made again too.
        let mut heard = false;
        for _ in 0..20 {
            publisher.publish();
            heard = hears(&mut hints, 500).await;
            if heard {
                break;
            }
        }
        assert!(heard);
        while hears(&mut hints, 100).await {}
    }
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn hints_may_be_opened_before_the_server_is_there() {
    let mut server = Redis::start();
    server.stop();
    let mut hints = RedisHints::open(&server.url()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.start_again();
    assert!(hears(&mut hints, 20_000).await);
    let shared = Arc::new(RedisPublisher::open(&server.url()).unwrap());
    shared.publish();
    assert!(hears(&mut hints, 10_000).await);
}
