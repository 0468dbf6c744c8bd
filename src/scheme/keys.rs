use super::SchemePrefix;
use crate::mac::{
    HmacKey, Label, Pepper, PepperId, PepperState, SealMac, Tag, TagBlock, derive, derive_seal,
};

/// Everything derived from one pepper, ready to use.
pub(crate) struct PepperKeys {
    pub(crate) id: PepperId,
    pub(crate) state: PepperState,
    check: HmacKey,
    import: HmacKey,
    pub(crate) seal: SealMac,
    auth: Vec<HmacKey>,
}

impl PepperKeys {
    pub(super) fn new(
        pepper: &Pepper,
        state: PepperState,
        realm: &str,
        prefixes: &[SchemePrefix],
    ) -> Self {
        Self {
            id: pepper.id(),
            state,
            check: derive(pepper, Label::Id, &[realm]),
            import: derive(pepper, Label::Import, &[realm]),
            seal: derive_seal(pepper, &[realm]),
            auth: prefixes
                .iter()
                .map(|known| derive(pepper, Label::Auth, &[known.prefix.as_str(), realm]))
                .collect(),
        }
    }

    /// The 20-bit keyed check of an id's random part.
    pub(crate) fn check(&self, random: u64) -> u32 {
        let tag = self.check.tag(&random.to_be_bytes());
        let [a, b, c, ..] = tag;
        u32::from_be_bytes([0, a, b, c]) >> 4
    }

    /// The tag of a native secret under the scheme's prefix number `prefix`.
    #[inline]
    pub(crate) fn auth(&self, prefix: usize, block: &TagBlock) -> Option<Tag> {
        Some(self.auth.get(prefix)?.tag_of(block))
    }

    /// The tag of an imported digest.
    pub(crate) fn import(&self, digest: &[u8]) -> Tag {
        self.import.tag(digest)
    }

    #[cfg(keyward_constant_time)]
    pub(crate) fn of_tags(&self) -> impl Iterator<Item = &HmacKey> {
        self.auth.iter().chain([&self.import])
    }
}
