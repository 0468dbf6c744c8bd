//! The threads that have the database open, where it isn't used in place.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::reader::{Read, Reader};
use super::writer::{Write, Writer};
use crate::error::{StoreError, StoreErrorKind};

/// Threads that end when nobody can ask them any more; dropping this waits until they
/// have, and the file is closed.
///
/// Each hands back its connections, which are closed one after another: of two that close
/// at once, neither is the last, and the log would be left beside the file.
#[derive(Default)]
pub(super) struct Threads(Vec<JoinHandle<Connections>>);

type Connections = Box<dyn Send>;

impl Drop for Threads {
    fn drop(&mut self) {
        let this = std::thread::current().id();
        for thread in self.0.drain(..) {
            // A future that one of them woke may have held the last handle.
            if thread.thread().id() != this {
                let _ = thread.join();
            }
        }
    }
}

impl Threads {
    /// Starts a thread that writes what it is sent.
    pub(super) fn write(&mut self, writer: Writer) -> Result<Sender<Write>, StoreError> {
        let (sender, jobs) = channel();
        self.spawn("keyward-sqlite-write", move || {
            while let Ok(job) = jobs.recv() {
                writer.run(job, || jobs.try_recv().ok());
            }
            Box::new(writer)
        })?;
        Ok(sender)
    }

    /// Starts a thread for each of these, which share what is sent.
    pub(super) fn read(&mut self, readers: Vec<Reader>) -> Result<Sender<Read>, StoreError> {
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for reader in readers {
            let jobs: Arc<Mutex<Receiver<Read>>> = Arc::clone(&jobs);
            self.spawn("keyward-sqlite-read", move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return Box::new(reader) };
                    job(reader.reading());
                }
            })?;
        }
        Ok(sender)
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce() -> Connections + Send + 'static,
    ) -> Result<(), StoreError> {
        let thread = Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
            StoreError::new(StoreErrorKind::Other)
                .with_context("no thread can be started for the database")
                .with_source(error)
        })?;
        self.0.push(thread);
        Ok(())
    }
}
