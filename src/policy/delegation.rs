use crate::error::FieldError;
use crate::grant::{Environment, NetworkRules, ResourceRules, RoleName, Roles, Scope, ScopeSet};
use crate::limit::{LimitRules, Quota, RateLimit};
use crate::record::Body;
use crate::timestamp::Timestamp;

/// Who manages keys, and how far they may go.
///
/// The host states it, from its own session or from a verified key. No actor can
/// issue, hand out, enable or widen a key beyond what the actor holds; narrowing,
/// disabling and revoking are always within it. Each operation also needs its
/// management permission: `api.key.create`, `.view`, `.update` or `.delete`, which
/// `*` does not include and `api.key.*` does.
///
/// ```
/// use keyward::{Actor, Environment};
///
/// let admin = Actor::new("alice@example.com")
///     .for_owner("org_1")
///     .holding(["api.key.*", "read:assets"])?
///     .in_environments([Environment::SANDBOX])
///     .key_cap(10);
/// assert_eq!(admin.name(), "alice@example.com");
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Actor {
    name: Box<str>,
    owners: Owners,
    key_cap: Option<u32>,
    bounds: Option<Bounds>,
}

#[derive(Clone, Debug)]
enum Owners {
    /// Everybody's; the name is the owner the actor belongs to itself, if to any.
    All(Option<Box<str>>),
    None,
    One(Box<str>),
}

/// What an actor holds that is not the system.
#[derive(Clone, Debug, Default)]
struct Bounds {
    scopes: ScopeSet,
    roles: Vec<RoleName>,
    environments: Vec<Environment>,
    networks: NetworkRules,
    resources: ResourceRules,
    not_beyond: Option<Timestamp>,
    limits: LimitRules,
}

/// What a key would have that its actor has not.
pub(crate) type Excess = Vec<FieldError>;

impl Actor {
    /// The host itself: it may do anything, with every owner's keys.
    pub fn system(name: impl Into<String>) -> Self {
        Self { name: label(name), owners: Owners::All(None), key_cap: None, bounds: None }
    }

    /// An actor who holds nothing yet. The name goes into the log.
    pub fn new(name: impl Into<String>) -> Self {
        let bounds = Some(Bounds::default());
        Self { name: label(name), owners: Owners::None, key_cap: None, bounds }
    }

    /// Manages the keys of one owner; to everybody else's it is as if they weren't there.
    ///
    /// An empty owner is nobody's: no key can be managed.
    #[must_use]
    pub fn for_owner(self, owner: impl Into<String>) -> Self {
        let owner: String = owner.into();
        let owners = if owner.is_empty() { Owners::None } else { Owners::One(owner.into()) };
        Self { owners, ..self }
    }

    /// Manages the keys of every owner.
    ///
    /// If the actor was [for one owner](Actor::for_owner) until now, it still belongs to that
    /// one: its roles mean what they mean there, and a new key that names no owner is that
    /// owner's.
    #[must_use]
    pub fn for_all_owners(self) -> Self {
        let home = self.home().map(Into::into);
        Self { owners: Owners::All(home), ..self }
    }

    /// Holds these scopes, management permissions among them.
    ///
    /// # Errors
    ///
    /// The first that is not a scope.
    pub fn holding(
        self,
        scopes: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, FieldError> {
        let scopes: Result<Vec<_>, _> =
            scopes.into_iter().map(|scope| Scope::parse(scope.as_ref())).collect();
        let scopes = ScopeSet::from_scopes(scopes?);
        Ok(self.bounded(|bounds| bounds.scopes = scopes))
    }

    /// Holds these roles by name, and so the scopes they stand for.
    ///
    /// # Errors
    ///
    /// The first that is not the name of a role.
    pub fn with_roles(
        self,
        roles: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, FieldError> {
        let roles: Result<Vec<_>, _> =
            roles.into_iter().map(|role| RoleName::new(role.as_ref())).collect();
        let roles = roles?;
        Ok(self.bounded(|bounds| bounds.roles = roles))
    }

    /// May give keys to these environments.
    #[must_use]
    pub fn in_environments(self, environments: impl IntoIterator<Item = Environment>) -> Self {
        let environments = environments.into_iter().collect();
        self.bounded(|bounds| bounds.environments = environments)
    }

    /// May give only keys that work from within these networks.
    ///
    /// # Errors
    ///
    /// The first that is not a network.
    pub fn within_ips(
        self,
        networks: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, FieldError> {
        let networks: Vec<String> =
            networks.into_iter().map(|network| network.as_ref().to_owned()).collect();
        let networks = NetworkRules::parse(&networks, &[] as &[String]).map_err(first)?;
        Ok(self.bounded(|bounds| bounds.networks = networks))
    }

    /// May give only keys that are restricted to these resources.
    ///
    /// # Errors
    ///
    /// The first kind or id that breaks a rule.
    pub fn within_resources<K: AsRef<str>, I: IntoIterator<Item: AsRef<str>>>(
        self,
        resources: impl IntoIterator<Item = (K, I)>,
    ) -> Result<Self, FieldError> {
        let resources = ResourceRules::new(resources).map_err(first)?;
        Ok(self.bounded(|bounds| bounds.resources = resources))
    }

    /// May give only keys that end by then.
    #[must_use]
    pub fn not_beyond(self, end: Timestamp) -> Self {
        self.bounded(|bounds| bounds.not_beyond = Some(end))
    }

    /// May give keys that end at any time, or never: the opposite of [`Actor::not_beyond`].
    ///
    /// # Security
    ///
    /// Made from a verified key, an actor can't give keys that outlive that key. With this it
    /// can: whoever steals the key has until it ends to make one that doesn't.
    #[must_use]
    pub fn without_end(mut self) -> Self {
        if let Some(bounds) = &mut self.bounds {
            bounds.not_beyond = None;
        }
        self
    }

    /// How many live keys the owner may have: the plan's limit. Disabled keys count.
    #[must_use]
    pub fn key_cap(self, most: u32) -> Self {
        Self { key_cap: Some(most), ..self }
    }

    /// May give only keys with these rate limits, or tighter ones of the same names.
    ///
    /// Counters are each key's own, so several keys may use several times as much:
    /// limits that [`LocalLimits::per_owner`](crate::LocalLimits::per_owner) gives to an
    /// owner bound their sum.
    ///
    /// # Errors
    ///
    /// More than eight limits, or two of one name.
    pub fn within_limits(
        self,
        limits: impl IntoIterator<Item = RateLimit>,
    ) -> Result<Self, FieldError> {
        let limits = LimitRules::new(limits.into_iter().collect(), None).map_err(first)?;
        Ok(self.bounded(|bounds| bounds.limits = limits))
    }

    /// The name in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who a verified key acts as: itself, with exactly what it has.
    pub(crate) fn of_key(body: &Body) -> Self {
        let grants = &body.grants;
        Self {
            name: body.id.to_string().into(),
            owners: Owners::One(body.owner.clone()),
            key_cap: None,
            bounds: Some(Bounds {
                scopes: grants.scopes.clone(),
                roles: grants.roles.to_vec(),
                environments: vec![body.environment],
                networks: grants.networks.clone(),
                resources: grants.resources.clone(),
                not_beyond: body.expires_at,
                limits: grants.limits.clone(),
            }),
        }
    }

    pub(crate) fn cap(&self) -> Option<u32> {
        self.key_cap
    }

    /// The one owner whose keys this actor manages, if it is one.
    pub(crate) fn sole_owner(&self) -> Option<&str> {
        match &self.owners {
            Owners::All(_) | Owners::None => None,
            Owners::One(owner) => Some(owner),
        }
    }

    /// The owner this actor belongs to: whose a new key is that names nobody.
    pub(crate) fn home(&self) -> Option<&str> {
        match &self.owners {
            Owners::All(home) => home.as_deref(),
            Owners::None => None,
            Owners::One(owner) => Some(owner),
        }
    }

    /// Whether it may give keys to this environment.
    #[cfg(feature = "axum")]
    pub(crate) fn gives_in(&self, environment: Environment) -> bool {
        self.bounds.as_ref().is_none_or(|bounds| bounds.environments.contains(&environment))
    }

    /// The names of the roles it may give to a key of its owner.
    #[cfg(feature = "axum")]
    pub(crate) fn gives_roles(&self, roles: &Roles) -> Vec<String> {
        let names =
            |names: &[RoleName]| names.iter().map(|name| name.as_str().to_owned()).collect();
        match &self.bounds {
            Some(bounds) => names(&bounds.roles),
            None => names(&roles.names(self.home().unwrap_or_default())),
        }
    }

    pub(crate) fn manages(&self, owner: &str) -> bool {
        match &self.owners {
            Owners::All(_) => true,
            Owners::None => false,
            Owners::One(own) => **own == *owner,
        }
    }

    /// Whether the actor holds a management permission.
    pub(crate) fn may(&self, permission: &str, roles: &Roles) -> bool {
        let Some(bounds) = &self.bounds else { return true };
        bounds.scopes.grants(permission)
            || self.role_scopes(bounds, roles).any(|scopes| scopes.grants(permission))
    }

    /// What `body` has beyond this actor; nothing if it is within.
    pub(crate) fn excess(&self, body: &Body, roles: &Roles) -> Excess {
        let Some(bounds) = &self.bounds else { return Vec::new() };
        let grants = &body.grants;
        let held = |scope: &Scope| {
            bounds.scopes.covers(scope)
                || self.role_scopes(bounds, roles).any(|scopes| scopes.covers(scope))
        };
        let mut excess: Excess = grants
            .scopes
            .iter()
            .filter(|scope| !held(scope))
            .map(|scope| {
                FieldError::new("permissions", scope.as_str(), "must be held by the actor")
            })
            .collect();
        let strange = grants.roles.iter().filter(|role| !bounds.roles.contains(role));
        excess.extend(strange.map(|role| {
            FieldError::new("roles", role.as_str(), "must be held by the actor, by name")
        }));
        if self.sole_owner() != Some(&*body.owner) {
            let own = |role: &&RoleName| roles.scopes(&body.owner, role);
            let means_more = |role: &&RoleName| {
                bounds.roles.contains(role) && !own(role).into_iter().flatten().all(held)
            };
            excess.extend(grants.roles.iter().filter(means_more).map(|role| {
                let rule = "must not mean more with the key's owner than the actor holds";
                FieldError::new("roles", role.as_str(), rule)
            }));
        }
        if !bounds.environments.contains(&body.environment) {
            let rule = "must be one the actor may give keys to";
            excess.push(FieldError::new("environment", body.environment.as_str(), rule));
        }
        if !grants.networks.within(&bounds.networks) {
            let rule = "must lie within the actor's networks";
            excess.push(FieldError::unshown("ip_allowlist", rule));
        }
        if !grants.resources.within(&bounds.resources) {
            let rule =
                "must name only the actor's resources, and each kind that the actor is bound to";
            excess.push(FieldError::unshown("resources", rule));
        }
        if loosens(&bounds.limits, &grants.limits) {
            let rule = "must hold each of the actor's limits, as tight or tighter";
            excess.push(FieldError::unshown("rate_limits", rule));
        }
        if let Some(end) =
            bounds.not_beyond.filter(|end| body.expires_at.is_none_or(|at| at > *end))
        {
            let rule = format!("must not be later than the actor's, {end}");
            excess.push(match body.expires_at {
                Some(at) => FieldError::new("expires_at", &at.to_string(), rule),
                None => FieldError::unshown("expires_at", rule),
            });
        }
        excess
    }

    fn role_scopes<'a>(
        &'a self,
        bounds: &'a Bounds,
        roles: &'a Roles,
    ) -> impl Iterator<Item = &'a ScopeSet> {
        let owner = self.home().unwrap_or_default();
        bounds.roles.iter().filter_map(move |role| roles.scopes(owner, role))
    }

    fn bounded(mut self, change: impl FnOnce(&mut Bounds)) -> Self {
        change(self.bounds.get_or_insert_default());
        self
    }
}

/// A name that can go into a log: control characters out, at most 256 bytes.
fn label(name: impl Into<String>) -> Box<str> {
    let mut label: String = name.into().chars().filter(|c| !c.is_control()).collect();
    while label.len() > 256 {
        label.pop();
    }
    label.into()
}

fn first(errors: Vec<FieldError>) -> FieldError {
    let unnamed = || FieldError::unshown("actor", "breaks a rule");
    errors.into_iter().next().unwrap_or_else(unnamed)
}

/// Whether `after` allows anything that `before` did not.
pub(crate) fn widens(before: &Body, after: &Body) -> bool {
    let (old, new) = (&before.grants, &after.grants);
    new.scopes.iter().any(|scope| !old.scopes.covers(scope))
        || new.roles.iter().any(|role| !old.roles.contains(role))
        || before.environment != after.environment
        || !new.networks.within(&old.networks)
        || !new.resources.within(&old.resources)
        || loosens(&old.limits, &new.limits)
        || after.not_before.unwrap_or(Timestamp::MIN) < before.not_before.unwrap_or(Timestamp::MIN)
        || after.expires_at.unwrap_or(Timestamp::MAX) > before.expires_at.unwrap_or(Timestamp::MAX)
        || (before.expires_at.is_some() && after.expires_at.is_none())
}

fn loosens(before: &LimitRules, after: &LimitRules) -> bool {
    let keeps = |old: &RateLimit| {
        after.rates().iter().any(|new| {
            new.name() == old.name()
                && new.period() == old.period()
                && new.count() <= old.count()
                && new.burst_size() <= old.burst_size()
                && new.mode() == old.mode()
                && new.on_failure() == old.on_failure()
        })
    };
    let quota_keeps = |old: &Quota| {
        after.quota().is_some_and(|new| {
            new.refill() == old.refill()
                && new.limit() <= old.limit()
                && new.mode() == old.mode()
                && new.on_failure() == old.on_failure()
                && new.name() == old.name()
        })
    };
    !before.rates().iter().all(keeps) || !before.quota().is_none_or(quota_keeps)
}
