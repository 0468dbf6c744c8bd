//! Whether a proven key may do what a request wants.

mod decision;
mod delegation;
mod evaluate;
mod explain;
mod request;

pub use self::decision::{Decision, Deny, LimitName};
pub use self::delegation::Actor;
pub(crate) use self::delegation::widens;
pub use self::evaluate::Check;
pub(crate) use self::evaluate::Subject;
pub use self::explain::{Outcome, Step, Trace};
pub use self::request::AccessRequest;
