//! The tables, by number of their schema, and the steps from each to the next.

use rusqlite::Connection;

/// In the header of the file (`PRAGMA application_id`): "keyw" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x6b65_7977;

/// The SQL that makes a schema of the one before it.
pub(super) type Step = fn() -> String;

/// The steps; how many a file has behind it is its `PRAGMA user_version`.
///
/// A step that has been released is never edited: a new one is added.
pub(super) const STEPS: &[Step] = &[first];

/// Takes the steps that a file has not behind it. The caller has begun a transaction.
pub(super) fn advance(
    connection: &Connection,
    done: usize,
    steps: &[Step],
) -> rusqlite::Result<()> {
    for step in steps.iter().skip(done) {
        connection.execute_batch(&step())?;
    }
    connection.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or_default())
}

/// `state` is `NULL` where this release can't read the document, so that whatever counts
/// or lists takes such a row for one that may be alive.
///
/// Both indexes of keys hold every column that lists and caps ask for: no document is read
/// for a row that isn't wanted.
fn first() -> String {
    let owner = text("document", "owner", "''");
    let name = text("document", "name", "NULL");
    let environment = text("document", "environment", "NULL");
    let created_at = instant("document", "created_at", "'1970-01-01T00:00:00.000000Z'");
    let created_by = text("document", "created_by", "''");
    let expires_at = instant("document", "expires_at", "NULL");
    let entry = |field| text("event", field, "NULL");
    let (id, key, actor, action) = (entry("id"), entry("key"), entry("actor"), entry("action"));
    let at = instant("event", "at", "NULL");
    format!(
        "CREATE TABLE keys (
            id TEXT NOT NULL PRIMARY KEY,
            version INTEGER NOT NULL,
            document TEXT NOT NULL,
            owner TEXT AS ({owner}),
            name TEXT AS ({name}),
            environment TEXT AS ({environment}),
            state TEXT AS (CASE WHEN json_valid(document) THEN CASE
                WHEN json_extract(document, '$.id') IS id
                    AND json_extract(document, '$.version') IS version
                    AND json_extract(document, '$.encoding') IS 1
                THEN json_extract(document, '$.state.is') END END),
            created_at TEXT AS ({created_at}),
            created_by TEXT AS ({created_by}),
            expires_at TEXT AS ({expires_at})
        ) STRICT;
        CREATE INDEX keys_by_time ON keys
            (created_at, id, state, environment, expires_at, created_by);
        CREATE INDEX keys_by_owner ON keys
            (owner, created_at, id, state, environment, expires_at, created_by);
        CREATE TABLE log (
            position INTEGER PRIMARY KEY,
            event TEXT NOT NULL,
            id TEXT AS ({id}),
            key TEXT AS ({key}),
            at TEXT AS ({at}),
            actor TEXT AS ({actor}),
            action TEXT AS ({action})
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
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE nodes (
            node TEXT NOT NULL PRIMARY KEY,
            beats INTEGER NOT NULL,
            position INTEGER NOT NULL,
            lapses_after_micros INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;"
    )
}

/// A text field of the JSON in a column, or what stands in its place.
fn text(column: &str, field: &str, missing: &str) -> String {
    format!(
        "CASE WHEN json_valid({column}) THEN CASE json_type({column}, '$.{field}')
            WHEN 'text' THEN json_extract({column}, '$.{field}')
            ELSE {missing} END ELSE {missing} END"
    )
}

/// An instant in the JSON of a column, in UTC and with six digits of its fraction, so that
/// text sorts as time.
///
/// Documents spell them like that; the rest of RFC 3339 is what others may have written.
fn instant(column: &str, field: &str, missing: &str) -> String {
    const DATE: &str = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]";
    const TIME: &str = "[0-9][0-9]:[0-9][0-9]:[0-9][0-9]";
    const MICROS: &str = "[0-9][0-9][0-9][0-9][0-9][0-9]";
    let text = format!("json_extract({column}, '$.{field}')");
    let zone =
        format!("CASE upper(substr({text}, -1)) WHEN 'Z' THEN 'Z' ELSE substr({text}, -6) END");
    let second = format!(
        "strftime('%Y-%m-%dT%H:%M:%S',
            substr({text}, 1, 10) || 'T' || substr({text}, 12, 8) || {zone})"
    );
    let micros = format!(
        "CASE substr({text}, 20, 1)
            WHEN '.' THEN substr(
                substr({text}, 21, length({text}) - 20 - length({zone})) || '000000', 1, 6)
            ELSE '000000' END"
    );
    format!(
        "CASE WHEN json_valid({column}) THEN CASE
            WHEN json_type({column}, '$.{field}') IS NOT 'text' THEN {missing}
            WHEN {text} GLOB '{DATE}T{TIME}.{MICROS}Z' THEN {text}
            WHEN {text} GLOB '{DATE}[Tt ]{TIME}*' AND {micros} GLOB '{MICROS}'
            THEN coalesce({second} || '.' || {micros} || 'Z', {missing})
            ELSE {missing} END ELSE {missing} END"
    )
}
