use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::failure::failed;
use super::open::{Durability, Place};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::Hints;

/// How often the file is asked whether somebody has written to it.
const EVERY: Duration = Duration::from_millis(25);

/// How long nothing is asked after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Hints that the file was written to, by this process or another.
///
/// A thread with a connection of its own asks for `SQLite`'s `data_version` each 25
/// milliseconds, which reads a few bytes of memory that all processes share. Usage that is
/// written gives a hint too. The thread ends with this value.
///
/// It is what [`SqliteStore::hints`](crate::SqliteStore::hints) gives.
pub struct SqliteHints {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    hinted: bool,
    waker: Option<Waker>,
    ended: bool,
}

impl SqliteHints {
    pub(super) fn start(place: Place) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = Builder::new().name("keyward-sqlite-hint".to_owned());
        let thread = thread.spawn(move || watch(&place, &theirs)).map_err(|error| {
            StoreError::new(StoreErrorKind::Other)
                .with_context("no thread can be started for hints")
                .with_source(error)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Hints for SqliteHints {
    async fn next(&mut self) {
        poll_fn(|context| {
            let mut state = self.shared.lock();
            if std::mem::take(&mut state.hinted) {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for SqliteHints {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.ended.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for SqliteHints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteHints")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hint(&self) {
        let waker = {
            let mut state = self.lock();
            state.hinted = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits, and says whether to go on.
    fn nap(&self, time: Duration) -> bool {
        let wait = self.ended.wait_timeout_while(self.lock(), time, |state| !state.ended);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        !state.ended
    }
}

/// Hints whenever the file has changed, and once after each time it could not be asked.
fn watch(place: &Place, shared: &Shared) {
    while follow(place, shared).is_err() {
        shared.hint();
        if !shared.nap(AFTER_FAILURE) {
            return;
        }
    }
}

/// Watches by one connection until it fails, or nobody wants to know any more.
fn follow(place: &Place, shared: &Shared) -> Result<(), StoreError> {
    let connection = place.open(Durability::Normal)?;
    let mut statement = connection.prepare("PRAGMA data_version").map_err(failed)?;
    let mut version = || statement.query_row([], |row| row.get::<_, i64>(0)).map_err(failed);
    let mut seen = version()?;
    // Nobody knows what came before.
    shared.hint();
    while shared.nap(EVERY) {
        let now = version()?;
        if now != seen {
            seen = now;
            shared.hint();
        }
    }
    Ok(())
}
