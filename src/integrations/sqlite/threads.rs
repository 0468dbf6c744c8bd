//! The threads that have the database open, and what they are asked.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;

use super::answer::{Reply, channel as answer, ended};
use super::commit::{Commit, Committing, trim};
use super::failure::{failed, unprepared};
use super::identity::Identity;
use super::open::{Durability, Place};
use super::read::{MAX_STALENESS, Reading};
use super::stamp::integer;
use super::usage::Adding;
use crate::error::{StoreError, StoreErrorKind};
use crate::record::UsageDelta;

/// Something to read, and whom to tell.
pub(super) type Read = Box<dyn FnOnce(Result<&mut Reading<'_>, StoreError>) + Send>;

/// Something to write, and whom to tell.
pub(super) enum Write {
    Commit(Commit, Reply<()>),
    Usage(Vec<UsageDelta>, Reply<()>),
    /// Deletes entries older than an instant, at most so many.
    Trim(String, u64, Reply<usize>),
    /// Sets the bound, in microseconds.
    MaxStaleness(u64, Reply<()>),
}

impl Write {
    fn refuse(self, error: StoreError) {
        match self {
            Self::Commit(_, reply) | Self::Usage(_, reply) | Self::MaxStaleness(_, reply) => {
                reply.send(Err(error));
            }
            Self::Trim(_, _, reply) => reply.send(Err(error)),
        }
    }
}

/// The most commits of one transaction.
const LARGEST_BATCH: usize = 64;

/// Threads that end when nobody can ask them any more; dropping this waits until they
/// have, and the file is closed.
pub(super) struct Threads {
    place: Place,
    identity: Identity,
    running: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        let this = std::thread::current().id();
        for thread in self.running.drain(..) {
            // A future that one of them woke may have held the last handle.
            if thread.thread().id() != this {
                let _ = thread.join();
            }
        }
    }
}

impl Threads {
    /// None yet, for a file that is as it should be.
    pub(super) fn of(place: Place) -> Self {
        let identity = Identity::of(&place.path);
        Self { place, identity, running: Vec::new() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn writer(&mut self) -> Result<Sender<Write>, StoreError> {
        let commits = self.place.open(Durability::Full)?;
        let usage = self.place.open(Durability::Normal)?;
        Committing::prepare(&commits).map_err(unprepared)?;
        Adding::prepare(&usage).map_err(unprepared)?;
        let (sender, jobs) = channel();
        let identity = self.identity.clone();
        self.spawn("keyward-sqlite-write", move || write(&identity, &commits, &usage, &jobs))?;
        Ok(sender)
    }

    pub(super) fn readers(&mut self, number: usize) -> Result<Sender<Read>, StoreError> {
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..number {
            let connection = self.place.open(Durability::Normal)?;
            Reading::prepare(&connection).map_err(unprepared)?;
            let jobs = Arc::clone(&jobs);
            let identity = self.identity.clone();
            self.spawn("keyward-sqlite-read", move || read(&identity, &connection, &jobs))?;
        }
        Ok(sender)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
            StoreError::new(StoreErrorKind::Other)
                .with_context("no thread can be started for the database")
                .with_source(error)
        })?;
        self.running.push(thread);
        Ok(())
    }
}

/// Asks one of the readers, and waits for its answer.
pub(super) async fn ask<T: Send + 'static>(
    readers: &Sender<Read>,
    read: impl FnOnce(&mut Reading<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (reply, answer) = answer();
    let job: Read = Box::new(move |reading| {
        if reply.is_awaited() {
            reply.send(reading.and_then(read));
        }
    });
    readers.send(job).map_err(|_| ended())?;
    answer.await
}

/// Asks the writer, and waits for its answer. What it was asked it does, also when nobody
/// waits any more.
pub(super) async fn order<T>(
    writer: &Sender<Write>,
    write: impl FnOnce(Reply<T>) -> Write,
) -> Result<T, StoreError> {
    let (reply, answer) = answer();
    writer.send(write(reply)).map_err(|_| ended())?;
    answer.await
}

fn read(identity: &Identity, connection: &Connection, jobs: &Mutex<Receiver<Read>>) {
    let Ok(mut reading) = Reading::prepare(connection) else { return };
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(identity.check().map(|()| &mut reading)),
            Err(_) => return,
        }
    }
}

fn write(identity: &Identity, commits: &Connection, usage: &Connection, jobs: &Receiver<Write>) {
    let (Ok(mut committing), Ok(mut adding)) =
        (Committing::prepare(commits), Adding::prepare(usage))
    else {
        return;
    };
    let mut next = jobs.recv().ok();
    while let Some(job) = next {
        next = None;
        if let Err(error) = identity.check() {
            job.refuse(error);
            next = jobs.recv().ok();
            continue;
        }
        match job {
            Write::Commit(commit, reply) => {
                let mut batch = vec![(commit, reply)];
                while batch.len() < LARGEST_BATCH {
                    match jobs.try_recv() {
                        Ok(Write::Commit(commit, reply)) => batch.push((commit, reply)),
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                committing.run(batch);
            }
            Write::Usage(batch, reply) => reply.send(adding.run(&batch).map_err(failed)),
            Write::Trim(before, most, reply) => {
                reply.send(trim(commits, &before, most).map_err(failed));
            }
            Write::MaxStaleness(micros, reply) => {
                reply.send(set_max_staleness(commits, micros).map_err(failed));
            }
        }
        next = next.or_else(|| jobs.recv().ok());
    }
}

fn set_max_staleness(connection: &Connection, micros: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO settings VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.execute(sql, (MAX_STALENESS, integer(micros))).map(|_| ())
}
