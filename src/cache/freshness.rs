//! How far this node has heard, published in one piece.

use super::sync::{AtomicI64, AtomicU64, Mutex, Ordering, PoisonError, fence, spin_loop};

/// An instant by both clocks, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) wall: i64,
    pub(super) monotonic: u64,
}

impl Instant {
    /// Later than any: nothing is ever known to have been since.
    pub(super) const NEVER: Self = Self { wall: i64::MAX, monotonic: u64::MAX };

    /// How long after `earlier` this is, by the clock that says more; `None` if either
    /// has run backwards.
    #[inline]
    pub(super) fn since(self, earlier: Self) -> Option<u64> {
        let monotonic = self.monotonic.checked_sub(earlier.monotonic)?;
        let wall = u64::try_from(self.wall.checked_sub(earlier.wall)?).ok()?;
        Some(monotonic.max(wall))
    }
}

/// What the last whole pass over the log has made true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fresh {
    /// When that pass began: everything acknowledged before has been applied.
    pub(super) at: Instant,
    /// For how long that is enough, in microseconds.
    pub(super) bound: u64,
    /// The number of that pass, from 1.
    pub(super) pass: u64,
}

impl Fresh {
    /// Nothing has been heard.
    pub(super) const NOTHING: Self = Self { at: Instant::NEVER, bound: 0, pass: 0 };

    /// Whether it is still so.
    ///
    /// That a record was read later than the pass began makes no difference: how long it
    /// could then be used is known from the pass alone, and a bound that was read longer
    /// ago than itself may have been lowered.
    #[inline]
    pub(super) fn holds(self, now: Instant) -> bool {
        now.since(self.at).is_some_and(|age| age <= self.bound)
    }

    /// The same, with everything that was heard forgotten.
    pub(super) const fn forgotten(self) -> Self {
        Self { at: Instant::NEVER, ..self }
    }
}

/// A [`Fresh`] that one pass at a time writes and everybody reads, without a lock.
///
/// A reader that sees a pass here also sees in the table what that pass removed, if it
/// looks here first.
pub(super) struct Freshness {
    /// Odd while it is being written.
    sequence: AtomicU64,
    wall: AtomicI64,
    monotonic: AtomicU64,
    bound: AtomicU64,
    pass: AtomicU64,
    writing: Mutex<()>,
}

impl Freshness {
    pub(super) fn new() -> Self {
        let Fresh { at, bound, pass } = Fresh::NOTHING;
        Self {
            sequence: AtomicU64::new(0),
            wall: AtomicI64::new(at.wall),
            monotonic: AtomicU64::new(at.monotonic),
            bound: AtomicU64::new(bound),
            pass: AtomicU64::new(pass),
            writing: Mutex::new(()),
        }
    }

    #[inline]
    pub(super) fn read(&self) -> Fresh {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let fresh = self.fields();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return fresh;
            }
            spin_loop();
        }
    }

    pub(super) fn publish(&self, fresh: Fresh) {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.wall.store(fresh.at.wall, Ordering::Relaxed);
        self.monotonic.store(fresh.at.monotonic, Ordering::Relaxed);
        self.bound.store(fresh.bound, Ordering::Relaxed);
        self.pass.store(fresh.pass, Ordering::Relaxed);
        self.sequence.store(before + 2, Ordering::Release);
    }

    #[inline]
    fn fields(&self) -> Fresh {
        let at = Instant {
            wall: self.wall.load(Ordering::Relaxed),
            monotonic: self.monotonic.load(Ordering::Relaxed),
        };
        let bound = self.bound.load(Ordering::Relaxed);
        Fresh { at, bound, pass: self.pass.load(Ordering::Relaxed) }
    }
}
