use std::time::Duration;

use super::change::RACES;
use super::error::lost_race;
use super::issued::{Compromised, IssuedKey, Rotation};
use super::list::within;
use super::{KeyService, ManageError};
use crate::error::{StoreError, StoreErrorKind};
use crate::policy::Actor;
use crate::record::{Action, KeyView, Reason};
use crate::store::KeyQuery;
use crate::token::{KeyId, Secret, assemble};

impl KeyService {
    /// Gives a key a second secret, and lets the first run out.
    ///
    /// The old secret ends after the grace, and never later than the key. Both work
    /// until then, under one id, one history and one set of limits;
    /// [`KeyView::secrets`] shows when each was last used.
    ///
    /// # Errors
    ///
    /// No permission `api.key.update`; a key that has more than the actor; a revoked
    /// or expired key; a rotation that runs already, unless
    /// [`Rotation::replacing_older`]; the store's own.
    pub async fn rotate(
        &self,
        actor: &Actor,
        id: KeyId,
        rotation: impl Into<Rotation>,
    ) -> Result<IssuedKey, ManageError> {
        self.replace_secret(actor, id, Action::Rotated, rotation.into()).await
    }

    /// Gives a key another secret; the old one stops at once. Everything else stays.
    ///
    /// # Errors
    ///
    /// Those of [`KeyService::rotate`], but a running rotation is no obstacle.
    pub async fn regenerate(&self, actor: &Actor, id: KeyId) -> Result<IssuedKey, ManageError> {
        let at_once = Rotation::grace(Duration::ZERO);
        self.replace_secret(actor, id, Action::Regenerated, at_once).await
    }

    /// Regenerates a key whose secret somebody else may know, and finds the keys that
    /// were issued with it.
    ///
    /// # Errors
    ///
    /// Those of [`KeyService::regenerate`]. If the secret was replaced and the keys
    /// could not be listed, it is [`StoreErrorKind::Unavailable`](crate::StoreErrorKind):
    /// the old secret has stopped, nobody has the new one, and the call is to be repeated.
    pub async fn compromised(&self, actor: &Actor, id: KeyId) -> Result<Compromised, ManageError> {
        let at_once = Rotation::grace(Duration::ZERO);
        let issued = self.replace_secret(actor, id, Action::Compromised, at_once).await?;
        let mut issued_by_it = Vec::<KeyView>::new();
        let query = KeyQuery::new().created_by(id.to_string()).with_revoked();
        let now = self.now();
        if let Some(query) = within(actor, &query) {
            let walked = self.walk(query, |record| issued_by_it.push(record.view(None, now)));
            walked.await.map_err(half_done)?;
        }
        Ok(Compromised { issued, issued_by_it })
    }

    async fn replace_secret(
        &self,
        actor: &Actor,
        id: KeyId,
        action: Action,
        rotation: Rotation,
    ) -> Result<IssuedKey, ManageError> {
        self.permit(actor, "api.key.update")?;
        let mut races = 0;
        loop {
            let record = self.record(actor, id).await?;
            let body = self.believed(&record)?;
            let now = self.now();
            let free = body.free_slot(now, rotation.grace, rotation.replace_older)?;
            self.check_excess(actor, body)?;
            let secret = Secret::generate(&mut &self.0.entropy, free)?;
            let slot = self.slot(body, &secret, now)?;
            let after = body.with_secret(free, slot, rotation.grace);
            let details = match action {
                Action::Compromised => vec![("reason", Reason::Compromised.as_str().to_owned())],
                _ => vec![("grace_seconds", rotation.grace.as_secs().to_string())],
            };
            match self.commit_next(actor, action, body.version, after, details, now).await {
                Err(ManageError::Store(error)) if lost_race(&error) && races < RACES => races += 1,
                Err(error) => return Err(error),
                Ok(record) => {
                    let key = assemble(&body.prefix, id, &secret);
                    return Ok(IssuedKey::new(key, self.changed(&record).await));
                }
            }
        }
    }
}

/// The error of a list that failed when the secret had been replaced already.
fn half_done(error: ManageError) -> ManageError {
    let context = "the secret was replaced, but the keys that it issued can't be listed";
    StoreError::new(StoreErrorKind::Unavailable).with_context(context).with_source(error).into()
}
