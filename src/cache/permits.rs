//! So many at once; the others wait their turn, for a while.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How long somebody waits, on the monotonic clock in microseconds.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) since: u64,
    pub(super) micros: u64,
}

/// A number of permits, handed out in the order in which they were asked for.
///
/// There is no timer here. Who has waited too long is refused when somebody else comes,
/// at a permit's return, or by [`Permits::expire`]; with a timer, its caller drops it.
pub(super) struct Permits(Mutex<State>);

struct State {
    free: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

struct Waiter {
    patience: Option<Patience>,
    turn: Mutex<Turn>,
}

enum Turn {
    Waits(Waker),
    Granted,
    Refused,
}

impl Permits {
    pub(super) fn new(permits: usize) -> Self {
        Self(Mutex::new(State { free: permits.max(1), waiting: VecDeque::new() }))
    }

    /// A permit, or `None` if `most` others wait already, or after too long a wait.
    pub(super) fn acquire(&self, now: u64, patience: Option<Patience>, most: usize) -> Acquire<'_> {
        Acquire { permits: self, now, patience, most, waiter: None }
    }

    /// Refuses those who have waited too long.
    pub(super) fn expire(&self, now: u64) {
        let mut wakers = Vec::new();
        self.state().waiting.retain(|waiter| {
            let late = waiter
                .patience
                .is_some_and(|Patience { since, micros }| now.saturating_sub(since) > micros);
            if late {
                wakers.extend(waiter.tell(Turn::Refused));
            }
            !late
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    fn release(&self) {
        let waker = {
            let mut state = self.state();
            match state.waiting.pop_front() {
                // Under the lock: who gives up now must find that it has a permit.
                Some(waiter) => waiter.tell(Turn::Granted),
                None => {
                    state.free += 1;
                    None
                }
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    #[must_use]
    fn tell(&self, turn: Turn) -> Option<Waker> {
        match std::mem::replace(&mut *self.turn(), turn) {
            Turn::Waits(waker) => Some(waker),
            Turn::Granted | Turn::Refused => None,
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a permit.
pub(super) struct Acquire<'a> {
    permits: &'a Permits,
    now: u64,
    patience: Option<Patience>,
    most: usize,
    waiter: Option<Arc<Waiter>>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Option<Permit<'a>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let permits = self.permits;
        let Some(waiter) = &self.waiter else {
            permits.expire(self.now);
            let mut state = permits.state();
            if state.free > 0 {
                state.free -= 1;
                return Poll::Ready(Some(Permit(permits)));
            }
            if state.waiting.len() >= self.most {
                return Poll::Ready(None);
            }
            let turn = Mutex::new(Turn::Waits(context.waker().clone()));
            let waiter = Arc::new(Waiter { patience: self.patience, turn });
            state.waiting.push_back(Arc::clone(&waiter));
            drop(state);
            self.waiter = Some(waiter);
            return Poll::Pending;
        };
        let mut turn = waiter.turn();
        let granted = match &mut *turn {
            Turn::Waits(waker) => {
                waker.clone_from(context.waker());
                return Poll::Pending;
            }
            Turn::Granted => true,
            Turn::Refused => false,
        };
        drop(turn);
        self.waiter = None;
        Poll::Ready(granted.then_some(Permit(permits)))
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        // Out of the queue first: after that nobody tells it anything.
        self.permits.state().waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        let granted = matches!(*waiter.turn(), Turn::Granted);
        if granted {
            self.permits.release();
        }
    }
}

/// Permission, given back when dropped.
pub(super) struct Permit<'a>(&'a Permits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}
