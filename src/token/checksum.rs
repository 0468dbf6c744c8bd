//! The six characters at the end of a token: error detection, never security.

use super::TAIL_LEN;
use super::base62::{from_ascii, to_ascii};

/// Characters of the checksum: 62^6 exceeds 2^32, 62^5 does not.
pub(crate) const CHECK_LEN: usize = 6;

/// The bytes of the body that are hashed as one piece: the secret is among them.
const PIECE: usize = 64;

/// CRC-32 (ISO-HDLC, as in zlib) of `body`, in base62, left-padded with `0`.
///
/// `body` is every byte before the checksum. It has one spelling.
///
/// # Security
///
/// The last 64 bytes, which hold the secret, go in as one piece: with carry-less
/// multiplication (x86-64, and CRC instructions on aarch64) `crc32fast` folds
/// whole 16-byte blocks and reads a table only for the remainder, here the
/// public head. Elsewhere it falls back to a table.
pub(crate) fn checksum(body: &[u8]) -> [u8; CHECK_LEN] {
    let (head, piece) = body.split_at(body.len().saturating_sub(PIECE));
    let mut crc = ChecksumHead::new(head).0;
    crc.update(piece);
    base62(crc.finalize())
}

/// The checksum so far, after the public head that comes before the last 64 bytes.
#[derive(Clone)]
pub(crate) struct ChecksumHead(crc32fast::Hasher);

impl ChecksumHead {
    /// That of keys with this prefix.
    pub(crate) fn of_prefix(prefix: &[u8]) -> Self {
        let shared = PIECE - (TAIL_LEN - CHECK_LEN);
        Self::new(prefix.get(..prefix.len().saturating_sub(shared)).unwrap_or_default())
    }

    fn new(head: &[u8]) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(head);
        Self(crc)
    }

    /// Whether `check`, all of it base62, is the checksum of a body that ends in `piece`.
    ///
    /// To read six digits takes less than to write them: that is six divisions, each
    /// waiting for the one before.
    #[inline]
    pub(crate) fn fits(&self, piece: &[u8; PIECE], check: [u8; CHECK_LEN]) -> bool {
        let mut crc = self.0.clone();
        crc.update(piece);
        check.iter().fold(0, |value, digit| value * 62 + u64::from(from_ascii(*digit)))
            == u64::from(crc.finalize())
    }
}

fn base62(mut value: u32) -> [u8; CHECK_LEN] {
    let mut check = [b'0'; CHECK_LEN];
    for place in check.iter_mut().rev() {
        let digit = (value % 62) as u8;
        *place = to_ascii(digit);
        value /= 62;
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tests::naive_crc32;

    #[test]
    fn the_catalogued_check_value_of_iso_hdlc() {
        assert_eq!(naive_crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(b"123456789"), base62(0xcbf4_3926));
    }

    #[test]
    fn numbers_are_padded_to_six_places() {
        assert_eq!(&base62(0), b"000000");
        assert_eq!(&base62(61), b"00000z");
        assert_eq!(&base62(62), b"000010");
        assert_eq!(&base62(u32::MAX), b"4gfFC3");
    }

    #[test]
    fn every_length_agrees_with_a_bitwise_crc() {
        let bytes: Vec<u8> = (0..=200u8).map(|i| i.wrapping_mul(151)).collect();
        for length in 0..bytes.len() {
            let body = &bytes[..length];
            assert_eq!(checksum(body), base62(naive_crc32(body)), "{length} bytes");
        }
    }
}
