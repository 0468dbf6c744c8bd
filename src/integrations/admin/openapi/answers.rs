//! What is answered, described. Nothing here is ever made: the types mirror what the core
//! serialises, which doesn't know of OpenAPI, and tests compare the two.
#![expect(dead_code, reason = "only described")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::values::{Quota, RateLimit, Reason, Status};

/// A key, without its secret.
#[derive(ToSchema)]
pub(super) struct Key {
    /// The public id, safe to log.
    #[schema(pattern = "^key_[0-9abcdefghjkmnpqrstvwxyz]{16}$")]
    id: String,
    /// The key's name.
    name: String,
    /// The first characters of its token, such as `ak_live_1vkr`.
    prefix: String,
    /// Where it works; `null` if its record can't be read.
    #[schema(required)]
    environment: Option<String>,
    /// Whose key it is.
    owner: String,
    status: Status,
    /// The scopes it holds itself.
    permissions: Vec<String>,
    /// The roles it holds.
    roles: Vec<String>,
    /// Where it may be used from; empty is anywhere.
    ip_allowlist: Vec<String>,
    /// Where it may not be used from.
    ip_denylist: Vec<String>,
    /// The resources it is restricted to, by kind, such as `customer`.
    resources: BTreeMap<String, Vec<String>>,
    rate_limits: Vec<RateLimit>,
    #[schema(required)]
    quota: Option<Quota>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Who issued it.
    created_by: String,
    /// The first instant at which it works; `null` is at once.
    #[schema(required, format = DateTime)]
    not_before: Option<String>,
    /// The first instant at which it no longer works; `null` is never.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// When its secret was last replaced.
    #[schema(required, format = DateTime)]
    rotated_at: Option<String>,
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
    #[schema(required)]
    revoked_reason: Option<Reason>,
    /// When it was last used.
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// How often it was used.
    uses: u64,
    /// Its secrets, the current one first.
    secrets: Vec<Secret>,
    /// The host's own entries.
    metadata: BTreeMap<String, String>,
    /// Counts changes by people: the `ETag`.
    revision: u64,
}

/// One of a key's secrets, without the secret.
#[derive(ToSchema)]
pub(super) struct Secret {
    /// Whether it is the one that was issued last.
    current: bool,
    #[schema(format = DateTime)]
    issued_at: String,
    /// When it stops or stopped; `null` is with the key.
    #[schema(required, format = DateTime)]
    valid_until: Option<String>,
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
}

/// A key after a change.
#[derive(ToSchema)]
pub(super) struct ChangedKey {
    #[serde(flatten)]
    key: Key,
    /// When the change is in effect on every node.
    #[schema(format = DateTime)]
    everywhere_by: String,
}

/// A key with its secret, which is told this once.
#[derive(ToSchema)]
pub(super) struct KeyWithSecret {
    #[serde(flatten)]
    key: Key,
    /// The whole token: hand it over, and keep it nowhere.
    api_key: String,
    /// When the key is in effect on every node, and any secret that it replaces is not.
    #[schema(format = DateTime)]
    everywhere_by: String,
}

/// A page of keys, newest first.
#[derive(ToSchema)]
pub(super) struct KeyPage {
    data: Vec<Key>,
    /// The `cursor` of the next page; `null` at the end.
    #[schema(required)]
    next: Option<String>,
}

/// A page of a key's audit trail, newest first.
#[derive(ToSchema)]
pub(super) struct EventPage {
    data: Vec<Event>,
    /// The `cursor` of the next page; `null` at the end.
    #[schema(required)]
    next: Option<String>,
}

/// Who did what to which key.
#[derive(ToSchema)]
pub(super) struct Event {
    /// 32 hexadecimal digits.
    id: String,
    #[schema(format = DateTime)]
    at: String,
    /// Who, as the actor was named.
    actor: String,
    /// What, such as `issued`.
    action: String,
    /// To which key.
    key: String,
    /// Whose key it is.
    owner: String,
    /// The record's version after it.
    version: u64,
    /// More, such as `reason` or `fields`; left out if there is none.
    #[schema(required = false)]
    details: BTreeMap<String, String>,
}

/// How a key has been used.
#[derive(ToSchema)]
pub(super) struct Usage {
    uses: u64,
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// The client address of that use, if known.
    #[schema(required)]
    last_address: Option<String>,
    /// The same for each of its two places for a secret.
    slots: Vec<SlotUsage>,
    /// Uses by UTC hour, oldest first; hours without use are left out.
    hours: Vec<Hour>,
}

/// How one of a key's two secrets has been used.
#[derive(ToSchema)]
pub(super) struct SlotUsage {
    uses: u64,
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
}

/// The uses in one hour.
#[derive(ToSchema)]
pub(super) struct Hour {
    #[schema(format = DateTime)]
    hour: String,
    uses: u64,
}

/// Every check of a decision, in order.
#[derive(ToSchema)]
pub(super) struct Trace {
    /// The instant it was decided for.
    #[schema(format = DateTime)]
    at: String,
    /// Whether every check passed.
    allowed: bool,
    steps: Vec<Step>,
}

/// One check.
#[derive(ToSchema)]
pub(super) struct Step {
    check: Check,
    outcome: Outcome,
    /// The rule that decided, in words; empty if the check was not reached.
    rule: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    Seal,
    Revocation,
    Secret,
    Environment,
    State,
    NotBefore,
    Expiry,
    Network,
    Resource,
    Scope,
    Limits,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Failed,
    NotReached,
    Passed,
}

/// Keys that want attention.
#[derive(ToSchema)]
pub(super) struct Reports {
    #[schema(format = DateTime)]
    at: String,
    /// Their secret is older than 90 days in production, 180 elsewhere.
    rotation_due: Vec<Key>,
    /// Nobody has used them for 90 days.
    unused: Vec<Key>,
    /// They expire within 14 days.
    expiring: Vec<Key>,
    /// Something of them is not under the current pepper.
    old_pepper: Vec<String>,
    /// Their record is not what was sealed.
    bad_seals: Vec<String>,
    /// Their record can't be read.
    unreadable: Vec<String>,
    peppers: PepperReport,
}

/// What these keys need each pepper for.
#[derive(ToSchema)]
pub(super) struct PepperReport {
    /// By fingerprint.
    peppers: BTreeMap<String, PepperUse>,
    unreadable: u64,
}

/// What one pepper is needed for.
#[derive(ToSchema)]
pub(super) struct PepperUse {
    tags: u64,
    imports: u64,
    seals: u64,
}

/// What somebody who makes a key may choose from.
#[derive(ToSchema)]
pub(super) struct Options {
    actor: OptionsActor,
    /// The prefixes a new key may have.
    prefixes: Vec<OptionsPrefix>,
    /// The roles a new key may have.
    roles: Vec<String>,
}

/// Who asks.
#[derive(ToSchema)]
pub(super) struct OptionsActor {
    name: String,
    /// Whose keys new ones are, if they name nobody.
    #[schema(required)]
    owner: Option<String>,
    /// Whether keys of every owner are managed; otherwise only those of `owner`.
    all_owners: bool,
    /// The management permissions held.
    permissions: Vec<String>,
}

/// A prefix, and where its keys work.
#[derive(ToSchema)]
pub(super) struct OptionsPrefix {
    prefix: String,
    environment: String,
}

/// Every error.
#[derive(ToSchema)]
pub(super) struct Error {
    error: ErrorContent,
}

/// What an error says.
#[derive(ToSchema)]
pub(super) struct ErrorContent {
    /// For programs.
    code: String,
    /// For people.
    message: String,
    /// More, by code: `fields` for example, the fields that break a rule.
    #[schema(required = false, value_type = Object)]
    details: (),
}
