//! The readable beginning of a key: brand and environment.

use std::fmt;
use std::str::FromStr;

use super::id::is_id_byte;
use super::{ID_LEN, VERSION};
use crate::error::FieldError;
use crate::text::serde_as_text;

const MIN_LEN: usize = 2;
const MAX_LEN: usize = 32;

/// The beginning of a key, such as `ak_live`: brand and environment.
///
/// 2 to 32 bytes of `[a-z][a-z0-9]*(_[a-z0-9]+)*`; a segment of `1` and 16 id
/// characters is refused, since a token could not be told from it. Serde and
/// `Display` use the text.
///
/// Avoid `sk_live`, `rk_live` and `pk_live` in new prefixes: scanners take them
/// for keys of another vendor.
///
/// ```
/// use keyward::Prefix;
///
/// let prefix = Prefix::new("ak_live")?;
/// assert_eq!(prefix.as_str(), "ak_live");
/// assert!(Prefix::new("AK-live").is_err());
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    // Padded with zeros, which sort before every letter: the derived order is that of the text.
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl Prefix {
    /// The prefix with this text.
    ///
    /// # Errors
    ///
    /// Names the rule broken. Text above 32 bytes is not repeated: it may be a token.
    pub fn new(text: &str) -> Result<Self, FieldError> {
        let long = || FieldError::unshown("prefix", "must have 2 to 32 characters");
        let wrong = |rule: &str| Err(FieldError::new("prefix", text, rule));
        let len = u8::try_from(text.len()).map_err(|_| long())?;
        let mut bytes = [0; MAX_LEN];
        bytes.get_mut(..text.len()).ok_or_else(long)?.copy_from_slice(text.as_bytes());
        if text.len() < MIN_LEN {
            return wrong("must have 2 to 32 characters");
        }
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
            return wrong("must begin with a letter a-z");
        }
        for segment in text.as_bytes().split(|&byte| byte == b'_') {
            if segment.is_empty() {
                return wrong("must have a character on both sides of every `_`");
            }
            if !segment.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
                return wrong("must hold only a-z, 0-9 and `_`");
            }
            if is_like_an_id(segment) {
                return wrong("must not have a segment of `1` and 16 characters of a key id");
            }
        }
        Ok(Self { bytes, len })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

fn is_like_an_id(segment: &[u8]) -> bool {
    match segment {
        [VERSION, id @ ..] => id.len() == ID_LEN && id.iter().copied().all(is_id_byte),
        _ => false,
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for Prefix {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::new(text)
    }
}

serde_as_text!(Prefix, Prefix::as_str);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(text: &str) -> bool {
        let grammar = regex::Regex::new(r"\A[a-z][a-z0-9]*(?:_[a-z0-9]+)*\z").unwrap();
        let id = regex::Regex::new(r"(?:\A|_)1[0-9a-hjkmnp-tv-z]{16}(?:_|\z)").unwrap();
        (2..=32).contains(&text.len()) && grammar.is_match(text) && !id.is_match(text)
    }

    #[test]
    fn short_texts_follow_the_grammar_exhaustively() {
        let alphabet = ["a", "z", "0", "9", "_", "A", "-", "é", "\0"];
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            let longer: Vec<String> = texts
                .iter()
                .flat_map(|text| alphabet.map(|piece| format!("{text}{piece}")))
                .collect();
            texts.extend(longer);
            texts.dedup();
        }
        let grammar = regex::Regex::new(r"\A[a-z][a-z0-9]*(?:_[a-z0-9]+)*\z").unwrap();
        for text in texts {
            let expected = text.len() >= 2 && grammar.is_match(&text);
            assert_eq!(Prefix::new(&text).is_ok(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn new_agrees_with_the_grammar(text in "[a-z]{1,3}(_[a-z0-9]{1,9}|_1[0-9a-hjkmnp-tv-z]{15,17}|_|[A-Z]){0,3}") {
            let prefix = Prefix::new(&text);
            prop_assert_eq!(prefix.is_ok(), model(&text));
            if let Ok(prefix) = prefix {
                prop_assert_eq!(prefix.as_str(), &text);
                let json = serde_json::to_string(&prefix).unwrap();
                prop_assert_eq!(serde_json::from_str::<Prefix>(&json).unwrap(), prefix);
            }
        }

        #[test]
        fn order_is_that_of_the_text(one in "[a-z][a-z0-9]{1,31}", other in "[a-z][a-z0-9]{1,31}") {
            let ordering = Prefix::new(&one).unwrap().cmp(&Prefix::new(&other).unwrap());
            prop_assert_eq!(ordering, one.cmp(&other));
        }
    }

    #[test]
    fn errors_name_the_rule() {
        let rule = |text: &str| Prefix::new(text).unwrap_err().rule().to_owned();
        assert!(rule("a").contains("2 to 32"));
        assert!(rule(&"a".repeat(33)).contains("2 to 32"));
        assert!(rule("1ak").contains("begin with a letter"));
        assert!(rule("ak__live").contains("both sides"));
        assert!(rule("ak_Live").contains("only a-z"));
        assert!(rule("ak_10123456789abcdef").contains("segment"));
        assert!(Prefix::new("ak_10123456789abcdeu").is_ok());
        assert_eq!(Prefix::new(&"a".repeat(300)).unwrap_err().given(), None);
    }
}
