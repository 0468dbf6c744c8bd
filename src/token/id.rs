//! The public id of a key.

use std::fmt;
use std::str::FromStr;

use crate::error::FieldError;
use crate::text::{Ascii, serde_as_text};

/// Characters of an id inside a token.
pub(crate) const ID_LEN: usize = 16;

const SHOWN_PREFIX: &str = "key_";
const CHECK_BITS: u32 = 20;
const CHECK_MASK: u32 = (1 << CHECK_BITS) - 1;

/// Crockford's base32, lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const FOREIGN: u8 = 0xff;
/// The value of each byte in [`ALPHABET`]. Indexing by it is fine: ids are public.
const VALUES: [u8; 256] = values();

/// The public id of a key: 80 bits, of which 60 are random and 20 are a keyed check.
///
/// It names a key in logs, URLs and stores, and survives a regenerated secret.
/// Text is `key_` and 16 lower-case Crockford base32 characters
/// (`0123456789abcdefghjkmnpqrstvwxyz`), in `Display`, `FromStr` and serde alike;
/// inside a token the 16 characters stand without `key_`. Order is that of the
/// text.
///
/// ```
/// use keyward::KeyId;
///
/// let id: KeyId = "key_1vkr6z0gq5m3x8ye".parse()?;
/// assert_eq!(id.to_string(), "key_1vkr6z0gq5m3x8ye");
/// assert_eq!(KeyId::from_bytes(*id.as_bytes()), id);
/// assert!("key_1VKR6Z0GQ5M3X8YE".parse::<KeyId>().is_err());
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 10]);

impl KeyId {
    /// The id with these 10 bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 10]) -> Self {
        Self(bytes)
    }

    /// The 10 bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// The id of 60 random bits and 20 check bits; higher bits of either are ignored.
    pub(crate) const fn from_parts(random: u64, check: u32) -> Self {
        Self::from_number(((random as u128) << CHECK_BITS) | (check & CHECK_MASK) as u128)
    }

    /// The first 60 bits: the first twelve characters.
    pub(crate) const fn random_part(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "80 - 20 bits remain")]
        let random = (self.number() >> CHECK_BITS) as u64;
        random
    }

    /// The last 20 bits: the last four characters.
    pub(crate) const fn check_part(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "masked to 20 bits")]
        let low = self.number() as u32;
        low & CHECK_MASK
    }

    /// The 16 characters that stand in a token.
    pub(crate) fn encode(&self) -> [u8; ID_LEN] {
        let mut number = self.number();
        let mut text = [0; ID_LEN];
        for place in text.iter_mut().rev() {
            let value = (number & 31) as usize;
            *place = ALPHABET.get(value).copied().unwrap_or(b'0');
            number >>= 5;
        }
        text
    }

    /// `key_` and the 16 characters.
    pub(crate) fn text(&self) -> Ascii<{ SHOWN_PREFIX.len() + ID_LEN }> {
        let mut text = [0; SHOWN_PREFIX.len() + ID_LEN];
        if let Some((prefix, id)) = text.split_first_chunk_mut() {
            *prefix = *b"key_";
            id.copy_from_slice(&self.encode());
        }
        Ascii::new(text)
    }

    /// The id with these characters, if all are of the alphabet.
    pub(crate) fn decode(text: &[u8; ID_LEN]) -> Option<Self> {
        let (high, low) = text.split_first_chunk::<8>()?;
        let (low, _) = low.split_first_chunk::<8>()?;
        let (high, low) = (forty_bits(*high)?, forty_bits(*low)?);
        Some(Self::from_number(u128::from(high) << 40 | u128::from(low)))
    }

    /// Whether a scanner would take what follows for another vendor's secret.
    ///
    /// In a token `_` and the secret stand behind the id. GitHub's rules for its own tokens
    /// (`ghp_`, `ghr_` and `ghs_` with 36 letters and digits) have no left boundary: a key
    /// with such an id, one in eleven thousand, would have most of its secret reported to
    /// GitHub. Of 221 published rules these three alone do so. (`gho_` and `ghu_` have
    /// letters that an id has not.)
    pub(crate) fn invites_a_scanner(self) -> bool {
        matches!(self.encode(), [.., b'g', b'h', b'p' | b'r' | b's'])
    }

    const fn number(self) -> u128 {
        let mut wide = [0; 16];
        if let Some(low) = wide.last_chunk_mut() {
            *low = self.0;
        }
        u128::from_be_bytes(wide)
    }

    const fn from_number(number: u128) -> Self {
        match number.to_be_bytes().last_chunk() {
            Some(low) => Self(*low),
            None => Self([0; 10]),
        }
    }
}

/// Whether a byte can stand in an id.
pub(crate) fn is_id_byte(byte: u8) -> bool {
    value_of(byte) != FOREIGN
}

fn forty_bits(text: [u8; 8]) -> Option<u64> {
    let mut bits = 0;
    let mut seen = 0;
    for byte in text {
        let value = value_of(byte);
        seen |= value;
        bits = bits << 5 | u64::from(value);
    }
    (seen < 32).then_some(bits)
}

fn value_of(byte: u8) -> u8 {
    VALUES.get(usize::from(byte)).copied().unwrap_or(FOREIGN)
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time, where a wrong index is a build error"
)]
const fn values() -> [u8; 256] {
    let mut values = [FOREIGN; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = FieldError;

    /// Reads `key_` and 16 characters.
    ///
    /// # Errors
    ///
    /// Names the rule broken: the `key_`, the length, the case, the alphabet. Text
    /// of another length or beginning is not repeated, for it may be a whole token.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let Some(id) = text.strip_prefix(SHOWN_PREFIX) else {
            return Err(FieldError::unshown("id", "must begin with `key_`"));
        };
        let Ok(id) = <&[u8; ID_LEN]>::try_from(id.as_bytes()) else {
            return Err(FieldError::unshown(
                "id",
                format!("must have {ID_LEN} characters after `key_`, got {}", id.chars().count()),
            ));
        };
        Self::decode(id).ok_or_else(|| {
            let lower = id.to_ascii_lowercase();
            let rule = if lower.iter().copied().all(is_id_byte) {
                "must be in lower case"
            } else {
                "must hold only 0-9 and a-z without i, l, o, u"
            };
            FieldError::new("id", text, rule)
        })
    }
}

serde_as_text!(KeyId, KeyId::text);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_text_and_parts_agree(bytes: [u8; 10]) {
            let id = KeyId::from_bytes(bytes);
            prop_assert_eq!(KeyId::decode(&id.encode()), Some(id));
            prop_assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
            prop_assert_eq!(KeyId::from_parts(id.random_part(), id.check_part()), id);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(&json, &format!("\"{id}\""));
            prop_assert_eq!(serde_json::from_str::<KeyId>(&json).unwrap(), id);
        }

        #[test]
        fn order_is_that_of_the_text(one: [u8; 10], other: [u8; 10]) {
            let (one, other) = (KeyId::from_bytes(one), KeyId::from_bytes(other));
            prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        }

        #[test]
        fn a_change_of_the_check_keeps_the_first_twelve_characters(
            random in 0u64..1 << 60,
            check in 0u32..1 << 20,
        ) {
            let (id, zero) = (KeyId::from_parts(random, check), KeyId::from_parts(random, 0));
            prop_assert_eq!(&id.encode()[..12], &zero.encode()[..12]);
            prop_assert_eq!((id.random_part(), id.check_part()), (random, check));
        }
    }

    #[test]
    fn exactly_the_alphabet_is_decoded_at_every_position() {
        for position in 0..ID_LEN {
            for byte in 0..=255 {
                let mut text = [b'0'; ID_LEN];
                text[position] = byte;
                let decoded = KeyId::decode(&text);
                assert_eq!(decoded.is_some(), ALPHABET.contains(&byte));
                assert!(decoded.is_none_or(|id| id.encode() == text));
            }
        }
    }

    #[test]
    fn errors_name_the_rule_and_never_repeat_a_token() {
        let error = |text: &str| text.parse::<KeyId>().unwrap_err().to_string();
        assert!(error("key_1VKR6Z0GQ5M3X8YE").contains("lower case, got `key_1VKR"));
        assert!(error("key_1vkr6z0gq5m3x8yu").contains("without i, l, o, u"));
        assert!(error("key_1vkr").ends_with("got 4"));
        assert!(error("1vkr6z0gq5m3x8ye").contains("begin with `key_`"));
        let token = format!("ak_live_11vkr6z0gq5m3x8ye_{}", "S".repeat(49));
        assert!(!error(&token).contains("SS"));
        assert!(!error(&format!("key_{token}")).contains("SS"));
    }
}
