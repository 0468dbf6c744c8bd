use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward::{
    Action, Actor, ApiKey, ChangeFeed, Event, KeyCache, KeyId, KeyService, KeyStore, LogQuery,
    ManageError, NewKey, Observer, PostgresStore, Reason, Timestamp,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::sleep;

use crate::verdict::Verdict;
use crate::{REQUEST, Result, now, scheme};

/// Who issues, edits and revokes: over connections of its own, which nobody cuts, and
/// without a cache, so that what it says of a key is what the database holds.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) keys: KeyService,
    pub(crate) actor: Actor,
    store: PostgresStore,
    acknowledged: Arc<Acknowledged>,
}

/// A revoke that the database has acknowledged.
pub(crate) struct Revoked {
    pub(crate) at: Timestamp,
    /// What its receipt promises.
    pub(crate) everywhere_by: Timestamp,
}

/// When each key's revoke was acknowledged: a little before `revoke` returns, since the
/// receipt takes a look at the bound.
#[derive(Default)]
struct Acknowledged(Mutex<HashMap<KeyId, Timestamp>>);

impl Observer for Acknowledged {
    fn changed(&self, event: &Event) {
        if event.action == Action::Revoked {
            self.0.lock().unwrap().insert(event.key, now());
        }
    }
}

impl Admin {
    pub(crate) async fn connect(url: &str, schema: &str, pepper: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(10);
        let pool = pool.connect_with(url.parse::<PgConnectOptions>()?).await?;
        let store = PostgresStore::new(pool).schema(schema)?;
        store.migrate().await?;
        let acknowledged = Arc::<Acknowledged>::default();
        let cache = KeyCache::builder(store.clone()).read_through().timer(sleep).build();
        let keys = KeyService::builder(scheme(pepper)?, cache).observer(Arc::clone(&acknowledged));
        Ok(Self { keys: keys.build(), actor: Actor::system("admin"), store, acknowledged })
    }

    pub(crate) async fn issue(&self, name: &str) -> Result<(KeyId, ApiKey)> {
        let issued = self.keys.issue(&self.actor, NewKey::named(name).owner("org_1")).await?;
        Ok((issued.id(), issued.into_key()))
    }

    pub(crate) async fn revoke(&self, id: KeyId) -> Result<Revoked> {
        let changed = self.keys.revoke(&self.actor, id, Reason::Unused).await?;
        let at = self.acknowledged.0.lock().unwrap().get(&id).copied();
        Ok(Revoked {
            at: at.ok_or("nobody heard of the revoke")?,
            everywhere_by: changed.everywhere_by,
        })
    }

    /// The same, and waits until every node has heard: when it was acknowledged, and when the
    /// wait was over.
    pub(crate) async fn revoke_and_wait(&self, id: KeyId) -> Result<(Timestamp, Timestamp)> {
        self.keys.revoke_and_wait(&self.actor, id, Reason::Unused, sleep).await?;
        let over = now();
        let at = self.acknowledged.0.lock().unwrap().get(&id).copied();
        Ok((at.ok_or("nobody heard of the revoke")?, over))
    }

    /// Has nodes say how far they have heard, or no more.
    pub(crate) async fn set_heartbeats(&self, on: bool) -> Result {
        Ok(self.store.set_heartbeats(on).await?)
    }

    /// How long a change may go unseen by any node.
    pub(crate) async fn bound(&self) -> Result<Duration> {
        let query = LogQuery::before(u64::MAX).limit(1);
        Ok(self.store.changes(&query).await?.max_staleness)
    }

    /// What the database holds.
    pub(crate) async fn verdict(&self, token: &str) -> Verdict {
        Verdict::of(&self.keys.verify(token, &REQUEST).await)
    }

    /// The whole log, oldest first.
    pub(crate) async fn export_log(&self) -> Result<Vec<(u64, Event)>> {
        let mut entries: Vec<(u64, Event)> = Vec::new();
        loop {
            let next = entries.last().map_or(0, |(position, _)| position + 1);
            let page = self.log(LogQuery::from(next).limit(1_000)).await?;
            if page.is_empty() {
                return Ok(entries);
            }
            entries.extend(page);
        }
    }

    /// The position of the newest entry.
    pub(crate) async fn head(&self) -> Result<u64> {
        let newest = self.log(LogQuery::before(u64::MAX).limit(1)).await?;
        Ok(newest.first().map_or(0, |(position, _)| *position))
    }

    /// Revokes again what an exported log says was revoked, and gives how many there were
    /// to revoke. Keys that are not there were issued after the copy: they are refused.
    pub(crate) async fn revoke_again(&self, log: &[(u64, Event)]) -> Result<(usize, Timestamp)> {
        let (mut revoked, mut everywhere_by) = (0, now());
        for (_, event) in log.iter().filter(|(_, event)| event.action == Action::Revoked) {
            let before = self.acknowledged.0.lock().unwrap().len();
            match self.keys.revoke(&self.actor, event.key, Reason::Other).await {
                Ok(changed) => everywhere_by = everywhere_by.max(changed.everywhere_by),
                Err(ManageError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
            revoked += self.acknowledged.0.lock().unwrap().len() - before;
        }
        Ok((revoked, everywhere_by))
    }

    async fn log(&self, query: LogQuery) -> Result<Vec<(u64, Event)>> {
        Ok(self.store.log(&query).await?)
    }
}
