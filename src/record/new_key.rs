use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::Grants;
use super::check::{
    Errors, check_dates, check_metadata, check_owner, check_text, check_visible, parse_resources,
    parse_roles,
};
use crate::error::FieldError;
use crate::grant::{Environment, NetworkRules, ScopeSet};
use crate::limit::{LimitRules, Quota, RateLimit};
use crate::timestamp::Timestamp;
use crate::token::Prefix;

/// What a new key is to be: the body of an issue request.
///
/// Nothing is checked until it is issued; then every field that breaks a rule is
/// reported at once. A key without permissions and roles may do nothing.
///
/// ```
/// use keyward::NewKey;
///
/// let built = NewKey::named("Asset Controls Backend")
///     .permissions(["read:assets", "write:schedules"])
///     .ip_allowlist(["10.0.0.0/8"])
///     .expires_at("2025-12-31T23:59:59Z".parse()?);
/// let sent: NewKey = serde_json::from_str(r#"{
///     "name": "Asset Controls Backend",
///     "permissions": ["read:assets", "write:schedules"],
///     "ip_allowlist": ["10.0.0.0/8"],
///     "expires_at": "2025-12-31T23:59:59Z"
/// }"#)?;
/// assert_eq!(built, sent);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewKey {
    name: String,
    owner: Option<String>,
    environment: Option<String>,
    prefix: Option<String>,
    permissions: Vec<String>,
    role: Option<String>,
    roles: Vec<String>,
    ip_allowlist: Vec<String>,
    ip_denylist: Vec<String>,
    customers: Vec<String>,
    resources: BTreeMap<String, Vec<String>>,
    rate_limits: Vec<RateLimit>,
    quota: Option<Quota>,
    not_before: Option<Instant>,
    expires_at: Option<Instant>,
    metadata: BTreeMap<String, String>,
    #[serde(skip)]
    idempotency_key: Option<String>,
}

/// An instant as given: text is parsed with the rest, so that it is reported with the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Instant(String);

impl Instant {
    pub(crate) fn new(at: Timestamp) -> Self {
        Self(at.to_string())
    }

    pub(crate) fn parse(&self, field: &str) -> Result<Timestamp, FieldError> {
        self.0.parse().map_err(|error: FieldError| error.at(field))
    }
}

impl NewKey {
    /// A key with a name, 1 to 256 bytes of UTF-8 without control characters.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Whose key it is: 1 to 128 visible ASCII characters. The default is the actor's owner.
    #[must_use]
    pub fn owner(self, owner: impl Into<String>) -> Self {
        Self { owner: Some(owner.into()), ..self }
    }

    /// Where it works. The default is the environment of the scheme's first prefix.
    #[must_use]
    pub fn environment(self, environment: Environment) -> Self {
        Self { environment: Some(environment.as_str().to_owned()), ..self }
    }

    /// Which prefix its token gets, if the environment has several.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: Some(prefix.into()), ..self }
    }

    /// The scopes it holds, wildcards included; none is nothing.
    #[must_use]
    pub fn permissions(self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { permissions: texts(scopes), ..self }
    }

    /// A role it holds, besides those of [`NewKey::roles`].
    #[must_use]
    pub fn role(self, role: impl Into<String>) -> Self {
        Self { role: Some(role.into()), ..self }
    }

    /// The roles it holds.
    #[must_use]
    pub fn roles(self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { roles: texts(roles), ..self }
    }

    /// The addresses and networks it may be used from; none is any.
    #[must_use]
    pub fn ip_allowlist(self, networks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { ip_allowlist: texts(networks), ..self }
    }

    /// The addresses and networks it may not be used from; this wins over the allowlist.
    #[must_use]
    pub fn ip_denylist(self, networks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { ip_denylist: texts(networks), ..self }
    }

    /// The customers it is restricted to; the same as resources of the kind `customer`.
    #[must_use]
    pub fn customers(self, customers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { customers: texts(customers), ..self }
    }

    /// The resources of one kind that it is restricted to.
    #[must_use]
    pub fn resources(
        mut self,
        kind: impl Into<String>,
        ids: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.resources.insert(kind.into(), texts(ids));
        self
    }

    /// Adds a rate limit.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limits.push(limit);
        self
    }

    /// How much it may use in a calendar period.
    #[must_use]
    pub fn quota(self, quota: Quota) -> Self {
        Self { quota: Some(quota), ..self }
    }

    /// The first instant at which it works. The default is at once.
    #[must_use]
    pub fn not_before(self, at: Timestamp) -> Self {
        Self { not_before: Some(Instant::new(at)), ..self }
    }

    /// The first instant at which it no longer works. The default is never.
    ///
    /// One that has passed makes a key that is [`Expired`](crate::Status::Expired) from the
    /// start: dead, and harmless.
    #[must_use]
    pub fn expires_at(self, at: Timestamp) -> Self {
        Self { expires_at: Some(Instant::new(at)), ..self }
    }

    /// Adds an entry of the host's own: up to 16 KiB in all.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// A text that marks this request: issuing it again makes no second key.
    ///
    /// 1 to 255 visible ASCII characters, unique for the owner and the actor. It is
    /// kept as a digest. The second attempt gets
    /// [`ManageError::AlreadyIssued`](crate::ManageError::AlreadyIssued) and no secret.
    #[must_use]
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        Self { idempotency_key: Some(key.into()), ..self }
    }
}

fn texts(items: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

impl NewKey {
    /// The caller's idempotency key, if there is one that keeps its rule.
    pub(crate) fn repeat_key(&self) -> Option<&str> {
        let key = self.idempotency_key.as_deref()?;
        check_visible("idempotency_key", key, 255).is_ok().then_some(key)
    }

    /// What the request says, as bytes: fields that say nothing are left out, so that a
    /// later release with more fields still knows the request again.
    pub(crate) fn substance(&self) -> Vec<u8> {
        let mut fields = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| match value {
                Value::Array(items) => !items.is_empty(),
                Value::Object(entries) => !entries.is_empty(),
                value => !value.is_null(),
            });
        }
        serde_json::to_vec(&fields).unwrap_or_default()
    }

    /// The owner it names, or the actor's.
    pub(crate) fn owner_or<'a>(&'a self, owner: Option<&'a str>) -> &'a str {
        self.owner.as_deref().or(owner).unwrap_or_default()
    }
}

/// A request whose every field holds.
pub(crate) struct ValidNewKey {
    pub(crate) name: Box<str>,
    pub(crate) owner: Box<str>,
    pub(crate) environment: Option<Environment>,
    pub(crate) prefix: Option<Prefix>,
    pub(crate) grants: Grants,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl NewKey {
    /// Checks every field; `owner` is the actor's, for a request that names none, and
    /// `service` checks what only the service can tell.
    pub(crate) fn validate(
        self,
        owner: Option<&str>,
        service: impl FnOnce(Option<Environment>, Option<Prefix>, &LimitRules) -> Vec<FieldError>,
    ) -> Result<ValidNewKey, Vec<FieldError>> {
        let mut errors = Errors::default();
        errors.check(check_text("name", &self.name, 256));
        let owner: Box<str> = self.owner_or(owner).into();
        errors.check(check_owner(&owner));
        if let Some(key) = &self.idempotency_key {
            errors.check(check_visible("idempotency_key", key, 255));
        }
        errors.all(check_metadata(&self.metadata));
        let environment = errors.optional(self.environment.as_deref(), |environment| {
            Environment::new(environment).map_err(|error| error.at("environment"))
        });
        let prefix = errors.optional(self.prefix.as_deref(), |prefix| {
            Prefix::new(prefix).map_err(|error| error.at("prefix"))
        });
        let not_before = errors.optional(self.not_before.as_ref(), |at| at.parse("not_before"));
        let expires_at = errors.optional(self.expires_at.as_ref(), |at| at.parse("expires_at"));
        errors.check(check_dates(not_before, expires_at));
        let scopes = errors.all(ScopeSet::parse_all("permissions", &self.permissions));
        let roles = errors.all(parse_roles(self.role.as_ref(), &self.roles));
        let networks = errors.all(NetworkRules::parse(&self.ip_allowlist, &self.ip_denylist));
        let resources = errors.all(parse_resources(&self.resources, &self.customers));
        let limits = errors.all(LimitRules::new(self.rate_limits, self.quota));
        errors.0.extend(service(environment, prefix, &limits));
        errors.finish()?;
        Ok(ValidNewKey {
            name: self.name.into(),
            owner,
            environment,
            prefix,
            grants: Grants { scopes, roles, networks, resources, limits },
            not_before,
            expires_at,
            metadata: self.metadata,
        })
    }
}
