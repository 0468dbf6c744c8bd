use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::KeyCache;
use crate::error::StoreError;
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::scheme::Lane;
use crate::store::{
    Change, DEFAULT_MAX_STALENESS, DynStore, KeyQuery, KeyStore, LONGEST_STALENESS, LogQuery,
    MemoryStore, UsageStore,
};
use crate::token::KeyId;

/// Any store, with its type forgotten.
///
/// It has the methods of [`KeyStore`] and [`UsageStore`] without being either, so
/// that every store converts into it. A [`MemoryStore`] and a [`KeyCache`] are recognised
/// and called without a boxed future.
///
/// ```
/// use keyward::{MemoryStore, SharedKeyStore};
///
/// let stores: Vec<SharedKeyStore> = vec![MemoryStore::new().into()];
/// # assert_eq!(stores.len(), 1);
/// ```
#[derive(Clone)]
pub struct SharedKeyStore(Kind);

#[derive(Clone)]
enum Kind {
    Cached(KeyCache),
    Memory(MemoryStore),
    Other(Arc<dyn DynStore>),
}

impl<S: KeyStore + UsageStore + Clone> From<S> for SharedKeyStore {
    fn from(store: S) -> Self {
        let store: Box<dyn Any> = Box::new(store);
        let store = match store.downcast::<MemoryStore>() {
            Ok(memory) => return Self(Kind::Memory(*memory)),
            Err(store) => store,
        };
        let store = match store.downcast::<KeyCache>() {
            Ok(cache) => return Self(Kind::Cached(*cache)),
            Err(store) => store,
        };
        match store.downcast::<S>() {
            Ok(store) => Self(Kind::Other(Arc::from(store as Box<dyn DynStore>))),
            // A box of `S` is a box of `S`; this arm keeps the function total.
            Err(_) => Self(Kind::Memory(MemoryStore::new())),
        }
    }
}

impl SharedKeyStore {
    /// The store in memory, if it is that: it never waits.
    #[inline]
    pub(crate) fn memory(&self) -> Option<&MemoryStore> {
        match &self.0 {
            Kind::Memory(memory) => Some(memory),
            Kind::Cached(_) | Kind::Other(_) => None,
        }
    }

    /// The cache, if it is one.
    #[inline]
    pub(crate) fn cache(&self) -> Option<&KeyCache> {
        match &self.0 {
            Kind::Cached(cache) => Some(cache),
            Kind::Memory(_) | Kind::Other(_) => None,
        }
    }

    /// The record that a key is verified by: from the cache, if there is one.
    pub(crate) async fn look_up(
        &self,
        id: KeyId,
        lane: impl FnOnce() -> Lane,
    ) -> Result<Option<KeyRecord>, StoreError> {
        match &self.0 {
            Kind::Cached(cache) => cache.look_up(id, lane).await,
            Kind::Memory(_) | Kind::Other(_) => self.get(id).await,
        }
    }

    /// How long from now a change that was acknowledged before the call may go unseen:
    /// what a cache knows, else what the host has said, else what the store says.
    pub(crate) async fn unseen_for(&self, said: Option<Duration>) -> Duration {
        let asked = match (&self.0, said) {
            (Kind::Cached(cache), _) => return cache.unseen_for().await,
            (_, Some(said)) => return said,
            (Kind::Memory(memory), None) => memory.unseen_for().await,
            (Kind::Other(store), None) => store.unseen_for_dyn().await,
        };
        match asked {
            Ok(bound) => bound.unwrap_or(DEFAULT_MAX_STALENESS).min(LONGEST_STALENESS),
            // What can't be read may be the most that any node takes.
            Err(_) => LONGEST_STALENESS,
        }
    }

    /// As [`KeyStore::get`]. A cache is asked for what the store behind it holds: whoever
    /// looks at a key to change it sees it as it is.
    ///
    /// # Errors
    ///
    /// The store's own.
    #[inline]
    pub async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        match &self.0 {
            Kind::Cached(cache) => cache.read_behind(id).await,
            Kind::Memory(memory) => Ok(memory.find(id)),
            Kind::Other(store) => store.get_dyn(id).await,
        }
    }

    /// As [`KeyStore::commit`].
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn commit(&self, change: Change) -> Result<(), StoreError> {
        match &self.0 {
            Kind::Cached(cache) => cache.commit(change).await,
            Kind::Memory(memory) => memory.commit(change).await,
            Kind::Other(store) => store.commit_dyn(change).await,
        }
    }

    /// As [`KeyStore::list`].
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        match &self.0 {
            Kind::Cached(cache) => cache.list(query).await,
            Kind::Memory(memory) => memory.list(query).await,
            Kind::Other(store) => store.list_dyn(query).await,
        }
    }

    /// As [`KeyStore::log`].
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        match &self.0 {
            Kind::Cached(cache) => cache.log(query).await,
            Kind::Memory(memory) => memory.log(query).await,
            Kind::Other(store) => store.log_dyn(query).await,
        }
    }

    /// As [`UsageStore::add`].
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        match &self.0 {
            Kind::Cached(cache) => cache.add(batch).await,
            Kind::Memory(memory) => memory.add(batch).await,
            Kind::Other(store) => store.add_dyn(batch).await,
        }
    }

    /// As [`UsageStore::usage`].
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        match &self.0 {
            Kind::Cached(cache) => cache.usage(keys).await,
            Kind::Memory(memory) => memory.usage(keys).await,
            Kind::Other(store) => store.usage_dyn(keys).await,
        }
    }
}

impl fmt::Debug for SharedKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Cached(_) => "SharedKeyStore(KeyCache)",
            Kind::Memory(_) => "SharedKeyStore(MemoryStore)",
            Kind::Other(_) => "SharedKeyStore(…)",
        })
    }
}
