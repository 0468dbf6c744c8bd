use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::FieldError;
use crate::text::{Ascii, serde_as_text};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// One entry of the log: who did what to which key. Both the audit trail and the
/// feed from which nodes can learn of changes. It holds no secret and no tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Random: tells this entry from any that a rewritten history put in its place.
    pub id: EventId,
    /// When, by the clock of the node that made the change.
    pub at: Timestamp,
    /// Who, as the [`Actor`](crate::Actor) named itself.
    pub actor: String,
    /// What.
    pub action: Action,
    /// To which key.
    pub key: KeyId,
    /// Whose key it is.
    pub owner: String,
    /// The record's version after the change.
    pub version: u64,
    /// More, such as `reason` or `fields`; never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Its secret was replaced at once because somebody may know it.
    Compromised,
    /// It was disabled.
    Disabled,
    /// It was enabled again.
    Enabled,
    /// It was imported with the digest of an existing secret.
    Imported,
    /// It was issued.
    Issued,
    /// Its secret was replaced, and the old one stopped at once.
    Regenerated,
    /// It was revoked.
    Revoked,
    /// It got a new secret, and the old one runs out.
    Rotated,
    /// The old secret's grace was ended.
    RotationFinished,
    /// Its name, grants, dates or metadata were edited.
    Updated,
    /// Something that a newer release does and this one doesn't know.
    #[serde(other)]
    Unknown,
}

impl Action {
    /// Whether whoever did it was given a secret, or may have chosen it.
    pub(crate) const fn hands_out(self) -> bool {
        use Action::{Compromised, Imported, Issued, Regenerated, Rotated};
        matches!(self, Compromised | Imported | Issued | Regenerated | Rotated)
    }

    /// The name in events and bodies, such as `rotation_finished`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compromised => "compromised",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Imported => "imported",
            Self::Issued => "issued",
            Self::Regenerated => "regenerated",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
            Self::RotationFinished => "rotation_finished",
            Self::Unknown => "unknown",
            Self::Updated => "updated",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The random number of an [`Event`]: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// An id from its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn text(&self) -> Ascii<32> {
        Ascii::hex(&self.0)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(text, 16) {
            Ok(number) if digits && text.len() == 32 => Ok(Self(number.to_be_bytes())),
            _ => Err(FieldError::new("event", text, "must be 32 lower-case hexadecimal digits")),
        }
    }
}

serde_as_text!(EventId, EventId::text);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Reason, Status};

    #[test]
    fn the_name_shown_is_the_name_serialised() {
        fn same(value: &(impl Serialize + fmt::Display)) {
            assert_eq!(serde_json::to_value(value).unwrap(), value.to_string());
        }
        for action in [
            Action::Compromised,
            Action::Disabled,
            Action::Enabled,
            Action::Imported,
            Action::Issued,
            Action::Regenerated,
            Action::Revoked,
            Action::Rotated,
            Action::RotationFinished,
            Action::Updated,
        ] {
            same(&action);
        }
        for reason in [
            Reason::Compromised,
            Reason::Other,
            Reason::OwnerLeft,
            Reason::Policy,
            Reason::Superseded,
            Reason::Unused,
        ] {
            same(&reason);
        }
        for status in [
            Status::Active,
            Status::Expired,
            Status::Inactive,
            Status::Revoked,
            Status::Scheduled,
            Status::Unreadable,
        ] {
            same(&status);
        }
    }
    #[test]
    fn what_a_newer_release_did_is_an_unknown_action() {
        let id = crate::token::KeyId::from_bytes([7; 10]);
        let event = Event {
            id: EventId::from_bytes([1; 16]),
            at: Timestamp::UNIX_EPOCH,
            actor: "alice".into(),
            action: Action::RotationFinished,
            key: id,
            owner: "org_1".into(),
            version: 3,
            details: BTreeMap::new(),
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        let newer = text.replace("rotation_finished", "moved_to_another_owner");
        let read: Event = serde_json::from_str(&newer).unwrap();
        assert_eq!(read, Event { action: Action::Unknown, ..event });
        assert_eq!((read.action.as_str(), read.action.hands_out()), ("unknown", false));
    }
}
