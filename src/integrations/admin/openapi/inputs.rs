//! What is sent, described as `answers` are.
#![expect(dead_code, reason = "only described")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use super::values::{Environment, Network, Prefix, Quota, RateLimit, Reason, RoleName, Scope};

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
    #[schema(required = false, max_items = 256)]
    scopes: Vec<Scope>,
    /// The resources it touches, by kind: at most 1,000 in all.
    #[schema(required = false)]
    resources: BTreeMap<String, Vec<String>>,
    #[schema(required = false, minimum = 0, maximum = 4_294_967_295u64)]
    cost: u64,
    /// Now, if left out.
    #[schema(format = DateTime)]
    at: Option<String>,
}
