use crate::mac::{PepperState, equal};
use crate::record::{Body, KeyRecord, seal};
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
    pub(crate) fn sealed(&self, mut body: Body) -> KeyRecord {
        body.seal = self
            .current()
            .filter(|_| self.is_sealing())
            .map(|keys| seal(&body, self.realm_name(), keys.id, keys.seal.clone()));
        KeyRecord::proven(body, if self.is_sealing() { self.number() } else { 0 })
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
                let made = seal(body, self.realm_name(), keys.id, keys.seal.clone());
                let holds = bool::from(equal(&made.mac, &given.mac));
                if holds { SealVerdict::Good } else { SealVerdict::Bad }
            }
        }
    }

    /// Checks a record's seal, once per record handle if it is good. Allocates nothing.
    ///
    /// The handle remembers which scheme was satisfied, so that no other one takes its
    /// word: not one with another realm or ring, and not one that seals the word of one
    /// that doesn't.
    pub(crate) fn prove(&self, record: &KeyRecord) -> Result<(), SealVerdict> {
        if !self.is_sealing() || record.is_proven_by(self.number()) {
            return Ok(());
        }
        // Public: whether the seal holds.
        match record.body().map_or(SealVerdict::Bad, |body| self.check_seal(body)) {
            SealVerdict::Good => {
                record.set_proven_by(self.number());
                Ok(())
            }
            verdict => Err(verdict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Actor, Environment, KeyQuery, KeyService, KeyStore, MemoryStore, NewKey, PepperRing,
    };

    #[test]
    fn a_scheme_without_seals_proves_nothing_to_one_with() {
        let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        let store = MemoryStore::new();
        let keys = KeyService::new(scheme.clone(), store.clone());
        let new = NewKey::named("before").owner("o");
        drop(pollster::block_on(keys.issue(&Actor::system("test"), new)).unwrap());
        let stored = pollster::block_on(store.list(&KeyQuery::new())).unwrap().remove(0);
        let edited = stored.to_document().replace("before", "after");

        let record = KeyRecord::from_row(stored.id(), stored.version(), &edited);
        assert_eq!(scheme.without_seals().prove(&record), Ok(()));
        assert_eq!(scheme.prove(&record), Err(SealVerdict::Bad));
        assert_eq!(scheme.without_seals().prove(&record), Ok(()));
    }
}
