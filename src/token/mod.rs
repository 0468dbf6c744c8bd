//! What a key looks like: prefix, id, secret, checksum, and how the four are read and made.
//!
//! ```text
//! token  = prefix "_" "1" id "_" secret check
//! prefix = [a-z][a-z0-9]*(_[a-z0-9]+)*     2..=32 bytes: brand and environment
//! id     = 16 x [0-9a-hjkmnp-tv-z]          60 random bits and 20 keyed check bits; public
//! secret = 43 x [0-9A-Za-z]                 from a random generator, never decoded
//! check  = 6 x [0-9A-Za-z]                  CRC-32 of every byte before it, in base62
//! ```

mod base62;
mod checksum;
mod generate;
mod id;
mod parse;
mod prefix;
mod secret;
#[cfg(test)]
pub(crate) mod tests;

pub use id::KeyId;
pub use prefix::Prefix;
pub use secret::ApiKey;

pub(crate) use base62::all_base62;
pub(crate) use checksum::{CHECK_LEN, ChecksumHead, checksum};
pub(crate) use generate::{Generated, generate};
pub(crate) use id::ID_LEN;
pub(crate) use parse::parse;
pub(crate) use secret::{SECRET_LEN, Secret, slot_of};

use zeroize::Zeroizing;

use crate::text::ascii;

/// The digit between `_` and the id that names this layout.
pub(crate) const VERSION: u8 = b'1';

/// Bytes of a token that are not its prefix: `_1`, id, `_`, secret, check.
pub(crate) const TAIL_LEN: usize = 2 + ID_LEN + 1 + SECRET_LEN + CHECK_LEN;

/// The whole text of a key, with its checksum.
pub(crate) fn assemble(prefix: &Prefix, id: KeyId, secret: &Secret) -> ApiKey {
    // Exact capacity: a growing buffer would leave an unwiped copy behind.
    let mut token = Zeroizing::new(String::with_capacity(prefix.as_str().len() + TAIL_LEN));
    token.push_str(prefix.as_str());
    token.push('_');
    token.push(char::from(VERSION));
    token.push_str(ascii(&id.encode()));
    token.push('_');
    // As characters, each would be asked how long it is.
    token.push_str(ascii(secret.as_bytes()));
    let check = checksum(token.as_bytes());
    token.push_str(ascii(&check));
    ApiKey::new(token)
}

/// What a list shows of a key: its prefix, `_1`, and three characters of its id.
pub(crate) fn display_hint(prefix: &str, id: KeyId) -> String {
    let shown = id.encode().into_iter().take(3).map(char::from);
    let mut hint = String::with_capacity(prefix.len() + 5);
    hint.push_str(prefix);
    hint.push('_');
    hint.push(char::from(VERSION));
    hint.extend(shown);
    hint
}
