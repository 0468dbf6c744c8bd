//! Upkeep on a Tokio runtime: it catches up, flushes, reports, and ends whole.
#![cfg(feature = "tokio")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyward::{
    AccessRequest, Actor, Environment, Hints, KeyCache, KeyScheme, KeyService, MemoryStore, NewKey,
    PepperRing, Reason, StoreError, StoreErrorKind, TokioUpkeep,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

fn scheme() -> KeyScheme {
    let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
    KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap()
}

/// Hints that the test gives.
struct Given(mpsc::UnboundedReceiver<()>);

impl Hints for Given {
    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_node_hears_by_hint_long_before_the_next_pass() {
    let store = MemoryStore::new();
    let one = KeyService::new(scheme(), store.clone());
    let other = KeyService::new(scheme(), KeyCache::new(store));
    let (hint, hints) = mpsc::unbounded_channel();
    let upkeep = TokioUpkeep::new(other.clone())
        .every(Duration::from_secs(3_600))
        .hints(Given(hints))
        .start(&Handle::current());
    let admin = Actor::system("test");
    let issued = one.issue(&admin, NewKey::named("cron").owner("org_1")).await.unwrap();
    let (id, key) = (issued.id(), issued.into_key());
    other.catch_up().await.unwrap();
    other.verify(key.expose_secret(), &REQUEST).await.unwrap();
    one.revoke(&admin, id, Reason::Unused).await.unwrap();
    other.verify(key.expose_secret(), &REQUEST).await.expect("nobody has told it yet");
    hint.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    other.verify(key.expose_secret(), &REQUEST).await.unwrap_err();
    upkeep.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn passes_go_on_and_shutdown_writes_the_last_uses() {
    let store = MemoryStore::new();
    let keys = KeyService::new(scheme(), store.clone());
    let upkeep = TokioUpkeep::new(keys.clone()).start(&Handle::current());
    let admin = Actor::system("test");
    let issued = keys.issue(&admin, NewKey::named("cron").owner("org_1")).await.unwrap();
    let (id, key) = (issued.id(), issued.into_key());
    tokio::time::sleep(Duration::from_secs(5)).await;
    for _ in 0..3 {
        keys.verify(key.expose_secret(), &REQUEST).await.unwrap();
    }
    upkeep.shutdown().await.unwrap();
    let usage = keyward::UsageStore::usage(&store, &[id]).await.unwrap();
    assert_eq!(usage[&id].uses, 3);
}

#[tokio::test(start_paused = true)]
async fn what_else_is_asked_for_is_done_at_once_and_each_day_and_reported() {
    const DAY: Duration = Duration::from_secs(86_400);
    let keys = KeyService::new(scheme(), MemoryStore::new());
    let [asked, heard] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let (asks, told) = (Arc::clone(&asked), Arc::clone(&heard));
    let upkeep = TokioUpkeep::new(keys)
        .every(DAY)
        .each(DAY, move || {
            let nth = asks.fetch_add(1, Ordering::Relaxed);
            async move {
                match nth {
                    0 => Ok(7),
                    1 => Err(StoreError::new(StoreErrorKind::Unavailable)),
                    // It is given up and told of, and asked for anew.
                    _ => std::future::pending().await,
                }
            }
        })
        .on_error(move |_| {
            told.fetch_add(1, Ordering::Relaxed);
        })
        .start(&Handle::current());
    let seen = || [&asked, &heard].map(|count| count.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seen(), [1, 0]);
    tokio::time::sleep(DAY * 3 / 2).await;
    assert_eq!(seen(), [2, 1]);
    tokio::time::sleep(DAY).await;
    assert_eq!(seen(), [3, 2]);
    tokio::time::sleep(DAY).await;
    assert_eq!(seen(), [4, 3]);
    upkeep.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_reported_each_second_and_a_drop_ends_it() {
    let keys = KeyService::new(scheme(), KeyCache::new(broken::Broken::default()));
    let heard = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&heard);
    let upkeep = TokioUpkeep::new(keys)
        .on_error(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .start(&Handle::current());
    tokio::time::sleep(Duration::from_secs(100)).await;
    let so_far = heard.load(Ordering::Relaxed);
    assert!((80..=112).contains(&so_far), "{so_far}");
    drop(upkeep);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(heard.load(Ordering::Relaxed) <= so_far + 1);
}

/// Hints without end.
struct Forged;

impl Hints for Forged {
    async fn next(&mut self) {}
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_forged_hints_does_not_keep_the_store_busy() {
    let keys = KeyService::new(scheme(), KeyCache::new(broken::Broken::default()));
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let upkeep = TokioUpkeep::new(keys)
        .every(Duration::from_secs(3_600))
        .hints(Forged)
        .on_error(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .start(&Handle::current());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = asked.load(Ordering::Relaxed);
    assert!((100..=202).contains(&asked), "{asked}");
    upkeep.shutdown().await.unwrap();
}

mod broken {
    use std::collections::HashMap;
    use std::time::Duration;

    use keyward::{
        Change, ChangeFeed, Changes, Event, KeyId, KeyQuery, KeyRecord, KeyStore, LogQuery,
        StoreError, StoreErrorKind, Usage, UsageDelta, UsageStore,
    };

    /// A store that can't be reached.
    #[derive(Clone, Default)]
    pub(super) struct Broken(());

    fn error<T>() -> Result<T, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable))
    }

    impl KeyStore for Broken {
        async fn get(&self, _: KeyId) -> Result<Option<KeyRecord>, StoreError> {
            error()
        }
        async fn commit(&self, _: Change) -> Result<(), StoreError> {
            error()
        }
        async fn list(&self, _: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
            error()
        }
        async fn log(&self, _: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
            error()
        }
    }

    impl UsageStore for Broken {
        async fn add(&self, _: &[UsageDelta]) -> Result<(), StoreError> {
            error()
        }
        async fn usage(&self, _: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
            error()
        }
    }

    impl ChangeFeed for Broken {
        async fn changes(&self, _: &LogQuery) -> Result<Changes, StoreError> {
            error()
        }
        async fn set_max_staleness(&self, _: Duration) -> Result<(), StoreError> {
            error()
        }
    }
}

fn broken() -> Result<(), StoreError> {
    panic!("in the midst of it")
}

#[tokio::test]
async fn a_part_that_panicked_is_told_of_at_the_end_and_the_uses_are_written() {
    let store = MemoryStore::new();
    let keys = KeyService::new(scheme(), store.clone());
    let upkeep = TokioUpkeep::new(keys.clone())
        .each(Duration::from_secs(86_400), || async { broken() })
        .start(&Handle::current());
    let admin = Actor::system("test");
    let issued = keys.issue(&admin, NewKey::named("cron").owner("org_1")).await.unwrap();
    let (id, key) = (issued.id(), issued.into_key());
    tokio::task::yield_now().await;
    keys.verify(key.expose_secret(), &REQUEST).await.unwrap();
    let error = upkeep.shutdown().await.unwrap_err();
    assert!(error.to_string().contains("in a panic"), "{error}");
    let usage = keyward::UsageStore::usage(&store, &[id]).await.unwrap();
    assert_eq!(usage[&id].uses, 1);
}
