//! Limits that all processes share: taken last, all or none, with the local ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use keyward::{
    AccessRequest, Actor, ApiKey, Charge, Clock, Deny, Environment, FakeClock, KeyScheme,
    KeyService, LimitName, LimitStore, LimitedBy, LocalLimits, ManageError, MemoryLimitStore,
    MemoryStore, NewKey, PepperRing, Quota, RateLimit, Refill, StoreError, StoreErrorKind, Taken,
    Timestamp, Verified, VerifyError,
};

const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

fn start() -> Timestamp {
    Timestamp::from_unix_seconds(1_750_000_000)
}

fn scheme() -> KeyScheme {
    let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
    KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap()
}

/// A node: its own local limits, and a share of the rest.
struct Node {
    keys: KeyService,
    clock: FakeClock,
}

impl Node {
    fn with(scheme: &KeyScheme, store: &MemoryStore, limits: impl LimitStore) -> Self {
        Self::with_local(scheme, store, limits, LocalLimits::new())
    }

    fn with_local(
        scheme: &KeyScheme,
        store: &MemoryStore,
        limits: impl LimitStore,
        local: LocalLimits,
    ) -> Self {
        let clock = FakeClock::at(start());
        let keys = KeyService::builder(scheme.clone(), store.clone())
            .limits(local)
            .limit_store(limits)
            .clock(clock.clone())
            .build();
        Self { keys, clock }
    }

    fn alone(limits: impl LimitStore) -> Self {
        Self::with(&scheme(), &MemoryStore::new(), limits)
    }

    async fn issue(&self, new: NewKey) -> ApiKey {
        self.keys.issue(&Actor::system("setup"), new).await.unwrap().into_key()
    }

    async fn verify(&self, key: &ApiKey, cost: u32) -> Result<Verified, VerifyError> {
        self.keys.verify(key.expose_secret(), &REQUEST.cost(cost)).await
    }

    /// How many requests in a row pass.
    async fn passing(&self, key: &ApiKey) -> usize {
        let mut passed = 0;
        while passed < 1_000 && self.verify(key, 1).await.is_ok() {
            passed += 1;
        }
        passed
    }
}

fn key() -> NewKey {
    NewKey::named("limited").owner("org_1")
}

fn per_minute(count: u32) -> RateLimit {
    RateLimit::per_minute(count).unwrap()
}

fn denied(result: Result<Verified, VerifyError>) -> Deny {
    result.unwrap_err().deny().unwrap()
}

#[pollster::test]
async fn nodes_share_strict_limits_and_not_local_ones() {
    let (scheme, store, limits) = (scheme(), MemoryStore::new(), MemoryLimitStore::new());
    let nodes = [(); 2].map(|()| Node::with(&scheme, &store, limits.clone()));
    let [first, second] = &nodes;
    let strict = first.issue(key().rate_limit(per_minute(10).strict())).await;
    assert_eq!(first.passing(&strict).await + second.passing(&strict).await, 10);
    let local = first.issue(key().rate_limit(per_minute(10))).await;
    assert_eq!((first.passing(&local).await, second.passing(&local).await), (10, 10));

    second.clock.advance(Duration::from_secs(6));
    assert_eq!(second.passing(&strict).await, 1, "a tenth of a minute is one unit");
}

#[pollster::test]
async fn a_denial_names_the_limit_and_the_wait() {
    let node = Node::alone(MemoryLimitStore::new());
    let slow = RateLimit::new("slow", 2, Duration::from_secs(60)).unwrap().strict();
    let limited = node.issue(key().rate_limit(per_minute(100)).rate_limit(slow)).await;
    assert_eq!(node.passing(&limited).await, 2);
    let error = node.verify(&limited, 1).await.unwrap_err();
    let limit = LimitName::Key(LimitedBy::Rate(1));
    let retry_after = Some(Duration::from_secs(30));
    assert_eq!(error.deny(), Some(Deny::RateLimited { retry_after, limit }));
    assert_eq!((error.status(), error.retry_after()), (429, retry_after));

    let quota = Quota::new(3, Refill::Hour).unwrap().strict();
    let metered = node.issue(key().quota(quota)).await;
    assert_eq!(node.passing(&metered).await, 3);
    let resets_at: Timestamp = "2025-06-15T16:00:00Z".parse().unwrap();
    let limit = LimitName::Key(LimitedBy::Quota);
    let retry_after = Some(resets_at.saturating_duration_since(node.clock.now()));
    let deny = denied(node.verify(&metered, 1).await);
    assert_eq!(deny, Deny::QuotaExceeded { resets_at, retry_after, limit });
    let never = denied(node.verify(&metered, 4).await);
    assert_eq!(never, Deny::QuotaExceeded { resets_at, retry_after: None, limit });
    node.clock.set(resets_at);
    assert_eq!(node.passing(&metered).await, 3);
}

#[pollster::test]
async fn a_strict_denial_gives_local_limits_back() {
    let node = Node::alone(MemoryLimitStore::new());
    let quota = Quota::new(5, Refill::Day).unwrap().strict();
    let both = node.issue(key().rate_limit(per_minute(8)).quota(quota)).await;
    assert_eq!(node.passing(&both).await, 5);
    for _ in 0..20 {
        let deny = denied(node.verify(&both, 1).await);
        assert!(
            matches!(deny, Deny::QuotaExceeded { .. }),
            "the local limit was used up: {deny:?}"
        );
    }
    let left = node.verify(&both, 0).await.unwrap().limit().unwrap().remaining();
    assert_eq!(left, 3, "5 of the 8 local units were used");
}

#[pollster::test]
async fn a_denial_takes_nothing_from_other_strict_limits() {
    let node = Node::alone(MemoryLimitStore::new());
    let day = RateLimit::per_day(6).unwrap().strict();
    let limited = node.issue(key().rate_limit(day).rate_limit(per_minute(2).strict())).await;
    for _ in 0..3 {
        assert_eq!(node.passing(&limited).await, 2);
        for _ in 0..10 {
            assert!(node.verify(&limited, 1).await.is_err());
        }
        node.clock.advance(Duration::from_secs(60));
    }
    let deny = denied(node.verify(&limited, 1).await);
    let first = LimitName::Key(LimitedBy::Rate(0));
    assert!(matches!(deny, Deny::RateLimited { limit, .. } if limit == first), "{deny:?}");
}

#[pollster::test]
async fn a_local_denial_takes_nothing_strict() {
    let node = Node::alone(MemoryLimitStore::new());
    let quota = Quota::new(4, Refill::Day).unwrap().strict();
    let both = node.issue(key().rate_limit(per_minute(2)).quota(quota)).await;
    assert_eq!(node.passing(&both).await, 2);
    for _ in 0..10 {
        assert!(matches!(denied(node.verify(&both, 1).await), Deny::RateLimited { .. }));
    }
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(node.passing(&both).await, 2);
    node.clock.advance(Duration::from_secs(60));
    assert!(matches!(denied(node.verify(&both, 1).await), Deny::QuotaExceeded { .. }));
}

#[pollster::test]
async fn a_cost_above_the_burst_never_passes_and_takes_nothing() {
    let node = Node::alone(MemoryLimitStore::new());
    let limited = node.issue(key().rate_limit(per_minute(10).burst(4).unwrap().strict())).await;
    let limit = LimitName::Key(LimitedBy::Rate(0));
    for cost in [5, u32::MAX] {
        let deny = denied(node.verify(&limited, cost).await);
        assert_eq!(deny, Deny::RateLimited { retry_after: None, limit });
    }
    assert!(node.verify(&limited, 4).await.is_ok());
    assert!(node.verify(&limited, 0).await.is_ok(), "a cost of 0 is never denied");
    assert!(node.verify(&limited, 1).await.is_err());
}

#[pollster::test]
async fn all_keys_of_an_owner_share_the_owners_strict_limit() {
    let (scheme, store, limits) = (scheme(), MemoryStore::new(), MemoryLimitStore::new());
    let local = || LocalLimits::new().per_owner(per_minute(5).strict()).unwrap();
    let nodes = [(); 2].map(|()| Node::with_local(&scheme, &store, limits.clone(), local()));
    let [first, second] = &nodes;
    let keys = [first.issue(key()).await, first.issue(key()).await];
    for (node, key) in [(first, &keys[0]), (second, &keys[1]), (second, &keys[0])] {
        assert!(node.verify(key, 1).await.is_ok());
    }
    assert_eq!(first.passing(&keys[1]).await, 2);
    let deny = denied(second.verify(&keys[0], 1).await);
    let owners = LimitName::Owner(LimitedBy::Rate(0));
    assert!(matches!(deny, Deny::RateLimited { limit, .. } if limit == owners), "{deny:?}");
    let other = first.issue(NewKey::named("other").owner("org_2")).await;
    assert_eq!(second.passing(&other).await, 5);
}

#[pollster::test]
async fn without_a_limit_store_no_key_gets_a_strict_limit() {
    let keys = KeyService::new(scheme(), MemoryStore::new());
    let new = key().rate_limit(per_minute(1).strict());
    let error = keys.issue(&Actor::system("setup"), new).await.unwrap_err();
    assert!(matches!(&error, ManageError::Invalid(fields) if fields[0].field() == "rate_limits"));
}

/// Set by the host at start, where no issue can refuse it. An answer of a store may be
/// overlooked when it fails; that there is none may not.
#[pollster::test]
async fn an_owners_strict_limit_without_a_limit_store_is_unavailable() {
    for limit in [per_minute(5).strict(), per_minute(5).strict().fail_open()] {
        let keys = KeyService::builder(scheme(), MemoryStore::new())
            .limits(LocalLimits::new().per_owner(limit).unwrap())
            .build();
        let issued = keys.issue(&Actor::system("setup"), key()).await.unwrap().into_key();
        let error = keys.verify(issued.expose_secret(), &REQUEST).await.unwrap_err();
        assert!(matches!(error, VerifyError::Unavailable(_)), "{error:?}");
        assert_eq!(error.status(), 503);
    }
}

/// Counts in memory, or fails, as told.
#[derive(Clone, Default)]
struct Shaky {
    limits: MemoryLimitStore,
    down: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl LimitStore for Shaky {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        self.limits.take(charges).await
    }
}

#[pollster::test]
async fn when_the_limit_store_fails_each_limit_says_what_happens() {
    let shaky = Shaky::default();
    let node = Node::alone(shaky.clone());
    let open = key()
        .rate_limit(per_minute(9))
        .rate_limit(RateLimit::per_hour(5).unwrap().strict().fail_open());
    let mixed = open.clone().quota(Quota::new(100, Refill::Day).unwrap().strict().fail_closed());
    let (open, mixed) = (node.issue(open).await, node.issue(mixed).await);
    shaky.down.store(true, Ordering::Relaxed);

    for _ in 0..20 {
        let error = node.verify(&mixed, 1).await.unwrap_err();
        assert!(matches!(error, VerifyError::Unavailable(_)), "{error:?}");
        assert_eq!(error.status(), 503);
    }
    assert_eq!(node.passing(&open).await, 9, "the local limit holds when the store is down");

    shaky.down.store(false, Ordering::Relaxed);
    assert_eq!(node.passing(&mixed).await, 5, "refusals gave the local units back");
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(node.passing(&open).await, 5, "what passed uncounted was not counted");
}

#[pollster::test]
async fn one_call_carries_all_strict_limits_and_refused_requests_make_none() {
    let shaky = Shaky::default();
    let local = LocalLimits::new().per_owner(per_minute(50).strict()).unwrap();
    let node = Node::with_local(&scheme(), &MemoryStore::new(), shaky.clone(), local);
    let new = key()
        .rate_limit(per_minute(10).strict())
        .rate_limit(RateLimit::per_hour(50).unwrap().strict())
        .quota(Quota::new(100, Refill::Day).unwrap().strict());
    let limited = node.issue(new).await;
    node.verify(&limited, 1).await.unwrap();
    assert_eq!(shaky.calls.load(Ordering::Relaxed), 1);
    let scoped = REQUEST.scope("read:assets");
    assert!(node.keys.verify(limited.expose_secret(), &scoped).await.is_err());
    assert_eq!(shaky.calls.load(Ordering::Relaxed), 1);
}

/// Never answers.
struct Silent;

impl LimitStore for Silent {
    async fn take(&self, _: &[Charge]) -> Result<Taken, StoreError> {
        std::future::pending().await
    }
}

#[pollster::test]
async fn a_verify_that_is_dropped_gives_local_limits_back() {
    let node = Node::alone(Silent);
    let quota = Quota::new(100, Refill::Day).unwrap().strict();
    let both = node.issue(key().rate_limit(per_minute(2)).quota(quota)).await;
    for _ in 0..10 {
        let mut verify = Box::pin(node.verify(&both, 1));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(verify.as_mut().poll(context).is_pending())
        });
        assert!(polled.await, "the local limit was used up");
    }
}
