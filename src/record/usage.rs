use std::net::IpAddr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
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

const HOUR_MICROS: i64 = 3_600 * 1_000_000;

impl Usage {
    /// How long an hour is kept, counted back from the newest.
    pub(crate) const KEPT: Duration = Duration::from_secs(31 * 24 * 3_600);

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
            let oldest = newest.saturating_sub(Self::KEPT);
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

    /// Adds more uses of the same key in the same hour.
    pub(crate) fn merge(&mut self, more: &Self) {
        if more.last_used_at() > self.last_used_at() {
            self.last_address = more.last_address;
        }
        for (slot, more) in self.slots.iter_mut().zip(more.slots) {
            slot.uses = slot.uses.saturating_add(more.uses);
            slot.last_used_at = slot.last_used_at.max(more.last_used_at);
        }
    }
}

/// Unflushed uses of one key, counted without a lock: one atomic addition each.
#[derive(Debug)]
pub(crate) struct UsageCell {
    key: KeyId,
    owner: u64,
    /// Whether the cell is on the list of those to flush.
    listed: AtomicBool,
    /// The start of the hour of the uses, in microseconds.
    hour: AtomicI64,
    slots: [SlotCell; 2],
    client: Mutex<ClientIp>,
    /// A hash of the client's address: whether `client` has to be written.
    client_seen: AtomicU64,
}

#[derive(Debug)]
struct SlotCell {
    uses: AtomicU64,
    last_used_at: AtomicI64,
}

const NEVER: i64 = Timestamp::MIN.as_micros();

impl SlotCell {
    const fn new() -> Self {
        Self { uses: AtomicU64::new(0), last_used_at: AtomicI64::new(NEVER) }
    }

    fn take(&self) -> SlotUsage {
        let uses = self.uses.swap(0, AcqRel);
        if uses == 0 {
            // Whoever is counting now has written the instant and not yet the use.
            return SlotUsage::default();
        }
        let last = self.last_used_at.swap(NEVER, Relaxed);
        let last_used_at = (last != NEVER).then(|| Timestamp::from_micros(last));
        SlotUsage { uses, last_used_at }
    }
}

impl UsageCell {
    /// A cell of the buffer with the process-unique number `owner`.
    pub(crate) fn new(key: KeyId, owner: u64) -> Self {
        Self {
            key,
            owner,
            listed: AtomicBool::new(false),
            hour: AtomicI64::new(NEVER),
            slots: [SlotCell::new(), SlotCell::new()],
            client: Mutex::default(),
            client_seen: AtomicU64::new(0),
        }
    }

    /// The buffer this cell belongs to.
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    /// Counts one use, and says whether the cell has to be put on the list of those to
    /// flush. The uses of an hour that has ended go to `ended`.
    #[inline]
    pub(crate) fn count(
        &self,
        slot: usize,
        now: Timestamp,
        client: &ClientIp,
        ended: impl FnOnce(UsageDelta),
    ) -> bool {
        let hour = self.hour.load(Relaxed);
        if now.as_micros() >= hour.saturating_add(HOUR_MICROS) {
            self.end_hour(hour, now).map(ended);
        }
        let Some(slot) = self.slots.get(slot) else { return false };
        if slot.last_used_at.load(Relaxed) < now.as_micros() {
            slot.last_used_at.store(now.as_micros(), Relaxed);
        }
        self.see(client);
        slot.uses.fetch_add(1, AcqRel);
        // After the addition: whoever takes the uses clears this first, so that none is
        // left behind in a cell that is on no list.
        !self.listed.load(Acquire) && !self.listed.swap(true, AcqRel)
    }

    /// Takes what is pending; `None` if there is nothing.
    pub(crate) fn take(&self) -> Option<UsageDelta> {
        self.listed.store(false, Release);
        let slots = [self.slots[0].take(), self.slots[1].take()];
        let delta = UsageDelta {
            key: self.key,
            hour: Timestamp::from_micros(self.hour.load(Relaxed)),
            last_address: self.client().address(),
            slots,
        };
        (delta.uses() > 0).then_some(delta)
    }

    /// What is left of an hour that has ended.
    #[cold]
    fn end_hour(&self, hour: i64, now: Timestamp) -> Option<UsageDelta> {
        let next = now.hour().as_micros();
        self.hour.compare_exchange(hour, next, AcqRel, Relaxed).ok()?;
        let mut ended = self.take()?;
        ended.hour = Timestamp::from_micros(hour);
        Some(ended)
    }

    #[inline]
    fn see(&self, client: &ClientIp) {
        let seen = digest(client);
        if self.client_seen.load(Relaxed) != seen {
            *self.client() = *client;
            self.client_seen.store(seen, Relaxed);
        }
    }

    fn client(&self) -> MutexGuard<'_, ClientIp> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells addresses apart; two that collide by chance are taken for one until the next.
#[inline]
fn digest(client: &ClientIp) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    match client {
        ClientIp::Unknown => 0,
        ClientIp::Forwarded(IpAddr::V4(address)) | ClientIp::Peer(IpAddr::V4(address)) => {
            u64::from(address.to_bits()) | 1 << 32
        }
        ClientIp::Forwarded(IpAddr::V6(address)) | ClientIp::Peer(IpAddr::V6(address)) => {
            let octets = address.octets();
            let (halves, _) = octets.as_chunks::<8>();
            let mix = |seen: u64, half: &[u8; 8]| {
                seen.rotate_left(29).wrapping_mul(ODD) ^ u64::from_ne_bytes(*half)
            };
            halves.iter().fold(ODD, mix) | 1 << 63
        }
    }
}
