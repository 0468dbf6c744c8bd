//! New ids and secrets from a random generator.

use rand_core::TryCryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::base62::to_ascii;
use super::secret::{SECRET_LEN, Secret};

/// Bytes drawn at once: 8 for the id, 56 for 43 characters and 16 for the log. A byte is
/// rejected with probability 1/32, so 56 are too few once in 2e8 keys.
const DRAWN: usize = 80;

impl Secret {
    /// A new secret of the given slot (its lowest bit counts).
    ///
    /// The first character is uniform over the 31 of the slot's parity, the other
    /// 42 over all 62: log2(31) + 42 log2(62) = 255.03 bits.
    ///
    /// # Errors
    ///
    /// Those of `rng`; what was drawn until then is wiped.
    pub(crate) fn generate<R: TryCryptoRng + ?Sized>(
        rng: &mut R,
        slot: usize,
    ) -> Result<Self, R::Error> {
        Drawn::new(rng)?.secret(slot)
    }
}

/// What is random about a new key.
pub(crate) struct Generated {
    /// The 60 random bits of its id.
    pub(crate) id: u64,
    /// The secret of its first credential.
    pub(crate) secret: Secret,
    /// The id of the entry of the log that says so.
    pub(crate) event: [u8; 16],
}

/// Everything that is random about a new key.
///
/// One call of `rng`, but for one key in 2e8.
///
/// # Errors
///
/// Those of `rng`; what was drawn until then is wiped.
pub(crate) fn generate<R: TryCryptoRng + ?Sized>(
    rng: &mut R,
    slot: usize,
) -> Result<Generated, R::Error> {
    let mut drawn = Drawn::new(rng)?;
    let id = u64::from_be_bytes(drawn.bytes()?) >> 4;
    Ok(Generated { id, secret: drawn.secret(slot)?, event: drawn.bytes()? })
}

/// Random bytes read in batches; used ones are never read again.
struct Drawn<'r, R: ?Sized> {
    rng: &'r mut R,
    batch: Zeroizing<[u8; DRAWN]>,
    used: usize,
}

impl<'r, R: TryCryptoRng + ?Sized> Drawn<'r, R> {
    fn new(rng: &'r mut R) -> Result<Self, R::Error> {
        let mut drawn = Self { rng, batch: Zeroizing::new([0; DRAWN]), used: 0 };
        drawn.refill()?;
        Ok(drawn)
    }

    fn refill(&mut self) -> Result<(), R::Error> {
        self.batch.zeroize();
        self.rng.try_fill_bytes(self.batch.as_mut())?;
        self.used = 0;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, R::Error> {
        loop {
            if let Some(&byte) = self.batch.get(self.used) {
                self.used += 1;
                return Ok(byte);
            }
            self.refill()?;
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], R::Error> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// A uniform number below `bound`, at most `mask`, which is a power of two less one.
    ///
    /// Which bytes were rejected can be seen in the time; what those are that were kept
    /// can't.
    fn below(&mut self, bound: u8, mask: u8) -> Result<u8, R::Error> {
        loop {
            let number = self.byte()? & mask;
            // Public: whether a number is kept, and no more of it.
            if number < bound {
                return Ok(number);
            }
        }
    }

    fn secret(&mut self, slot: usize) -> Result<Secret, R::Error> {
        let mut secret = Secret::blank();
        let [first, others @ ..]: &mut [u8; SECRET_LEN] = secret.as_mut_bytes();
        *first = nth_of_slot(self.below(31, 31)?, slot);
        for place in others {
            *place = to_ascii(self.below(62, 63)?);
        }
        Ok(secret)
    }
}

/// The `n`th (below 31) of the 31 characters whose code has the slot's parity.
///
/// A decimal digit's code has the parity of its value; a letter's, the other one.
fn nth_of_slot(n: u8, slot: usize) -> u8 {
    let letter = (4u8.wrapping_sub(n)) >> 7;
    let slot = u8::from(slot & 1 == 1);
    to_ascii(n * 2 + (slot ^ letter))
}
