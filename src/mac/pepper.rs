use std::fmt;
use std::str::FromStr;

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::error::FieldError;
use crate::text::{Ascii, serde_as_text};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

const RULE: &str = "must be 32 random bytes (openssl rand -base64 32)";

/// A server-side secret that every tag and seal is keyed with: 32 random bytes.
///
/// Keep it apart from the database: a copy of one without the other is useless.
/// It is wiped when dropped, and has no text form.
///
/// ```
/// use keyward::{Pepper, PepperRing};
///
/// let text = PepperRing::generate()?;
/// let pepper = Pepper::from_base64(&text)?;
/// assert!(Pepper::from_bytes(b"too short").is_err());
/// assert!(!format!("{pepper:?}").contains(&*text));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    /// A pepper from its bytes.
    ///
    /// # Errors
    ///
    /// Anything but 32 bytes, and 32 equal bytes. The bytes are not repeated.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FieldError> {
        let Ok(pepper) = bytes.try_into().map(Self) else {
            let rule = format!("{RULE}, not {}", bytes.len());
            return Err(FieldError::unshown("pepper", rule));
        };
        let [first, rest @ ..] = &pepper.0;
        if rest.iter().all(|byte| byte == first) {
            let rule = format!("{RULE}, not one byte repeated");
            return Err(FieldError::unshown("pepper", rule));
        }
        Ok(pepper)
    }

    /// A pepper from base64 text, standard or URL-safe, padded or not.
    ///
    /// # Errors
    ///
    /// Text that is not base64, and what [`Pepper::from_bytes`] refuses.
    pub fn from_base64(text: &str) -> Result<Self, FieldError> {
        let text = text.trim();
        let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
        let bytes = GeneralPurpose::new(alphabet, LENIENT).decode(text).map_err(|_| {
            FieldError::unshown("pepper", format!("{RULE} as base64; this text is not base64"))
        })?;
        Self::from_bytes(&Zeroizing::new(bytes))
    }

    /// A pepper from a callback: a secret manager, a key-management service, a file.
    ///
    /// # Errors
    ///
    /// The callback's own error, as text, and what [`Pepper::from_bytes`] refuses.
    pub fn from_fn<E: fmt::Display>(
        load: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Self, FieldError> {
        let bytes = load().map_err(|error| {
            FieldError::unshown("pepper", format!("could not be loaded: {error}"))
        })?;
        Self::from_bytes(&Zeroizing::new(bytes))
    }

    pub(super) fn generate() -> Result<Zeroizing<String>, EntropyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(EntropyError::new)?;
        Ok(Zeroizing::new(BASE64_STANDARD.encode(bytes.as_ref())))
    }

    /// The fingerprint by which records name this pepper.
    pub fn id(&self) -> PepperId {
        let tag = self.expand(b"keyward/v1/pepper-id");
        PepperId(tag.first_chunk().copied().unwrap_or_default())
    }

    /// HMAC-SHA256 under the pepper itself: only for deriving.
    pub(super) fn expand(&self, info: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut mac = keyed(&self.0);
        mac.update(info);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

/// HMAC-SHA256 over a message that comes in pieces.
pub(crate) type SealMac = Hmac<Sha256>;

pub(super) fn keyed(key: &[u8; 32]) -> SealMac {
    // `new` takes a block of 64 bytes and so can't fail; a zero-padded key is the same key.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    SealMac::new((&*block).into())
}

impl Drop for Pepper {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({})", self.id())
    }
}

/// The fingerprint of a pepper: 16 hexadecimal digits, safe to log.
///
/// It is computed (HMAC under a fixed label, cut to 64 bits), never chosen, so a
/// wrong pepper can't answer to a right name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PepperId([u8; 8]);

impl PepperId {
    pub(crate) const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    fn text(self) -> Ascii<16> {
        Ascii::hex(&self.0)
    }
}

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PepperId {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u64::from_str_radix(text, 16) {
            Ok(number) if digits && text.len() == 16 => Ok(Self(number.to_be_bytes())),
            _ => Err(FieldError::new("pepper", text, "must be 16 lower-case hexadecimal digits")),
        }
    }
}

serde_as_text!(PepperId, |id: &PepperId| id.text());

/// The source of randomness failed; nothing was issued.
#[derive(Debug, thiserror::Error)]
#[error("the source of randomness failed")]
pub struct EntropyError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl EntropyError {
    pub(crate) fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(source))
    }
}
