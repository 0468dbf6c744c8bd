use super::decision::{Decision, Deny};
use super::request::AccessRequest;
use crate::grant::{NetworkVerdict, Roles};
use crate::record::{Body, State};
use crate::timestamp::Timestamp;

/// A question that is asked of a key, in the order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Is the record what was sealed?
    Seal,
    /// Is it not revoked?
    Revocation,
    /// Is the secret still one of the key's?
    Secret,
    /// Does it work in this environment?
    Environment,
    /// Is it enabled?
    State,
    /// Has its first instant come?
    NotBefore,
    /// Is its expiry still to come?
    Expiry,
    /// May it be used from this address?
    Network,
    /// May it touch these resources?
    Resource,
    /// Does it hold the required scopes?
    Scope,
    /// Is there room in its limits?
    Limits,
}

/// The checks that a record and a request decide by themselves, as a list to walk
/// and as straight code: a loop over them is a jump by table for each.
macro_rules! pure_checks {
    ($($check:ident),+) => {
        pub(super) const PURE: &[Check] = &[$(Check::$check),+];

        impl Subject<'_> {
            /// Decides everything but the limits. Allocates nothing.
            #[inline]
            pub(crate) fn evaluate(&self, request: &AccessRequest<'_>, now: Timestamp) -> Decision {
                $(if let Some(deny) = self.check(Check::$check, request, now) {
                    return Decision::Deny(deny);
                })+
                Decision::Allow
            }
        }
    };
}

pure_checks!(Revocation, Secret, Environment, State, NotBefore, Expiry, Network, Resource, Scope);

/// Who asks: a record, and which of its secrets was presented, if one was.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) body: &'a Body,
    pub(crate) slot: Option<usize>,
    pub(crate) roles: &'a Roles,
}

impl Subject<'_> {
    #[expect(clippy::inline_always, reason = "the loop over a constant array is then unrolled")]
    #[inline(always)]
    pub(super) fn check(
        &self,
        check: Check,
        request: &AccessRequest<'_>,
        now: Timestamp,
    ) -> Option<Deny> {
        let body = self.body;
        let denied = |denied: bool, deny: Deny| denied.then_some(deny);
        match check {
            Check::Seal | Check::Limits => None,
            Check::Revocation => denied(matches!(body.state, State::Revoked { .. }), Deny::Revoked),
            Check::Secret => denied(!self.secret_is_valid(now), Deny::Superseded),
            Check::Environment => {
                denied(body.environment != request.environment, Deny::WrongEnvironment)
            }
            Check::State => denied(body.state == State::Disabled, Deny::Disabled),
            Check::NotBefore => {
                denied(body.not_before.is_some_and(|start| now < start), Deny::NotYetValid)
            }
            Check::Expiry => denied(body.expires_at.is_some_and(|end| now >= end), Deny::Expired),
            Check::Network => {
                let verdict = body.grants.networks.check_known(request.client.given());
                denied(verdict != NetworkVerdict::Allowed, Deny::Network)
            }
            Check::Resource => {
                denied(!body.grants.resources.allows(request.resources), Deny::Resource)
            }
            Check::Scope => {
                let satisfied = request.scopes.satisfied_by(&mut |scope| self.grants(scope));
                denied(!satisfied, Deny::Scope)
            }
        }
    }

    /// Whether the key holds a scope, itself or by a role.
    pub(crate) fn grants(&self, scope: &str) -> bool {
        let grants = &self.body.grants;
        grants.scopes.grants(scope)
            || grants.roles.iter().any(|role| {
                self.roles.scopes(&self.body.owner, role).is_some_and(|held| held.grants(scope))
            })
    }

    fn secret_is_valid(&self, now: Timestamp) -> bool {
        let Some(slot) = self.slot else { return true };
        let slot = self.body.slots.get(slot).and_then(Option::as_ref);
        slot.is_some_and(|slot| self.body.accepts(slot, now))
    }
}
