//! What goes wrong: bad input, and a store that failed.

mod field;
mod store;

pub use self::field::FieldError;
pub use self::store::{StoreError, StoreErrorKind};
