//! How a document spells instants and bytes; a missing field is as fatal as an unknown one.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error};

/// Demands that an optional field is written, if only as `null`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::deserialize(deserializer)
}

/// 32 bytes as URL-safe base64 without padding.
pub(crate) mod base64_bytes {
    use super::{BASE64_URL_SAFE_NO_PAD, Deserialize, Deserializer, Engine, Error};
    use crate::text::Ascii;

    pub(crate) fn serialize<S: serde::Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        // Four characters for three bytes, and no padding.
        let mut text = [0; 43];
        let written = BASE64_URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        written.map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(Ascii::new(text).as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.as_ref()).unwrap_or_default();
        bytes.try_into().map_err(|_| D::Error::custom("expected 32 bytes as base64url"))
    }
}

/// An instant with all six digits of its fraction, so that text sorts as time.
pub(crate) mod stamp {
    use super::{Deserialize, Deserializer};
    use crate::timestamp::Timestamp;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: serde::Serializer>(
        at: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(at.sortable().as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }

    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Timestamp};

        #[expect(clippy::ref_option, reason = "serde's signature")]
        pub(crate) fn serialize<S: serde::Serializer>(
            at: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.serialize_some(at.sortable().as_str()),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Option::deserialize(deserializer)
        }
    }
}
