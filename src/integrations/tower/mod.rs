//! The gate as a layer of tower.

mod future;
mod guard;
mod head;
mod layer;
mod requirement;
mod route;

pub use self::future::ApiKeyFuture;
pub use self::guard::ApiKeyGuard;
pub use self::layer::ApiKeyLayer;
#[cfg(feature = "axum")]
pub(super) use self::route::{Anonymous, response};
