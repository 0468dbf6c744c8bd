//! Reading a token from the right, by position.

use super::base62::all_base62;
use super::{CHECK_LEN, ChecksumHead, ID_LEN, KeyId, SECRET_LEN, TAIL_LEN, VERSION};

/// The URI scheme a token may be written with (RFC 8959), lower case.
const SECRET_TOKEN: &[u8] = b"secret-token:";

const MIN_LEN: usize = 2 + TAIL_LEN;
const MAX_LEN: usize = 32 + TAIL_LEN;

/// The fields of a well-formed token; nothing is proven about the secret.
#[derive(Clone, Copy)]
pub(crate) struct Parsed<'a, P> {
    /// What `known` made of the prefix.
    pub(crate) prefix: P,
    pub(crate) id: KeyId,
    pub(crate) secret: &'a [u8; SECRET_LEN],
}

/// The first rule a text breaks, in the order of checking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not 70 to 100 bytes, without `secret-token:`.
    Length,
    /// No `_1` before the id, or no `_` after it.
    Separator,
    /// A prefix that `known` does not know.
    UnknownPrefix,
    /// A character in the id outside its alphabet.
    Id,
    /// A character in secret or checksum that is not 0-9, A-Z, a-z.
    Character,
    /// A checksum that does not belong to the text before it: a typing error.
    Checksum,
}

/// The fields of `token`, if it is one and `known` knows its prefix.
///
/// Cheapest checks first; a text of a wrong length costs the same whatever its
/// length. Allocates nothing and never panics.
///
/// # Errors
///
/// The first rule broken.
#[inline]
pub(crate) fn parse<'t, 'h, P>(
    token: &'t str,
    known: impl FnOnce(&[u8]) -> Option<(P, &'h ChecksumHead)>,
) -> Result<Parsed<'t, P>, Malformed> {
    let token = token.as_bytes();
    let token = token.strip_prefix(SECRET_TOKEN).unwrap_or(token);
    if !(MIN_LEN..=MAX_LEN).contains(&token.len()) {
        return Err(Malformed::Length);
    }
    let (head, field) = split::<{ SECRET_LEN + CHECK_LEN }>(token)?;
    let (head, [after]) = split(head)?;
    let (head, id) = split::<ID_LEN>(head)?;
    let (prefix, before) = split(head)?;
    if (before, after) != (&[b'_', VERSION], &b'_') {
        return Err(Malformed::Separator);
    }
    let (prefix, head) = known(prefix).ok_or(Malformed::UnknownPrefix)?;
    let id = KeyId::decode(id).ok_or(Malformed::Id)?;
    // Public: whether all of it is base62.
    if !all_base62(field) {
        return Err(Malformed::Character);
    }
    let (body, check) = split::<CHECK_LEN>(token)?;
    let (_, piece) = split(body)?;
    // Public: whether the checksum is the text's.
    if !head.fits(piece, *check) {
        return Err(Malformed::Checksum);
    }
    let secret = field.first_chunk().ok_or(Malformed::Length)?;
    Ok(Parsed { prefix, id, secret })
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8], &[u8; N]), Malformed> {
    bytes.split_last_chunk().ok_or(Malformed::Length)
}
