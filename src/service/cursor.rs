use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::error::FieldError;
use crate::store::{KeyQuery, ListPosition};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

const VERSION: u8 = 1;

/// The text of a place in the list: version, instant, id, checksum.
///
/// It is no secret and grants nothing; the checksum only tells a damaged one.
pub(super) fn write(position: ListPosition) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&position.created_at.as_micros().to_be_bytes());
    bytes.extend_from_slice(position.id.as_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The text of the place behind a key, for whoever leaves out some keys of a page.
#[cfg(feature = "axum")]
pub(crate) fn behind(key: &crate::record::KeyView) -> String {
    write(ListPosition { created_at: key.created_at, id: key.id })
}

fn read(text: &str) -> Option<ListPosition> {
    const LENGTH: usize = 1 + 8 + 10 + 4;
    if text.len() > 2 * LENGTH {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (head, check) = bytes.split_last_chunk::<4>()?;
    let (version, rest) = head.split_first()?;
    let (micros, id) = rest.split_first_chunk::<8>()?;
    let sound = *version == VERSION && crc32fast::hash(head).to_be_bytes() == *check;
    sound.then_some(ListPosition {
        created_at: Timestamp::from_micros(i64::from_be_bytes(*micros)),
        id: KeyId::from_bytes(id.try_into().ok()?),
    })
}

impl KeyQuery {
    /// Goes on where a [`Page`](crate::Page) ended.
    ///
    /// # Errors
    ///
    /// A text that is not the `next` of a page.
    pub fn cursor(self, cursor: &str) -> Result<Self, FieldError> {
        match read(cursor) {
            Some(position) => Ok(self.after(position)),
            None => Err(FieldError::new("cursor", cursor, "must be the `next` of a page")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_cursor_is_refused() {
        let position = ListPosition {
            created_at: Timestamp::from_unix_seconds(1_750_000_000),
            id: KeyId::from_bytes([9; 10]),
        };
        let text = write(position);
        assert_eq!(read(&text), Some(position));
        for i in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[i] = if damaged[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(read(std::str::from_utf8(&damaged).unwrap()), None);
            assert_eq!(read(&text[..i]), None);
        }
        for hostile in ["", "\0", "null", "AAAA", &"A".repeat(1 << 20)] {
            assert!(KeyQuery::new().cursor(hostile).is_err());
        }
    }
}
