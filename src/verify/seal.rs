use crate::mac::{PepperState, equal};
use crate::record::{Body, KeyRecord, Proof, seal};
use crate::scheme::KeyScheme;

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

    /// Checks a record's seal, once per record handle.
    pub(crate) fn prove(&self, record: &KeyRecord) -> Result<(), SealVerdict> {
        match record.proof() {
            Proof::Proven => Ok(()),
            Proof::Bad => Err(SealVerdict::Bad),
            Proof::Unproven => {
                let verdict = record.body().map_or(SealVerdict::Bad, |body| self.check_seal(body));
                match verdict {
                    SealVerdict::Good => record.set_proof(Proof::Proven),
                    SealVerdict::Bad => record.set_proof(Proof::Bad),
                    SealVerdict::UnknownPepper => {}
                }
                if verdict == SealVerdict::Good { Ok(()) } else { Err(verdict) }
            }
        }
    }
}
