//! What is read, and by which connections.

use std::sync::mpsc::Sender;

use rusqlite::Connection;

use super::answer::{channel as answer, ended};
use super::failure::unprepared;
use super::identity::Identity;
use super::in_place::Pool;
use super::open::{Durability, Place};
use super::read::Reading;
use crate::error::StoreError;

/// Something to read, and whom to tell.
pub(super) type Read = Box<dyn FnOnce(Result<Reading<'_>, StoreError>) + Send>;

/// Who reads: a thread, or whoever asks.
pub(super) enum Readers {
    InPlace(Pool),
    Threads(Sender<Read>),
}

impl Readers {
    /// Asks one of them, and waits for its answer.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(Reading<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let threads = match self {
            Self::InPlace(pool) => return pool.read(read),
            Self::Threads(threads) => threads,
        };
        let (reply, answer) = answer();
        let job: Read = Box::new(move |reading| {
            if reply.is_awaited() {
                reply.send(reading.and_then(read));
            }
        });
        threads.send(job).map_err(|_| ended())?;
        answer.await
    }
}

/// A connection that reads a file.
pub(super) struct Reader {
    identity: Identity,
    connection: Connection,
}

impl Reader {
    pub(super) fn open(place: &Place, identity: Identity) -> Result<Self, StoreError> {
        let connection = place.open(Durability::Normal)?;
        Reading::on(&connection).prepare().map_err(unprepared)?;
        Ok(Self { identity, connection })
    }

    /// Reads of the file, if it is still the one that was opened.
    pub(super) fn reading(&self) -> Result<Reading<'_>, StoreError> {
        self.identity.check().map(|()| Reading::on(&self.connection))
    }
}
