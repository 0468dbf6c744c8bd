//! Work on the thread of whoever asks for it, with the connections that all of them share.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::answer::ended;
use super::read::Reading;
use super::reader::Reader;
use super::writer::{Write, Writer};
use crate::error::StoreError;

/// Turns at writing. Whoever has one writes for all who wait, so that their commits share a
/// transaction; they wait until they are answered, or one of them has the next turn.
pub(super) struct Turns {
    state: Mutex<State>,
    passed: Condvar,
}

struct State {
    waiting: VecDeque<Write>,
    seat: Seat,
    /// Threads that wait for it: to wake none is a call of the system's too.
    asleep: usize,
}

enum Seat {
    /// A turn ended in a panic, and what became of the connections is not known.
    Broken,
    Free(Box<Writer>),
    Taken,
}

impl Turns {
    pub(super) fn new(writer: Writer) -> Self {
        let seat = Seat::Free(Box::new(writer));
        Self {
            state: Mutex::new(State { waiting: VecDeque::new(), seat, asleep: 0 }),
            passed: Condvar::new(),
        }
    }

    /// Returns when the write has been answered, by this thread or another.
    ///
    /// Nothing of somebody else's runs meanwhile: where all work is in place, no future has
    /// left a waker with its answer.
    pub(super) fn take(&self, write: Write, is_answered: impl Fn() -> bool) {
        let mut state = self.lock();
        state.waiting.push_back(write);
        while !is_answered() {
            state = match std::mem::replace(&mut state.seat, Seat::Taken) {
                Seat::Broken => {
                    state.break_seat();
                    return;
                }
                Seat::Free(writer) => {
                    drop(state);
                    let turn = Turn { turns: self, writer: Some(writer) };
                    turn.write_until(&is_answered);
                    return turn.pass();
                }
                Seat::Taken => self.sleep(state),
            };
        }
    }

    fn sleep<'t>(&'t self, mut state: MutexGuard<'t, State>) -> MutexGuard<'t, State> {
        state.asleep += 1;
        let mut state = self.passed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.asleep -= 1;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whoever waits is told by the loss of the other end of the answer.
    fn break_seat(&mut self) {
        self.seat = Seat::Broken;
        self.waiting.clear();
    }
}

struct Turn<'t> {
    turns: &'t Turns,
    /// None when it has been passed on.
    writer: Option<Box<Writer>>,
}

impl Turn<'_> {
    fn write_until(&self, is_answered: impl Fn() -> bool) {
        let next = || self.turns.lock().waiting.pop_front();
        while let Some(writer) = &self.writer
            && !is_answered()
            && let Some(write) = next()
        {
            writer.run(write, next);
        }
    }

    fn pass(mut self) {
        if let Some(writer) = self.writer.take() {
            self.leave(|state| state.seat = Seat::Free(writer));
        }
    }

    fn leave(&self, how: impl FnOnce(&mut State)) {
        let mut state = self.turns.lock();
        how(&mut state);
        if state.asleep > 0 {
            self.turns.passed.notify_all();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            drop(writer);
            self.leave(State::break_seat);
        }
    }
}

/// Readers, each lent to one thread at a time.
pub(super) struct Pool {
    free: Mutex<Vec<Reader>>,
    returned: Condvar,
}

impl Pool {
    pub(super) fn of(readers: Vec<Reader>) -> Self {
        Self { free: Mutex::new(readers), returned: Condvar::new() }
    }

    /// Reads by one of them, when one is free.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(Reading<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let is_none = |free: &mut Vec<Reader>| free.is_empty();
        let free = self.returned.wait_while(self.lock(), is_none);
        let reader = free.unwrap_or_else(PoisonError::into_inner).pop();
        let lent = Lent { pool: self, reader };
        let reading = lent.reader.as_ref().map_or_else(|| Err(ended()), Reader::reading);
        reading.and_then(read)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lent<'p> {
    pool: &'p Pool,
    reader: Option<Reader>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.lock().extend(self.reader.take());
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use rusqlite::Connection;

    use super::super::answer::channel as answer;
    use super::super::identity::Identity;
    use super::super::open::Place;
    use super::*;
    use crate::error::StoreErrorKind;

    fn turns(name: &str) -> (Turns, std::path::PathBuf) {
        let name = format!("keyward-turns-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let place = Place::new(&folder.join("keys.db"), Duration::from_secs(5), None).unwrap();
        place.prepare().unwrap();
        let writer = Writer::open(&place, Identity::of(&place.path)).unwrap();
        (Turns::new(writer), folder)
    }

    fn write(turns: &Turns, micros: u64) -> Result<(), StoreError> {
        let (reply, answer) = answer();
        turns.take(Write::MaxStaleness(micros, reply), || answer.is_here());
        pollster::block_on(answer)
    }

    #[test]
    fn a_panic_in_a_turn_ends_the_store_for_whoever_waits_and_comes() {
        let (turns, folder) = turns("panic");
        write(&turns, 1).unwrap();
        let (in_turn, wait) = mpsc::channel();
        thread::scope(|scope| {
            let turns = &turns;
            let panics = scope.spawn(move || {
                let asked = Cell::new(0);
                let take = || {
                    let (reply, _answer) = answer();
                    turns.take(Write::MaxStaleness(2, reply), || {
                        asked.set(asked.get() + 1);
                        if asked.get() > 1 {
                            in_turn.send(()).unwrap();
                            // By then the other waits.
                            thread::sleep(Duration::from_millis(200));
                            panic!("in the midst of a turn");
                        }
                        false
                    });
                };
                catch_unwind(AssertUnwindSafe(take)).unwrap_err();
            });
            wait.recv().unwrap();
            let waits = write(turns, 3).unwrap_err();
            assert_eq!(waits.kind(), StoreErrorKind::Unavailable);
            panics.join().unwrap();
        });
        let comes = write(&turns, 4).unwrap_err();
        assert!(comes.to_string().contains("open the store again"), "{comes}");
        let sql = Connection::open(folder.join("keys.db")).unwrap();
        let kept: i64 = sql.query_row("SELECT value FROM settings", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 1);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn whoever_waits_is_written_for_or_has_the_next_turn() {
        let (turns, folder) = turns("crowd");
        thread::scope(|scope| {
            for caller in 0..8 {
                let turns = &turns;
                scope.spawn(move || {
                    for number in 0..200 {
                        write(turns, caller * 1_000 + number).unwrap();
                    }
                });
            }
        });
        assert!(turns.lock().waiting.is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
