use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::body::Body;
use super::check::{
    Errors, check_ahead, check_dates, check_metadata, check_text, parse_resources, parse_roles,
};
use super::new_key::Instant;
use crate::error::FieldError;
use crate::grant::{NetworkRules, ScopeSet};
use crate::limit::{LimitRules, Quota, RateLimit};
use crate::timestamp::Timestamp;

/// Which fields of a key are to change; those not named stay as they are.
///
/// In JSON an absent field is unchanged, and `null` clears `expires_at`,
/// `not_before` and `quota`; elsewhere it is refused. A list replaces the whole list. The id, the owner, the
/// environment and the secret can't be edited.
///
/// ```
/// use keyward::KeyEdit;
///
/// let edit: KeyEdit = serde_json::from_str(r#"{ "name": "Renamed", "expires_at": null }"#)?;
/// assert_eq!(edit, KeyEdit::new().name("Renamed").never_expires());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
pub struct KeyEdit {
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<String>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    ip_allowlist: Option<Vec<String>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    ip_denylist: Option<Vec<String>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    resources: Option<BTreeMap<String, Vec<String>>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    customers: Option<Vec<String>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    rate_limits: Option<Vec<RateLimit>>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    quota: Option<Option<Quota>>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    not_before: Option<Option<Instant>>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    expires_at: Option<Option<Instant>>,
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(skip)]
    if_revision: Option<u64>,
}

/// A field that is there; `null` is no way to clear it.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl KeyEdit {
    /// An edit that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Other scopes.
    #[must_use]
    pub fn permissions(self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { permissions: Some(scopes.into_iter().map(Into::into).collect()), ..self }
    }

    /// Other roles.
    #[must_use]
    pub fn roles(self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { roles: Some(roles.into_iter().map(Into::into).collect()), ..self }
    }

    /// Another allowlist; an empty one allows every address.
    #[must_use]
    pub fn ip_allowlist(self, networks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { ip_allowlist: Some(networks.into_iter().map(Into::into).collect()), ..self }
    }

    /// Another denylist.
    #[must_use]
    pub fn ip_denylist(self, networks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { ip_denylist: Some(networks.into_iter().map(Into::into).collect()), ..self }
    }

    /// Other customers, other kinds of resources staying as they are; none lifts the restriction.
    #[must_use]
    pub fn customers(self, customers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { customers: Some(customers.into_iter().map(Into::into).collect()), ..self }
    }

    /// Other resources, of every kind.
    #[must_use]
    pub fn resources(self, resources: BTreeMap<String, Vec<String>>) -> Self {
        Self { resources: Some(resources), ..self }
    }

    /// Other rate limits.
    #[must_use]
    pub fn rate_limits(self, limits: impl IntoIterator<Item = RateLimit>) -> Self {
        Self { rate_limits: Some(limits.into_iter().collect()), ..self }
    }

    /// Another quota.
    #[must_use]
    pub fn quota(self, quota: Quota) -> Self {
        Self { quota: Some(Some(quota)), ..self }
    }

    /// No quota.
    #[must_use]
    pub fn without_quota(self) -> Self {
        Self { quota: Some(None), ..self }
    }

    /// Another first instant.
    #[must_use]
    pub fn not_before(self, at: Timestamp) -> Self {
        Self { not_before: Some(Some(Instant::new(at))), ..self }
    }

    /// No first instant.
    #[must_use]
    pub fn valid_at_once(self) -> Self {
        Self { not_before: Some(None), ..self }
    }

    /// Another expiry, after now: what has expired can't be edited back.
    #[must_use]
    pub fn expires_at(self, at: Timestamp) -> Self {
        Self { expires_at: Some(Some(Instant::new(at))), ..self }
    }

    /// No expiry.
    #[must_use]
    pub fn never_expires(self) -> Self {
        Self { expires_at: Some(None), ..self }
    }

    /// Other metadata.
    #[must_use]
    pub fn metadata(self, metadata: BTreeMap<String, String>) -> Self {
        Self { metadata: Some(metadata), ..self }
    }

    /// Demands that nobody has changed the key since it was at this revision.
    #[must_use]
    pub fn if_revision(self, revision: u64) -> Self {
        Self { if_revision: Some(revision), ..self }
    }

    pub(crate) fn expected_revision(&self) -> Option<u64> {
        self.if_revision
    }

    /// The fields it names, for the log.
    pub(crate) fn fields(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => {
                fields.keys().map(String::as_str).collect::<Vec<_>>().join(",")
            }
            _ => String::new(),
        }
    }

    /// The record with this edit made; every field that breaks a rule is reported.
    pub(crate) fn apply(&self, body: &Body, now: Timestamp) -> Result<Body, Vec<FieldError>> {
        let mut edited = body.clone();
        let mut errors = Errors::default();
        if let Some(name) = &self.name {
            errors.check(check_text("name", name, 256));
            edited.name = name.as_str().into();
        }
        if let Some(metadata) = &self.metadata {
            errors.all(check_metadata(metadata));
            edited.metadata.clone_from(metadata);
        }
        if let Some(scopes) = &self.permissions {
            edited.grants.scopes = errors.all(ScopeSet::parse_all("permissions", scopes));
        }
        if self.role.is_some() || self.roles.is_some() {
            let names = self.roles.as_deref().unwrap_or_default();
            edited.grants.roles = errors.all(parse_roles(self.role.as_ref(), names));
        }
        self.apply_networks(&mut edited, &mut errors);
        self.apply_resources(&mut edited, &mut errors);
        self.apply_limits(&mut edited, &mut errors);
        if let Some(at) = &self.not_before {
            edited.not_before = errors.optional(at.as_ref(), |at| at.parse("not_before"));
        }
        if let Some(at) = &self.expires_at {
            edited.expires_at = errors.optional(at.as_ref(), |at| at.parse("expires_at"));
        }
        if self.not_before.is_some() || self.expires_at.is_some() {
            let (start, end) = (edited.not_before, edited.expires_at);
            errors.check(check_ahead(end, now).and_then(|()| check_dates(start, end)));
        }
        errors.finish().map(|()| edited)
    }

    fn apply_networks(&self, edited: &mut Body, errors: &mut Errors) {
        if self.ip_allowlist.is_none() && self.ip_denylist.is_none() {
            return;
        }
        let kept = |list: &[crate::grant::Network]| list.iter().map(ToString::to_string).collect();
        let rules = &edited.grants.networks;
        let allow = self.ip_allowlist.clone().unwrap_or_else(|| kept(rules.allow()));
        let deny = self.ip_denylist.clone().unwrap_or_else(|| kept(rules.deny()));
        edited.grants.networks = errors.all(NetworkRules::parse(&allow, &deny));
    }

    fn apply_resources(&self, edited: &mut Body, errors: &mut Errors) {
        if self.resources.is_none() && self.customers.is_none() {
            return;
        }
        let mut resources = self.resources.clone().unwrap_or_else(|| {
            let mut kept = BTreeMap::<String, Vec<String>>::new();
            for (kind, id) in edited.grants.resources.iter() {
                kept.entry(kind.to_owned()).or_default().push(id.to_owned());
            }
            kept
        });
        if self.customers.is_some() && self.resources.is_none() {
            resources.remove("customer");
        }
        let customers = self.customers.as_deref().unwrap_or_default();
        edited.grants.resources = errors.all(parse_resources(&resources, customers));
    }

    fn apply_limits(&self, edited: &mut Body, errors: &mut Errors) {
        if self.rate_limits.is_none() && self.quota.is_none() {
            return;
        }
        let rules = &edited.grants.limits;
        let rates = self.rate_limits.clone().unwrap_or_else(|| rules.rates().to_vec());
        let quota = self.quota.clone().unwrap_or_else(|| rules.quota().cloned());
        edited.grants.limits = errors.all(LimitRules::new(rates, quota));
    }
}
