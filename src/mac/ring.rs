use std::fmt;

use zeroize::Zeroizing;

use super::pepper::{EntropyError, Pepper, PepperId};
use crate::error::FieldError;

/// What a pepper of the ring is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PepperState {
    /// Old tags and seals verify; nothing new is made with it.
    Accepted,
    /// Makes every new tag and seal. Exactly one.
    Current,
    /// Old tags verify; seals are refused. Once everything is resealed, someone
    /// who learns this pepper and can write to the database forges nothing.
    TagOnly,
}

/// The peppers a scheme verifies with, one of which is current.
///
/// To change the pepper of a running fleet, accept the new one everywhere, then
/// make it current everywhere, then wait until
/// [`PepperReport`](crate::PepperReport) counts nothing under the old one.
///
/// ```
/// use keyward::{Pepper, PepperRing};
///
/// let (old, new) = (PepperRing::generate()?, PepperRing::generate()?);
/// // First everywhere:
/// PepperRing::new(Pepper::from_base64(&old)?).accept(Pepper::from_base64(&new)?)?;
/// // Then everywhere; the first is the current one:
/// PepperRing::from_base64(&format!("{},{}", *new, *old))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PepperRing(Vec<(Pepper, PepperState)>);

impl PepperRing {
    /// A ring of one pepper, the current one.
    pub fn new(current: Pepper) -> Self {
        Self(vec![(current, PepperState::Current)])
    }

    /// A ring from base64 text: one pepper, or several separated by commas or
    /// white space, of which the first is current and the others are accepted.
    ///
    /// # Errors
    ///
    /// What [`Pepper::from_base64`] and [`PepperRing::accept`] refuse.
    pub fn from_base64(text: &str) -> Result<Self, FieldError> {
        let mut peppers = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(Pepper::from_base64);
        let current = peppers.next().unwrap_or_else(|| Pepper::from_bytes(&[]))?;
        peppers.try_fold(Self::new(current), |ring, pepper| ring.accept(pepper?))
    }

    /// A ring of one pepper from its bytes.
    ///
    /// # Errors
    ///
    /// What [`Pepper::from_bytes`] refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FieldError> {
        Pepper::from_bytes(bytes).map(Self::new)
    }

    /// Adds a pepper whose tags and seals still verify.
    ///
    /// # Errors
    ///
    /// A pepper that is in the ring already.
    pub fn accept(self, pepper: Pepper) -> Result<Self, FieldError> {
        self.with(pepper, PepperState::Accepted)
    }

    /// Adds a pepper whose tags still verify and whose seals are refused.
    ///
    /// A key whose record is sealed under it is refused as one that was tampered with:
    /// call [`KeyService::reseal_all`](crate::KeyService::reseal_all) first.
    ///
    /// # Errors
    ///
    /// A pepper that is in the ring already.
    pub fn tag_only(self, pepper: Pepper) -> Result<Self, FieldError> {
        self.with(pepper, PepperState::TagOnly)
    }

    /// A new random pepper as base64 text, for a secret manager and
    /// [`PepperRing::from_base64`].
    ///
    /// # Errors
    ///
    /// The operating system's source of randomness failed.
    pub fn generate() -> Result<Zeroizing<String>, EntropyError> {
        Pepper::generate()
    }

    /// The fingerprints in the ring, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = (PepperId, PepperState)> {
        self.iter().map(|(pepper, state)| (pepper.id(), state))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Pepper, PepperState)> {
        self.0.iter().map(|(pepper, state)| (pepper, *state))
    }

    fn with(mut self, pepper: Pepper, state: PepperState) -> Result<Self, FieldError> {
        let id = pepper.id();
        if self.ids().any(|(known, _)| known == id) {
            return Err(FieldError::new(
                "pepper",
                &id.to_string(),
                "must be in the ring only once",
            ));
        }
        self.0.push((pepper, state));
        Ok(self)
    }
}

impl fmt::Debug for PepperRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_peppers_are_refused_without_repeating_them() {
        let secretive = "hunter2hunter2hunter2";
        let fine = PepperRing::generate().unwrap();
        for (text, part) in [
            ("", "32 random bytes"),
            (" , ", "32 random bytes"),
            (secretive, "32 random bytes"),
            ("not base64!", "not base64"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "repeated"),
            (&format!("{},{}", *fine, *fine), "only once"),
        ] {
            let error = PepperRing::from_base64(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains(secretive) && !error.contains(&**fine));
        }
    }

    #[test]
    fn every_spelling_of_one_pepper_is_one_pepper() {
        let bytes: [u8; 32] = std::array::from_fn(|i| 255 - u8::try_from(i).unwrap());
        let id = Pepper::from_bytes(&bytes).unwrap().id();
        for text in [
            "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=",
            "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA",
            "__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA=",
            "\n__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA \n",
        ] {
            assert_eq!(Pepper::from_base64(text).unwrap().id(), id);
        }
        assert_eq!(id.to_string().parse::<PepperId>(), Ok(id));
        assert!("+23456789abcdef0".parse::<PepperId>().is_err());
    }
}
