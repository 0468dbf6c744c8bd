//! Keys where they should not be: a rule for scanners, an offline scan, redaction.
//!
//! All three find a key anywhere in a text, also glued to other words: a key has
//! no left boundary. They need the prefixes and nothing else.

mod redact;
mod scan;

pub use scan::Found;

pub(crate) use redact::redact;
pub(crate) use scan::scan;

use crate::token::Prefix;

/// A regular expression that matches whole keys of these prefixes and no others.
///
/// It uses what every engine of scanners has: alternation, classes, counts.
///
/// ```text
/// (?:ak_live|ak_test)_1[0-9a-hjkmnp-tv-z]{16}_[0-9A-Za-z]{49}
/// ```
///
/// Without a prefix it matches nothing.
pub(crate) fn scanner_regex(prefixes: &[Prefix]) -> String {
    if prefixes.is_empty() {
        return "[^\\s\\S]".to_owned();
    }
    let names: Vec<&str> = prefixes.iter().map(Prefix::as_str).collect();
    format!("(?:{})_1[0-9a-hjkmnp-tv-z]{{16}}_[0-9A-Za-z]{{49}}", names.join("|"))
}

/// Where in `text` a version mark `_1` stands: behind every prefix of a key.
fn marks(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices("_1").map(|(at, _)| at)
}

/// The prefixes that `text` ends with, at most one of each length.
fn ending<'p>(prefixes: &'p [Prefix], text: &'p str) -> impl Iterator<Item = &'p Prefix> {
    prefixes.iter().filter(|prefix| text.ends_with(prefix.as_str()))
}

/// The base62 characters at the start of `text`.
fn base62_run(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_alphanumeric).count()
}

#[cfg(test)]
mod tests;
