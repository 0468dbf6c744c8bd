//! What is both sent and answered, and the words for it.
#![expect(dead_code, reason = "only described")]

use utoipa::ToSchema;

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
