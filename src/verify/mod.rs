//! Verification without I/O: [`KeyScheme::begin`](crate::KeyScheme::begin), the host's own lookup,
//! [`Challenge::finish`].

mod challenge;
mod limits;
mod rejection;
mod seal;
mod verified;

pub use self::challenge::Challenge;
pub(crate) use self::challenge::{Authentic, Retag, refused};
pub(crate) use self::limits::LocalTaken;
pub use self::rejection::{ErrorBody, ErrorDetails, Rejected, VerifyError};
pub(crate) use self::seal::SealVerdict;
pub use self::verified::Verified;
