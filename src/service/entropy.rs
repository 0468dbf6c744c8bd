use std::error::Error;
use std::sync::{Mutex, PoisonError};

use getrandom::SysRng;
use rand_core::{TryCryptoRng, TryRng};

use crate::mac::EntropyError;

/// The service's source of randomness, with its type forgotten.
pub(super) struct Entropy(Mutex<Box<dyn Source>>);

trait Source: Send {
    fn fill(&mut self, to: &mut [u8]) -> Result<(), EntropyError>;
}

impl<R> Source for R
where
    R: TryCryptoRng<Error: Error + Send + Sync + 'static> + Send,
{
    fn fill(&mut self, to: &mut [u8]) -> Result<(), EntropyError> {
        self.try_fill_bytes(to).map_err(EntropyError::new)
    }
}

impl Entropy {
    pub(super) fn new(
        rng: impl TryCryptoRng<Error: Error + Send + Sync + 'static> + Send + 'static,
    ) -> Self {
        Self(Mutex::new(Box::new(rng)))
    }

    pub(super) fn fill(&self, to: &mut [u8]) -> Result<(), EntropyError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(to)
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new(SysRng)
    }
}

/// The shape in which the token generator wants it.
impl TryRng for &Entropy {
    type Error = EntropyError;

    fn try_next_u32(&mut self) -> Result<u32, EntropyError> {
        let mut bytes = [0; 4];
        Entropy::fill(self, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, EntropyError> {
        let mut bytes = [0; 8];
        Entropy::fill(self, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), EntropyError> {
        Entropy::fill(self, to)
    }
}

impl TryCryptoRng for &Entropy {}
