use std::net::IpAddr;

use serde::Serialize;

use crate::grant::Environment;
use crate::policy::Actor;
use crate::record::{KeyView, SlotUsage, Usage};
use crate::service::{Changed, KeyService};
use crate::timestamp::Timestamp;
use crate::token::ApiKey;

/// A key with its secret: the one answer that has it.
#[derive(Serialize)]
pub(super) struct WithSecret<'a> {
    #[serde(flatten)]
    key: &'a KeyView,
    api_key: &'a str,
    everywhere_by: Timestamp,
}

impl<'a> WithSecret<'a> {
    pub(super) fn new(key: &'a KeyView, secret: &'a ApiKey, everywhere_by: Timestamp) -> Self {
        Self { key, api_key: secret.expose_secret(), everywhere_by }
    }
}

/// A key after a change.
#[derive(Serialize)]
pub(super) struct AfterChange<'a> {
    #[serde(flatten)]
    key: &'a KeyView,
    everywhere_by: Timestamp,
}

impl<'a> From<&'a Changed> for AfterChange<'a> {
    fn from(changed: &'a Changed) -> Self {
        Self { key: &changed.key, everywhere_by: changed.everywhere_by }
    }
}

/// How a key has been used.
#[derive(Serialize)]
pub(super) struct UsageView {
    uses: u64,
    last_used_at: Option<Timestamp>,
    last_address: Option<IpAddr>,
    slots: [SlotUsage; 2],
    hours: Vec<HourView>,
}

#[derive(Serialize)]
struct HourView {
    hour: Timestamp,
    uses: u64,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        let hours = usage.hours.into_iter().map(|(hour, uses)| HourView { hour, uses });
        Self {
            uses: usage.uses,
            last_used_at: usage.last_used_at,
            last_address: usage.last_address,
            slots: usage.slots,
            hours: hours.collect(),
        }
    }
}

/// What somebody who makes a key may choose from.
#[derive(Serialize)]
pub(super) struct OptionsView<'a> {
    actor: ActorView<'a>,
    prefixes: Vec<PrefixView<'a>>,
    roles: Vec<String>,
}

#[derive(Serialize)]
struct ActorView<'a> {
    name: &'a str,
    owner: Option<&'a str>,
    all_owners: bool,
    permissions: Vec<&'static str>,
}

#[derive(Serialize)]
struct PrefixView<'a> {
    prefix: &'a str,
    environment: Environment,
}

/// The management permissions.
const PERMISSIONS: [&str; 4] =
    ["api.key.create", "api.key.delete", "api.key.update", "api.key.view"];

impl<'a> OptionsView<'a> {
    pub(super) fn of(service: &'a KeyService, actor: &'a Actor) -> Self {
        let roles = service.roles();
        let held = PERMISSIONS.into_iter().filter(|permission| actor.may(permission, &roles));
        let prefixes = service.scheme().prefixes().iter();
        let offered = prefixes.filter(|it| it.issued && actor.gives_in(it.environment));
        Self {
            actor: ActorView {
                name: actor.name(),
                owner: actor.home(),
                all_owners: actor.manages(""),
                permissions: held.collect(),
            },
            prefixes: offered
                .map(|it| PrefixView { prefix: it.prefix.as_str(), environment: it.environment })
                .collect(),
            roles: actor.gives_roles(&roles),
        }
    }
}
