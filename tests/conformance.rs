//! The store contract on the store that comes with the crate, and on one whose every
//! call suspends, as a database's does.

#[path = "common/turns.rs"]
mod turns;

use std::collections::HashMap;

use keyward::{
    Change, Event, KeyId, KeyQuery, KeyRecord, KeyStore, LogQuery, MemoryStore, StoreError, Usage,
    UsageDelta, UsageStore,
};
use turns::turns;

mod memory {
    keyward::conformance_suite!(
        #[pollster::test]
        keyward::MemoryStore::new()
    );
}

mod suspending {
    keyward::conformance_suite!(
        #[pollster::test]
        #[cfg(not(doc))]
        super::suspending().await
    );
}

mod limits_in_memory {
    keyward::conformance_limit_suite!(
        #[pollster::test]
        keyward::MemoryLimitStore::new()
    );
}

async fn suspending() -> Suspending {
    turns(1).await;
    Suspending(MemoryStore::new())
}

/// Suspends before and after each call, commits longer than reads.
#[derive(Clone)]
struct Suspending(MemoryStore);

impl KeyStore for Suspending {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        turns(1).await;
        let found = self.0.get(id).await;
        turns(1).await;
        found
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        turns(3).await;
        let committed = self.0.commit(change).await;
        turns(2).await;
        committed
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        turns(1).await;
        self.0.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        turns(1).await;
        self.0.log(query).await
    }
}

impl UsageStore for Suspending {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        turns(1).await;
        self.0.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        turns(1).await;
        self.0.usage(keys).await
    }
}
