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
            if let Some(waiter) = state.waiting.pop_front() {
                // Under the lock: who gives up now must find that it has a permit.
                waiter.tell(Turn::Granted)
            } else {
                state.free += 1;
                None
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn ready<F: Future>(future: Pin<&mut F>) -> F::Output {
        match poll(future) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("has to wait"),
        }
    }

    #[test]
    fn permits_go_in_the_order_in_which_they_were_asked_for() {
        let permits = Permits::new(1);
        let first = ready(pin!(permits.acquire(0, None, 9))).unwrap();
        let mut second = pin!(permits.acquire(0, None, 9));
        let mut third = pin!(permits.acquire(0, None, 9));
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        drop(first);
        assert!(poll(third.as_mut()).is_pending());
        let late = pin!(permits.acquire(0, None, 9));
        assert!(poll(late).is_pending(), "nobody comes in between");
        drop(ready(second).unwrap());
        assert!(ready(third).is_some());
    }

    #[test]
    fn who_goes_away_with_a_permit_in_hand_passes_it_on() {
        let permits = Permits::new(1);
        let first = ready(pin!(permits.acquire(0, None, 9))).unwrap();
        let mut second = Box::pin(permits.acquire(0, None, 9));
        let mut third = pin!(permits.acquire(0, None, 9));
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        drop(first);
        drop(second);
        assert!(ready(third).is_some());
        assert!(ready(pin!(permits.acquire(0, None, 9))).is_some(), "none is lost");
    }

    #[test]
    fn too_many_and_too_late_are_refused() {
        let permits = Permits::new(1);
        let _first = ready(pin!(permits.acquire(0, None, 9))).unwrap();
        let patience = Some(Patience { since: 0, micros: 50 });
        let mut second = pin!(permits.acquire(0, patience, 1));
        assert!(poll(second.as_mut()).is_pending());
        assert!(ready(pin!(permits.acquire(0, patience, 1))).is_none(), "one waits already");
        permits.expire(50);
        assert!(poll(second.as_mut()).is_pending());
        let mut third = pin!(permits.acquire(51, None, 1));
        assert!(poll(third.as_mut()).is_pending(), "in the place of who has waited too long");
        assert!(ready(second).is_none());
    }

    #[test]
    fn no_order_of_coming_and_going_loses_a_permit() {
        proptest::proptest!(|(acts in proptest::collection::vec(0_usize..12, 0..200))| {
            let permits = Permits::new(3);
            let (mut waiting, mut held) = (Vec::new(), Vec::new());
            for act in acts {
                match act {
                    0..=5 => waiting.push(Box::pin(permits.acquire(0, None, 5))),
                    6..=7 => drop(held.pop()),
                    8 if !waiting.is_empty() => drop(waiting.remove(act % waiting.len())),
                    _ => {}
                }
                waiting.retain_mut(|one| match poll(one.as_mut()) {
                    Poll::Ready(permit) => {
                        held.extend(permit);
                        false
                    }
                    Poll::Pending => true,
                });
                assert!(held.len() <= 3 && (held.len() == 3 || waiting.is_empty()));
            }
            drop((waiting, held));
            let all: Vec<_> = (0..3).map(|_| ready(pin!(permits.acquire(0, None, 0)))).collect();
            assert!(all.iter().all(Option::is_some));
        });
    }
}
