//! What is sent and answered, described. Nothing here is ever made: the types mirror what the
//! core serialises, which doesn't know of OpenAPI, and tests compare the two.
#![expect(dead_code, reason = "only described")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

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

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Active,
    Expired,
    Inactive,
    Revoked,
    Scheduled,
    Unreadable,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    Compromised,
    Other,
    OwnerLeft,
    Policy,
    Superseded,
    Unused,
}

/// At most `count` units per period, of which `burst` may come at once.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    /// Unique in the key.
    #[schema(pattern = "^[a-z0-9_.-]{1,64}$")]
    name: String,
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    count: u64,
    #[schema(minimum = 1, maximum = 31_622_400_000u64)]
    period_ms: u64,
    /// The count, if left out.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    burst: Option<u64>,
    #[schema(required = false)]
    mode: LimitMode,
    #[schema(required = false)]
    on_failure: OnFailure,
}

/// At most `limit` units per window of the UTC calendar.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quota {
    /// `quota`, if left out.
    #[schema(required = false, pattern = "^[a-z0-9_.-]{1,64}$")]
    name: String,
    #[schema(minimum = 1, maximum = 1_099_511_627_775u64)]
    limit: u64,
    refill: Refill,
    #[schema(required = false)]
    mode: LimitMode,
    #[schema(required = false)]
    on_failure: OnFailure,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refill {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// Where a limit is counted; `local` if left out.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LimitMode {
    Local,
    Leased,
    Strict,
}

/// What becomes of a request that can't be counted; `closed` if left out.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnFailure {
    Closed,
    Open,
}

/// What a new key is to be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    #[schema(required, min_length = 1, max_length = 256)]
    name: String,
    /// Whose key it is; the actor's, if left out.
    #[schema(pattern = "^[!-~]{1,128}$")]
    owner: Option<String>,
    /// That of the first prefix, if left out.
    environment: Option<Environment>,
    /// The first of the environment, if left out.
    prefix: Option<Prefix>,
    /// Scopes, such as `read:assets`. A key without any may do nothing.
    #[schema(required = false)]
    permissions: Vec<Scope>,
    role: Option<RoleName>,
    #[schema(required = false)]
    roles: Vec<RoleName>,
    /// Addresses and networks; none is anywhere.
    #[schema(required = false)]
    ip_allowlist: Vec<Network>,
    #[schema(required = false)]
    ip_denylist: Vec<Network>,
    /// The same as resources of the kind `customer`.
    #[schema(required = false)]
    customers: Vec<String>,
    #[schema(required = false)]
    resources: BTreeMap<String, Vec<String>>,
    #[schema(required = false, max_items = 8)]
    rate_limits: Vec<RateLimit>,
    quota: Option<Quota>,
    #[schema(format = DateTime)]
    not_before: Option<String>,
    /// Never, if left out or `null`.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// 16 KiB in all.
    #[schema(required = false)]
    metadata: BTreeMap<String, String>,
}

/// Which fields of a key are to change; those left out stay as they are.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEdit {
    #[schema(required = false, min_length = 1, max_length = 256)]
    name: String,
    #[schema(required = false)]
    permissions: Vec<Scope>,
    #[schema(required = false)]
    role: RoleName,
    #[schema(required = false)]
    roles: Vec<RoleName>,
    #[schema(required = false)]
    ip_allowlist: Vec<Network>,
    #[schema(required = false)]
    ip_denylist: Vec<Network>,
    #[schema(required = false)]
    resources: BTreeMap<String, Vec<String>>,
    #[schema(required = false)]
    customers: Vec<String>,
    #[schema(required = false, max_items = 8)]
    rate_limits: Vec<RateLimit>,
    /// `null` clears it.
    quota: Option<Quota>,
    /// `null` clears it.
    #[schema(format = DateTime)]
    not_before: Option<String>,
    /// `null` clears it.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(required = false)]
    metadata: BTreeMap<String, String>,
}

/// What a key may do: names joined by `:` or `.`; the last may be `*`.
#[derive(ToSchema)]
#[schema(
    pattern = r"^(\*|[A-Za-z0-9_-]+([:.][A-Za-z0-9_-]+)*([:.]\*)?)$",
    max_length = 128,
    example = "read:assets"
)]
pub(super) struct Scope(String);

#[derive(ToSchema)]
#[schema(pattern = "^[!-~]([ -~]{0,62}[!-~])?$", example = "viewer")]
pub(super) struct RoleName(String);

/// An address, or a network without host bits.
#[derive(ToSchema)]
#[schema(pattern = "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", example = "10.0.0.0/8")]
pub(super) struct Network(String);

#[derive(ToSchema)]
#[schema(pattern = "^[a-z][a-z0-9-]{0,31}$", example = "production")]
pub(super) struct Environment(String);

#[derive(ToSchema)]
#[schema(pattern = "^[a-z][a-z0-9]*(_[a-z0-9]+)*$", example = "ak_live")]
pub(super) struct Prefix(String);

/// Nothing to say.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Why a key is revoked.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    /// `other`, if left out.
    #[schema(required = false)]
    reason: Reason,
}

/// How the old secrets end.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// For how long the present secret stays valid; a day, if left out.
    #[schema(required = false, minimum = 0, maximum = 31_622_400)]
    grace_seconds: u64,
    /// Whether the older secret of a rotation that is running ends at once; if not, a second
    /// rotation is refused.
    #[schema(required = false)]
    replace_older: bool,
}

/// A request that is to be decided.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribedRequest {
    /// The key's own, if left out.
    environment: Option<Environment>,
    client_ip: Option<String>,
    /// The scopes it needs, all of them.
    #[schema(required = false)]
    scopes: Vec<Scope>,
    /// The resources it touches, by kind.
    #[schema(required = false)]
    resources: BTreeMap<String, Vec<String>>,
    #[schema(required = false, minimum = 0, maximum = 4_294_967_295u64)]
    cost: u64,
    /// Now, if left out.
    #[schema(format = DateTime)]
    at: Option<String>,
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
