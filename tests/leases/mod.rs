//! Leased limits in a real store: 64 clients of eight nodes are admitted no more than is
//! stated, in any window T at most burst + rate x (T + how long a lease lasts).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keyward::{
    AccessRequest, Actor, Charge, Environment, KeyScheme, KeyService, LimitStore, MemoryStore,
    NewKey, PepperRing, RateLimit, StoreError, Taken, VerifyError,
};

const NODES: usize = 8;
const CLIENTS: usize = 64;
const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

/// Clients that never pause, over many leases each: how many were admitted, and the most
/// that could have been.
pub(crate) async fn hold_while_all_are_busy(limits: impl LimitStore + Clone) -> (usize, f64) {
    // A lease lasts 50 ms and has at most 200 units.
    let rule = Rule { burst: 400, a_second: 4_000, lasts: Duration::from_millis(50) };
    let nodes = Nodes::new(&rule, limits).await;
    let passed = nodes.ask_for(Duration::from_secs(3)).await;
    rule.check(&passed);
    // Of 12,000 that could; far beyond the burst, on whatever machine.
    assert!(passed.len() > 1_000, "{} passed: leases starve", passed.len());
    (passed.len(), rule.most(nodes.start.elapsed()))
}

/// Nodes that hold units when all falls quiet, for longer than a lease lasts: the store gives
/// out a whole burst again, and what the nodes hold must not come on top of it.
pub(crate) async fn are_void_after_a_pause(limits: impl LimitStore + Clone) {
    // A lease has at most 200 units.
    let rule = Rule { burst: 500, a_second: 500, lasts: Duration::from_millis(400) };
    let nodes = Nodes::new(&rule, limits).await;
    let scale: usize =
        std::env::var("KEYWARD_TEST_SCALE").map_or(1, |scale| scale.parse().unwrap());
    let pauses = [17, 25].repeat(scale);
    let (mut passed, mut next) = (Vec::new(), 0);
    for _ in 0..pauses.len() * 20 {
        let Some(tenths) = pauses.get(next) else { break };
        let held = nodes.hold(6, &mut passed).await;
        // On a machine that is held up, nodes expect to need less: then once more.
        next += usize::from(f64::from(held) > rule.refilled(rule.lasts) * 1.3);
        tokio::time::sleep(rule.lasts * *tenths / 10).await;
        passed.extend(nodes.ask_for(rule.lasts).await);
        // All comes back, and no node expects anything any more.
        let refills = f64::from(rule.burst) / f64::from(rule.a_second);
        tokio::time::sleep(Duration::from_secs_f64(refills) + 2 * rule.lasts).await;
    }
    assert_eq!(next, pauses.len(), "nodes hardly ever held anything");
    rule.check(&passed);
}

struct Rule {
    burst: u32,
    a_second: u32,
    lasts: Duration,
}

/// A verify that was admitted some time between these instants.
struct Passed {
    before: Duration,
    after: Duration,
    units: u32,
}

impl Rule {
    fn limit(&self) -> RateLimit {
        // A lease lasts a twentieth of the period.
        let period = self.lasts * 20;
        let count = self.a_second * u32::try_from(period.as_millis()).unwrap() / 1_000;
        RateLimit::new("leased", count, period).unwrap().burst(self.burst).unwrap().leased()
    }

    fn refilled(&self, during: Duration) -> f64 {
        f64::from(self.a_second) * during.as_secs_f64()
    }

    fn most(&self, window: Duration) -> f64 {
        f64::from(self.burst) + self.refilled(window + self.lasts) + 1.0
    }

    /// What began and ended within a window was admitted in it.
    fn check(&self, passed: &[Passed]) {
        let mut passed: Vec<_> = passed.iter().collect();
        passed.sort_unstable_by_key(|passed| passed.before);
        let end = passed.iter().map(|passed| passed.after).max().unwrap();
        let ms = Duration::from_millis;
        for from in (0..).map(|step| ms(10 * step)).take_while(|from| *from < end) {
            let later = &passed[passed.partition_point(|passed| passed.before < from)..];
            for length in [10, 20, 50, 100, 200, 500, 1_000, 3_500].map(ms) {
                let within = later.iter().take_while(|passed| passed.before <= from + length);
                let within = within.filter(|passed| passed.after <= from + length);
                let units: u32 = within.map(|passed| passed.units).sum();
                let most = self.most(length);
                assert!(
                    f64::from(units) <= most,
                    "{units} within {length:?} from {from:?}, more than {most}"
                );
            }
        }
    }
}

/// Nodes that share a key and where its limit is counted.
struct Nodes {
    services: Vec<KeyService>,
    token: Arc<str>,
    counted: Arc<AtomicU32>,
    start: Instant,
}

impl Nodes {
    async fn new(rule: &Rule, limits: impl LimitStore + Clone) -> Self {
        let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        let (keys, counted) = (MemoryStore::new(), Arc::new(AtomicU32::new(0)));
        let node = |_| {
            let limits = Counted { limits: limits.clone(), taken: Arc::clone(&counted) };
            KeyService::builder(scheme.clone(), keys.clone()).limit_store(limits).build()
        };
        let services: Vec<_> = (0..NODES).map(node).collect();
        let new = NewKey::named("leased").owner("org_1").rate_limit(rule.limit());
        let issued = services[0].issue(&Actor::system("setup"), new).await.unwrap();
        let token = issued.into_key().expose_secret().into();
        Self { services, token, counted, start: Instant::now() }
    }

    /// All clients ask one after the other, for so long.
    async fn ask_for(&self, time: Duration) -> Vec<Passed> {
        let (start, until) = (self.start, self.start.elapsed() + time);
        let clients = (0..CLIENTS).map(|client| {
            let (node, token) = (self.services[client % NODES].clone(), Arc::clone(&self.token));
            tokio::spawn(async move {
                let mut passed = Vec::new();
                while start.elapsed() < until {
                    match ask(&node, &token, start, 1).await {
                        Some(it) => passed.push(it),
                        None => tokio::task::yield_now().await,
                    }
                }
                passed
            })
        });
        joined(clients.collect()).await
    }

    /// Each node uses so many units twice. As the first are used at once, it asks for more
    /// than the second, and holds the rest: so many units, all nodes together.
    async fn hold(&self, units: u32, passed: &mut Vec<Passed>) -> u32 {
        let (before, start) = (self.counted.load(Ordering::SeqCst), self.start);
        let nodes = self.services.iter().map(|node| {
            let (node, token) = (node.clone(), Arc::clone(&self.token));
            tokio::spawn(async move {
                let first = ask(&node, &token, start, units).await;
                first.into_iter().chain(ask(&node, &token, start, units).await).collect()
            })
        });
        let used = joined(nodes.collect()).await;
        let asked = self.counted.load(Ordering::SeqCst) - before;
        let held = asked - used.iter().map(|passed| passed.units).sum::<u32>();
        passed.extend(used);
        held
    }
}

async fn ask(node: &KeyService, token: &str, start: Instant, units: u32) -> Option<Passed> {
    let before = start.elapsed();
    match node.verify(token, &REQUEST.cost(units)).await {
        Ok(_) => Some(Passed { before, after: start.elapsed(), units }),
        Err(VerifyError::Rejected(_)) => None,
        Err(error) => panic!("{error:?}"),
    }
}

async fn joined(tasks: Vec<tokio::task::JoinHandle<Vec<Passed>>>) -> Vec<Passed> {
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

/// A store that says how many units were taken of it.
#[derive(Clone)]
struct Counted<L> {
    limits: L,
    taken: Arc<AtomicU32>,
}

impl<L: LimitStore> LimitStore for Counted<L> {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let taken = self.limits.take(charges).await?;
        if taken == Taken::All {
            let units: u32 = charges.iter().map(|charge| charge.cost).sum();
            self.taken.fetch_add(units, Ordering::SeqCst);
        }
        Ok(taken)
    }
}
