//! Base62 without a table: digits, then A to Z, then a to z.
//!
//! Secrets pass through here, so nothing branches on a byte or indexes by one.

const TOP: u8 = 0x80;

/// The ASCII character of a digit below 62.
pub(crate) const fn to_ascii(digit: u8) -> u8 {
    let upper = at_least(digit, 10) & (b'A' - b'9' - 1);
    let lower = at_least(digit, 36) & (b'a' - b'Z' - 1);
    digit.wrapping_add(b'0' + upper + lower)
}

/// The digit of a base62 character; of any other byte, some number below 256.
pub(crate) const fn from_ascii(character: u8) -> u8 {
    let upper = at_least(character, b'A') & (b'A' - b'9' - 1);
    let lower = at_least(character, b'a') & (b'a' - b'Z' - 1);
    character.wrapping_sub(b'0' + upper + lower)
}

/// Whether all 49 characters of secret and check are base62.
///
/// All of them are looked at, whatever is found: the time is constant.
#[inline]
pub(crate) fn all_base62(field: &[u8; 49]) -> bool {
    field.iter().fold(TOP, |all, byte| all & base62_byte(*byte)) == TOP
}

/// 0xff if `value >= bound`, else 0; both below 128.
const fn at_least(value: u8, bound: u8) -> u8 {
    (value.wrapping_sub(bound) >> 7).wrapping_sub(1)
}

/// The top bit, if this is a base62 character.
///
/// Sums alone: they are the same for sixteen bytes at once, and a compiler does so.
const fn base62_byte(byte: u8) -> u8 {
    let low = byte & !TOP;
    let letter = low | 0x20;
    let is_digit = reaches(low, b'0') & !reaches(low, b'9' + 1);
    let is_letter = reaches(letter, b'a') & !reaches(letter, b'z' + 1);
    (is_digit | is_letter) & !byte & TOP
}

/// The top bit, if `low >= bound`; both below 128, so that the sum is below 256.
const fn reaches(low: u8, bound: u8) -> u8 {
    low + (TOP - bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_map_to_the_alphabet_in_order() {
        let alphabet: Vec<u8> = (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z').collect();
        assert_eq!((0..62).map(to_ascii).collect::<Vec<_>>(), alphabet);
        assert!(alphabet.into_iter().map(from_ascii).eq(0..62));
    }

    #[test]
    fn every_byte_at_every_position_is_classed_as_ascii_does() {
        for position in 0..49 {
            for byte in 0..=255u8 {
                for around in [b'0', b'9', b'A', b'Z', b'a', b'z'] {
                    let mut field = [around; 49];
                    field[position] = byte;
                    assert_eq!(
                        all_base62(&field),
                        byte.is_ascii_alphanumeric(),
                        "{byte:#x} at {position} among {around:#x}"
                    );
                }
            }
        }
    }

    #[test]
    fn neighbouring_bytes_do_not_disturb_each_other() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let mut field = [b'z'; 49];
                field[3] = first;
                field[4] = second;
                let both = first.is_ascii_alphanumeric() && second.is_ascii_alphanumeric();
                assert_eq!(all_base62(&field), both, "{first:#x} {second:#x}");
            }
        }
    }
}
