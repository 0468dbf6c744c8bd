//! Commits: checked and written one by one, several to a transaction.

use rusqlite::{Connection, Error, Params};

use super::answer::Reply;
use super::failure::{copy, failed};
use super::stamp::{integer, stamp};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Change, Expect};
use crate::token::KeyId;

/// A [`Change`] as text and numbers, ready to be bound.
pub(super) struct Commit {
    id: KeyId,
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
            id: record.id(),
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

const BEGIN: &str = "BEGIN IMMEDIATE";
const END: &str = "COMMIT";
const EXISTS: &str = "SELECT 1 FROM keys WHERE id = ?1";
const CREATE: &str = "INSERT INTO keys (id, version, document) VALUES (?1, ?2, ?3)";
const REPLACE: &str = "UPDATE keys SET version = ?2, document = ?3 WHERE id = ?1 AND version = ?4";
const APPEND: &str = "INSERT INTO log (event) VALUES (?1)";

/// A connection that commits. It keeps its statements prepared.
///
/// `BEGIN IMMEDIATE` takes the one lock for writing, so whatever is checked within the
/// transaction still holds when it is written.
pub(super) struct Committing<'c>(&'c Connection);

impl<'c> Committing<'c> {
    pub(super) fn of(connection: &'c Connection) -> Self {
        Self(connection)
    }

    /// Prepares all statements: a file that they don't fit is none of ours.
    pub(super) fn prepare(&self) -> rusqlite::Result<()> {
        for sql in [BEGIN, END, EXISTS, LIVE, CREATE, REPLACE, APPEND] {
            self.0.prepare_cached(sql)?;
        }
        Ok(())
    }

    /// Carries out these commits in their order, in one transaction if it can be, and
    /// answers each when it is on the disk.
    ///
    /// If one of them fails, nothing of the transaction stays, and each has another of its
    /// own.
    pub(super) fn run(&self, waiting: Vec<(Commit, Reply<()>)>) {
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
        &self,
        commits: impl Iterator<Item = &'a Commit>,
    ) -> Result<Vec<Outcome>, Failure> {
        self.write(BEGIN, []).map_err(Failure::Begin)?;
        let outcomes: rusqlite::Result<Vec<_>> = commits.map(|commit| self.apply(commit)).collect();
        let ended = match outcomes {
            Ok(outcomes) => self.write(END, []).map(|_| outcomes).map_err(Failure::End),
            Err(error) => Err(Failure::Within(error)),
        };
        if ended.is_err() && !self.0.is_autocommit() {
            // It has been rolled back already where this fails.
            let _ = self.0.execute_batch("ROLLBACK");
        }
        ended
    }

    /// Refuses before it writes, so a refused commit leaves nothing to undo.
    fn apply(&self, commit: &Commit) -> rusqlite::Result<Outcome> {
        let Commit { id, version, document, event, expect } = commit;
        let id = id.text();
        let id = id.as_str();
        match expect {
            Expected::Version(expected) => {
                let row = (id, version, document, expected);
                if self.write(REPLACE, row)? == 0 {
                    return Ok(Err(StoreErrorKind::Conflict));
                }
            }
            Expected::Absent(cap) => {
                if let Some(cap) = cap {
                    if self.0.prepare_cached(EXISTS)?.exists([id])? {
                        return Ok(Err(StoreErrorKind::AlreadyExists));
                    }
                    if self.live(cap)? >= cap.max {
                        return Ok(Err(StoreErrorKind::OwnerCapReached));
                    }
                }
                match self.write(CREATE, (id, version, document)) {
                    Err(error) if is_taken(&error) => {
                        return Ok(Err(StoreErrorKind::AlreadyExists));
                    }
                    created => created?,
                };
            }
        }
        if let Some(event) = event {
            self.write(APPEND, [event])?;
        }
        Ok(Ok(()))
    }

    /// How many rows a statement has written.
    fn write(&self, sql: &str, values: impl Params) -> rusqlite::Result<usize> {
        self.0.prepare_cached(sql)?.execute(values)
    }

    /// How many live keys an owner has, counted up to the cap.
    fn live(&self, Cap { owner, max, now }: &Cap) -> rusqlite::Result<i64> {
        self.0.prepare_cached(LIVE)?.query_row((owner, now, max), |row| row.get(0))
    }
}

/// Whether a row of that id is there; the statement that failed has left nothing.
fn is_taken(error: &Error) -> bool {
    let taken = Some(rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY);
    error.sqlite_error().map(|error| error.extended_code) == taken
}

/// Looks at the oldest entries alone, up to so many, however many there are: the column `at` is
/// made from the text of each.
pub(super) const TRIM: &str = "WITH oldest AS MATERIALIZED
        (SELECT position, at FROM log ORDER BY position LIMIT ?2)
    DELETE FROM log WHERE position IN (SELECT position FROM oldest)
        AND position < coalesce((SELECT min(position) FROM oldest WHERE at >= ?1), 9223372036854775807)
        AND position < (SELECT max(position) FROM log)";

/// Deletes at most `most` entries at the old end of the log: those before the first that is
/// not older than `before`, and never the newest.
///
/// The newest stays because the next position is one more than it.
pub(super) fn trim(connection: &Connection, before: &str, most: u64) -> rusqlite::Result<usize> {
    connection.prepare_cached(TRIM)?.execute((before, integer(most)))
}
