use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

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

    /// Revokes a key, and waits until that is in effect on every node: until the bound has
    /// passed, or, with heartbeats
    /// ([`ChangeFeed::set_heartbeats`](crate::ChangeFeed::set_heartbeats)), until every node
    /// has said so. [`Changed::everywhere_by`] is then the instant at which all had.
    ///
    /// `sleep` is the runtime's timer, such as `tokio::time::sleep`. Whoever stops waiting
    /// has revoked the key all the same, once the store has acknowledged it. The waiting is
    /// measured by the service's clock: by one that stands still, it never ends.
    ///
    /// ```
    /// # use keyward::{Actor, Environment, KeyScheme, KeyService, MemoryStore, NewKey, PepperRing};
    /// # use keyward::Reason;
    /// # pollster::block_on(async {
    /// # let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
    /// # let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
    /// # let keys = KeyService::new(scheme, MemoryStore::new());
    /// # let admin = Actor::system("docs");
    /// # let id = keys.issue(&admin, NewKey::named("cron").owner("org_1")).await?.id();
    /// let sleep = |duration| async move { std::thread::sleep(duration) };
    /// let receipt = keys.revoke_and_wait(&admin, id, Reason::OwnerLeft, sleep).await?;
    /// assert!(keys.now() >= receipt.everywhere_by);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`KeyService::revoke`].
    pub async fn revoke_and_wait<F: Future<Output = ()>>(
        &self,
        actor: &Actor,
        id: KeyId,
        reason: Reason,
        sleep: impl Fn(Duration) -> F,
    ) -> Result<Changed, ManageError> {
        let mut changed = self.revoke(actor, id, reason).await?;
        let began = self.0.clock.moment();
        let whole = changed.everywhere_by.saturating_duration_since(self.0.clock.now_at(began));
        // By the monotonic clock: somebody may set the other one.
        let left = || {
            let waited = self.0.clock.moment().monotonic.saturating_sub(began.monotonic);
            whole.checked_sub(waited).filter(|left| !left.is_zero())
        };
        if let Some(cache) = self.0.store.cache() {
            if cache.heard_within(left, sleep).await {
                changed.everywhere_by = changed.everywhere_by.min(self.now());
            }
            return Ok(changed);
        }
        while let Some(left) = left() {
            sleep(left).await;
        }
        Ok(changed)
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
