//! The store contract on an `SQLite` file, a new one for each clause.
#![cfg(feature = "sqlite")]

mod sqlite;

mod contract {
    keyward::conformance_suite!(
        #[pollster::test]
        super::sqlite::Scratch::new().into_store()
    );
}

/// One reader, and a clone that is the last handle.
mod contract_with_one_reader {
    keyward::conformance_suite!(
        #[pollster::test]
        super::sqlite::Scratch::new().into_store_with(keyward::SqliteOptions::new().readers(1))
    );
}
