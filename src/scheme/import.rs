use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256, Sha512};

use crate::error::FieldError;
use crate::mac::HmacKey;
use crate::timestamp::Timestamp;
use crate::token::KeyId;

/// What another system kept of its secrets.
#[derive(Clone)]
#[non_exhaustive]
pub enum ImportDigest {
    /// HMAC-SHA256 under a key of the host's.
    HmacSha256(ImportKey),
    /// Plain SHA-256.
    Sha256,
    /// Plain SHA-512.
    Sha512,
}

impl ImportDigest {
    fn of(&self, secret: &[u8]) -> DigestBytes {
        match self {
            Self::HmacSha256(ImportKey(key)) => DigestBytes::new(&key.tag(secret)),
            Self::Sha256 => DigestBytes::new(&Sha256::digest(secret)),
            Self::Sha512 => DigestBytes::new(&Sha512::digest(secret)),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::HmacSha256(_) | Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Debug for ImportDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256(_) => "HmacSha256(…)",
            Self::Sha256 => "Sha256",
            Self::Sha512 => "Sha512",
        })
    }
}

/// The key of a host's own HMAC-SHA256, absorbed; it has no text form.
#[derive(Clone)]
pub struct ImportKey(HmacKey);

impl ImportKey {
    /// A key of at least 16 bytes.
    ///
    /// # Errors
    ///
    /// A shorter one. The bytes are not repeated.
    pub fn new(key: &[u8]) -> Result<Self, FieldError> {
        if key.len() < 16 {
            return Err(FieldError::unshown("import_key", "must be at least 16 bytes"));
        }
        Ok(Self(HmacKey::new(key)))
    }
}

impl fmt::Debug for ImportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportKey(…)")
    }
}

/// A digest of up to 64 bytes, without a heap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct DigestBytes {
    bytes: [u8; 64],
    length: usize,
}

impl DigestBytes {
    fn new(digest: &[u8]) -> Self {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = *from;
        }
        Self { bytes, length: digest.len().min(64) }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Secrets of another system, of which the host has the digests.
///
/// Its clients keep the strings they have; only a regenerate or a rotation makes
/// them native. A presented string is tried as a native token first.
///
/// ```
/// use keyward::{ImportDigest, ImportFamily};
///
/// let family = ImportFamily::new("legacy", "lk_", ImportDigest::Sha256, 128)?
///     .lengths(35..=35)?
///     .until("2027-01-01T00:00:00Z".parse()?);
/// assert_eq!(family.seen(), 0);
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImportFamily {
    name: Box<str>,
    starts_with: Box<str>,
    lengths: RangeInclusive<usize>,
    digest: ImportDigest,
    until: Option<Timestamp>,
    seen: Arc<AtomicU64>,
}

/// The longest imported secret, in bytes.
const LONGEST: usize = 512;

impl ImportFamily {
    /// A family of secrets of visible ASCII that start with `starts_with`, have 16 to
    /// 512 bytes, and at least `entropy_bits` bits of randomness each.
    ///
    /// # Errors
    ///
    /// A name that is not 1 to 32 of `a-z 0-9 - _`, and less than 112 bits: the key
    /// id is made from the digest, and of a guessable secret it would tell too much.
    pub fn new(
        name: &str,
        starts_with: &str,
        digest: ImportDigest,
        entropy_bits: u32,
    ) -> Result<Self, FieldError> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if !(1..=32).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(FieldError::new(
                "family",
                name,
                "must be 1 to 32 of `a-z`, `0-9`, `-`, `_`",
            ));
        }
        if entropy_bits < 112 {
            let rule = "must be at least 112 bits; weaker secrets have to be replaced";
            return Err(FieldError::new("entropy_bits", &entropy_bits.to_string(), rule));
        }
        Ok(Self {
            name: name.into(),
            starts_with: starts_with.into(),
            lengths: 16..=LONGEST,
            digest,
            until: None,
            seen: Arc::default(),
        })
    }

    /// Narrows the length of the whole secret, in bytes.
    ///
    /// # Errors
    ///
    /// An empty range, or one that goes beyond 512.
    pub fn lengths(self, lengths: RangeInclusive<usize>) -> Result<Self, FieldError> {
        if lengths.is_empty() || *lengths.end() > LONGEST || *lengths.start() == 0 {
            let rule = format!("must be a range within 1 to {LONGEST}");
            return Err(FieldError::new("lengths", &format!("{lengths:?}"), rule));
        }
        Ok(Self { lengths, ..self })
    }

    /// When the family is switched off.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }

    /// The family's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many strings of this shape were presented to this scheme.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Whether a presented string has this family's shape.
    pub(crate) fn fits(&self, presented: &str) -> bool {
        self.lengths.contains(&presented.len())
            && presented.starts_with(&*self.starts_with)
            && presented.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The digest of a presented string, if it has this family's shape.
    pub(crate) fn digest(&self, presented: &str) -> Option<DigestBytes> {
        self.fits(presented).then(|| {
            self.seen.fetch_add(1, Ordering::Relaxed);
            self.digest.of(presented.as_bytes())
        })
    }

    /// The digest that a host's old table holds, as hexadecimal or base64.
    pub(crate) fn parse_digest(&self, text: &str) -> Result<DigestBytes, FieldError> {
        let length = self.digest.length();
        let hex = || {
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            let pair =
                |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            rest.is_empty().then(|| pairs.iter().map(pair).collect::<Option<Vec<u8>>>())?
        };
        let bytes = if text.len() == 2 * length && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            hex()
        } else {
            let standard = BASE64_STANDARD.decode(text).ok();
            standard.or_else(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
        };
        match bytes {
            Some(bytes) if bytes.len() == length => Ok(DigestBytes::new(&bytes)),
            _ => {
                let rule = format!("must be {length} bytes as hexadecimal or base64");
                Err(FieldError::unshown("digest", rule))
            }
        }
    }

    /// The id of an imported secret: unkeyed, so that a pepper rotation doesn't lose it.
    pub(crate) fn id(&self, digest: &DigestBytes) -> KeyId {
        let mut hash = Sha256::new();
        for part in [b"keyward/v1/import-id".as_slice(), self.name.as_bytes(), digest.as_slice()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        KeyId::from_bytes(hash.first_chunk().copied().unwrap_or_default())
    }
}
