//! Whole keys in a text.

use std::ops::Range;

use super::{ending, marks};
use crate::token::{CHECK_LEN, ID_LEN, KeyId, Prefix, SECRET_LEN, all_base62, checksum};

/// A key found in a text; the secret itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Where the key stands in the text, in bytes; includes the secret.
    pub range: Range<usize>,
    /// The id of the key: what to revoke.
    pub key_id: KeyId,
    /// The prefix of the key.
    pub prefix: Prefix,
    /// Whether the checksum belongs to the rest: if not, the key is mistyped, cut
    /// short and glued to other text, or made up.
    pub checksum_valid: bool,
}

/// The keys of these prefixes in `text`, in its order, in linear time.
///
/// Where several prefixes fit, it is the longest whose checksum is valid, else the
/// longest. Two ranges overlap only if a key was cut short and another one
/// follows without a gap; both are found then.
pub(crate) fn scan<'t>(prefixes: &'t [Prefix], text: &'t str) -> impl Iterator<Item = Found> + 't {
    marks(text).filter_map(move |mark| found_at(prefixes, text, mark))
}

fn found_at(prefixes: &[Prefix], text: &str, mark: usize) -> Option<Found> {
    let (before, rest) = text.split_at_checked(mark)?;
    let (id, rest) = rest.as_bytes().get(2..)?.split_first_chunk::<ID_LEN>()?;
    let (&b'_', rest) = rest.split_first()? else {
        return None;
    };
    let key_id = KeyId::decode(id)?;
    let field = rest.first_chunk::<{ SECRET_LEN + CHECK_LEN }>()?;
    if !all_base62(field) {
        return None;
    }
    let end = mark + 2 + ID_LEN + 1 + field.len();
    ending(prefixes, before)
        .map(|prefix| {
            let range = mark - prefix.as_str().len()..end;
            let key = text.as_bytes().get(range.clone());
            Found {
                key_id,
                prefix: *prefix,
                checksum_valid: key.is_some_and(has_valid_checksum),
                range,
            }
        })
        .max_by_key(|found| (found.checksum_valid, found.range.len()))
}

fn has_valid_checksum(key: &[u8]) -> bool {
    key.split_last_chunk::<CHECK_LEN>().is_some_and(|(body, check)| checksum(body) == *check)
}
