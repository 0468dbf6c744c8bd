use std::fmt;

use serde::Serialize;

use super::decision::{Decision, Deny};
use super::evaluate::{Check, PURE, Subject};
use super::request::AccessRequest;
use crate::grant::{NetworkVerdict, Roles};
use crate::record::{KeyRecord, State};
use crate::timestamp::Timestamp;

/// Every check of a decision, in order, with the rule that decided.
///
/// Making one has no side effect: no counter moves and no use is counted.
///
/// ```
/// # use keyward::{Actor, Environment, KeyScheme, KeyService, MemoryStore, NewKey, PepperRing};
/// # pollster::block_on(async {
/// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
/// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
/// # let keys = KeyService::new(scheme, MemoryStore::new());
/// # let admin = Actor::system("docs");
/// use keyward::{AccessRequest, Check};
///
/// let issued = keys.issue(&admin, NewKey::named("cron").owner("org_1")).await?;
/// let request = AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
/// let trace = keys.explain(&admin, issued.view().id, &request, keys.now()).await?;
/// let failed = trace.failed().map(|step| (step.check, step.rule.as_str()));
/// assert_eq!(failed, Some((Check::Scope, "lacks read:assets")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Trace {
    /// The instant it was decided for.
    pub at: Timestamp,
    /// Whether every check passed.
    pub allowed: bool,
    /// The checks.
    pub steps: Vec<Step>,
}

/// One check of a [`Trace`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The question.
    pub check: Check,
    /// The answer.
    pub outcome: Outcome,
    /// The rule that decided, in words; empty if the check was not reached.
    pub rule: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It refuses the request.
    Failed,
    /// An earlier check refused.
    NotReached,
    /// It doesn't stand in the way.
    Passed,
}

impl Trace {
    pub(crate) fn new(at: Timestamp) -> Self {
        Self { at, allowed: true, steps: Vec::with_capacity(PURE.len() + 2) }
    }

    /// Appends a check, unless an earlier one failed; then it was not reached.
    pub(crate) fn step(&mut self, check: Check, passed: bool, rule: impl FnOnce() -> String) {
        let (outcome, rule) = match (self.allowed, passed) {
            (false, _) => (Outcome::NotReached, String::new()),
            (true, true) => (Outcome::Passed, rule()),
            (true, false) => (Outcome::Failed, rule()),
        };
        self.allowed &= outcome != Outcome::Failed;
        self.steps.push(Step { check, outcome, rule });
    }

    /// The check that refused, if one did.
    pub fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.outcome == Outcome::Failed)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let mark = match step.outcome {
                Outcome::Failed => "no ",
                Outcome::NotReached => "-  ",
                Outcome::Passed => "yes",
            };
            let check = format!("{:?}", step.check);
            writeln!(f, "{}", format!("{mark} {check:<12} {}", step.rule).trim_end())?;
        }
        Ok(())
    }
}

impl KeyRecord {
    /// Decides everything that this record and a request decide by themselves:
    /// not the secret, not the seal, not the limits. Allocates nothing.
    ///
    /// A record that can't be read denies as one whose seal is bad.
    pub fn evaluate(&self, request: &AccessRequest<'_>, roles: &Roles, now: Timestamp) -> Decision {
        match self.body() {
            Some(body) => Subject { body, slot: None, roles }.evaluate(request, now),
            None => Decision::Deny(Deny::BadSeal),
        }
    }
}

impl Subject<'_> {
    /// The trace of [`Subject::evaluate`].
    pub(crate) fn explain(&self, trace: &mut Trace, request: &AccessRequest<'_>) {
        for &check in PURE {
            let passed = self.check(check, request, trace.at).is_none();
            trace.step(check, passed, || self.rule(check, request));
        }
    }

    fn rule(&self, check: Check, request: &AccessRequest<'_>) -> String {
        let body = self.body;
        match check {
            Check::Seal | Check::Limits => String::new(),
            Check::Revocation => match body.state {
                State::Revoked { at, reason } => format!("revoked at {at}: {}", reason.as_str()),
                _ => "not revoked".into(),
            },
            Check::Secret => match self.slot {
                Some(slot) => format!("secret of slot {slot}"),
                None => "no secret presented; assumed to be the current one".into(),
            },
            Check::Environment => {
                format!("key of {}, request in {}", body.environment, request.environment)
            }
            Check::State => match body.state {
                State::Disabled => "disabled".into(),
                _ => "enabled".into(),
            },
            Check::NotBefore => match body.not_before {
                Some(start) => format!("valid from {start}"),
                None => "valid from the start".into(),
            },
            Check::Expiry => match body.expires_at {
                Some(end) => format!("expires at {end}"),
                None => "never expires".into(),
            },
            Check::Network => self.network_rule(request),
            Check::Resource => match body.grants.resources.refused_by(request.resources) {
                Some(kind) => format!("restricted to {}", self.values(kind)),
                None if body.grants.resources.is_empty() => "any resource".into(),
                None => "every resource named is allowed".into(),
            },
            Check::Scope => self.scope_rule(request),
        }
    }

    fn network_rule(&self, request: &AccessRequest<'_>) -> String {
        let networks = &self.body.grants.networks;
        let client = request.client.address();
        let address = client.map_or("an unknown address".to_owned(), |address| address.to_string());
        match (networks.check(client), networks.decided_by(client)) {
            (NetworkVerdict::Allowed, None) => "any address".into(),
            (NetworkVerdict::Allowed, Some(network)) => format!("{address} is in {network}"),
            (_, Some(network)) => format!("{address} is denied by {network}"),
            (_, None) => format!("{address} is in none of the allowed networks"),
        }
    }

    fn scope_rule(&self, request: &AccessRequest<'_>) -> String {
        let missing = request.scopes.missing(&mut |scope| self.grants(scope));
        let required = request.scopes.required();
        match (required.is_empty(), missing.is_empty()) {
            (true, _) => "none required".into(),
            (false, true) => format!("holds {}", required.join(", ")),
            (false, false) => format!("lacks {}", missing.join(", ")),
        }
    }

    fn values(&self, kind: &str) -> String {
        let values: Vec<_> = self.body.grants.resources.values(kind).collect();
        format!("{kind} {}", values.join(", "))
    }
}
