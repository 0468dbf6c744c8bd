use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use super::guard::ApiKeyGuard;
use super::requirement::Requirement;
use super::route::Route;
use crate::error::FieldError;
use crate::gate::Gate;
use crate::grant::{Environment, ScopeExpr};
use crate::service::KeyService;

/// A layer that lets requests through if they hold a key that may do what the route needs.
///
/// It is one layer with one decision: put it around each route, or group of routes, once.
/// The handler finds a [`Verified`](crate::Verified) among the request's extensions; with
/// axum it is an extractor. A layer that requires nothing wants any valid key.
///
/// ```
/// use axum::{Router, routing::get};
/// use keyward::{ApiKeyLayer, Environment, KeyService, Verified};
///
/// async fn sites(key: Verified) -> String {
///     format!("the sites of {}", key.owner())
/// }
///
/// fn app(keys: KeyService) -> Result<Router, keyward::FieldError> {
///     let gate = ApiKeyLayer::new(keys, Environment::PRODUCTION);
///     let sites = Router::new().route("/sites", get(sites));
///     Ok(sites.route_layer(gate.require("read:assets")?))
/// }
/// ```
///
/// # Allocations
///
/// When the key is at hand (in the cache, or a `MemoryStore`), nothing is boxed, and the
/// only allocations are those of the extension that holds the `Verified`, and of the
/// `RateLimit` headers if the key has limits.
///
/// # Security
///
/// - Use axum's `route_layer`: with `layer` an unknown path would be answered 401.
/// - A second layer around a route would take the limits twice, and before its own refusal.
/// - The headers that hold keys are marked sensitive, so that what prints headers doesn't
///   print them, and go on to the inner service unless
///   [`strip_credentials`](ApiKeyLayer::strip_credentials) is asked for.
#[derive(Clone)]
#[must_use]
pub struct ApiKeyLayer(Arc<Route>);

impl ApiKeyLayer {
    /// A layer with the defaults of a [`Gate`].
    pub fn new(keys: KeyService, environment: Environment) -> Self {
        Self::from_gate(Gate::new(keys, environment))
    }

    /// A layer of this gate.
    pub fn from_gate(gate: Gate) -> Self {
        Self(Arc::new(Route::new(gate)))
    }

    /// The same layer, which requires this scope.
    ///
    /// What was required before is required too: a requirement is never replaced.
    ///
    /// # Errors
    ///
    /// If it is no scope, or has a wildcard: a route requires something definite.
    pub fn require(&self, scope: impl Into<Cow<'static, str>>) -> Result<Self, FieldError> {
        self.and(Requirement::One(scope.into()))
    }

    /// The same layer, which requires each of these scopes.
    ///
    /// # Errors
    ///
    /// As [`ApiKeyLayer::require`], and if there is none.
    pub fn require_all(
        &self,
        scopes: impl IntoIterator<Item = &'static str>,
    ) -> Result<Self, FieldError> {
        self.and(Requirement::All(scopes.into_iter().collect()))
    }

    /// The same layer, which requires at least one of these scopes.
    ///
    /// # Errors
    ///
    /// As [`ApiKeyLayer::require`], and if there is none.
    pub fn require_any(
        &self,
        scopes: impl IntoIterator<Item = &'static str>,
    ) -> Result<Self, FieldError> {
        self.and(Requirement::Any(scopes.into_iter().collect()))
    }

    /// The same layer, which requires what an expression says, such as
    /// `(deployments:write OR deployments:admin) AND org:read`.
    ///
    /// # Errors
    ///
    /// As [`ScopeExpr::parse`].
    pub fn require_expression(&self, expression: &str) -> Result<Self, FieldError> {
        self.and(Requirement::Expr(ScopeExpr::parse(expression)?))
    }

    /// The same layer, which lets requests without a key through too.
    ///
    /// A key that is not valid is refused all the same. A bearer token that isn't meant to
    /// be a key of ours counts as none.
    pub fn optional(&self) -> Self {
        self.with(|route| route.is_optional = true)
    }

    /// The same layer, which reads off each request which resource of this kind it touches.
    /// It may be called for several kinds.
    ///
    /// A request of which nothing is read touches none: keys that are restricted to some
    /// resource of the kind are then refused.
    ///
    /// ```
    /// # use keyward::ApiKeyLayer;
    /// # fn layer(gate: ApiKeyLayer) -> ApiKeyLayer {
    /// // /customers/{id}/…
    /// gate.resource("customer", |parts| {
    ///     parts.uri.path().strip_prefix("/customers/")?.split('/').next().map(Into::into)
    /// })
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Read what the handler reads, and decode it alike: otherwise a request is judged by
    /// one resource and served another.
    pub fn resource(
        &self,
        kind: impl Into<Cow<'static, str>>,
        find: impl for<'p> Fn(&'p Parts) -> Option<Cow<'p, str>> + Send + Sync + 'static,
    ) -> Self {
        self.with(|route| route.resources.push((kind.into(), Arc::new(find))))
    }

    /// The same layer, whose requests take so many units of every limit; 1 if not set.
    pub fn cost(&self, units: u32) -> Self {
        self.with(|route| route.cost = units)
    }

    /// The same layer, which takes the key out of the request before it goes on: the header,
    /// or the parameter of the query. Credentials that aren't ours stay.
    pub fn strip_credentials(&self) -> Self {
        self.with(|route| route.strips = true)
    }

    /// The gate it is made of.
    pub fn gate(&self) -> &Gate {
        &self.0.gate
    }

    fn and(&self, requirement: Requirement) -> Result<Self, FieldError> {
        let requirement = self.0.requirement.and(requirement)?;
        Ok(self.with(|route| route.requirement = requirement))
    }

    fn with(&self, change: impl FnOnce(&mut Route)) -> Self {
        let mut route = Route::clone(&self.0);
        change(&mut route);
        Self(Arc::new(route))
    }
}

impl From<Gate> for ApiKeyLayer {
    fn from(gate: Gate) -> Self {
        Self::from_gate(gate)
    }
}

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyGuard<S>;

    fn layer(&self, inner: S) -> ApiKeyGuard<S> {
        ApiKeyGuard::new(Arc::clone(&self.0), inner)
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer")
            .field("gate", &self.0.gate)
            .field("requirement", &self.0.requirement)
            .field("is_optional", &self.0.is_optional)
            .finish_non_exhaustive()
    }
}
