//! The store contract through the cache: what is committed is seen at once, whatever is
//! kept.

mod map_store;

use keyward::{KeyCache, MemoryStore};
use map_store::MapStore;

mod over_memory {
    keyward::conformance_suite!(
        #[pollster::test]
        super::KeyCache::new(super::MemoryStore::new())
    );
}

mod over_a_custom_store {
    keyward::conformance_suite!(
        #[pollster::test]
        super::KeyCache::new(super::MapStore::default())
    );
}

mod over_a_store_that_suspends {
    keyward::conformance_suite!(
        #[pollster::test]
        super::KeyCache::new(super::MapStore::suspending())
    );
}

mod tiny {
    keyward::conformance_suite!(
        #[pollster::test]
        super::KeyCache::builder(super::MapStore::default()).capacity(4).build()
    );
}

mod read_through {
    keyward::conformance_suite!(
        #[pollster::test]
        super::KeyCache::builder(super::MapStore::suspending()).read_through().build()
    );
}

mod one_read_at_a_time {
    keyward::conformance_suite!(
        #[pollster::test]
        super::KeyCache::builder(super::MapStore::suspending()).misses_at_once(1).build()
    );
}
