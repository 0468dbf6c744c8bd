//! Marking secrets as undefined.

use crabgrind::memcheck::{MemState, Memcheck};
use keyward::{KeyRecord, KeyScheme};
use rand_core::{Infallible, TryCryptoRng, TryRng};

/// The secret and the checksum of a token.
const FIELD: usize = 43 + 6;

pub(crate) fn hide<T>(secret: &[T]) {
    secret.mark(MemState::Undefined).expect("run by valgrind");
}

/// Hides the secret and the checksum of a token, but not the bit that says the slot.
pub(crate) fn hide_secret(token: &str) {
    let (_, field) = token.as_bytes().split_at(token.len() - FIELD);
    hide(field);
    // A bit that is set here is undefined.
    field[..1].set_vbits(&[!1]).expect("run by valgrind");
}

pub(crate) fn hide_tags(record: &KeyRecord) {
    let tags = record.secret_tags();
    assert!(tags.len() >= 2);
    tags.into_iter().for_each(hide);
}

pub(crate) fn hide_keys(scheme: &KeyScheme) {
    let keys = scheme.secret_keys();
    assert!(keys.len() >= 4);
    keys.into_iter().for_each(hide);
}

/// Random bytes with which every key has the same id, and another secret for each number.
pub(crate) struct Drawn {
    pub(crate) number: u8,
    /// Where in a draw the bytes begin that are hidden.
    pub(crate) hidden_from: Option<usize>,
}

/// The bytes of a draw that the id of a new key is made of come first.
pub(crate) const ID: usize = 8;

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("the library fills bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("the library fills bytes")
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for (place, byte) in (0_u8..).zip(to.iter_mut()) {
            let number = if usize::from(place) < ID { 0 } else { self.number };
            *byte = place.wrapping_mul(89).wrapping_add(number);
        }
        if let Some((_, secret)) = self.hidden_from.and_then(|at| to.split_at_checked(at)) {
            hide(secret);
        }
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}
