//! The store contract on the stores that come with the crate.

mod memory {
    keyward::conformance_suite!(
        #[pollster::test]
        keyward::MemoryStore::new()
    );
}
