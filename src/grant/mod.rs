//! What a key may do: values and matching, no I/O and no time.

mod client;
mod environment;
mod expr;
mod network;
mod network_rules;
mod ranges;
mod resource;
mod roles;
mod scope;
mod scope_set;
mod scopes;
mod text;

pub use client::ClientIp;
pub use environment::Environment;
pub use expr::ScopeExpr;
pub use network::Network;
pub use network_rules::{NetworkRules, NetworkVerdict};
pub use resource::ResourceRules;
pub use roles::{RoleName, Roles};
pub use scope::Scope;
pub use scope_set::ScopeSet;
pub use scopes::Scopes;
