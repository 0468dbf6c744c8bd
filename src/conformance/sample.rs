use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::record::{Action, Event, EventId, KeyRecord};
use crate::store::{Change, Expect, OwnerCap};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// 2026-01-01T00:00:00Z, in microseconds.
const START: i64 = 1_767_225_600_000_000;

/// The fields of a record that clauses care about; the rest is always the same.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) number: u16,
    pub(super) version: u64,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) environment: &'static str,
    pub(super) created_by: &'static str,
    pub(super) state: &'static str,
    pub(super) created_at: Timestamp,
    pub(super) not_before: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) metadata: BTreeMap<String, String>,
}

impl Sample {
    /// An enabled key of `org_1`, at version 1; keys of other numbers have other ids
    /// and were issued at other times.
    pub(super) fn number(number: u16) -> Self {
        Self {
            number,
            version: 1,
            owner: "org_1".to_owned(),
            name: format!("key {number}"),
            environment: "production",
            created_by: "conformance",
            state: "enabled",
            created_at: Timestamp::from_micros(START + i64::from(number) * 1_000_003),
            not_before: None,
            expires_at: None,
            metadata: BTreeMap::new(),
        }
    }

    pub(super) fn owner(self, owner: &str) -> Self {
        Self { owner: owner.to_owned(), ..self }
    }

    pub(super) fn version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// The same key, changed.
    pub(super) fn next(&self) -> Self {
        let version = self.version + 1;
        Self { version, name: format!("key {}, version {version}", self.number), ..self.clone() }
    }

    pub(super) fn id(&self) -> KeyId {
        let [high, low] = self.number.to_be_bytes();
        KeyId::from_bytes([low, high, 0x5a, 0xc3, 0x0f, low, high, 0x99, 0x66, low])
    }

    pub(super) fn record(&self) -> KeyRecord {
        KeyRecord::from_row(self.id(), self.version, &self.document().to_string())
    }

    pub(super) fn document(&self) -> Value {
        let state = match self.state {
            "revoked" => {
                json!({ "is": "revoked", "at": self.created_at, "reason": "unused" })
            }
            state => json!({ "is": state }),
        };
        let slot = json!({
            "imported": null,
            "tag": "A".repeat(43),
            "pepper": "00000000000000ff",
            "issued_at": self.created_at,
            "valid_until": null,
        });
        json!({
            "encoding": 1,
            "id": self.id(),
            "version": self.version,
            "revision": self.version,
            "prefix": "ak_live",
            "environment": self.environment,
            "owner": self.owner,
            "name": self.name,
            "state": state,
            "created_at": self.created_at,
            "created_by": self.created_by,
            "not_before": self.not_before,
            "expires_at": self.expires_at,
            "rotated_at": null,
            "grants": {
                "scopes": ["read:assets"],
                "roles": [],
                "networks": { "allow": [], "deny": [] },
                "resources": {},
                "limits": {},
            },
            "metadata": self.metadata,
            "slots": [slot, null],
            "idempotency": null,
            "seal": null,
        })
    }
}

/// Creates a record, with no cap.
pub(super) fn create(record: &KeyRecord) -> Change {
    change(record, Expect::Absent { cap: None }, Action::Issued)
}

/// Creates a record if its owner has fewer than `max` keys that are live at `now`.
pub(super) fn create_within(record: &KeyRecord, max: u32, now: Timestamp) -> Change {
    let cap = Some(OwnerCap { max, now });
    change(record, Expect::Absent { cap }, Action::Issued)
}

/// Replaces the record that is at `version`.
pub(super) fn replace(version: u64, record: &KeyRecord) -> Change {
    change(record, Expect::Version(version), Action::Updated)
}

fn change(record: &KeyRecord, expect: Expect, action: Action) -> Change {
    Change { record: record.clone(), expect, event: Some(event(record, action)) }
}

/// An event about a record, with an id that only this record at this version has.
fn event(record: &KeyRecord, action: Action) -> Event {
    let mut id = [0; 16];
    let (key, version) = (record.id(), record.version().to_be_bytes());
    let bytes = key.as_bytes().iter().chain(version.iter().skip(2));
    id.iter_mut().zip(bytes).for_each(|(byte, from)| *byte = *from);
    let at = record.created_at().as_micros().saturating_add(7);
    Event {
        id: EventId::from_bytes(id),
        at: Timestamp::from_micros(at),
        actor: "conformance \"suite\"".to_owned(),
        action,
        key: record.id(),
        owner: record.owner().to_owned(),
        version: record.version(),
        details: BTreeMap::from([("fields".to_owned(), "name, 'métadata'\n\\".to_owned())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_can_be_read_in_every_state() {
        for state in ["enabled", "disabled", "revoked"] {
            let record = Sample { state, ..Sample::number(300) }.record();
            assert_eq!(record.damage(), None);
        }
    }
}
