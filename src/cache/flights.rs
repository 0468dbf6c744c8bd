//! One read of the store for all who want the same record.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::freshness::Instant;
use crate::error::StoreError;
use crate::record::KeyRecord;
use crate::token::KeyId;

/// The reads that are under way, by id.
///
/// There are never more than have or want a permit, and each waits for as many as the
/// host has requests for its key.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<KeyId, Arc<Flight>>>);

struct Flight(Mutex<State>);

struct State {
    phase: Phase,
    waiting: Vec<(u64, Waker)>,
    tickets: u64,
}

enum Phase {
    /// Nothing has been asked of the store.
    Queued,
    Reading(Reading),
    Done(Reading, Answer),
    /// Refused before anything was asked.
    Refused(StoreError),
    Abandoned,
}

/// What was noted before the store was asked.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) noted: u64,
    pub(super) started: Instant,
}

type Answer = Result<Option<KeyRecord>, StoreError>;

/// What somebody who wants a record does.
pub(super) enum Role<'a> {
    Lead(Lead<'a>),
    Join(Joined),
}

/// What those who waited get: `None` if whoever read went away.
pub(super) type Shared = Option<(Option<Instant>, Answer)>;

impl Flights {
    /// Joins the read of a record if `may_join` what it noted, and else begins one. One
    /// that has not asked the store yet can always be joined.
    pub(super) fn enter(&self, id: KeyId, may_join: impl Fn(Reading) -> bool) -> Role<'_> {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&id) {
            let joinable = match &flight.state().phase {
                Phase::Queued => true,
                Phase::Reading(reading) => may_join(*reading),
                Phase::Done(..) | Phase::Refused(_) | Phase::Abandoned => false,
            };
            if joinable {
                return Role::Join(Joined { flight: Arc::clone(flight), ticket: None });
            }
        }
        let state = State { phase: Phase::Queued, waiting: Vec::new(), tickets: 0 };
        let flight = Arc::new(Flight(Mutex::new(state)));
        flights.insert(id, Arc::clone(&flight));
        Role::Lead(Lead { flights: self, id, flight })
    }

    pub(super) fn len(&self) -> usize {
        self.flights().len()
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<KeyId, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, phase: Phase) {
        let waiting = {
            let mut state = self.state();
            state.phase = phase;
            std::mem::take(&mut state.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

/// Reads for the others too, who are told even if it is dropped.
pub(super) struct Lead<'a> {
    flights: &'a Flights,
    id: KeyId,
    flight: Arc<Flight>,
}

impl Lead<'_> {
    /// The store is asked now.
    pub(super) fn reads(&self, reading: Reading) {
        self.flight.state().phase = Phase::Reading(reading);
    }

    pub(super) fn done(&self, reading: Reading, answer: &Answer) {
        let answer = echo(answer);
        self.flight.end(Phase::Done(reading, answer));
    }

    pub(super) fn refused(&self, error: &StoreError) {
        self.flight.end(Phase::Refused(error.echo()));
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.flights();
        if flights.get(&self.id).is_some_and(|known| Arc::ptr_eq(known, &self.flight)) {
            flights.remove(&self.id);
        }
        drop(flights);
        let ended = matches!(
            self.flight.state().phase,
            Phase::Done(..) | Phase::Refused(_) | Phase::Abandoned
        );
        if !ended {
            self.flight.end(Phase::Abandoned);
        }
    }
}

/// Waits for what another reads.
pub(super) struct Joined {
    flight: Arc<Flight>,
    ticket: Option<u64>,
}

impl Future for Joined {
    type Output = Shared;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Shared> {
        let flight = Arc::clone(&self.flight);
        let mut state = flight.state();
        match &state.phase {
            Phase::Done(reading, answer) => {
                Poll::Ready(Some((Some(reading.started), echo(answer))))
            }
            Phase::Refused(error) => Poll::Ready(Some((None, Err(error.echo())))),
            Phase::Abandoned => Poll::Ready(None),
            Phase::Queued | Phase::Reading(_) => {
                let waker = context.waker();
                if let Some(ticket) = self.ticket {
                    let mine = state.waiting.iter_mut().find(|(known, _)| *known == ticket);
                    if let Some((_, known)) = mine {
                        known.clone_from(waker);
                    }
                } else {
                    state.tickets += 1;
                    let ticket = state.tickets;
                    state.waiting.push((ticket, waker.clone()));
                    self.ticket = Some(ticket);
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.flight.state().waiting.retain(|(known, _)| *known != ticket);
        }
    }
}

fn echo(answer: &Answer) -> Answer {
    match answer {
        Ok(found) => Ok(found.clone()),
        Err(error) => Err(error.echo()),
    }
}
