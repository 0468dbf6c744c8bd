//! The store contract on an `SQLite` file, a new one for each clause.
#![cfg(feature = "sqlite")]

mod sqlite;

mod contract {
    keyward::conformance_suite!(
        #[pollster::test]
        super::sqlite::fresh(keyward::SqliteOptions::new())
    );
}

mod contract_with_one_reader {
    keyward::conformance_suite!(
        #[pollster::test]
        super::sqlite::fresh(keyward::SqliteOptions::new().readers(1))
    );
}

mod under_a_cache {
    keyward::conformance_suite!(
        #[pollster::test]
        keyward::KeyCache::new(super::sqlite::fresh(keyward::SqliteOptions::new()))
    );
}

mod in_place {
    keyward::conformance_suite!(
        #[pollster::test]
        super::sqlite::fresh(keyward::SqliteOptions::new().in_place())
    );
}

mod in_place_with_one_reader {
    keyward::conformance_suite!(
        #[pollster::test]
        super::sqlite::fresh(keyward::SqliteOptions::new().in_place().readers(1))
    );
}

mod in_place_under_a_cache {
    keyward::conformance_suite!(
        #[pollster::test]
        keyward::KeyCache::new(super::sqlite::fresh(keyward::SqliteOptions::new().in_place()))
    );
}
