use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::error::FieldError;
use crate::grant::{ClientIp, Environment, Scopes};
use crate::policy::AccessRequest;
use crate::record::Reason;
use crate::service::Rotation;
use crate::timestamp::Timestamp;

/// The body of a request that says nothing more.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Nothing {}

/// The body of a revocation.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Revocation {
    pub(super) reason: Reason,
}

impl Default for Revocation {
    fn default() -> Self {
        Self { reason: Reason::Other }
    }
}

/// The body of a rotation.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RotationBody {
    grace_seconds: u64,
    replace_older: bool,
}

/// How long the old secret lives if the request doesn't say: a day.
const GRACE: u64 = 86_400;
/// The longest grace, in seconds: a leap year.
const LONGEST_GRACE: u64 = 366 * 86_400;

impl Default for RotationBody {
    fn default() -> Self {
        Self { grace_seconds: GRACE, replace_older: false }
    }
}

impl RotationBody {
    pub(super) fn rotation(&self) -> Result<Rotation, FieldError> {
        if self.grace_seconds > LONGEST_GRACE {
            let rule = format!("must be 0 to {LONGEST_GRACE}");
            return Err(FieldError::new("grace_seconds", &self.grace_seconds.to_string(), rule));
        }
        let rotation = Rotation::grace(Duration::from_secs(self.grace_seconds));
        Ok(if self.replace_older { rotation.replacing_older() } else { rotation })
    }
}

/// The most scopes that a described request may need, and the most resources that it may touch:
/// as many as a key may hold.
const MOST_SCOPES: usize = 256;
const MOST_RESOURCES: usize = 1_000;

/// The body that describes a request to be decided.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Described {
    environment: Option<String>,
    client_ip: Option<String>,
    scopes: Vec<String>,
    resources: BTreeMap<String, Vec<String>>,
    cost: u32,
    at: Option<String>,
}

impl Default for Described {
    fn default() -> Self {
        Self {
            environment: None,
            client_ip: None,
            scopes: Vec::new(),
            resources: BTreeMap::new(),
            cost: 1,
            at: None,
        }
    }
}

/// A described request whose every field holds.
pub(super) struct Asked {
    pub(super) environment: Option<Environment>,
    pub(super) at: Option<Timestamp>,
    client: ClientIp,
    scopes: Vec<String>,
    resources: BTreeMap<String, Vec<String>>,
    cost: u32,
}

impl Described {
    pub(super) fn check(self) -> Result<Asked, Vec<FieldError>> {
        let mut errors = Vec::new();
        let environment = self.environment.as_deref().and_then(|name| {
            Environment::new(name).map_err(|error| errors.push(error.at("environment"))).ok()
        });
        let client = self.client_ip.as_deref().and_then(|address| {
            let rule = "must be an IPv4 or IPv6 address";
            let unknown = |_| errors.push(FieldError::new("client_ip", address, rule));
            address.parse::<IpAddr>().map_err(unknown).ok()
        });
        let at = self.at.as_deref().and_then(|at| {
            at.parse().map_err(|error: FieldError| errors.push(error.at("at"))).ok()
        });
        if self.scopes.len() > MOST_SCOPES {
            let rule = format!("must list at most {MOST_SCOPES} scopes");
            errors.push(FieldError::new("scopes", &self.scopes.len().to_string(), rule));
        }
        for (i, scope) in self.scopes.iter().enumerate().take(MOST_SCOPES) {
            let needed = Scopes::One(scope).validate();
            errors.extend(needed.err().map(|error| error.at(format!("scopes[{i}]"))));
        }
        let touched: usize = self.resources.values().map(Vec::len).sum();
        if touched > MOST_RESOURCES {
            let rule = format!("must name at most {MOST_RESOURCES} ids");
            errors.push(FieldError::new("resources", &touched.to_string(), rule));
        }
        let asked = Asked {
            environment,
            at,
            client: client.map_or(ClientIp::Unknown, ClientIp::Peer),
            scopes: self.scopes,
            resources: self.resources,
            cost: self.cost,
        };
        if errors.is_empty() { Ok(asked) } else { Err(errors) }
    }
}

impl Asked {
    /// The scopes it needs, all of them.
    pub(super) fn scopes(&self) -> Vec<&str> {
        self.scopes.iter().map(String::as_str).collect()
    }

    /// The resources it touches.
    pub(super) fn resources(&self) -> Vec<(&str, &str)> {
        let pairs = self.resources.iter().flat_map(|(kind, ids)| {
            let kind = kind.as_str();
            ids.iter().map(move |id| (kind, id.as_str()))
        });
        pairs.collect()
    }

    /// The request, whose lists somebody else has to hold.
    pub(super) fn request<'a>(
        &self,
        environment: Environment,
        scopes: &'a [&'a str],
        resources: &'a [(&'a str, &'a str)],
    ) -> AccessRequest<'a> {
        let request =
            AccessRequest::new(environment).from(self.client).resources(resources).cost(self.cost);
        if scopes.is_empty() { request } else { request.all_of(scopes) }
    }
}
