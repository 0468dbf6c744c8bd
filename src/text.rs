//! Values that are written and read as one string.

/// Serde as text, read back through `FromStr`, so that nothing that was read skips
/// validation.
///
/// A function beside the type gives the text at hand; without one it is formatted, which
/// costs more than all else that is done to a short field.
macro_rules! serde_as_text {
    ($type:ty) => {
        $crate::text::serde_as_text!(@ $type, |value, serializer| serializer.collect_str(value));
    };
    ($type:ty, $text:expr) => {
        $crate::text::serde_as_text!(@ $type, |value, serializer| {
            serializer.serialize_str($text(value).as_ref())
        });
    };
    (@ $type:ty, |$value:ident, $serializer:ident| $written:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, $serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                $written
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use serde_as_text;

/// `N` characters of ASCII, on the stack.
pub(crate) struct Ascii<const N: usize>([u8; N]);

impl<const N: usize> Ascii<N> {
    pub(crate) const fn new(characters: [u8; N]) -> Self {
        Self(characters)
    }

    /// These bytes as lower-case hexadecimal digits, two of `N` for each.
    pub(crate) fn hex(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        let mut characters = [b'0'; N];
        for (pair, byte) in characters.chunks_exact_mut(2).zip(bytes) {
            if let [high, low] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 15));
            }
        }
        Self(characters)
    }

    pub(crate) fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

/// Bytes that are ASCII, as text; of any others, none.
pub(crate) fn ascii(bytes: &[u8]) -> &str {
    // Public: that they are.
    str::from_utf8(bytes).unwrap_or_default()
}

impl<const N: usize> AsRef<str> for Ascii<N> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_what_formatting_says() {
        proptest::proptest!(|(bytes: [u8; 16])| {
            let text = format!("{:032x}", u128::from_be_bytes(bytes));
            assert_eq!(Ascii::<32>::hex(&bytes).as_str(), text);
        });
    }
}
