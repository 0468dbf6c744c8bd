//! One value, from a thread to a future that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{StoreError, StoreErrorKind};

type Answered<T> = Result<T, StoreError>;

/// A thread's end: it answers, or says by being dropped that nobody will.
pub(super) struct Reply<T>(Arc<Slot<T>>);

/// The future's end.
pub(super) struct Answer<T>(Arc<Slot<T>>);

struct Slot<T>(Mutex<Waiting<T>>);

struct Waiting<T> {
    answered: Option<Answered<T>>,
    waker: Option<Waker>,
}

/// Both ends of one answer.
pub(super) fn channel<T>() -> (Reply<T>, Answer<T>) {
    let slot = Arc::new(Slot(Mutex::new(Waiting { answered: None, waker: None })));
    (Reply(Arc::clone(&slot)), Answer(slot))
}

impl<T> Reply<T> {
    pub(super) fn send(self, answered: Answered<T>) {
        self.0.fill(answered);
    }

    /// Whether the future is still there.
    pub(super) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<T> Answer<T> {
    /// Whether it would be had without waiting.
    pub(super) fn is_here(&self) -> bool {
        self.0.lock().answered.is_some()
    }
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first answer stays; the waker runs outside the lock.
    fn fill(&self, answered: Answered<T>) {
        let waker = {
            let mut waiting = self.lock();
            waiting.answered.get_or_insert(answered);
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.0.fill(Err(ended()));
    }
}

impl<T> Future for Answer<T> {
    type Output = Answered<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered<T>> {
        let mut waiting = self.0.lock();
        if let Some(answered) = waiting.answered.take() {
            return Poll::Ready(answered);
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The thread that should have answered has gone.
pub(super) fn ended() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable)
        .with_context("what had the database open has ended by a panic; open the store again")
}
