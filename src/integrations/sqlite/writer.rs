//! What is written, and by which connections.

use std::sync::mpsc::Sender;

use rusqlite::Connection;

use super::answer::{Reply, channel as answer, ended};
use super::commit::{Commit, Committing, trim};
use super::failure::{failed, unprepared};
use super::identity::Identity;
use super::in_place::Turns;
use super::open::{Durability, Place};
use super::read::MAX_STALENESS;
use super::roll::{self, Beat};
use super::stamp::integer;
use super::usage::Adding;
use crate::error::StoreError;
use crate::record::UsageDelta;
use crate::store::{NodeRow, RollCall};

/// Something to write, and whom to tell.
pub(super) enum Write {
    Commit(Commit, Reply<()>),
    Usage(Vec<UsageDelta>, Reply<()>),
    /// Deletes entries older than an instant, at most so many.
    Trim(String, u64, Reply<usize>),
    /// Sets the bound, in microseconds.
    MaxStaleness(u64, Reply<()>),
    /// Switches heartbeats on or off.
    Heartbeats(bool, Reply<()>),
    /// Removes rows of nodes, beats, and gives all rows.
    Roll(Beat, Vec<NodeRow>, Reply<RollCall>),
}

impl Write {
    fn refuse(self, error: StoreError) {
        match self {
            Self::Commit(_, reply)
            | Self::Usage(_, reply)
            | Self::MaxStaleness(_, reply)
            | Self::Heartbeats(_, reply) => reply.send(Err(error)),
            Self::Roll(_, _, reply) => reply.send(Err(error)),
            Self::Trim(_, _, reply) => reply.send(Err(error)),
        }
    }
}

/// Who writes: a thread, or whoever asks.
pub(super) enum Writes {
    InPlace(Turns),
    Thread(Sender<Write>),
}

impl Writes {
    /// Asks for a write, and waits until it is done. It is done also when nobody waits any
    /// more.
    pub(super) async fn order<T>(
        &self,
        write: impl FnOnce(Reply<T>) -> Write,
    ) -> Result<T, StoreError> {
        let (reply, answer) = answer();
        let write = write(reply);
        match self {
            Self::InPlace(turns) => turns.take(write, || answer.is_here()),
            Self::Thread(writer) => writer.send(write).map_err(|_| ended())?,
        }
        answer.await
    }
}

/// The most commits of one transaction.
const LARGEST_BATCH: usize = 64;

/// The connections that write to a file.
pub(super) struct Writer {
    identity: Identity,
    commits: Connection,
    usage: Connection,
}

impl Writer {
    pub(super) fn open(place: &Place, identity: Identity) -> Result<Self, StoreError> {
        let commits = place.open(Durability::Full)?;
        let usage = place.open(Durability::Normal)?;
        Committing::of(&commits).prepare().map_err(unprepared)?;
        Adding::prepare(&usage).map_err(unprepared)?;
        Ok(Self { identity, commits, usage })
    }

    /// Writes what is asked, and with a commit those behind it.
    pub(super) fn run(&self, write: Write, mut behind: impl FnMut() -> Option<Write>) {
        let mut next = Some(write);
        while let Some(write) = next.take() {
            if let Err(error) = self.identity.check() {
                write.refuse(error);
                continue;
            }
            match write {
                Write::Commit(commit, reply) => {
                    let mut batch = vec![(commit, reply)];
                    while batch.len() < LARGEST_BATCH {
                        match behind() {
                            Some(Write::Commit(commit, reply)) => batch.push((commit, reply)),
                            other => {
                                next = other;
                                break;
                            }
                        }
                    }
                    Committing::of(&self.commits).run(batch);
                }
                Write::Usage(batch, reply) => {
                    let added =
                        Adding::prepare(&self.usage).and_then(|mut adding| adding.run(&batch));
                    reply.send(added.map_err(failed));
                }
                Write::Trim(before, most, reply) => {
                    reply.send(trim(&self.commits, &before, most).map_err(failed));
                }
                Write::MaxStaleness(micros, reply) => {
                    reply.send(set_max_staleness(&self.commits, micros).map_err(failed));
                }
                Write::Heartbeats(on, reply) => {
                    reply.send(roll::switch(&self.commits, on).map_err(failed));
                }
                // What a power cut takes of it, it takes the nodes with.
                Write::Roll(beat, gone, reply) => {
                    reply.send(roll::call(&self.usage, beat, &gone).map_err(failed));
                }
            }
        }
    }
}

fn set_max_staleness(connection: &Connection, micros: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO settings VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.execute(sql, (MAX_STALENESS, integer(micros))).map(|_| ())
}
