//! What a failure of `SQLite` is to whoever runs the store.

use rusqlite::{Error, ErrorCode, ffi};

use crate::error::{StoreError, StoreErrorKind};

/// The error of the store that a failure of the driver makes, with what to do about it.
pub(super) fn failed(error: Error) -> StoreError {
    let (kind, context) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            StoreErrorKind::Unavailable,
            "the file is locked by somebody else; end what holds it, or wait longer by \
             `SqliteOptions::busy_timeout`",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            StoreErrorKind::Unavailable,
            "the file can't be read or written; look at the disk, then at the last changes",
        ),
        Some(ErrorCode::DiskFull) => (
            StoreErrorKind::Other,
            "no room is left on the disk or below `SqliteOptions::max_size`; nothing was \
             changed, make room and try again",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            StoreErrorKind::Other,
            "this process may not write the file and its folder; both must be writable, or the \
             file was moved away and the process must be started again",
        ),
        Some(ErrorCode::CannotOpen) => (
            StoreErrorKind::Other,
            "the file can't be opened; its folder must exist and be readable and writable",
        ),
        Some(ErrorCode::NotADatabase) => (
            StoreErrorKind::Corrupt,
            "the file is not an SQLite database; name another file, or one that doesn't exist yet",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            StoreErrorKind::Corrupt,
            "the database is damaged; keep a copy of it, and restore a backup",
        ),
        Some(ErrorCode::TooBig) => (StoreErrorKind::Other, "the record is too big for SQLite"),
        _ => (StoreErrorKind::Other, "SQLite refused a statement"),
    };
    StoreError::new(kind).with_context(context).with_source(error)
}

/// Whatever can't be prepared is not there, or not as this release made it.
pub(super) fn unprepared(error: Error) -> StoreError {
    match error.sqlite_error_code() {
        None | Some(ErrorCode::Unknown) => StoreError::new(StoreErrorKind::Corrupt)
            .with_context(
                "tables or columns are missing; somebody has changed them: restore a backup",
            )
            .with_source(error),
        _ => failed(error),
    }
}

/// The same failure, for each of several that it struck.
pub(super) fn copy(error: &Error) -> Error {
    match error {
        Error::SqliteFailure(code, text) => Error::SqliteFailure(*code, text.clone()),
        other => Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some(other.to_string())),
    }
}
