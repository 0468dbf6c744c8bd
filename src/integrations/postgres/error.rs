use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};

/// What became of a statement that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It did nothing, and nothing is wrong: the same again may succeed.
    RolledBack,
    /// The connection is gone, and nobody knows what the server did.
    Unknown,
    /// The server refused it, and may do another.
    Refused,
    /// It never got to a server, or the answer can't be read.
    Unanswered,
    /// The server only reads: it did nothing, and the connection leads to the wrong place.
    Misled,
}

/// What a failure of the driver leaves behind.
pub(super) fn fate(error: &sqlx::Error) -> Fate {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => Fate::Unknown,
        sqlx::Error::Database(_) => match code(error).as_bytes() {
            b"40001" | b"40P01" => Fate::RolledBack,
            b"25006" => Fate::Misled,
            [b'0', b'8', ..] | [b'5', b'7', b'P', ..] => Fate::Unknown,
            _ => Fate::Refused,
        },
        _ => Fate::Unanswered,
    }
}

/// The store's error for a failure of the driver: what happened, and what to do.
pub(super) fn store_error(error: impl Into<Arc<sqlx::Error>>) -> StoreError {
    let error = error.into();
    let (kind, context) = judged(&error);
    StoreError::new(kind).with_context(context).with_source(error)
}

/// Nothing came in time.
pub(super) fn late() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable).with_context(
        "PostgreSQL or the pool did not answer in time; if a change was asked for, its outcome \
         is unknown",
    )
}

/// The server is not the one that commits are acknowledged by.
pub(super) fn replica() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable).with_context(REPLICA)
}

/// A row that this crate can't have written.
pub(super) fn corrupt(context: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt).with_context(context)
}

/// What can't be done whatever the server says.
pub(super) fn refused(context: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Other).with_context(context)
}

const REPLICA: &str = "the server is a replica that only reads: connect to the primary";

fn code(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn judged(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Corrupt, Other, Unavailable};
    match error {
        sqlx::Error::Io(_) => (
            Unavailable,
            "the connection to PostgreSQL broke; if a change was asked for, its outcome is unknown",
        ),
        sqlx::Error::Protocol(_) => {
            (Unavailable, "what answered does not speak PostgreSQL's protocol, or was cut off")
        }
        sqlx::Error::PoolTimedOut => (
            Unavailable,
            "the pool gave no connection in time: it is exhausted, or the server can't be reached",
        ),
        sqlx::Error::PoolClosed => (Other, "the pool was closed"),
        sqlx::Error::Tls(_) => {
            (Other, "no TLS with the server: see `ssl_mode` and the TLS features of sqlx")
        }
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => {
            (Other, "the options of the connection are wrong")
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
            (Corrupt, "the server answered with rows of another shape than this release writes")
        }
        // Other limits have the same code, and messages may be translated; this word isn't.
        sqlx::Error::Database(server)
            if code(error) == "54000" && server.message().contains("NOTIFY") =>
        {
            (
                Unavailable,
                "the server's queue of notifications is full, since a session that listens reads \
                 none: see `pg_notification_queue_usage()`",
            )
        }
        sqlx::Error::Database(_) => judged_by_server(&code(error)),
        _ => (Other, ""),
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn judged_by_server(code: &str) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Corrupt, Other, Unavailable};
    match code {
        "28000" | "28P01" => (Other, "the server refused the user or the password"),
        "3D000" => (Other, "there is no database of this name: see the pool's URL"),
        "3F000" => (Other, "there is no schema of this name: create it, or correct `schema`"),
        "42P01" | "42883" => (
            Other,
            "the tables of keyward are not there: call `migrate`, or correct `schema` and `prefix`",
        ),
        "42703" | "42804" | "42809" | "428C9" | "P0002" => (
            Other,
            "a table of this name is not keyward's, or of another release: call `check`, or \
             choose another `prefix`",
        ),
        "42501" => (Other, "the user lacks a right to the tables or functions of keyward"),
        "26000" | "42P05" => (
            Other,
            "prepared statements don't work here: behind a transaction pooler, call \
             `behind_pooler`",
        ),
        "25006" => (Unavailable, REPLICA),
        "40001" | "40P01" => (Unavailable, "others changed the same rows, again and again"),
        "53100" => (Unavailable, "the disk of the server is full"),
        "53300" => (Unavailable, "the server has no connection left: see its `max_connections`"),
        "55P03" | "57014" => (Unavailable, "the server gave up: see its timeouts"),
        "08P01" => (
            Unavailable,
            "the server or the pooler before it refused a message: behind PgBouncer, call \
             `behind_pooler`, and set `extra_float_digits(None)` on the pool's options",
        ),
        "XX001" | "XX002" => (Corrupt, "the server's files are damaged"),
        _ if code.starts_with("57P") => (
            Unavailable,
            "the server is starting or stopping; if a change was asked for, its outcome is unknown",
        ),
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("58") => {
            (Unavailable, "the server is in trouble")
        }
        _ => (Other, "the server refused a statement"),
    }
}
