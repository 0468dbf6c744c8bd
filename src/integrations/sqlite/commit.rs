//! Commits: checked and written one by one, several to a transaction.

use rusqlite::{CachedStatement, Connection, Error};

use super::answer::Reply;
use super::failure::{copy, failed};
use super::stamp::{integer, stamp};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Change, Expect};

/// A [`Change`] as text and numbers, ready to be bound.
pub(super) struct Commit {
    id: String,
    version: i64,
    document: String,
    event: Option<String>,
    expect: Expected,
}

enum Expected {
    Absent(Option<Cap>),
    Version(i64),
}

struct Cap {
    owner: String,
    max: i64,
    now: String,
}

/// What became of a commit whose transaction did not fail: it happened, or was refused.
type Outcome = Result<(), StoreErrorKind>;

/// Where a transaction failed.
enum Failure {
    /// Before anything of it was tried.
    Begin(Error),
    /// In one of several commits, perhaps because of that one.
    Within(Error),
    /// At the end: whether it is on the disk is not known.
    End(Error),
}

impl Commit {
    pub(super) fn new(change: &Change) -> Result<Self, StoreError> {
        let Change { record, expect, event } = change;
        let other = |context| StoreError::new(StoreErrorKind::Other).with_context(context);
        let version = i64::try_from(record.version())
            .map_err(|error| other("versions end at 2^63 - 1").with_source(error))?;
        let event = event.as_ref().map(serde_json::to_string).transpose();
        Ok(Self {
            id: record.id().to_string(),
            version,
            document: record.to_document(),
            event: event.map_err(|e| other("the event can't be written as JSON").with_source(e))?,
            expect: match *expect {
                Expect::Absent { cap } => Expected::Absent(cap.map(|cap| Cap {
                    owner: record.owner().to_owned(),
                    max: cap.max.into(),
                    now: stamp(cap.now),
                })),
                // No row has a version below zero.
                Expect::Version(version) => Expected::Version(i64::try_from(version).unwrap_or(-1)),
            },
        })
    }
}

/// Live keys of an owner at an instant, up to a number. Whatever can't be read counts.
pub(super) const LIVE: &str = "SELECT count(*) FROM (SELECT 1 FROM keys WHERE owner = ?1 AND
    (state IS NULL OR (state <> 'revoked' AND (expires_at IS NULL OR expires_at > ?2))) LIMIT ?3)";

/// The statements of a commit, which the connection keeps prepared.
///
/// `BEGIN IMMEDIATE` takes the one lock for writing, so whatever is checked within the
/// transaction still holds when it is written.
pub(super) struct Committing<'c> {
    connection: &'c Connection,
    begin: CachedStatement<'c>,
    end: CachedStatement<'c>,
    exists: CachedStatement<'c>,
    live: CachedStatement<'c>,
    create: CachedStatement<'c>,
    replace: CachedStatement<'c>,
    append: CachedStatement<'c>,
}

impl<'c> Committing<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            begin: connection.prepare_cached("BEGIN IMMEDIATE")?,
            end: connection.prepare_cached("COMMIT")?,
            exists: connection.prepare_cached("SELECT 1 FROM keys WHERE id = ?1")?,
            live: connection.prepare_cached(LIVE)?,
            create: connection.prepare_cached(
                "INSERT INTO keys (id, version, document) VALUES (?1, ?2, ?3)
                    ON CONFLICT (id) DO NOTHING",
            )?,
            replace: connection.prepare_cached(
                "UPDATE keys SET version = ?2, document = ?3 WHERE id = ?1 AND version = ?4",
            )?,
            append: connection.prepare_cached("INSERT INTO log (event) VALUES (?1)")?,
        })
    }

    /// Carries out these commits in their order, in one transaction if it can be, and
    /// answers each when it is on the disk.
    ///
    /// If one of them fails, nothing of the transaction stays, and each has another of its
    /// own.
    pub(super) fn run(&mut self, waiting: Vec<(Commit, Reply<()>)>) {
        match self.transact(waiting.iter().map(|(commit, _)| commit)) {
            Ok(outcomes) => {
                for ((_, reply), outcome) in waiting.into_iter().zip(outcomes) {
                    reply.send(outcome.map_err(StoreError::new));
                }
            }
            Err(Failure::Within(_)) if waiting.len() > 1 => {
                for alone in waiting {
                    self.run(vec![alone]);
                }
            }
            Err(Failure::Begin(error) | Failure::Within(error) | Failure::End(error)) => {
                for (_, reply) in waiting {
                    reply.send(Err(failed(copy(&error))));
                }
            }
        }
    }

    fn transact<'a>(
        &mut self,
        commits: impl Iterator<Item = &'a Commit>,
    ) -> Result<Vec<Outcome>, Failure> {
        self.begin.execute([]).map_err(Failure::Begin)?;
        let outcomes: rusqlite::Result<Vec<_>> = commits.map(|commit| self.apply(commit)).collect();
        let ended = match outcomes {
            Ok(outcomes) => self.end.execute([]).map(|_| outcomes).map_err(Failure::End),
            Err(error) => Err(Failure::Within(error)),
        };
        if ended.is_err() && !self.connection.is_autocommit() {
            // It has been rolled back already where this fails.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        ended
    }

    /// Refuses before it writes, so a refused commit leaves nothing to undo.
    fn apply(&mut self, commit: &Commit) -> rusqlite::Result<Outcome> {
        let Commit { id, version, document, event, expect } = commit;
        match expect {
            Expected::Version(expected) => {
                let row = (id, version, document, expected);
                if self.replace.execute(row)? == 0 {
                    return Ok(Err(StoreErrorKind::Conflict));
                }
            }
            Expected::Absent(cap) => {
                if let Some(cap) = cap {
                    if self.exists.exists([id])? {
                        return Ok(Err(StoreErrorKind::AlreadyExists));
                    }
                    if self.live(cap)? >= cap.max {
                        return Ok(Err(StoreErrorKind::OwnerCapReached));
                    }
                }
                if self.create.execute((id, version, document))? == 0 {
                    return Ok(Err(StoreErrorKind::AlreadyExists));
                }
            }
        }
        if let Some(event) = event {
            self.append.execute([event])?;
        }
        Ok(Ok(()))
    }

    /// How many live keys an owner has, counted up to the cap.
    fn live(&mut self, Cap { owner, max, now }: &Cap) -> rusqlite::Result<i64> {
        self.live.query_row((owner, now, max), |row| row.get(0))
    }
}

/// Deletes at most `most` entries at the old end of the log: those before the first that is
/// not older than `before`, and never the newest.
///
/// The newest stays because the next position is one more than it.
pub(super) fn trim(connection: &Connection, before: &str, most: u64) -> rusqlite::Result<usize> {
    connection.execute(
        "DELETE FROM log WHERE position IN (SELECT position FROM log WHERE position < coalesce(
            (SELECT position FROM log WHERE at >= ?1 ORDER BY position LIMIT 1),
            (SELECT max(position) FROM log)) ORDER BY position LIMIT ?2)",
        (before, integer(most)),
    )
}
