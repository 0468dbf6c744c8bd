use std::fmt;
use std::time::Duration;

use super::body::{Body, Reason, Slot, State, Status};
use crate::timestamp::Timestamp;

/// A change that the key's present state doesn't allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key that is {status} {rule}")]
pub struct WrongState {
    /// How the key stands.
    pub status: Status,
    /// What that forbids.
    pub rule: &'static str,
}

impl Status {
    /// The name in bodies and lists, such as `active`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
            Self::Scheduled => "scheduled",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Pure transitions: each takes the record as it is and gives the one to commit,
/// still unversioned and unsealed. `None` is a change that changes nothing.
impl Body {
    /// Refuses what neither a revoked nor an expired key allows.
    pub(crate) fn changeable(&self, now: Timestamp) -> Result<(), WrongState> {
        match self.status(now) {
            status @ Status::Revoked => {
                Err(WrongState { status, rule: "can't be changed or restored" })
            }
            status @ Status::Expired => {
                Err(WrongState { status, rule: "can't be changed; issue another in its place" })
            }
            _ => Ok(()),
        }
    }

    /// Which slot a new secret goes into.
    ///
    /// A second rotation would end the older secret while somebody may still use
    /// it, so it must be asked for, unless every old secret is to stop anyway.
    pub(crate) fn free_slot(
        &self,
        now: Timestamp,
        grace: Duration,
        replace_older: bool,
    ) -> Result<usize, WrongState> {
        self.changeable(now)?;
        let free = 1 - self.current_slot();
        let running = self
            .slots
            .get(free)
            .and_then(Option::as_ref)
            .is_some_and(|slot| self.accepts(slot, now));
        if running && !replace_older && !grace.is_zero() {
            let rule = "has a rotation running; finish it, or ask to replace the older secret";
            return Err(WrongState { status: self.status(now), rule });
        }
        Ok(free)
    }

    /// Puts a new current secret into slot `free`; the old one ends after `grace`,
    /// and never after the key itself.
    pub(crate) fn with_secret(&self, free: usize, secret: Slot, grace: Duration) -> Self {
        let now = secret.issued_at;
        let ends = now.saturating_add(grace);
        let ends = self.expires_at.map_or(ends, |expiry| ends.min(expiry));
        let mut body = self.clone();
        for old in body.slots.iter_mut().flatten() {
            old.valid_until = Some(old.valid_until.map_or(ends, |until| until.min(ends)));
        }
        if let Some(slot) = body.slots.get_mut(free) {
            *slot = Some(secret);
        }
        body.rotated_at = Some(now);
        body
    }

    /// Ends the grace of a superseded secret.
    pub(crate) fn with_rotation_finished(
        &self,
        now: Timestamp,
    ) -> Result<Option<Self>, WrongState> {
        self.changeable(now)?;
        let mut body = self.clone();
        let mut changed = false;
        for old in body.slots.iter_mut().flatten() {
            if old.valid_until.is_some_and(|until| until > now) {
                old.valid_until = Some(now);
                changed = true;
            }
        }
        Ok(changed.then_some(body))
    }

    pub(crate) fn disabled(&self, now: Timestamp) -> Result<Option<Self>, WrongState> {
        self.changeable(now)?;
        Ok(self.in_state(State::Disabled))
    }

    pub(crate) fn enabled(&self, now: Timestamp) -> Result<Option<Self>, WrongState> {
        self.changeable(now)?;
        Ok(self.in_state(State::Enabled))
    }

    pub(crate) fn revoked(&self, reason: Reason, now: Timestamp) -> Option<Self> {
        match self.state {
            State::Revoked { .. } => None,
            _ => self.in_state(State::Revoked { at: now, reason }),
        }
    }

    fn in_state(&self, state: State) -> Option<Self> {
        (self.state != state).then(|| Self { state, ..self.clone() })
    }
}
