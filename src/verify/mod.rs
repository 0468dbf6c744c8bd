//! Verification without I/O: [`KeyScheme::begin`](crate::KeyScheme::begin), the host's own lookup,
//! [`Challenge::finish`].

mod challenge;
mod rejection;
mod seal;
mod verified;

pub use self::challenge::Challenge;
pub(crate) use self::challenge::{Authentic, LocalTaken, Retag, refused};
pub use self::rejection::{ErrorBody, ErrorDetails, Rejected, VerifyError};
pub(crate) use self::seal::SealVerdict;
pub use self::verified::Verified;
