use super::error::lost_race;
use super::issued::Changed;
use super::{KeyService, ManageError};
use crate::error::StoreError;
use crate::policy::{Actor, widens};
use crate::record::{Action, Body, Event, KeyEdit, KeyRecord};
use crate::store::{Change, Expect};
use crate::timestamp::Timestamp;
use crate::token::KeyId;
use crate::verify::SealVerdict;

/// How often a change is tried anew when others keep changing the same key.
pub(super) const RACES: usize = 64;

/// What a change makes of a record: what to write, if anything, and what to log of it.
pub(super) type Next = Option<(Body, Vec<(&'static str, String)>)>;

impl KeyService {
    /// Edits a key's name, grants, dates, limits or metadata.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the edit at once; no permission
    /// `api.key.update`; an edit that widens the key while the key has more than the
    /// actor; another revision than the edit asks for; a revoked or expired key; the
    /// store's own.
    pub async fn update(
        &self,
        actor: &Actor,
        id: KeyId,
        edit: KeyEdit,
    ) -> Result<Changed, ManageError> {
        self.permit(actor, "api.key.update")?;
        let record = self
            .change(actor, id, Action::Updated, |body, now| {
                if edit.expected_revision().is_some_and(|revision| revision != body.revision) {
                    return Err(ManageError::Conflict { revision: body.revision });
                }
                body.changeable(now)?;
                let edited = edit.apply(body, now)?;
                if edited == *body {
                    return Ok(None);
                }
                self.check_limits(&edited.grants.limits)?;
                if widens(body, &edited) {
                    self.check_excess(actor, &edited)?;
                }
                Ok(Some((edited, vec![("fields", edit.fields())])))
            })
            .await?;
        Ok(self.changed(&record).await)
    }

    /// Switches a key off for now.
    ///
    /// # Errors
    ///
    /// No permission `api.key.update`; a revoked or expired key; the store's own.
    pub async fn disable(&self, actor: &Actor, id: KeyId) -> Result<Changed, ManageError> {
        self.permit(actor, "api.key.update")?;
        let disable = |body: &Body, now| Ok(body.disabled(now)?.map(unremarked));
        let record = self.change(actor, id, Action::Disabled, disable).await?;
        Ok(self.changed(&record).await)
    }

    /// Switches a disabled key on again.
    ///
    /// # Errors
    ///
    /// No permission `api.key.update`; a key that has more than the actor; a revoked
    /// or expired key; the store's own.
    pub async fn enable(&self, actor: &Actor, id: KeyId) -> Result<Changed, ManageError> {
        self.permit(actor, "api.key.update")?;
        let record = self
            .change(actor, id, Action::Enabled, |body, now| {
                let Some(enabled) = body.enabled(now)? else { return Ok(None) };
                self.check_excess(actor, &enabled)?;
                Ok(Some(unremarked(enabled)))
            })
            .await?;
        Ok(self.changed(&record).await)
    }

    /// Ends the grace of a rotation: the old secret stops at once.
    ///
    /// A node whose clock is behind this one's stops it when its clock comes to the
    /// same instant; [`KeyService::regenerate`] stops it there too.
    ///
    /// # Errors
    ///
    /// No permission `api.key.update`; a revoked or expired key; the store's own.
    pub async fn finish_rotation(&self, actor: &Actor, id: KeyId) -> Result<Changed, ManageError> {
        self.permit(actor, "api.key.update")?;
        let finish = |body: &Body, now| Ok(body.with_rotation_finished(now)?.map(unremarked));
        let record = self.change(actor, id, Action::RotationFinished, finish).await?;
        Ok(self.changed(&record).await)
    }

    /// Reads, changes and writes a record, again if another change came between.
    ///
    /// `next` is asked anew each time, about the record as it is then, so no
    /// acknowledged change is lost.
    pub(super) async fn change(
        &self,
        actor: &Actor,
        id: KeyId,
        action: Action,
        next: impl Fn(&Body, Timestamp) -> Result<Next, ManageError>,
    ) -> Result<KeyRecord, ManageError> {
        let mut races = 0;
        loop {
            let record = self.record(actor, id).await?;
            let body = self.believed(&record)?;
            let now = self.now();
            let Some((after, details)) = next(body, now)? else { return Ok(record) };
            match self.commit_next(actor, action, body.version, after, details, now).await {
                Err(ManageError::Store(error)) if lost_race(&error) && races < RACES => races += 1,
                Err(ManageError::Store(error)) if lost_race(&error) => {
                    return Err(ManageError::Conflict { revision: body.revision });
                }
                done => return done,
            }
        }
    }

    /// Seals and commits the next version of a record.
    pub(super) async fn commit_next(
        &self,
        actor: &Actor,
        action: Action,
        version: u64,
        mut body: Body,
        details: Vec<(&'static str, String)>,
        now: Timestamp,
    ) -> Result<KeyRecord, ManageError> {
        body.version = version.saturating_add(1);
        body.revision = body.revision.saturating_add(1);
        let mut event = Self::event(self.event_id()?, actor, action, &body, now);
        event.details.extend(details.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let record = self.0.scheme.sealed(body);
        self.commit(&record, Expect::Version(version), event).await?;
        Ok(record)
    }

    /// Commits a record and what was done to it, and tells the observer.
    pub(super) async fn commit(
        &self,
        record: &KeyRecord,
        expect: Expect,
        event: Event,
    ) -> Result<(), StoreError> {
        let observed = self.0.observer.as_ref().map(|observer| (observer, event.clone()));
        let change = Change { record: record.clone(), expect, event: Some(event) };
        self.0.store.commit(change).await?;
        if let Some((observer, event)) = observed {
            observer.changed(&event);
        }
        Ok(())
    }

    /// The fields of a record whose seal holds.
    pub(super) fn believed<'r>(&self, record: &'r KeyRecord) -> Result<&'r Body, ManageError> {
        let body = record.readable()?;
        match self.0.scheme.prove(record) {
            Ok(()) => Ok(body),
            Err(SealVerdict::UnknownPepper) => {
                let seal = body.seal.as_ref().map(|seal| seal.pepper);
                Err(ManageError::PepperInUse(seal.into_iter().collect()))
            }
            Err(_) => Err(ManageError::SealBroken),
        }
    }
}

fn unremarked(body: Body) -> (Body, Vec<(&'static str, String)>) {
    (body, Vec::new())
}
