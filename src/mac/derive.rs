use zeroize::Zeroizing;

use super::hmac::HmacKey;
use super::pepper::{Pepper, SealMac, keyed};

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Auth,
    Id,
    Import,
    Seal,
}

impl Label {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::Auth => b"keyward/v1/auth",
            Self::Id => b"keyward/v1/id",
            Self::Import => b"keyward/v1/import",
            Self::Seal => b"keyward/v1/seal",
        }
    }
}

/// HKDF-Expand-SHA256 (RFC 5869) to one block: `HMAC(pepper, info || 0x01)`.
///
/// The pepper is a uniform key already, so there is no extract step. Each part of
/// the info carries its length, so two different lists never make the same bytes.
pub(crate) fn derive(pepper: &Pepper, label: Label, parts: &[&str]) -> HmacKey {
    HmacKey::new(expand(pepper, label, parts).as_ref())
}

/// The same for seals, whose messages come in pieces.
pub(crate) fn derive_seal(pepper: &Pepper, parts: &[&str]) -> SealMac {
    keyed(&expand(pepper, Label::Seal, parts))
}

fn expand(pepper: &Pepper, label: Label, parts: &[&str]) -> Zeroizing<[u8; 32]> {
    let mut info = Vec::new();
    write_lv(&mut info, label.text());
    for part in parts {
        write_lv(&mut info, part.as_bytes());
    }
    info.push(1);
    pepper.expand(&info)
}

/// Appends the length of `bytes` (u32, big endian), then the bytes.
pub(crate) fn write_lv(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_and_part_makes_another_key() {
        let pepper = Pepper::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        let mut tags: Vec<_> = [
            derive(&pepper, Label::Auth, &["ak_live", ""]),
            derive(&pepper, Label::Auth, &["ak_test", ""]),
            derive(&pepper, Label::Auth, &["", "ak_live"]),
            derive(&pepper, Label::Auth, &["ak_live", "realm"]),
            derive(&pepper, Label::Auth, &["ak_liver", "ealm"]),
            derive(&pepper, Label::Id, &["ak_live", ""]),
            derive(&pepper, Label::Import, &["ak_live", ""]),
            derive(&pepper, Label::Seal, &["ak_live", ""]),
        ]
        .iter()
        .map(|key| key.tag(b"message"))
        .collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 8);
    }
}
