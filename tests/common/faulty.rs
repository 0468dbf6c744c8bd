use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use keyward::{
    Change, ChangeFeed, Changes, Event, KeyId, KeyQuery, KeyRecord, KeyStore, LogQuery, StoreError,
    StoreErrorKind, Usage, UsageDelta, UsageStore,
};

use super::store::Fault;

/// Any store, with one call that goes wrong.
#[derive(Clone)]
pub(crate) struct Faulty<S> {
    inner: S,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    calls: AtomicUsize,
    /// Which call fails, counted from 0, and how.
    fault: Mutex<Option<(usize, Fault)>>,
    hangs: AtomicBool,
}

impl<S> Faulty<S> {
    pub(crate) fn of(inner: S) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Lets a call fail, counted from 0 and from the beginning.
    pub(crate) fn fail(&self, call: usize, fault: Fault) {
        *self.state.fault.lock().unwrap() = Some((call, fault));
    }

    pub(crate) fn calls(&self) -> usize {
        self.state.calls.load(SeqCst)
    }

    /// What a future gives, or `None` once a call that it made never ends: it is dropped.
    pub(crate) async fn unless_hung<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.state.hangs.swap(false, SeqCst) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    async fn call<T>(
        &self,
        real: impl Future<Output = Result<T, StoreError>>,
    ) -> (Result<T, StoreError>, Option<Fault>) {
        let call = self.state.calls.fetch_add(1, SeqCst);
        let fault = *self.state.fault.lock().unwrap();
        let fault = fault.filter(|(at, _)| *at == call).map(|(_, fault)| fault);
        let done = match fault {
            Some(Fault::Error(kind)) => Err(StoreError::new(kind)),
            Some(Fault::Hangs) => self.hang().await,
            Some(Fault::Dropped) => {
                let mut real = pin!(real);
                poll_fn(|context| {
                    let _ = real.as_mut().poll(context);
                    Poll::Ready(())
                })
                .await;
                self.hang().await
            }
            Some(Fault::ErrorAfter) => {
                real.await.and_then(|_| Err(StoreError::new(StoreErrorKind::Unavailable)))
            }
            Some(Fault::HangsAfter) => {
                drop(real.await);
                self.hang().await
            }
            _ => real.await,
        };
        (done, fault)
    }

    async fn hang<T>(&self) -> T {
        self.state.hangs.store(true, SeqCst);
        pending().await
    }
}

fn half(record: &KeyRecord) -> KeyRecord {
    let document = record.to_document();
    KeyRecord::from_row(record.id(), record.version(), &document[..document.len() / 2])
}

fn twice<T: Clone>(rows: Vec<T>) -> Vec<T> {
    rows.into_iter().flat_map(|row| [row.clone(), row]).collect()
}

impl<S: KeyStore + Clone> KeyStore for Faulty<S> {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let (found, fault) = self.call(self.inner.get(id)).await;
        Ok(match (found?, fault) {
            (Some(_), Some(Fault::WrongRow)) => {
                let others = self.inner.list(&KeyQuery::new().with_revoked()).await?;
                others.into_iter().find(|record| record.id() != id)
            }
            (Some(record), Some(Fault::HalfRow)) => Some(half(&record)),
            (found, _) => found,
        })
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.call(self.inner.commit(change)).await.0
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        let (found, fault) = self.call(self.inner.list(query)).await;
        let mut found = found?;
        match fault {
            Some(Fault::Twice) => return Ok(twice(found)),
            Some(Fault::HalfRow) => {
                if let Some(first) = found.first_mut() {
                    *first = half(first);
                }
            }
            _ => {}
        }
        Ok(found)
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        let (found, fault) = self.call(self.inner.log(query)).await;
        Ok(if fault == Some(Fault::Twice) { twice(found?) } else { found? })
    }

    async fn unseen_for(&self) -> Result<Option<Duration>, StoreError> {
        self.call(self.inner.unseen_for()).await.0
    }
}

impl<S: ChangeFeed + Clone> ChangeFeed for Faulty<S> {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        let (found, fault) = self.call(self.inner.changes(query)).await;
        let mut found = found?;
        match fault {
            Some(Fault::Twice) => found.entries = twice(found.entries),
            // The place this node had in the log is another's.
            Some(Fault::WrongRow) => found.entries.reverse(),
            Some(Fault::HalfRow) => found.entries.clear(),
            _ => {}
        }
        Ok(found)
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        self.inner.set_max_staleness(bound).await
    }
}

impl<S: UsageStore + Clone> UsageStore for Faulty<S> {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.call(self.inner.add(batch)).await.0
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.call(self.inner.usage(keys)).await.0
    }
}
