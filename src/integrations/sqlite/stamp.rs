//! Instants as text that sorts as time, and numbers as `SQLite` has them.

use crate::timestamp::Timestamp;

/// An instant as documents spell it.
pub(super) fn stamp(at: Timestamp) -> String {
    at.sortable().as_str().to_owned()
}

/// The instant of a column; text that is none is as good as none.
pub(super) fn instant(column: Option<String>) -> Option<Timestamp> {
    column?.parse().ok()
}

/// The nearest number that `SQLite` has: its integers end at 2^63 - 1.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A column that must not be negative; one that is counts as zero.
pub(super) fn natural(column: i64) -> u64 {
    u64::try_from(column).unwrap_or_default()
}
