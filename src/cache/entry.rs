use super::freshness::{Fresh, Instant};
use crate::record::KeyRecord;

/// A record as it was read, and what is known of that reading.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) record: KeyRecord,
    /// Before it was asked for.
    pub(super) filled: Instant,
    /// How old it may become, in microseconds.
    pub(super) max_age: u64,
    /// How many passes over the log had begun when it was in hand.
    pub(super) begun: u64,
    /// Whether it is what the log led to at some pass, and not ahead of it.
    pub(super) confirmed: bool,
}

impl Entry {
    pub(super) fn version(&self) -> u64 {
        self.record.version()
    }

    /// Whether a store that can't be asked is a reason to use it, for so long beyond the
    /// bound.
    pub(super) fn is_fresh_within(&self, fresh: Fresh, now: Instant, slack: u64) -> bool {
        let bound = fresh.bound.saturating_add(slack);
        let within = |at| now.since(at).is_some_and(|age| age <= bound);
        within(fresh.at) || within(self.filled)
    }

    /// Whether it may not be ahead of the log that this node has applied, for longer than
    /// until the next pass.
    ///
    /// If the history that it came from were then lost, no pass would ever speak of it; so
    /// the first pass that begins after it was read ends it, unless it was read once more
    /// behind a pass.
    #[inline]
    pub(super) fn is_of_log(&self, fresh: Fresh) -> bool {
        self.confirmed || fresh.pass <= self.begun
    }

    /// Whether it was read not too long ago, however well this node has heard since.
    #[inline]
    pub(super) fn is_young(&self, now: Instant) -> bool {
        now.since(self.filled).is_some_and(|age| age <= self.max_age)
    }
}
