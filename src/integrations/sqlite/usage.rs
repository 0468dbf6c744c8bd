//! How keys are used: sums that only grow, by key and by hour.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::stamp::{instant, integer, natural, stamp};
use crate::record::{SlotUsage, Usage, UsageDelta};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// The statements that add, which the connection keeps prepared. `min` stops a sum at the
/// last integer, where `+` would make a floating number of it.
pub(super) struct Adding<'c> {
    connection: &'c Connection,
    add: CachedStatement<'c>,
    add_hour: CachedStatement<'c>,
    forget_hours: CachedStatement<'c>,
}

impl<'c> Adding<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            add: connection.prepare_cached(
                "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                ON CONFLICT (key) DO UPDATE SET
                    uses = min(uses + excluded.uses, 9223372036854775807),
                    last_address = CASE
                        WHEN excluded.last_used_at > coalesce(last_used_at, '')
                        THEN excluded.last_address ELSE last_address END,
                    last_used_at = nullif(max(
                        coalesce(last_used_at, ''), coalesce(excluded.last_used_at, '')), ''),
                    first_uses = min(first_uses + excluded.first_uses, 9223372036854775807),
                    first_used_at = nullif(max(
                        coalesce(first_used_at, ''), coalesce(excluded.first_used_at, '')), ''),
                    second_uses = min(second_uses + excluded.second_uses, 9223372036854775807),
                    second_used_at = nullif(max(
                        coalesce(second_used_at, ''), coalesce(excluded.second_used_at, '')), '')",
            )?,
            add_hour: connection.prepare_cached(
                "INSERT INTO usage_hours VALUES (?1, ?2, ?3) ON CONFLICT (key, hour)
                DO UPDATE SET uses = min(uses + excluded.uses, 9223372036854775807)",
            )?,
            forget_hours: connection
                .prepare_cached("DELETE FROM usage_hours WHERE key = ?1 AND hour <= ?2")?,
        })
    }

    /// Adds all of a batch or nothing.
    pub(super) fn run(&mut self, batch: &[UsageDelta]) -> rusqlite::Result<()> {
        let immediate = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(self.connection, immediate)?;
        for delta in batch {
            self.add(delta)?;
        }
        transaction.commit()
    }

    fn add(&mut self, delta: &UsageDelta) -> rusqlite::Result<()> {
        let key = delta.key.to_string();
        let last = delta.last_used_at();
        let [first, second] = &delta.slots;
        self.add.execute((
            &key,
            integer(delta.uses()),
            last.map(stamp),
            last.and(delta.last_address).map(|address| address.to_string()),
            integer(first.uses),
            first.last_used_at.map(stamp),
            integer(second.uses),
            second.last_used_at.map(stamp),
        ))?;
        self.add_hour.execute((&key, stamp(delta.hour), integer(delta.uses())))?;
        let newest = self.newest_hour(&key)?.unwrap_or(delta.hour);
        let ended = newest.saturating_sub(Usage::KEPT);
        self.forget_hours.execute((&key, stamp(ended)))?;
        Ok(())
    }

    fn newest_hour(&self, key: &str) -> rusqlite::Result<Option<Timestamp>> {
        let newest = self.connection.query_row(
            "SELECT max(hour) FROM usage_hours WHERE key = ?1",
            [key],
            |row| row.get(0),
        )?;
        Ok(instant(newest))
    }
}

/// The statements that read it, likewise.
pub(super) struct Used<'c> {
    sums: CachedStatement<'c>,
    hours: CachedStatement<'c>,
}

impl<'c> Used<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            sums: connection.prepare_cached(
                "SELECT uses, last_used_at, last_address, first_uses, first_used_at, second_uses,
                    second_used_at FROM usage WHERE key = ?1",
            )?,
            hours: connection.prepare_cached(
                "SELECT hour, uses FROM usage_hours WHERE key = ?1 ORDER BY hour",
            )?,
        })
    }

    pub(super) fn all(&mut self, keys: &[KeyId]) -> rusqlite::Result<HashMap<KeyId, Usage>> {
        let mut found = HashMap::new();
        for key in keys {
            if let Some(usage) = self.one(*key)? {
                found.insert(*key, usage);
            }
        }
        Ok(found)
    }

    fn one(&mut self, key: KeyId) -> rusqlite::Result<Option<Usage>> {
        let key = key.to_string();
        let sums = self.sums.query_row([&key], |row| {
            let address: Option<String> = row.get(2)?;
            let slot =
                |uses: i64, last| SlotUsage { uses: natural(uses), last_used_at: instant(last) };
            Ok(Usage {
                uses: natural(row.get(0)?),
                last_used_at: instant(row.get(1)?),
                last_address: address.and_then(|address| address.parse().ok()),
                slots: [slot(row.get(3)?, row.get(4)?), slot(row.get(5)?, row.get(6)?)],
                hours: Vec::new(),
            })
        });
        let Some(mut usage) = sums.optional()? else { return Ok(None) };
        let mut rows = self.hours.query([&key])?;
        while let Some(row) = rows.next()? {
            if let Some(hour) = instant(row.get(0)?) {
                usage.hours.push((hour, natural(row.get(1)?)));
            }
        }
        Ok(Some(usage))
    }
}
