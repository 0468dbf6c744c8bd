use super::{KeyScheme, SchemePrefix};
use crate::mac::{HmacKey, Label, Pepper, PepperId, PepperState, Tag, derive, equal, tag_message};
use crate::record::{Body, seal};
use crate::token::KeyId;

/// Everything derived from one pepper, ready to use.
pub(crate) struct PepperKeys {
    pub(crate) id: PepperId,
    pub(crate) state: PepperState,
    check: HmacKey,
    import: HmacKey,
    seal: HmacKey,
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
            seal: derive(pepper, Label::Seal, &[realm]),
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
    pub(crate) fn auth(&self, prefix: usize, id: KeyId, secret: &[u8; 43]) -> Option<Tag> {
        Some(self.auth.get(prefix)?.tag(&tag_message(id.as_bytes(), secret)))
    }

    /// The tag of an imported digest.
    pub(crate) fn import(&self, digest: &[u8]) -> Tag {
        self.import.tag(digest)
    }
}

/// What a record's seal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealVerdict {
    Bad,
    Good,
    UnknownPepper,
}

impl KeyScheme {
    /// Seals a record under the current pepper; every other field must be final.
    pub(crate) fn sealed(&self, mut body: Body) -> Body {
        body.seal = self
            .current()
            .filter(|_| self.is_sealing())
            .map(|keys| seal(&body, self.realm_name(), keys.id, &keys.seal));
        body
    }

    /// Whether a record is what was sealed.
    pub(crate) fn check_seal(&self, body: &Body) -> SealVerdict {
        if !self.is_sealing() {
            return SealVerdict::Good;
        }
        let Some(given) = &body.seal else { return SealVerdict::Bad };
        match self.keys(given.pepper) {
            None => SealVerdict::UnknownPepper,
            Some(keys) if keys.state == PepperState::TagOnly => SealVerdict::Bad,
            Some(keys) => {
                let made = seal(body, self.realm_name(), keys.id, &keys.seal);
                let holds = bool::from(equal(&made.mac, &given.mac));
                if holds { SealVerdict::Good } else { SealVerdict::Bad }
            }
        }
    }
}
