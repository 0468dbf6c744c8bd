//! One at a time asks for all who wait.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::sync::{Mutex, MutexGuard, PoisonError};

/// Where requests wait for one of them to fetch what they all need.
///
/// Whoever comes first gets the turn; the others look again when it is given up, and
/// then have what they need, or the turn, or hear that it failed. A turn whose future is
/// dropped is given up.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: bool,
    /// How many turns have failed.
    failures: u64,
    places: u64,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    place: u64,
    cost: u32,
    waker: Waker,
}

/// How the waiting ended.
pub(super) enum Waited<T> {
    /// The turn that was waited for failed.
    Failed,
    /// What was needed is there.
    Ready(T),
    /// It is the caller's turn.
    Turn(Turn),
}

/// The right to fetch; given up when dropped.
#[must_use = "a turn is given up when dropped"]
pub(super) struct Turn(Arc<Line>);

impl Line {
    /// Waits until `ready` gives something, or for the turn. `ready` is asked first, and
    /// again after each turn.
    pub(super) async fn wait<T>(
        self: &Arc<Self>,
        cost: u32,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Waited<T> {
        let mut place: Option<Place<'_>> = None;
        poll_fn(|context| {
            if let Some(ready) = ready() {
                return Poll::Ready(Waited::Ready(ready));
            }
            let mut state = self.state();
            if place.as_ref().is_some_and(|place| place.failures != state.failures) {
                return Poll::Ready(Waited::Failed);
            }
            if !state.taken {
                state.taken = true;
                return Poll::Ready(Waited::Turn(Turn(Arc::clone(self))));
            }
            let waker = context.waker();
            match &place {
                Some(place) => state.wake(place.number, waker),
                None => place = Some(Place::new(self, &mut state, cost, waker)),
            }
            Poll::Pending
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self) {
        let wakers: Vec<Waker> = {
            let mut state = self.state();
            state.taken = false;
            state.waiting.iter().map(|waiting| waiting.waker.clone()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Turn {
    /// The costs of all who wait for this turn.
    pub(super) fn waiting(&self) -> u64 {
        self.0.state().waiting.iter().map(|waiting| u64::from(waiting.cost)).sum()
    }

    /// Gives the turn up; whoever waits for it now fails too, and does not try again.
    pub(super) fn fail(self) {
        self.0.state().failures += 1;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// A place among those who wait, left when dropped.
struct Place<'a> {
    line: &'a Line,
    number: u64,
    failures: u64,
}

impl<'a> Place<'a> {
    fn new(line: &'a Line, state: &mut State, cost: u32, waker: &Waker) -> Self {
        state.places += 1;
        let (number, failures) = (state.places, state.failures);
        state.waiting.push(Waiting { place: number, cost, waker: waker.clone() });
        Self { line, number, failures }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.state().waiting.retain(|waiting| waiting.place != self.number);
    }
}

impl State {
    fn wake(&mut self, place: u64, waker: &Waker) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.place == place) {
            waiting.waker.clone_from(waker);
        }
    }
}
