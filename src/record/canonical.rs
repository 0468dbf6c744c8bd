use super::body::{Body, Grants, IdempotencyMark, Reason, Seal, Slot, State};
use crate::limit::{LimitMode, LimitRules, OnFailure};
use crate::mac::write_lv;
use crate::timestamp::Timestamp;

/// The bytes a seal covers: every field in declared order, each with its length.
///
/// Every struct is taken apart by name, so a new field doesn't compile until it
/// is sealed.
pub(crate) fn canonical(body: &Body, realm: &str) -> Vec<u8> {
    let Body {
        encoding,
        id,
        version,
        revision,
        prefix,
        environment,
        owner,
        name,
        state,
        created_at,
        created_by,
        not_before,
        expires_at,
        rotated_at,
        grants,
        metadata,
        slots,
        idempotency,
        seal: _,
    } = body;
    let mut to = Sealed(Vec::with_capacity(1024));
    to.number(u8::from(*encoding).into());
    to.text(realm);
    to.bytes(id.as_bytes());
    to.number(*version);
    to.number(*revision);
    to.text(prefix.as_str());
    to.text(environment.as_str());
    to.text(owner);
    to.text(name);
    to.state(*state);
    to.instant(*created_at);
    to.text(created_by);
    to.optional(*not_before, Sealed::instant);
    to.optional(*expires_at, Sealed::instant);
    to.optional(*rotated_at, Sealed::instant);
    to.grants(grants);
    to.count(metadata.len());
    for (key, value) in metadata {
        to.text(key);
        to.text(value);
    }
    for slot in slots {
        to.optional(slot.as_ref(), Sealed::slot);
    }
    to.optional(idempotency.as_ref(), |to, IdempotencyMark { key, request }| {
        to.bytes(key);
        to.bytes(request);
    });
    to.0
}

struct Sealed(Vec<u8>);

impl Sealed {
    fn bytes(&mut self, bytes: &[u8]) {
        write_lv(&mut self.0, bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    fn instant(&mut self, at: Timestamp) {
        self.bytes(&at.as_micros().to_be_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bytes(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn state(&mut self, state: State) {
        match state {
            State::Enabled => self.number(0),
            State::Disabled => self.number(1),
            State::Revoked { at, reason } => {
                self.number(2);
                self.instant(at);
                self.text(Reason::as_str(reason));
            }
        }
    }

    fn grants(&mut self, grants: &Grants) {
        let Grants { scopes, roles, networks, resources, limits } = grants;
        self.count(scopes.len());
        for scope in scopes {
            self.text(scope.as_str());
        }
        self.count(roles.len());
        for role in roles {
            self.text(role.as_str());
        }
        for list in [networks.allow(), networks.deny()] {
            self.count(list.len());
            for network in list {
                self.text(&network.to_string());
            }
        }
        self.count(resources.iter().count());
        for (kind, id) in resources.iter() {
            self.text(kind);
            self.text(id);
        }
        self.limits(limits);
    }

    fn limits(&mut self, limits: &LimitRules) {
        self.count(limits.rates().len());
        for rate in limits.rates() {
            self.text(rate.name());
            self.number(rate.count().into());
            self.number(u64::try_from(rate.period().as_nanos()).unwrap_or(u64::MAX));
            self.number(rate.burst_size().into());
            self.number((rate.mode() == LimitMode::Strict).into());
            self.number((rate.on_failure() == OnFailure::Open).into());
        }
        self.optional(limits.quota(), |to, quota| {
            to.text(quota.name());
            to.number(quota.limit());
            to.number(quota.refill() as u64);
            to.number((quota.mode() == LimitMode::Strict).into());
            to.number((quota.on_failure() == OnFailure::Open).into());
        });
    }

    fn slot(&mut self, slot: &Slot) {
        let Slot { imported, tag, pepper, issued_at, valid_until } = slot;
        self.optional(imported.as_deref(), Self::text);
        self.bytes(tag);
        self.bytes(pepper.as_bytes());
        self.instant(*issued_at);
        self.optional(*valid_until, Self::instant);
    }
}

/// Makes or checks the seal over `body`; the version and every other field must be final.
pub(crate) fn seal(
    body: &Body,
    realm: &str,
    pepper: crate::mac::PepperId,
    key: &crate::mac::HmacKey,
) -> Seal {
    let mut message = canonical(body, realm);
    write_lv(&mut message, pepper.as_bytes());
    Seal { pepper, mac: key.tag(&message) }
}
