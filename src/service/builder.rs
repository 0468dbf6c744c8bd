use std::error::Error;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rand_core::TryCryptoRng;

use super::entropy::Entropy;
use super::leases::Leases;
use super::maintain::Upkeep;
use super::observer::{Observer, Observers};
use super::shared::SharedKeyStore;
use super::usage::UsageBuffer;
use super::{Inner, KeyService};
use crate::grant::Roles;
use crate::limit::LocalLimits;
use crate::scheme::KeyScheme;
use crate::store::SharedLimitStore;
use crate::timestamp::{Clock, SystemClock};

/// Chooses the parts of a [`KeyService`].
///
/// ```
/// use keyward::{Environment, FakeClock, KeyScheme, KeyService, MemoryStore, PepperRing};
/// use keyward::{Roles, Timestamp};
///
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// let keys = KeyService::builder(scheme, MemoryStore::new())
///     .roles(Roles::none().role("reader", ["read:assets"])?)
///     .clock(FakeClock::at(Timestamp::UNIX_EPOCH))
///     .build();
/// assert_eq!(keys.now(), Timestamp::UNIX_EPOCH);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct KeyServiceBuilder {
    scheme: KeyScheme,
    store: SharedKeyStore,
    limit_store: Option<SharedLimitStore>,
    limits: LocalLimits,
    longest_lease: Duration,
    roles: Roles,
    clock: Option<Arc<dyn Clock>>,
    max_staleness: Option<Duration>,
    entropy: Entropy,
    observers: Vec<Arc<dyn Observer>>,
    flush_every: Duration,
}

impl KeyServiceBuilder {
    pub(super) fn new(scheme: KeyScheme, store: SharedKeyStore) -> Self {
        Self {
            scheme,
            store,
            limit_store: None,
            limits: LocalLimits::new(),
            longest_lease: Duration::from_secs(1),
            roles: Roles::none(),
            clock: None,
            max_staleness: None,
            entropy: Entropy::default(),
            observers: Vec::new(),
            flush_every: Duration::from_secs(10),
        }
    }

    /// The roles; [`KeyService::set_roles`] changes them later.
    pub fn roles(self, roles: Roles) -> Self {
        Self { roles, ..self }
    }

    /// The local limits, with those that all keys of an owner share.
    pub fn limits(self, limits: LocalLimits) -> Self {
        Self { limits, ..self }
    }

    /// Where strict and leased limits are counted. Without one, a key can't have any.
    pub fn limit_store(self, store: impl Into<SharedLimitStore>) -> Self {
        Self { limit_store: Some(store.into()), ..self }
    }

    /// How long this node gives out units of a leased limit by itself, at most; the default
    /// is a second. See [`RateLimit::leased`](crate::RateLimit::leased).
    ///
    /// Longer leases save round trips and admit more in a window; with `Duration::ZERO`,
    /// leased limits are strict on this node.
    pub fn longest_lease(self, longest: Duration) -> Self {
        Self { longest_lease: longest, ..self }
    }

    /// The clock. The default is that of the [`KeyCache`](crate::KeyCache), if the store
    /// is one, and else the system's.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// How long after its acknowledgement a change may go unseen by other nodes, for the
    /// receipts of a service without a [`KeyCache`](crate::KeyCache): zero is right where no
    /// node keeps a cache. By default the store is asked after each change
    /// ([`KeyStore::unseen_for`](crate::KeyStore::unseen_for)), and
    /// [`DEFAULT_MAX_STALENESS`](crate::DEFAULT_MAX_STALENESS) taken from one that doesn't say;
    /// for one that can't be asked it is an hour, the longest bound that any node takes.
    ///
    /// # Security
    ///
    /// It is a statement about the other nodes, not an order to them: where a node does keep
    /// a cache, a shorter time than the store's makes receipts false.
    pub fn max_staleness(self, bound: Duration) -> Self {
        Self { max_staleness: Some(bound), ..self }
    }

    /// The source of randomness. The default is the operating system's.
    ///
    /// # Security
    ///
    /// Every secret comes from it: a weak one makes weak keys.
    pub fn entropy(
        self,
        rng: impl TryCryptoRng<Error: Error + Send + Sync + 'static> + Send + 'static,
    ) -> Self {
        Self { entropy: Entropy::new(rng), ..self }
    }

    /// Who hears of every verification and every change. Called several times, it adds:
    /// all of them hear, in the order in which they were added.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// How often `maintain` writes usage to the store; `last_used_at` is at most so
    /// old. The default is 10 seconds.
    pub fn flush_usage_every(self, interval: Duration) -> Self {
        Self { flush_every: interval, ..self }
    }

    /// The service.
    pub fn build(self) -> KeyService {
        let cache_clock = self.store.cache().map(|cache| Arc::clone(cache.clock()));
        let cache_shares_clock = self.clock.is_none() && cache_clock.is_some();
        let observer = match <[_; 1]>::try_from(self.observers) {
            Ok([only]) => Some(only),
            Err(none) if none.is_empty() => None,
            Err(several) => Some(Arc::new(Observers(several.into())) as Arc<dyn Observer>),
        };
        let system = || Arc::new(SystemClock::new()) as Arc<dyn Clock>;
        KeyService(Arc::new(Inner {
            scheme: self.scheme,
            store: self.store,
            limit_store: self.limit_store,
            limits: self.limits,
            leases: Leases::new(self.longest_lease),
            roles: RwLock::new(self.roles),
            clock: self.clock.or(cache_clock).unwrap_or_else(system),
            cache_shares_clock,
            max_staleness: self.max_staleness,
            entropy: self.entropy,
            observer,
            usage: UsageBuffer::new(),
            upkeep: Upkeep::new(self.flush_every),
        }))
    }
}
