use std::collections::BTreeSet;
use std::time::Duration;

use super::change::RACES;
use super::error::lost_race;
use super::issued::{Compromised, IssuedKey, Rotation};
use super::{KeyService, ManageError};
use crate::policy::Actor;
use crate::record::{Action, KeyView, Reason};
use crate::store::LogQuery;
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

    /// Regenerates a key whose secret somebody else may know, and finds the other keys
    /// whose secrets that somebody may have got with it.
    ///
    /// # Errors
    ///
    /// Those of [`KeyService::regenerate`]. If the other keys can't be listed, the
    /// secret has been replaced all the same: see [`Compromised::reached`].
    pub async fn compromised(&self, actor: &Actor, id: KeyId) -> Result<Compromised, ManageError> {
        let at_once = Rotation::grace(Duration::ZERO);
        let issued = self.replace_secret(actor, id, Action::Compromised, at_once).await?;
        Ok(Compromised { issued, reached: self.reached(actor, id).await })
    }

    /// The keys whose secrets were handed to `id` or came from it, or from a key that was
    /// reached so, by the log from its oldest entry on; the actor's only.
    async fn reached(&self, actor: &Actor, id: KeyId) -> Result<Vec<KeyView>, ManageError> {
        let mut names = BTreeSet::from([id.to_string()]);
        let mut reached = Vec::new();
        let mut query = LogQuery::from(1).limit(1_000);
        loop {
            let page = self.log_page(&query).await?;
            for (_, event) in &page {
                let handed = event.action.hands_out() && names.contains(&event.actor);
                if handed && names.insert(event.key.to_string()) {
                    reached.push(event.key);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() >= query.limit => {
                    query = LogQuery::from(last.saturating_add(1)).limit(1_000);
                }
                _ => break,
            }
        }
        let mut views = Vec::with_capacity(reached.len());
        for id in reached {
            match self.record(actor, id).await {
                Ok(record) => views.push(self.shown(&record, None, self.now())),
                Err(ManageError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(views)
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
            // Asked for before the commit: nothing may come between it and the secret.
            let usage = self.usage_of(id).await;
            let unseen_for = self.unseen_for().await;
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
                Err(ManageError::Store(error)) if lost_race(&error) => {
                    return Err(ManageError::Conflict { revision: body.revision });
                }
                Err(error) => return Err(error),
                Ok(record) => {
                    let key = assemble(&body.prefix, id, &secret);
                    let receipt = self.receipt(&record, usage.as_ref(), unseen_for);
                    return Ok(IssuedKey::new(key, receipt));
                }
            }
        }
    }
}
