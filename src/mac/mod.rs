//! Proving a key: HMAC-SHA256 on midstates, peppers, derived keys, tags.

mod compare;
mod derive;
mod hmac;
mod pepper;
mod ring;

pub(crate) use self::compare::equal;
pub(crate) use self::derive::{Label, derive, derive_seal, write_lv};
pub(crate) use self::hmac::HmacKey;
pub(crate) use self::pepper::SealMac;
pub use self::pepper::{EntropyError, Pepper, PepperId};
pub use self::ring::{PepperRing, PepperState};

/// An untruncated HMAC-SHA256 tag.
pub(crate) type Tag = [u8; 32];

/// The bytes a native tag covers: a raw key id and the secret's ASCII.
///
/// 53 bytes with a pre-keyed state are two SHA-256 compressions, the least an
/// HMAC can cost; 55 is the last length with that.
pub(crate) type TagMessage = [u8; 53];

pub(crate) fn tag_message(id: &[u8; 10], secret: &[u8; 43]) -> TagMessage {
    let mut message = [0; 53];
    let (head, tail) = message.split_at_mut(10);
    head.copy_from_slice(id);
    tail.copy_from_slice(secret);
    message
}
