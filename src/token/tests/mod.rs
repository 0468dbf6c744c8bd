//! What several test modules need: reproducible entropy, whole tokens, a naive CRC.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "small numbers, and random ones whose low bits will do"
)]

mod golden;
mod parsing;
mod randomness;
mod scanners;
mod secrecy;
mod typing_errors;

use std::cell::OnceCell;
use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

use super::parse::{Malformed, Parsed};
use super::{ApiKey, ChecksumHead, Generated, KeyId, Prefix, assemble, generate};

/// The factor on test sizes: `KEYWARD_TEST_SCALE`, else 1.
pub(crate) fn scale() -> usize {
    std::env::var("KEYWARD_TEST_SCALE").map_or(1, |scale| scale.parse().unwrap())
}

/// `SplitMix64` (Steele, Lea, Flood 2014): reproducible, and good enough for chi-square.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

impl TryRng for SplitMix {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for SplitMix {}

/// A whole new token of `prefix`.
pub(crate) fn token(rng: &mut SplitMix, prefix: &str) -> String {
    new_key(rng, prefix).expose_secret().to_owned()
}

fn new_key(rng: &mut SplitMix, prefix: &str) -> ApiKey {
    let slot = rng.below(2);
    let Generated { id: random, secret, .. } = generate(rng, slot).unwrap();
    let mut id = KeyId::from_parts(random, rng.next() as u32);
    while id.invites_a_scanner() {
        id = KeyId::from_parts(random, rng.next() as u32);
    }
    assemble(&Prefix::new(prefix).unwrap(), id, &secret)
}

/// `parse`, told only which prefixes are known.
pub(crate) fn parse<P>(
    token: &str,
    known: impl FnOnce(&[u8]) -> Option<P>,
) -> Result<Parsed<'_, P>, Malformed> {
    let head = OnceCell::new();
    super::parse(token, |prefix| {
        Some((known(prefix)?, head.get_or_init(|| ChecksumHead::of_prefix(prefix))))
    })
}

/// `known` for the prefixes of these tests.
pub(crate) fn known(prefix: &[u8]) -> Option<&'static str> {
    ["ak_live", "ak_test", "live", "onv_sk_live", "pv"]
        .into_iter()
        .find(|name| name.as_bytes() == prefix)
}

/// CRC-32 bit by bit, as the catalogue of Greg Cook states CRC-32/ISO-HDLC.
pub(crate) fn naive_crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !crc
}
