use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use super::contract::{Change, KeyStore, UsageStore};
use super::feed::{ChangeFeed, Changes};
use super::query::{KeyQuery, LogQuery};
use super::roll::{Heartbeat, NodeRow, RollCall};
use crate::error::StoreError;
use crate::record::{Event, KeyRecord, Usage, UsageDelta};
use crate::token::KeyId;

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The store traits as an object: not public, so that nobody implements it by hand.
pub(crate) trait DynStore: Send + Sync + 'static {
    fn get_dyn(&self, id: KeyId) -> Answer<'_, Option<KeyRecord>>;
    fn commit_dyn(&self, change: Change) -> Answer<'_, ()>;
    fn list_dyn<'a>(&'a self, query: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>>;
    fn log_dyn<'a>(&'a self, query: &'a LogQuery) -> Answer<'a, Vec<(u64, Event)>>;
    fn unseen_for_dyn(&self) -> Answer<'_, Option<Duration>>;
    fn add_dyn<'a>(&'a self, batch: &'a [UsageDelta]) -> Answer<'a, ()>;
    fn usage_dyn<'a>(&'a self, keys: &'a [KeyId]) -> Answer<'a, HashMap<KeyId, Usage>>;
}

impl<S: KeyStore + UsageStore> DynStore for S {
    fn get_dyn(&self, id: KeyId) -> Answer<'_, Option<KeyRecord>> {
        Box::pin(self.get(id))
    }

    fn commit_dyn(&self, change: Change) -> Answer<'_, ()> {
        Box::pin(self.commit(change))
    }

    fn list_dyn<'a>(&'a self, query: &'a KeyQuery) -> Answer<'a, Vec<KeyRecord>> {
        Box::pin(self.list(query))
    }

    fn log_dyn<'a>(&'a self, query: &'a LogQuery) -> Answer<'a, Vec<(u64, Event)>> {
        Box::pin(self.log(query))
    }

    fn unseen_for_dyn(&self) -> Answer<'_, Option<Duration>> {
        Box::pin(self.unseen_for())
    }

    fn add_dyn<'a>(&'a self, batch: &'a [UsageDelta]) -> Answer<'a, ()> {
        Box::pin(self.add(batch))
    }

    fn usage_dyn<'a>(&'a self, keys: &'a [KeyId]) -> Answer<'a, HashMap<KeyId, Usage>> {
        Box::pin(self.usage(keys))
    }
}

/// The same of a store that nodes share.
pub(crate) trait DynSharedStore: DynStore {
    fn changes_dyn<'a>(&'a self, query: &'a LogQuery) -> Answer<'a, Changes>;
    fn set_max_staleness_dyn(&self, bound: Duration) -> Answer<'_, ()>;
    fn set_heartbeats_dyn(&self, on: bool) -> Answer<'_, ()>;
    fn roll_call_dyn<'a>(
        &'a self,
        beat: Heartbeat<'a>,
        gone: &'a [NodeRow],
    ) -> Answer<'a, RollCall>;
}

impl<S: KeyStore + UsageStore + ChangeFeed> DynSharedStore for S {
    fn changes_dyn<'a>(&'a self, query: &'a LogQuery) -> Answer<'a, Changes> {
        Box::pin(self.changes(query))
    }

    fn set_max_staleness_dyn(&self, bound: Duration) -> Answer<'_, ()> {
        Box::pin(self.set_max_staleness(bound))
    }

    fn set_heartbeats_dyn(&self, on: bool) -> Answer<'_, ()> {
        Box::pin(self.set_heartbeats(on))
    }

    fn roll_call_dyn<'a>(
        &'a self,
        beat: Heartbeat<'a>,
        gone: &'a [NodeRow],
    ) -> Answer<'a, RollCall> {
        Box::pin(self.roll_call(beat, gone))
    }
}
