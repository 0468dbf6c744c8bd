use std::collections::BTreeMap;

use serde::Serialize;

use super::change::RACES;
use super::list::following;
use super::{KeyService, ManageError};
use crate::error::FieldError;
use crate::mac::{PepperId, PepperRing, PepperState};
use crate::policy::Actor;
use crate::record::KeyRecord;
use crate::store::KeyQuery;
use crate::timestamp::Timestamp;

/// How much each pepper is still needed for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PepperReport {
    /// By fingerprint, those that are in use and those of the ring.
    pub peppers: BTreeMap<PepperId, PepperUse>,
    /// Records that can't be read, whose peppers are unknown.
    pub unreadable: u64,
}

/// What one pepper is needed for. A secret that can never work again counts no longer:
/// a superseded one after its grace, and those of revoked and expired keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PepperUse {
    /// Native secrets that may still work and whose tags are under it.
    pub tags: u64,
    /// Imported secrets that may still work and whose tags are under it.
    pub imports: u64,
    /// Records whose seal is under it.
    pub seals: u64,
}

impl PepperUse {
    /// Whether nothing needs it any more.
    pub const fn is_unused(&self) -> bool {
        self.tags == 0 && self.imports == 0 && self.seals == 0
    }
}

impl PepperReport {
    /// The fingerprints that are in use.
    pub fn in_use(&self) -> impl Iterator<Item = PepperId> {
        self.peppers.iter().filter(|(_, used)| !used.is_unused()).map(|(pepper, _)| *pepper)
    }

    pub(super) fn count(&mut self, record: &KeyRecord, now: Timestamp) {
        let Some(body) = record.body() else {
            self.unreadable += 1;
            return;
        };
        if let Some(seal) = &body.seal {
            self.peppers.entry(seal.pepper).or_default().seals += 1;
        }
        for slot in body.slots.iter().flatten().filter(|slot| !body.has_ended(slot, now)) {
            let used = self.peppers.entry(slot.pepper).or_default();
            match slot.imported {
                Some(_) => used.imports += 1,
                None => used.tags += 1,
            }
        }
    }
}

/// What [`KeyService::reseal_all`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Resealed {
    /// Records that are under the current pepper now.
    pub resealed: u64,
    /// Records that were so already.
    pub current: u64,
    /// Records whose seal is broken or can't be checked; they were left alone.
    pub refused: Vec<crate::token::KeyId>,
}

impl KeyService {
    /// Counts what each pepper is needed for, by reading every record.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn pepper_report(&self) -> Result<PepperReport, ManageError> {
        let mut report = PepperReport::default();
        for (pepper, _) in self.0.scheme.peppers() {
            report.peppers.entry(pepper).or_default();
        }
        let now = self.now();
        self.walk(KeyQuery::new().with_revoked(), |record| report.count(record, now)).await?;
        Ok(report)
    }

    /// Checks that every pepper in use is in the scheme's ring: call it at start.
    ///
    /// # Errors
    ///
    /// [`ManageError::PepperInUse`] with the fingerprints of those that are missing:
    /// their keys would all be unavailable. The store's own.
    pub async fn check_peppers(&self) -> Result<PepperReport, ManageError> {
        let known: Vec<_> = self.0.scheme.peppers().collect();
        self.missing_from(&known).await
    }

    /// Checks that a ring holds every pepper in use: call it before one is retired.
    ///
    /// # Errors
    ///
    /// [`ManageError::PepperInUse`] with the fingerprints that the ring lacks, or has for
    /// tags only while seals are under them. The store's own.
    pub async fn check_ring(&self, ring: &PepperRing) -> Result<PepperReport, ManageError> {
        let known: Vec<_> = ring.ids().collect();
        self.missing_from(&known).await
    }

    /// Puts every record's seal under the current pepper. It needs no secret; tags stay
    /// until their keys are next used.
    ///
    /// # Errors
    ///
    /// A scheme without seals; an actor who doesn't manage every owner's keys; no
    /// permission `api.key.update`; the store's own.
    pub async fn reseal_all(&self, actor: &Actor) -> Result<Resealed, ManageError> {
        self.reseal_where(actor, |service, record| service.believed(record).is_ok()).await
    }

    /// Seals the records that have no seal: once, after a time
    /// [without seals](crate::KeyScheme::without_seals).
    ///
    /// # Security
    ///
    /// Whatever stands in those records is believed from then on, whoever wrote it.
    ///
    /// # Errors
    ///
    /// Those of [`KeyService::reseal_all`].
    pub async fn seal_unsealed(&self, actor: &Actor) -> Result<Resealed, ManageError> {
        self.reseal_where(actor, |service, record| {
            let unsealed = record.body().is_some_and(|body| body.seal.is_none());
            unsealed || service.believed(record).is_ok()
        })
        .await
    }

    async fn reseal_where(
        &self,
        actor: &Actor,
        believe: impl Fn(&Self, &KeyRecord) -> bool,
    ) -> Result<Resealed, ManageError> {
        self.permit(actor, "api.key.update")?;
        if !actor.manages("") {
            return Err(ManageError::Forbidden { permission: "api.key.update" });
        }
        if !self.0.scheme.is_sealing() {
            return Err(FieldError::unshown("scheme", "must be one that seals").into());
        }
        let mut done = Resealed::default();
        let mut next = Some(KeyQuery::new().with_revoked().limit(1_000));
        while let Some(query) = next {
            let records = self.page(&query).await?;
            for record in &records {
                self.reseal(record, &believe, &mut done).await?;
            }
            next = following(query, &records);
        }
        Ok(done)
    }

    /// Reseals one record, again if it changes meanwhile.
    async fn reseal(
        &self,
        record: &KeyRecord,
        believe: impl Fn(&Self, &KeyRecord) -> bool,
        done: &mut Resealed,
    ) -> Result<(), ManageError> {
        let mut record = record.clone();
        let current = self.0.scheme.current().map(|keys| keys.id);
        for _ in 0..RACES {
            let Some(body) = record.body().filter(|_| believe(self, &record)) else { break };
            if body.seal.as_ref().map(|seal| seal.pepper) == current {
                done.current += 1;
                return Ok(());
            }
            if self.replace(body, body.clone()).await? {
                done.resealed += 1;
                return Ok(());
            }
            match self.0.store.get(record.id()).await? {
                Some(newer) => record = newer,
                None => return Ok(()),
            }
        }
        done.refused.push(record.id());
        Ok(())
    }

    async fn missing_from(
        &self,
        known: &[(PepperId, PepperState)],
    ) -> Result<PepperReport, ManageError> {
        let report = self.pepper_report().await?;
        let serves = |pepper: &PepperId, used: &PepperUse| {
            let known = known.iter().find(|(known, _)| known == pepper);
            known.is_some_and(|(_, state)| used.seals == 0 || *state != PepperState::TagOnly)
        };
        let used = report.peppers.iter().filter(|(_, used)| !used.is_unused());
        let missing: Vec<_> =
            used.filter(|(id, used)| !serves(id, used)).map(|(pepper, _)| *pepper).collect();
        if missing.is_empty() { Ok(report) } else { Err(ManageError::PepperInUse(missing)) }
    }
}
