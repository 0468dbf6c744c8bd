use std::collections::BTreeMap;

use serde::Serialize;

use super::KeyRecord;
use super::body::{Body, Reason, State, Status};
use super::usage::Usage;
use crate::grant::Environment;
use crate::limit::{Quota, RateLimit};
use crate::timestamp::Timestamp;
use crate::token::{KeyId, display_hint};

/// What people see of a key: everything but its tags.
///
/// It serialises with the names that lists and admin APIs use: `permissions`,
/// `ip_allowlist`, instants in RFC 3339, `null` for never.
///
/// ```
/// # use keyward::{Actor, Environment, KeyScheme, KeyService, MemoryStore, NewKey, PepperRing};
/// # pollster::block_on(async {
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// # let keys = KeyService::new(scheme, MemoryStore::new());
/// # let admin = Actor::system("docs");
/// let new = NewKey::named("cron").owner("org_1").permissions(["read:assets"]);
/// let view = keys.issue(&admin, new).await?.view().clone();
/// let json = serde_json::to_value(&view)?;
/// assert_eq!((&json["name"], &json["status"]), (&"cron".into(), &"active".into()));
/// assert_eq!(json["permissions"], serde_json::json!(["read:assets"]));
/// assert!(json["expires_at"].is_null());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KeyView {
    /// The public id, safe to log.
    pub id: KeyId,
    /// The key's name.
    pub name: String,
    /// The first characters of its token, such as `ak_live_1vkr`.
    pub prefix: String,
    /// Where it works, unless its document can't be read.
    pub environment: Option<Environment>,
    /// Whose key it is.
    pub owner: String,
    /// How it stands at the time of this view.
    pub status: Status,
    /// The scopes it holds itself.
    pub permissions: Vec<String>,
    /// The roles it holds.
    pub roles: Vec<String>,
    /// Where it may be used from; empty is anywhere.
    pub ip_allowlist: Vec<String>,
    /// Where it may not be used from.
    pub ip_denylist: Vec<String>,
    /// The resources it is restricted to, by kind, such as `customer`.
    pub resources: BTreeMap<String, Vec<String>>,
    /// Its rate limits.
    pub rate_limits: Vec<RateLimit>,
    /// Its quota.
    pub quota: Option<Quota>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Who issued it.
    pub created_by: String,
    /// The first instant at which it works; `None` is at once.
    pub not_before: Option<Timestamp>,
    /// The first instant at which it no longer works; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// When its secret was last replaced.
    pub rotated_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revoked_reason: Option<Reason>,
    /// When it was last used; what other processes have not flushed yet is missing.
    pub last_used_at: Option<Timestamp>,
    /// How often it was used.
    pub uses: u64,
    /// Its secrets, the current one first.
    pub secrets: Vec<SecretView>,
    /// The host's own entries.
    pub metadata: BTreeMap<String, String>,
    /// Counts changes by people; the `ETag`.
    pub revision: u64,
}

/// What people see of one of a key's secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SecretView {
    /// Whether it is the one that was issued last.
    pub current: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it stops or stopped; `None` is with the key.
    pub valid_until: Option<Timestamp>,
    /// When it was last used: whether a rotation has been followed everywhere.
    pub last_used_at: Option<Timestamp>,
}

impl KeyRecord {
    /// What people see of this record at `now`, with how it has been used.
    pub fn view(&self, usage: Option<&Usage>, now: Timestamp) -> KeyView {
        let unused = Usage::default();
        let usage = usage.unwrap_or(&unused);
        match self.body() {
            Some(body) => readable(body, usage, now),
            None => self.unreadable(usage),
        }
    }

    fn unreadable(&self, usage: &Usage) -> KeyView {
        KeyView {
            id: self.id(),
            name: self.name().to_owned(),
            prefix: self
                .claimed_prefix()
                .map_or(String::new(), |p| display_hint(p.as_str(), self.id())),
            environment: self.environment(),
            owner: self.owner().to_owned(),
            status: Status::Unreadable,
            permissions: Vec::new(),
            roles: Vec::new(),
            ip_allowlist: Vec::new(),
            ip_denylist: Vec::new(),
            resources: BTreeMap::new(),
            rate_limits: Vec::new(),
            quota: None,
            created_at: self.created_at(),
            created_by: String::new(),
            not_before: None,
            expires_at: None,
            rotated_at: None,
            revoked_at: None,
            revoked_reason: None,
            last_used_at: usage.last_used_at,
            uses: usage.uses,
            secrets: Vec::new(),
            metadata: BTreeMap::new(),
            revision: 0,
        }
    }
}

fn readable(body: &Body, usage: &Usage, now: Timestamp) -> KeyView {
    let mut resources = BTreeMap::<String, Vec<String>>::new();
    for (kind, id) in body.grants.resources.iter() {
        resources.entry(kind.to_owned()).or_default().push(id.to_owned());
    }
    let (revoked_at, revoked_reason) = match body.state {
        State::Revoked { at, reason } => (Some(at), Some(reason)),
        _ => (None, None),
    };
    let grants = &body.grants;
    KeyView {
        id: body.id,
        name: body.name.to_string(),
        prefix: hint(body),
        environment: Some(body.environment),
        owner: body.owner.to_string(),
        status: body.status(now),
        permissions: grants.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        roles: grants.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        ip_allowlist: grants.networks.allow().iter().map(ToString::to_string).collect(),
        ip_denylist: grants.networks.deny().iter().map(ToString::to_string).collect(),
        resources,
        rate_limits: grants.limits.rates().to_vec(),
        quota: grants.limits.quota().cloned(),
        created_at: body.created_at,
        created_by: body.created_by.to_string(),
        not_before: body.not_before,
        expires_at: body.expires_at,
        rotated_at: body.rotated_at,
        revoked_at,
        revoked_reason,
        last_used_at: usage.last_used_at,
        uses: usage.uses,
        secrets: secrets(body, usage),
        metadata: body.metadata.clone(),
        revision: body.revision,
    }
}

/// The first characters of the current token; an imported secret shows its family only.
fn hint(body: &Body) -> String {
    let current = body.slots.get(body.current_slot()).and_then(Option::as_ref);
    match current.and_then(|slot| slot.imported.as_deref()) {
        Some(family) => family.to_owned(),
        None => display_hint(body.prefix.as_str(), body.id),
    }
}

fn secrets(body: &Body, usage: &Usage) -> Vec<SecretView> {
    let mut secrets: Vec<SecretView> = body
        .slots
        .iter()
        .zip(usage.slots)
        .filter_map(|(slot, usage)| slot.as_ref().map(|slot| (slot, usage)))
        .map(|(slot, usage)| SecretView {
            current: slot.valid_until.is_none(),
            issued_at: slot.issued_at,
            valid_until: slot.valid_until,
            last_used_at: usage.last_used_at.filter(|used| *used >= slot.issued_at),
        })
        .collect();
    secrets.sort_by_key(|secret| !secret.current);
    secrets
}
