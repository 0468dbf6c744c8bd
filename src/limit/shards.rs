use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const SHARDS: usize = 16;

type Shard<K, V> = RwLock<HashMap<K, V>>;

/// A map in pieces, each with a lock of its own.
#[derive(Debug)]
pub(crate) struct Shards<K, V> {
    hasher: RandomState,
    shards: [Shard<K, V>; SHARDS],
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| RwLock::default());
        Self { hasher: RandomState::new(), shards }
    }
}

impl<K: Hash + Eq, V> Shards<K, V> {
    /// The piece that holds this key, to be read; never `None`.
    pub(crate) fn read<Q>(&self, key: &Q) -> Option<RwLockReadGuard<'_, HashMap<K, V>>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.shard(key).map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The piece that holds this key, to be changed; never `None`.
    pub(crate) fn write<Q>(&self, key: &Q) -> Option<RwLockWriteGuard<'_, HashMap<K, V>>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.shard(key).map(|shard| shard.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops what is not to be kept, and the room that it took.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&V) -> bool) {
        for shard in &self.shards {
            let mut kept = shard.write().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, value| keep(value));
            if kept.len() < kept.capacity() / 4 {
                kept.shrink_to_fit();
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        let len = |shard: &Shard<K, V>| shard.read().unwrap_or_else(PoisonError::into_inner).len();
        self.shards.iter().map(len).sum()
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&Shard<K, V>> {
        let [first, ..] = self.hasher.hash_one(key).to_le_bytes();
        self.shards.get(usize::from(first) % SHARDS)
    }
}
