use std::net::IpAddr;

use hmac::Mac;

use super::body::{Body, Grants, IdempotencyMark, Seal, Slot, State};
use crate::limit::{LimitMode, LimitRules, OnFailure, Refill};
use crate::mac::{PepperId, SealMac};
use crate::timestamp::Timestamp;

/// Feeds a seal what it covers: every field in declared order, each with its length.
///
/// Every struct is taken apart by name and every variant has its number here, so
/// that nothing new compiles until it is sealed, and no order of declaration or
/// spelling of text can change what was sealed. Nothing is allocated.
fn write(body: &Body, realm: &str, to: &mut Sealed) {
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
}

struct Sealed(SealMac);

impl Sealed {
    /// The length of `bytes` (u32, big endian), then the bytes.
    fn bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(bytes);
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
                self.text(reason.as_str());
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
                match network.address() {
                    IpAddr::V4(address) => self.bytes(&address.octets()),
                    IpAddr::V6(address) => self.bytes(&address.octets()),
                }
                self.number(network.prefix().into());
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
            self.mode(rate.mode(), rate.on_failure());
        }
        self.optional(limits.quota(), |to, quota| {
            to.text(quota.name());
            to.number(quota.limit());
            to.number(match quota.refill() {
                Refill::Hour => 0,
                Refill::Day => 1,
                Refill::Week => 2,
                Refill::Month => 3,
                Refill::Year => 4,
            });
            to.mode(quota.mode(), quota.on_failure());
        });
    }

    fn mode(&mut self, mode: LimitMode, on_failure: OnFailure) {
        self.number(match mode {
            LimitMode::Local => 0,
            LimitMode::Strict => 1,
            LimitMode::Leased => 2,
        });
        self.number(match on_failure {
            OnFailure::Closed => 0,
            OnFailure::Open => 1,
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

/// The seal over `body`, by a MAC that is keyed already; every other field must be final.
pub(crate) fn seal(body: &Body, realm: &str, pepper: PepperId, mac: SealMac) -> Seal {
    let mut to = Sealed(mac);
    write(body, realm, &mut to);
    to.bytes(pepper.as_bytes());
    Seal { pepper, mac: to.0.finalize().into_bytes().into() }
}
