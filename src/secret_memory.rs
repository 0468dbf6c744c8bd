//! Where secrets lie, for the run under valgrind that reports what branches on them.
//!
//! No build of a host's has this: `.ci/constant_time` alone sets the `cfg`. It lets through
//! what is reported of a line whose comment begins with `Public: `, wherever in the sources:
//! there a secret decides something that everybody is told.

use crate::mac::HmacKey;
use crate::record::KeyRecord;
use crate::scheme::{KeyScheme, PepperKeys};

impl KeyScheme {
    /// The keys of tags, as midstates.
    #[doc(hidden)]
    pub fn secret_keys(&self) -> Vec<&[u32]> {
        let keys = self.peppers().filter_map(|(pepper, _)| self.keys(pepper));
        keys.flat_map(PepperKeys::of_tags).flat_map(HmacKey::midstates).collect()
    }
}

impl KeyRecord {
    /// The tags of secrets and of the seal.
    #[doc(hidden)]
    pub fn secret_tags(&self) -> Vec<&[u8]> {
        let Some(body) = self.body() else { return Vec::new() };
        let tags = body.slots.iter().flatten().map(|slot| slot.tag.as_slice());
        tags.chain(body.seal.iter().map(|seal| seal.mac.as_slice())).collect()
    }
}
