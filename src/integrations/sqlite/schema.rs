//! The tables, by number of their schema, and the steps from each to the next.

use rusqlite::Connection;

/// In the header of the file (`PRAGMA application_id`): "keyw" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x6b65_7977;

/// The steps; how many a file has behind it is its `PRAGMA user_version`.
///
/// A step that has been released is never edited: a new one is added.
pub(super) const STEPS: &[&str] = &[FIRST];

/// A text field of the JSON in a column, or what stands in its place.
macro_rules! text {
    ($column:literal, $path:literal, $missing:literal) => {
        concat!(
            "(CASE WHEN json_valid(",
            $column,
            ") THEN CASE json_type(",
            $column,
            ", '",
            $path,
            "') WHEN 'text' THEN json_extract(",
            $column,
            ", '",
            $path,
            "') ELSE ",
            $missing,
            " END ELSE ",
            $missing,
            " END)"
        )
    };
}

/// An instant in the JSON of a column, in UTC and with six digits of its fraction, so that
/// text sorts as time.
///
/// Documents are written like that; what RFC 3339 allows besides is what others may write.
macro_rules! instant {
    ($column:literal, $path:literal, $missing:literal) => {
        concat!(
            "(CASE WHEN json_valid(", $column, ") THEN CASE",
            " WHEN json_type(", $column, ", '", $path, "') IS NOT 'text' THEN ", $missing,
            " WHEN json_extract(", $column, ", '", $path, "') GLOB",
            " '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]",
            ".[0-9][0-9][0-9][0-9][0-9][0-9]Z' THEN json_extract(", $column, ", '", $path, "')",
            " ELSE coalesce((",
            instant!(@utc concat!("json_extract(", $column, ", '", $path, "')")),
            "), ", $missing, ") END ELSE ", $missing, " END)"
        )
    };
    (@utc concat!($($t:tt)*)) => {
        concat!(
            "CASE WHEN ", $($t)*, " GLOB",
            " '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][Tt ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'",
            " THEN strftime('%Y-%m-%dT%H:%M:%S', substr(", $($t)*, ", 1, 10) || 'T' || substr(",
            $($t)*, ", 12, 8) || CASE upper(substr(", $($t)*, ", -1)) WHEN 'Z' THEN 'Z' ELSE",
            " substr(", $($t)*, ", -6) END) || '.' || CASE substr(", $($t)*, ", 20, 1)",
            " WHEN '.' THEN substr(substr(", $($t)*, ", 21, length(", $($t)*, ") - 20 -",
            " CASE upper(substr(", $($t)*, ", -1)) WHEN 'Z' THEN 1 ELSE 6 END) || '000000', 1, 6)",
            " ELSE '000000' END || 'Z' END"
        )
    };
}

/// `state` is `NULL` where this release can't read the document, so that whatever counts
/// or lists takes such a row for one that may be alive.
///
/// Both indexes hold every column that lists and caps ask for: no document is read for a
/// row that isn't wanted.
const FIRST: &str = concat!(
    "CREATE TABLE keys (
        id TEXT NOT NULL PRIMARY KEY,
        version INTEGER NOT NULL,
        document TEXT NOT NULL,
        owner TEXT AS ",
    text!("document", "$.owner", "''"),
    ",
        name TEXT AS ",
    text!("document", "$.name", "NULL"),
    ",
        environment TEXT AS ",
    text!("document", "$.environment", "NULL"),
    ",
        state TEXT AS (CASE WHEN json_valid(document) THEN CASE
            WHEN json_extract(document, '$.id') IS id
                AND json_extract(document, '$.version') IS version
                AND json_extract(document, '$.encoding') IS 1
            THEN json_extract(document, '$.state.is') END END),
        created_at TEXT AS ",
    instant!("document", "$.created_at", "'1970-01-01T00:00:00.000000Z'"),
    ",
        created_by TEXT AS ",
    text!("document", "$.created_by", "''"),
    ",
        expires_at TEXT AS ",
    instant!("document", "$.expires_at", "NULL"),
    "
    ) STRICT;
    CREATE INDEX keys_by_time ON keys
        (created_at, id, state, environment, expires_at, created_by);
    CREATE INDEX keys_by_owner ON keys
        (owner, created_at, id, state, environment, expires_at, created_by);
    CREATE TABLE log (
        position INTEGER PRIMARY KEY,
        event TEXT NOT NULL,
        id TEXT AS ",
    text!("event", "$.id", "NULL"),
    ",
        key TEXT AS ",
    text!("event", "$.key", "NULL"),
    ",
        at TEXT AS ",
    instant!("event", "$.at", "NULL"),
    ",
        actor TEXT AS ",
    text!("event", "$.actor", "NULL"),
    ",
        action TEXT AS ",
    text!("event", "$.action", "NULL"),
    "
    ) STRICT;
    CREATE INDEX log_by_key ON log (key);
    CREATE TABLE usage (
        key TEXT NOT NULL PRIMARY KEY,
        uses INTEGER NOT NULL,
        last_used_at TEXT,
        last_address TEXT,
        first_uses INTEGER NOT NULL,
        first_used_at TEXT,
        second_uses INTEGER NOT NULL,
        second_used_at TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE usage_hours (
        key TEXT NOT NULL,
        hour TEXT NOT NULL,
        uses INTEGER NOT NULL,
        PRIMARY KEY (key, hour)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE settings (
        name TEXT NOT NULL PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;"
);

/// Takes the steps that a file has not behind it. The caller has begun a transaction.
pub(super) fn advance(
    connection: &Connection,
    done: usize,
    steps: &[&str],
) -> rusqlite::Result<()> {
    for step in steps.iter().skip(done) {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or_default())
}
