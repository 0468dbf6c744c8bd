//! The whole of it: issue, verify, change, rotate, revoke, watch, maintain.

mod builder;
mod change;
mod claim;
mod cursor;
mod entropy;
mod error;
mod explain;
mod import;
mod issue;
mod issued;
mod leases;
mod line;
mod list;
mod maintain;
mod observer;
mod peppers;
mod report;
mod revoke;
mod secret;
mod shared;
mod shared_limits;
mod sync;
mod usage;
mod verify;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use self::builder::KeyServiceBuilder;
#[cfg(feature = "axum")]
pub(crate) use self::cursor::behind;
use self::entropy::Entropy;
pub use self::error::ManageError;
pub use self::issued::{Changed, Compromised, IssuedKey, Page, Rotation};
use self::leases::Leases;
pub use self::maintain::Maintained;
use self::maintain::Upkeep;
pub use self::observer::{Observer, Outcome};
pub use self::peppers::{PepperReport, PepperUse, Resealed};
pub use self::report::{ReportOptions, Reports};
pub use self::shared::SharedKeyStore;
use self::usage::UsageBuffer;
use crate::cache::KeyCache;
use crate::error::{StoreError, StoreErrorKind};
use crate::grant::Roles;
use crate::limit::LocalLimits;
use crate::policy::Actor;
use crate::record::{Action, Body, Event, EventId, KeyRecord, KeyView, Status, Usage};
use crate::scheme::KeyScheme;
use crate::store::SharedLimitStore;
use crate::timestamp::{Clock, Timestamp};
use crate::token::KeyId;

/// API keys: a scheme, a store, and everything that is done with the two.
///
/// It is cheap to clone, needs no runtime, and starts no thread. Call
/// [`KeyService::maintain`] each second from wherever the host does such things.
///
/// ```
/// use keyward::{AccessRequest, Actor, Environment, KeyScheme, KeyService, MemoryStore, NewKey};
/// use keyward::PepperRing;
///
/// # pollster::block_on(async {
/// let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// let keys = KeyService::new(scheme, MemoryStore::new());
///
/// let new = NewKey::named("Asset Controls Backend").owner("org_1").permissions(["read:assets"]);
/// let key = keys.issue(&Actor::system("setup"), new).await?.into_key();
///
/// let request = AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
/// let verified = keys.verify(key.expose_secret(), &request).await?;
/// assert_eq!(verified.owner(), "org_1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct KeyService(Arc<Inner>);

struct Inner {
    scheme: KeyScheme,
    store: SharedKeyStore,
    limit_store: Option<SharedLimitStore>,
    limits: LocalLimits,
    leases: Leases,
    roles: RwLock<Roles>,
    clock: Arc<dyn Clock>,
    /// Whether the cache goes by the same clock, so that one reading does for both.
    cache_shares_clock: bool,
    /// How stale other nodes may be, if the host has said so.
    max_staleness: Option<Duration>,
    entropy: Entropy,
    observer: Option<Arc<dyn Observer>>,
    usage: UsageBuffer,
    upkeep: Upkeep,
}

impl KeyService {
    /// A service with the system's clock and randomness, without roles or shared limits.
    pub fn new(scheme: KeyScheme, store: impl Into<SharedKeyStore>) -> Self {
        Self::builder(scheme, store).build()
    }

    /// A service whose other parts are chosen too.
    pub fn builder(scheme: KeyScheme, store: impl Into<SharedKeyStore>) -> KeyServiceBuilder {
        KeyServiceBuilder::new(scheme, store.into())
    }

    /// The scheme.
    pub fn scheme(&self) -> &KeyScheme {
        &self.0.scheme
    }

    /// The cache, if the store is one: to watch how stale it is.
    pub fn cache(&self) -> Option<&KeyCache> {
        self.0.store.cache()
    }

    /// The roles as they are now.
    pub fn roles(&self) -> Roles {
        self.0.roles.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another table of roles in place, for every later verify.
    ///
    /// # Security
    ///
    /// Roles are live: whoever may edit them can raise the keys that hold them.
    pub fn set_roles(&self, roles: Roles) {
        *self.0.roles.write().unwrap_or_else(PoisonError::into_inner) = roles;
    }

    /// The time by the service's clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The roles, if the record holds any: most don't, and need no lock.
    #[inline]
    fn roles_for(&self, record: &KeyRecord) -> Roles {
        let holds = record.body().is_some_and(|body| !body.grants.roles.is_empty());
        if holds { self.roles() } else { Roles::none() }
    }

    fn permit(&self, actor: &Actor, permission: &'static str) -> Result<(), ManageError> {
        let held = actor.may(permission, &self.roles());
        if held { Ok(()) } else { Err(ManageError::Forbidden { permission }) }
    }

    /// The record, if this actor manages its owner's keys.
    async fn record(&self, actor: &Actor, id: KeyId) -> Result<KeyRecord, ManageError> {
        match self.0.store.get(id).await? {
            Some(record) if record.id() != id => Err(another_key().into()),
            Some(record) if actor.manages(record.owner()) => Ok(record),
            _ => Err(ManageError::NotFound),
        }
    }

    /// An event about a change that leads to `body`.
    fn event(id: EventId, actor: &Actor, action: Action, body: &Body, now: Timestamp) -> Event {
        Event {
            id,
            at: now,
            actor: actor.name().to_owned(),
            action,
            key: body.id,
            owner: body.owner.to_string(),
            version: body.version,
            details: std::collections::BTreeMap::new(),
        }
    }

    fn event_id(&self) -> Result<EventId, ManageError> {
        let mut id = [0; 16];
        self.0.entropy.fill(&mut id)?;
        Ok(EventId::from_bytes(id))
    }

    /// How a key has been used, as far as that can be read.
    async fn usage_of(&self, id: KeyId) -> Option<Usage> {
        let _ = self.flush_keys(&[id]).await;
        self.0.store.usage(&[id]).await.unwrap_or_default().remove(&id)
    }

    /// The view of a record, with how it has been used as far as that can be read.
    async fn view(&self, record: &KeyRecord, now: Timestamp) -> KeyView {
        let usage = self.usage_of(record.id()).await;
        self.shown(record, usage.as_ref(), now)
    }

    /// The view of a record; one whose seal doesn't hold is shown as unreadable.
    fn shown(&self, record: &KeyRecord, usage: Option<&Usage>, now: Timestamp) -> KeyView {
        let mut view = record.view(usage, now);
        if self.0.scheme.prove(record).is_err() {
            view.status = Status::Unreadable;
        }
        view
    }

    async fn changed(&self, record: &KeyRecord) -> Changed {
        let usage = self.usage_of(record.id()).await;
        let unseen_for = self.unseen_for().await;
        self.receipt(record, usage.as_ref(), unseen_for)
    }

    /// How long from now a change that was acknowledged before the call may go unseen.
    async fn unseen_for(&self) -> Duration {
        self.0.store.unseen_for(self.0.max_staleness).await
    }

    /// The receipt of a change that has been acknowledged, and may go unseen for so long.
    fn receipt(&self, record: &KeyRecord, usage: Option<&Usage>, unseen_for: Duration) -> Changed {
        let now = self.now();
        let everywhere_by = now.saturating_add(unseen_for);
        Changed { key: self.shown(record, usage, now), everywhere_by }
    }
}

fn another_key() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt).with_context("the store gave another key's record")
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyService")
            .field("scheme", &self.0.scheme)
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}
