use crate::grant::{ClientIp, Environment, ScopeExpr, Scopes};

/// What a request wants of a key.
///
/// It holds no time and borrows everything, so it may be a `const` per route.
///
/// ```
/// use keyward::{AccessRequest, Environment};
///
/// const READ_SITES: AccessRequest<'_> =
///     AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
/// assert_eq!(READ_SITES.cost, 1);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AccessRequest<'a> {
    /// Where the request is served; keys of another environment are refused.
    pub environment: Environment,
    /// Where it comes from; a key with network rules is refused if this is unknown.
    pub client: ClientIp,
    /// The scopes it needs.
    pub scopes: Scopes<'a>,
    /// The resources it touches, as kind and id, such as `("customer", "cust_123")`.
    pub resources: &'a [(&'a str, &'a str)],
    /// How many units of the limits it takes.
    pub cost: u32,
}

impl<'a> AccessRequest<'a> {
    /// A request that needs no scope, from an unknown address, and costs 1.
    pub const fn new(environment: Environment) -> Self {
        Self {
            environment,
            client: ClientIp::Unknown,
            scopes: Scopes::None,
            resources: &[],
            cost: 1,
        }
    }

    /// Needs one scope. A wildcard here is a mistake and is never satisfied.
    #[must_use]
    pub const fn scope(self, scope: &'a str) -> Self {
        Self { scopes: Scopes::One(scope), ..self }
    }

    /// Needs all of these scopes.
    #[must_use]
    pub const fn all_of(self, scopes: &'a [&'a str]) -> Self {
        Self { scopes: Scopes::All(scopes), ..self }
    }

    /// Needs any of these scopes.
    #[must_use]
    pub const fn any_of(self, scopes: &'a [&'a str]) -> Self {
        Self { scopes: Scopes::Any(scopes), ..self }
    }

    /// Needs what an expression says.
    #[must_use]
    pub const fn expression(self, scopes: &'a ScopeExpr) -> Self {
        Self { scopes: Scopes::Expr(scopes), ..self }
    }

    /// Comes from this address.
    #[must_use]
    pub const fn from(self, client: ClientIp) -> Self {
        Self { client, ..self }
    }

    /// Touches these resources.
    #[must_use]
    pub const fn resources(self, resources: &'a [(&'a str, &'a str)]) -> Self {
        Self { resources, ..self }
    }

    /// Takes `cost` units of every limit; 0 takes none.
    #[must_use]
    pub const fn cost(self, cost: u32) -> Self {
        Self { cost, ..self }
    }
}
