//! What the proofs share: a fixed scheme, a seeded generator, a moved clock, a store
//! that reads rows back as a database does and fails when told to.

#![allow(dead_code, unused_imports)]

mod faulty;
mod flows;
#[path = "../../src/conformance/poll.rs"]
mod poll;
mod store;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use keyward::{
    AccessRequest, Actor, Environment, FakeClock, ImportDigest, ImportFamily, KeyScheme,
    KeyService, KeyServiceBuilder, Pepper, PepperRing, SharedKeyStore, Timestamp,
};
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

pub(crate) use self::faulty::Faulty;
pub(crate) use self::flows::{ALL, Done, Flow, TOKENS, World, check_invariants, new_key, outcomes};
pub(crate) use self::poll::drop_after;
pub(crate) use self::store::{Fault, RowStore, Snapshot};

/// `KEYWARD_TEST_SCALE`, by default 1.
pub(crate) fn scale() -> usize {
    std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The instant at which every proof starts.
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(1_750_000_000);

/// What most proofs ask of a key.
pub(crate) const READ: AccessRequest<'_> =
    AccessRequest::new(Environment::PRODUCTION).scope("read:assets");

/// `SplitMix64`: the same numbers for the same seed, and no secret of anybody.
#[derive(Clone)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn text(&mut self, length: usize, alphabet: &[u8]) -> String {
        (0..length).map(|_| char::from(*self.pick(alphabet))).collect()
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.number() >> 32).unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.number())
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for chunk in to.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

/// The bytes of the test pepper number `n`.
pub(crate) fn pepper_bytes(n: u8) -> [u8; 32] {
    Sha256::digest([b"test pepper ".as_slice(), &[n]].concat()).into()
}

pub(crate) fn pepper(n: u8) -> Pepper {
    Pepper::from_bytes(&pepper_bytes(n)).unwrap()
}

/// A ring of test peppers, the first of them current, the others accepted.
pub(crate) fn ring(peppers: &[u8]) -> PepperRing {
    let (first, rest) = peppers.split_first().unwrap();
    rest.iter().fold(PepperRing::new(pepper(*first)), |ring, n| ring.accept(pepper(*n)).unwrap())
}

/// `ak_live` and `ak_test`, a retired prefix, a realm, an imported family.
pub(crate) fn scheme(peppers: &[u8]) -> KeyScheme {
    let places = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
    KeyScheme::new(ring(peppers), places)
        .unwrap()
        .retired("old_live", Environment::PRODUCTION)
        .unwrap()
        .realm("proofs")
        .unwrap()
        .importing(ImportFamily::new("legacy", "lk_", ImportDigest::Sha256, 128).unwrap())
        .unwrap()
}

pub(crate) fn builder(
    scheme: KeyScheme,
    store: impl Into<SharedKeyStore>,
    clock: &FakeClock,
    seed: u64,
) -> KeyServiceBuilder {
    KeyService::builder(scheme, store).clock(clock.clone()).entropy(Seeded(seed))
}

pub(crate) fn system() -> Actor {
    Actor::system("proof")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub(crate) const BASE62: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub(crate) const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `body` with the checksum of the token format behind it: CRC-32 (ISO-HDLC), bit by
/// bit, in base62. Anybody can compute it.
pub(crate) fn with_checksum(body: &str) -> String {
    let crc = !body.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    let digit = |place: u32| char::from(BASE62[(crc / 62u32.pow(place) % 62) as usize]);
    let check: String = (0..6).rev().map(digit).collect();
    format!("{body}{check}")
}

/// The 43 secret characters of a native token.
pub(crate) fn secret_of(token: &str) -> &str {
    &token[token.len() - 49..token.len() - 6]
}

/// A well-formed token with a random secret for an id that somebody saw somewhere.
pub(crate) fn forged(rng: &mut Seeded, prefix: &str, id: &str) -> String {
    let id = id.strip_prefix("key_").unwrap();
    with_checksum(&format!("{prefix}_1{id}_{}", rng.text(43, BASE62)))
}

/// Polls a future at most `polls` times and drops it; its output, if it was done by then.
pub(crate) fn poll_times<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Runs a future whose stores never wait for anything but themselves.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    poll_times(future, 1_000_000).expect("the future never ends")
}
