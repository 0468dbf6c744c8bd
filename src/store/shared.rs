use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::contract::{Change, KeyStore, UsageStore};
use super::memory::MemoryStore;
use super::query::{KeyQuery, LogQuery};
use crate::error::StoreError;
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::token::KeyId;

/// Any store, with its type forgotten.
///
/// It has the methods of [`KeyStore`] and [`UsageStore`] without being either, so
/// that every store converts into it. A [`MemoryStore`] is recognised and called
/// without a boxed future.
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
    Memory(MemoryStore),
    Other(Arc<dyn DynStore>),
}

impl<S: KeyStore + UsageStore + Clone> From<S> for SharedKeyStore {
    fn from(store: S) -> Self {
        let store: Box<dyn Any> = Box::new(store);
        match store.downcast::<MemoryStore>().map(|memory| *memory) {
            Ok(memory) => Self(Kind::Memory(memory)),
            Err(store) => match store.downcast::<S>() {
                Ok(store) => Self(Kind::Other(Arc::from(store as Box<dyn DynStore>))),
                // A box of `S` is a box of `S`; this arm keeps the function total.
                Err(_) => Self(Kind::Memory(MemoryStore::new())),
            },
        }
    }
}

impl SharedKeyStore {
    /// The store in memory, if it is that: it never waits.
    #[inline]
    pub(crate) fn memory(&self) -> Option<&MemoryStore> {
        match &self.0 {
            Kind::Memory(memory) => Some(memory),
            Kind::Other(_) => None,
        }
    }

    /// As [`KeyStore::get`].
    ///
    /// # Errors
    ///
    /// The store's own.
    #[inline]
    pub async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        match &self.0 {
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
            Kind::Memory(memory) => memory.usage(keys).await,
            Kind::Other(store) => store.usage_dyn(keys).await,
        }
    }
}

impl fmt::Debug for SharedKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Memory(_) => "SharedKeyStore(MemoryStore)",
            Kind::Other(_) => "SharedKeyStore(…)",
        })
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The store traits as an object: private, so that nobody implements it by hand.
trait DynStore: Send + Sync + 'static {
    fn get_dyn(&self, id: KeyId) -> Answer<'_, Option<KeyRecord>>;
    fn commit_dyn(&self, change: Change) -> Answer<'_, ()>;
    fn list_dyn<'a>(&'a self, query: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>>;
    fn log_dyn<'a>(&'a self, query: &'a LogQuery) -> Answer<'a, Vec<(u64, Event)>>;
    fn add_dyn<'a>(&'a self, batch: &'a [UsageDelta]) -> Answer<'a, ()>;
    fn usage_dyn<'a>(&'a self, keys: &'a [KeyId]) -> Answer<'a, HashMap<KeyId, Usage>>;
}

impl<S: KeyStore + UsageStore> DynStore for S {
    fn get_dyn(&self, id: KeyId) -> Answer<'_, Option<KeyRecord>> {
        Box::pin(self.get(id))
    }

    fn commit_dyn(&self, change: Change) -> Answer<'_, ()> {
        Box::pin(self.commit(change))
    }

    fn list_dyn<'a>(&'a self, query: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>> {
        Box::pin(self.list(query))
    }

    fn log_dyn<'a>(&'a self, query: &'a LogQuery) -> Answer<'a, Vec<(u64, Event)>> {
        Box::pin(self.log(query))
    }

    fn add_dyn<'a>(&'a self, batch: &'a [UsageDelta]) -> Answer<'a, ()> {
        Box::pin(self.add(batch))
    }

    fn usage_dyn<'a>(&'a self, keys: &'a [KeyId]) -> Answer<'a, HashMap<KeyId, Usage>> {
        Box::pin(self.usage(keys))
    }
}
