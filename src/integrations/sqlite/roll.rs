//! Which nodes may use what they keep, and how far each has heard.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::stamp::{integer, natural};
use crate::store::{Heartbeat, NodeRow, RollCall};

/// The row of `settings` that counts how often heartbeats were switched: odd while they are
/// on.
pub(super) const HEARTBEATS: &str = "heartbeats";

/// A [`Heartbeat`] of its own.
pub(super) enum Beat {
    Enroll(Duration),
    Look,
    Next(NodeRow, u64, Duration),
}

impl From<Heartbeat<'_>> for Beat {
    fn from(beat: Heartbeat<'_>) -> Self {
        match beat {
            Heartbeat::Enroll { lapses_after } => Self::Enroll(lapses_after),
            Heartbeat::Look => Self::Look,
            Heartbeat::Next { row, position, lapses_after } => {
                Self::Next(row.clone(), position, lapses_after)
            }
        }
    }
}

pub(super) fn call(
    connection: &Connection,
    beat: Beat,
    gone: &[NodeRow],
) -> rusqlite::Result<RollCall> {
    let immediate = TransactionBehavior::Immediate;
    let transaction = Transaction::new_unchecked(connection, immediate)?;
    for NodeRow { node, beats, .. } in gone {
        let sql = "DELETE FROM nodes WHERE node = ?1 AND beats = ?2";
        transaction.prepare(sql)?.execute((node, integer(*beats)))?;
    }
    let own = match beat {
        Beat::Look => None,
        Beat::Enroll(lapses_after) => {
            let sql = "INSERT INTO nodes VALUES (lower(hex(randomblob(16))), 0, 0, ?1)
                RETURNING node, beats, position, lapses_after_micros";
            Some(transaction.prepare(sql)?.query_row([micros(lapses_after)], row)?)
        }
        Beat::Next(before, position, lapses_after) => {
            let sql = "UPDATE nodes SET beats = beats + 1, position = ?3, lapses_after_micros = ?4
                WHERE node = ?1 AND beats = ?2
                RETURNING node, beats, position, lapses_after_micros";
            let values =
                (before.node, integer(before.beats), integer(position), micros(lapses_after));
            transaction.prepare(sql)?.query_row(values, row).optional()?
        }
    };
    let nodes = {
        let sql = "SELECT node, beats, position, lapses_after_micros FROM nodes";
        let mut statement = transaction.prepare(sql)?;
        statement.query_map([], row)?.collect::<rusqlite::Result<_>>()?
    };
    let switched = switched(&transaction)?;
    transaction.commit()?;
    Ok(RollCall { epoch: is_on(switched).then(|| switched.to_string()), own, nodes })
}

/// Switches heartbeats on or off: each time to a number that never was.
pub(super) fn switch(connection: &Connection, on: bool) -> rusqlite::Result<()> {
    let immediate = TransactionBehavior::Immediate;
    let transaction = Transaction::new_unchecked(connection, immediate)?;
    let before = switched(&transaction)?;
    let after = if is_on(before) == on { before + 2 } else { before + 1 };
    let sql = "INSERT INTO settings VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    transaction.execute(sql, (HEARTBEATS, after))?;
    transaction.commit()
}

pub(super) fn is_on(switched: i64) -> bool {
    switched % 2 == 1
}

fn switched(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT value FROM settings WHERE name = ?1";
    let found = connection.query_row(sql, [HEARTBEATS], |row| row.get(0)).optional();
    Ok(found?.unwrap_or_default())
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<NodeRow> {
    Ok(NodeRow {
        node: row.get(0)?,
        beats: natural(row.get(1)?),
        position: natural(row.get(2)?),
        lapses_after: Duration::from_micros(natural(row.get(3)?)),
    })
}

fn micros(duration: Duration) -> i64 {
    integer(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
