//! The parts of a key that must not be seen: wiped on drop, redacted in `Debug`.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::TAIL_LEN;

/// Characters of a secret.
pub(crate) const SECRET_LEN: usize = 43;

/// The whole text of an API key, as its holder presents it.
///
/// `Debug` shows the display hint, such as `ApiKey(ak_live_1vkr…)`. There is no
/// `Display`, no `Serialize`, no `Clone` and no equality: the text comes out by
/// [`expose_secret`](ApiKey::expose_secret) alone.
///
/// ```
/// fn hand_over_once(key: &keyward::ApiKey) -> String {
///     format!("Your key, shown only now: {}", key.expose_secret())
/// }
/// ```
///
/// # Security
///
/// The memory is wiped when the key is dropped; copies made of the exposed text
/// are not.
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    pub(crate) fn new(token: Zeroizing<String>) -> Self {
        Self(token)
    }

    /// The token: send it to its holder, once, and store it nowhere.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = self.0.len().checked_sub(TAIL_LEN).and_then(|prefix| self.0.get(..prefix + 5));
        write!(f, "ApiKey({}…)", hint.unwrap_or_default())
    }
}

impl ZeroizeOnDrop for ApiKey {}

/// The 43 ASCII characters that prove a key.
pub(crate) struct Secret([u8; SECRET_LEN]);

impl Secret {
    /// A secret of zeros, to be filled in place.
    pub(super) const fn blank() -> Self {
        Self([b'0'; SECRET_LEN])
    }

    pub(super) const fn as_mut_bytes(&mut self) -> &mut [u8; SECRET_LEN] {
        &mut self.0
    }

    /// The characters, as they enter the MAC.
    pub(crate) const fn as_bytes(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

/// Which of the key's two credential slots a secret belongs to: 0 or 1.
///
/// It is the lowest bit of the first character's ASCII code. 31 of the 62
/// characters are even and 31 odd, so the slots are equally wide; no branch, no
/// table.
pub(crate) const fn slot_of(secret: &[u8; SECRET_LEN]) -> usize {
    let [first, ..] = *secret;
    (first & 1) as usize
}
