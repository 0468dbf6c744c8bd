//! The contract of [`store`](crate::store), as code: one check per clause.
//!
//! Each check is a plain `async fn` that takes a fresh, empty store and answers with
//! the first [`Violation`] it sees. It needs no runtime of its own: await it on
//! whatever the store needs. [`conformance_suite!`](crate::conformance_suite) turns
//! them into tests; a clause that a later release adds is then tested as soon as the
//! dependency is raised.
//!
//! ```
//! use keyward::{MemoryStore, conformance};
//!
//! # pollster::block_on(async {
//! assert_eq!(conformance::violations(async || MemoryStore::new()).await, []);
//! # });
//! ```
//!
//! C1 to C13 are the clauses of [`KeyStore`], U1 to U4 those of
//! [`UsageStore`]; the latter create their keys first, so that a
//! store may insist on it. L1 to L10 are those of [`LimitStore`], with a macro of their own,
//! [`conformance_limit_suite!`](crate::conformance_limit_suite). A check writes fewer than a thousand keys and log entries
//! (C6 more, if a commit is polled more than a hundred times).
//!
//! # What it proves
//!
//! The proof is in the cases that are the same on each run: a stale version, a full
//! cap, a dropped future. Several checks also poll many commits in turn, in one task;
//! that finds a store that suspends between looking and writing, but **a race that
//! passes proves nothing**. Whether the statements of a database exclude each other
//! must follow from its isolation level; see the
//! [notes for SQL](crate::store#notes-for-sql).

mod caps;
mod commits;
mod limit_probe;
mod limits;
mod lists;
mod log;
mod poll;
mod probe;
mod sample;
mod usage;
mod visibility;

pub use self::caps::c11_cap_counts_live_keys;
pub use self::commits::{
    c1_absent_never_overwrites, c2_one_commit_per_version, c3_stale_is_conflict,
    c4_versions_are_given, c7_no_judgement_no_clock,
};
pub use self::limits::{
    l1_all_charges_or_none, l2_zero_takes_nothing, l3_counters_are_apart, l4_edits_refill_nothing,
    l5_denials_say_where_and_when, l6_racers_share_what_there_is, l7_twice_is_charged_twice,
    l8_dropped_is_all_or_nothing, l9_clones_share_counters, l10_time_gives_back,
};
pub use self::lists::c8_list_order_and_filters;
pub use self::log::{c12_event_comes_with_record, c13_log_positions_grow};
pub use self::probe::Violation;
pub use self::usage::{
    u1_uses_add_up, u2_last_use_moves_forward, u3_batches_hold_several_keys,
    u4_usage_leaves_records_alone,
};
pub use self::visibility::{
    c5_commits_are_seen_at_once, c6_dropped_is_all_or_nothing, c9_clones_share_state,
    c10_documents_come_back,
};
use crate::store::{KeyStore, LimitStore, UsageStore};

/// Expands to one test per clause of the store contract.
///
/// It takes the attribute that makes an `async fn` a test, and an expression that
/// makes a fresh, empty store. The expression is evaluated in each test and may
/// await. Put it into a module of its own: the tests are named as the functions of
/// [`conformance`](crate::conformance).
///
/// ```
/// # #[derive(Clone, Default)]
/// # struct MyStore;
/// #[cfg(test)]
/// mod contract {
///     keyward::conformance_suite!(#[pollster::test] super::MyStore::default());
/// }
///
/// #[cfg(test)]
/// mod contract_over_a_database {
///     keyward::conformance_suite!(
///         #[tokio::test]
///         #[ignore = "needs a database"]
///         super::empty_store().await
///     );
/// }
/// ```
#[macro_export]
macro_rules! conformance_suite {
    (@clauses $($head:tt)+) => {
        $crate::conformance_suite! {
            $($head)+
            c1_absent_never_overwrites
            c2_one_commit_per_version
            c3_stale_is_conflict
            c4_versions_are_given
            c5_commits_are_seen_at_once
            c6_dropped_is_all_or_nothing
            c7_no_judgement_no_clock
            c8_list_order_and_filters
            c9_clones_share_state
            c10_documents_come_back
            c11_cap_counts_live_keys
            c12_event_comes_with_record
            c13_log_positions_grow
            u1_uses_add_up
            u2_last_use_moves_forward
            u3_batches_hold_several_keys
            u4_usage_leaves_records_alone
        }
    };
    (@check [$make_store:ident] $($clause:ident)+) => {
        [$($crate::conformance::$clause($make_store().await).await),+]
    };
    (@tests $attributes:tt $store:tt $($clause:ident)+) => {
        $($crate::conformance_suite!(@test $attributes $store $clause);)+
    };
    (@test [$(#[$attribute:meta])+] [$store:expr] $clause:ident) => {
        $(#[$attribute])+
        async fn $clause() {
            if let ::core::result::Result::Err(violation) =
                $crate::conformance::$clause($store).await
            {
                ::core::panic!("{violation}");
            }
        }
    };
    (@attributes [$($attributes:tt)+] #[$($attribute:tt)+] $($rest:tt)+) => {
        $crate::conformance_suite!(@attributes [$($attributes)+ #[$($attribute)+]] $($rest)+);
    };
    (@attributes [$($attributes:tt)+] $store:expr $(,)?) => {
        $crate::conformance_suite!(@clauses @tests [$($attributes)+] [$store]);
    };
    (#[$($attribute:tt)+] $($rest:tt)+) => {
        $crate::conformance_suite!(@attributes [#[$($attribute)+]] $($rest)+);
    };
}

/// Checks every clause, each on a store of its own, and gives every violation.
pub async fn violations<S>(make_store: impl AsyncFn() -> S) -> Vec<Violation>
where
    S: KeyStore + UsageStore + Clone,
{
    let checked = conformance_suite!(@clauses @check [make_store]);
    checked.into_iter().filter_map(Result::err).collect()
}

/// Expands to one test per clause of the contract of [`LimitStore`].
///
/// As [`conformance_suite!`](crate::conformance_suite): an attribute that makes an
/// `async fn` a test, and an expression that makes a fresh store, in which nothing is
/// counted yet.
///
/// ```
/// # #[derive(Clone, Default)]
/// # struct MyLimits;
/// #[cfg(test)]
/// mod contract {
///     keyward::conformance_limit_suite!(#[pollster::test] super::MyLimits::default());
/// }
/// ```
#[macro_export]
macro_rules! conformance_limit_suite {
    (@clauses $($head:tt)+) => {
        $crate::conformance_suite! {
            $($head)+
            l1_all_charges_or_none
            l2_zero_takes_nothing
            l3_counters_are_apart
            l4_edits_refill_nothing
            l5_denials_say_where_and_when
            l6_racers_share_what_there_is
            l7_twice_is_charged_twice
            l8_dropped_is_all_or_nothing
            l9_clones_share_counters
            l10_time_gives_back
        }
    };
    (@attributes [$($attributes:tt)+] #[$($attribute:tt)+] $($rest:tt)+) => {
        $crate::conformance_limit_suite!(
            @attributes [$($attributes)+ #[$($attribute)+]] $($rest)+
        );
    };
    (@attributes [$($attributes:tt)+] $store:expr $(,)?) => {
        $crate::conformance_limit_suite!(@clauses @tests [$($attributes)+] [$store]);
    };
    (#[$($attribute:tt)+] $($rest:tt)+) => {
        $crate::conformance_limit_suite!(@attributes [#[$($attribute)+]] $($rest)+);
    };
}

/// Checks every clause about limits, each on a store of its own, and gives every violation.
///
/// ```
/// use keyward::{MemoryLimitStore, conformance};
///
/// # pollster::block_on(async {
/// assert_eq!(conformance::limit_violations(async || MemoryLimitStore::new()).await, []);
/// # });
/// ```
pub async fn limit_violations<S: LimitStore + Clone>(
    make_store: impl AsyncFn() -> S,
) -> Vec<Violation> {
    let checked = conformance_limit_suite!(@clauses @check [make_store]);
    checked.into_iter().filter_map(Result::err).collect()
}
