use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::grant::ClientIp;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// How a key has been used: authenticated, allowed requests only.
///
/// It is lossy by contract: `last_used_at` is at most one flush interval old, and
/// a process that dies loses what it had not flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How often it was used.
    pub uses: u64,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// The client address of that use, if known.
    pub last_address: Option<IpAddr>,
    /// The same per credential slot: which of two secrets is still in use.
    pub slots: [SlotUsage; 2],
    /// Uses by UTC hour, oldest first, hours without use left out: the 31 days before the
    /// last of them.
    pub hours: Vec<(Timestamp, u64)>,
}

/// How one of a key's two secrets has been used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotUsage {
    /// How often it was used since its slot was first filled.
    pub uses: u64,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// Uses of one key in one hour, to be added to what a [`UsageStore`](crate::UsageStore) has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageDelta {
    /// Whose uses.
    pub key: KeyId,
    /// The UTC hour they fall into.
    pub hour: Timestamp,
    /// The client address of the last of them, if known.
    pub last_address: Option<IpAddr>,
    /// Uses per credential slot, and when each was last used.
    pub slots: [SlotUsage; 2],
}

/// How long [`Usage`] keeps an hour.
const KEPT: Duration = Duration::from_secs(31 * 24 * 3_600);

const HOUR: Duration = Duration::from_secs(3_600);

impl Usage {
    /// Adds a delta. Deltas commute, and instants only move forward.
    pub fn add(&mut self, delta: &UsageDelta) {
        for (slot, more) in self.slots.iter_mut().zip(delta.slots) {
            slot.uses = slot.uses.saturating_add(more.uses);
            slot.last_used_at = slot.last_used_at.max(more.last_used_at);
            self.uses = self.uses.saturating_add(more.uses);
        }
        let last = delta.last_used_at();
        if last > self.last_used_at {
            self.last_used_at = last;
            self.last_address = delta.last_address;
        }
        match self.hours.binary_search_by_key(&delta.hour, |(hour, _)| *hour) {
            Ok(found) => {
                if let Some((_, uses)) = self.hours.get_mut(found) {
                    *uses = uses.saturating_add(delta.uses());
                }
            }
            Err(place) => self.hours.insert(place, (delta.hour, delta.uses())),
        }
        if let Some((newest, _)) = self.hours.last() {
            let oldest = newest.saturating_sub(KEPT);
            self.hours.retain(|(hour, _)| *hour > oldest);
        }
    }
}

impl UsageDelta {
    /// Uses of both slots together.
    pub fn uses(&self) -> u64 {
        self.slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.uses))
    }

    /// The last use of either slot.
    pub fn last_used_at(&self) -> Option<Timestamp> {
        self.slots.iter().filter_map(|slot| slot.last_used_at).max()
    }
}

/// What a use left behind in its cell.
#[derive(Debug)]
pub(crate) enum Counted {
    /// The cell held unflushed uses already.
    Again,
    /// The cell was empty; it has to be put on the list of those to flush.
    First,
    /// An hour ended: these are its uses.
    HourEnded(UsageDelta),
}

/// Unflushed uses of one key.
#[derive(Debug)]
pub(crate) struct UsageCell {
    key: KeyId,
    owner: u64,
    pending: Mutex<Pending>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    /// The hour of the uses, if there are any.
    hour: Option<Timestamp>,
    client: ClientIp,
    slots: [SlotUsage; 2],
}

impl UsageCell {
    /// A cell of the buffer with the process-unique number `owner`.
    pub(crate) fn new(key: KeyId, owner: u64) -> Self {
        Self { key, owner, pending: Mutex::default() }
    }

    /// The buffer this cell belongs to.
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    #[inline]
    pub(crate) fn count(&self, slot: usize, now: Timestamp, client: &ClientIp) -> Counted {
        let mut pending = self.lock();
        let counted = match pending.hour {
            Some(hour) if hour.saturating_add(HOUR) > now => Counted::Again,
            Some(_) => self.ended(&mut pending).map_or(Counted::First, Counted::HourEnded),
            None => Counted::First,
        };
        pending.hour.get_or_insert_with(|| now.hour());
        if let Some(slot) = pending.slots.get_mut(slot) {
            slot.uses += 1;
            slot.last_used_at = slot.last_used_at.max(Some(now));
        }
        pending.client = *client;
        counted
    }

    /// Takes what is pending; `None` if there is nothing.
    pub(crate) fn take(&self) -> Option<UsageDelta> {
        self.ended(&mut self.lock())
    }

    #[cold]
    fn ended(&self, pending: &mut Pending) -> Option<UsageDelta> {
        let Pending { hour, client, slots } = std::mem::take(pending);
        Some(UsageDelta { key: self.key, hour: hour?, last_address: client.address(), slots })
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
