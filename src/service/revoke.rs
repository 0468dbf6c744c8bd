use std::collections::BTreeMap;

use super::change::RACES;
use super::error::lost_race;
use super::issued::Changed;
use super::{KeyService, ManageError};
use crate::policy::Actor;
use crate::record::{Action, Body, Encoding, Grants, KeyRecord, Reason, State};
use crate::timestamp::Timestamp;
use crate::token::KeyId;

impl KeyService {
    /// Ends a key for good. Its history stays.
    ///
    /// It always works: a record that can't be read or whose seal is broken is
    /// replaced by a fresh, sealed, revoked one without grants. Revoking a revoked
    /// key changes nothing and succeeds.
    ///
    /// # Errors
    ///
    /// No such key; no permission `api.key.delete`; the store's own.
    pub async fn revoke(
        &self,
        actor: &Actor,
        id: KeyId,
        reason: Reason,
    ) -> Result<Changed, ManageError> {
        self.permit(actor, "api.key.delete")?;
        let mut races = 0;
        loop {
            let record = self.record(actor, id).await?;
            let now = self.now();
            let revoked = match self.believed(&record) {
                Ok(body) => body.revoked(reason, now),
                Err(_) => self.tombstone(&record, reason, now),
            };
            let Some(body) = revoked else { return Ok(self.changed(&record).await) };
            let details = vec![("reason", reason.as_str().to_owned())];
            let version = record.version();
            match self.commit_next(actor, Action::Revoked, version, body, details, now).await {
                Err(ManageError::Store(error)) if lost_race(&error) && races < RACES => races += 1,
                Err(ManageError::Store(error)) if lost_race(&error) => {
                    let revision = record.body().map_or(0, |body| body.revision);
                    return Err(ManageError::Conflict { revision });
                }
                Err(error) => return Err(error),
                Ok(record) => return Ok(self.changed(&record).await),
            }
        }
    }

    /// What replaces a record that can't be believed: what it claims, and no grants.
    fn tombstone(&self, record: &KeyRecord, reason: Reason, now: Timestamp) -> Option<Body> {
        let place = self.0.scheme.prefixes().first()?;
        Some(Body {
            encoding: Encoding::V1,
            id: record.id(),
            version: record.version(),
            // Never below what it was, so that no old `ETag` comes back.
            revision: record.version(),
            prefix: record.claimed_prefix().unwrap_or(place.prefix),
            environment: record.environment().unwrap_or(place.environment),
            owner: record.owner().into(),
            name: record.name().into(),
            state: State::Revoked { at: now, reason },
            created_at: record.created_at(),
            created_by: record.created_by().into(),
            not_before: None,
            expires_at: None,
            rotated_at: None,
            grants: Grants::default(),
            metadata: BTreeMap::new(),
            slots: [None, None],
            idempotency: record.body().and_then(|body| body.idempotency.clone()),
            seal: None,
        })
    }
}
