//! Proving a key: HMAC-SHA256 on midstates, peppers, derived keys, tags.

mod compare;
mod derive;
mod hmac;
mod pepper;
mod ring;

pub(crate) use self::compare::equal;
pub(crate) use self::derive::{Label, derive, derive_seal, write_lv};
pub(crate) use self::hmac::{HmacKey, TagBlock};
pub(crate) use self::pepper::SealMac;
pub use self::pepper::{EntropyError, Pepper, PepperId};
pub use self::ring::{PepperRing, PepperState};

/// An untruncated HMAC-SHA256 tag.
pub(crate) type Tag = [u8; 32];
