//! The crate as its users see it: nothing is imported but `keyward`.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward::{
    AccessRequest, Action, Actor, Challenge, Change, Changed, Charge, Clock, Compromised, Deny,
    Environment, Event, Expect, FakeClock, FieldError, ImportDigest, ImportFamily, IssuedKey,
    KeyEdit, KeyId, KeyQuery, KeyRecord, KeyScheme, KeyService, KeyServiceBuilder, KeyStore,
    KeyView, LimitStore, LocalLimits, LogQuery, Maintained, ManageError, MemoryStore, NewKey,
    Observer, Outcome, Page, Pepper, PepperReport, PepperRing, Prefix, Quota, RateLimit, Reason,
    Refill, Rejected, ReportOptions, Reports, Resealed, Roles, Rotation, ScopeExpr, SharedKeyStore,
    SharedLimitStore, Status, StoreError, StoreErrorKind, SystemClock, Taken, Timestamp, Trace,
    Usage, UsageDelta, UsageStore, Verified, VerifyError,
};

type Anyhow = Result<(), Box<dyn Error>>;

const SERVED: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION).scope("read:assets");

fn scheme() -> KeyScheme {
    let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
    let prefixes = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
    KeyScheme::new(peppers, prefixes).unwrap()
}

fn start() -> Timestamp {
    "2025-06-01T12:00:00Z".parse().unwrap()
}

/// A whole program: from a pepper to a revoked key.
#[pollster::test]
async fn a_whole_program() -> Anyhow {
    let clock = FakeClock::at(start());
    let heard = Arc::new(Heard::default());
    let keys = KeyService::builder(scheme(), MemoryStore::new())
        .roles(Roles::none().role("viewer", ["read:sites"])?)
        .limits(LocalLimits::new().per_owner(RateLimit::per_minute(1_000)?)?)
        .clock(clock.clone())
        .observer(Arc::clone(&heard))
        .build();
    let admin = Actor::system("setup");

    let new = NewKey::named("Asset Controls Backend")
        .owner("org_1")
        .permissions(["read:assets", "write:schedules"])
        .roles(["viewer"])
        .rate_limit(RateLimit::per_minute(100)?)
        .quota(Quota::new(10_000, Refill::Month)?)
        .expires_at("2026-06-01T12:00:00Z".parse()?);
    let issued = keys.issue(&admin, new).await?;
    let id = issued.view().id;
    let key = issued.into_key();

    let verified = keys.verify(key.expose_secret(), &SERVED).await?;
    assert_eq!((verified.key_id(), verified.owner()), (id, "org_1"));
    assert!(verified.can("read:sites"));
    assert!(!verified.can("write:assets"));
    assert_eq!(verified.limit().map(|limit| limit.remaining()), Some(99));

    let refused = keys.verify(key.expose_secret(), &SERVED.scope("api.key.create")).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("INSUFFICIENT_PERMISSIONS", 403));
    let body = refused.body(&SERVED.scope("api.key.create")).to_json();
    assert!(body.starts_with(r#"{"error":{"code":"INSUFFICIENT_PERMISSIONS","#), "{body}");

    let edit = KeyEdit::new().name("Renamed").if_revision(1);
    let changed = keys.update(&admin, id, edit.clone()).await?;
    assert_eq!((changed.key.name.as_str(), changed.key.revision), ("Renamed", 2));
    let conflict = keys.update(&admin, id, edit).await.unwrap_err();
    assert!(matches!(conflict, ManageError::Conflict { revision: 2 }));

    let second = keys.rotate(&admin, id, Duration::from_secs(3_600)).await?.into_key();
    keys.verify(key.expose_secret(), &SERVED).await?;
    keys.verify(second.expose_secret(), &SERVED).await?;
    clock.advance(Duration::from_secs(3_600));
    let superseded = keys.verify(key.expose_secret(), &SERVED).await.unwrap_err();
    assert_eq!(superseded.deny(), Some(Deny::Superseded));

    let third = keys.regenerate(&admin, id).await?.into_key();
    assert!(keys.verify(second.expose_secret(), &SERVED).await.is_err());
    let trace = keys.explain(&admin, id, &SERVED, keys.now()).await?;
    assert!(trace.allowed, "{trace}");

    keys.maintain().await?;
    let page = keys.list(&admin, &KeyQuery::new().owner("org_1")).await?;
    assert_eq!((page.data.len(), page.next), (1, None));
    assert_eq!(page.data[0].status, Status::Active);
    assert_eq!(keys.usage(&admin, id).await?.uses, 3);
    let reports = keys.reports(&admin, &ReportOptions::default()).await?;
    assert!(reports.rotation_due.is_empty() && reports.bad_seals.is_empty());

    let receipt = keys.revoke(&admin, id, Reason::Superseded).await?;
    assert!(receipt.everywhere_by <= keys.now());
    let revoked = keys.verify(third.expose_secret(), &SERVED).await.unwrap_err();
    assert_eq!((revoked.code(), revoked.status()), ("INVALID_API_KEY", 401));

    let actions =
        [Action::Revoked, Action::Regenerated, Action::Rotated, Action::Updated, Action::Issued];
    let trail = keys.events(&admin, id).await?;
    assert_eq!(trail.iter().map(|event| event.action).collect::<Vec<_>>(), actions);
    let heard = heard.0.lock().unwrap();
    assert_eq!(heard.changes, 5);
    assert_eq!((heard.allowed, heard.refused), (3, 4));
    Ok(())
}

/// What an observer hears, counted.
#[derive(Default)]
struct Heard(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    allowed: usize,
    refused: usize,
    changes: usize,
}

impl Observer for Heard {
    fn verified(&self, outcome: &Outcome<'_>) {
        let mut counts = self.0.lock().unwrap();
        match outcome.result {
            Ok(_) => counts.allowed += 1,
            Err(_) => counts.refused += 1,
        }
    }

    fn changed(&self, _: &Event) {
        self.0.lock().unwrap().changes += 1;
    }
}

/// Without a service and without a future: the host fetches the record itself.
#[test]
fn verification_without_io() -> Anyhow {
    let scheme = scheme();
    let store = MemoryStore::new();
    let keys =
        KeyService::builder(scheme.clone(), store.clone()).clock(FakeClock::at(start())).build();
    let new = NewKey::named("cron").owner("org_1").permissions(["read:*"]);
    let key = pollster::block_on(keys.issue(&Actor::system("setup"), new))?.into_key();
    let stored = pollster::block_on(store.list(&KeyQuery::new()))?;
    let rows: HashMap<KeyId, (u64, String)> =
        stored.iter().map(|row| (row.id(), (row.version(), row.to_document()))).collect();

    let (limits, roles) = (LocalLimits::new(), Roles::none());
    let verify = |presented: &str, request: &AccessRequest<'_>| -> Result<Verified, VerifyError> {
        let challenge: Challenge<'_> = scheme.begin(presented)?;
        let id = challenge.key_id();
        let record = rows.get(&id).map(|(version, text)| KeyRecord::from_row(id, *version, text));
        challenge.finish(record.as_ref(), request, &roles, &limits, start())
    };
    let expression = ScopeExpr::parse("read:assets AND (read:sites OR write:sites)")?;
    let request = AccessRequest::new(Environment::PRODUCTION).expression(&expression);
    assert_eq!(verify(key.expose_secret(), &request)?.name(), "cron");

    let elsewhere = AccessRequest::new(Environment::SANDBOX);
    let refused = verify(key.expose_secret(), &elsewhere).unwrap_err();
    assert_eq!(refused.deny(), Some(Deny::WrongEnvironment));
    let rejected: Rejected = scheme.begin("ak_live_typo").err().ok_or("begun")?;
    assert_eq!(rejected.deny(), Deny::Malformed);
    Ok(())
}

/// A store of the user's own, behind the type that forgets which it is.
#[derive(Clone, Default)]
struct OwnStore(MemoryStore);

impl KeyStore for OwnStore {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.0.get(id).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        if let Expect::Absent { cap: Some(cap) } = change.expect
            && cap.max == 0
        {
            return Err(StoreError::new(StoreErrorKind::OwnerCapReached));
        }
        self.0.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.0.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.0.log(query).await
    }
}

impl UsageStore for OwnStore {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.0.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.0.usage(keys).await
    }
}

/// A limit store that is always full.
struct Full;

impl LimitStore for Full {
    async fn take(&self, _: &[Charge]) -> Result<Taken, StoreError> {
        let retry_after = Some(Duration::from_millis(1_500));
        Ok(Taken::Denied { charge: 0, retry_after, resets_at: None })
    }
}

#[pollster::test]
async fn stores_of_several_types_fit_one_service() -> Anyhow {
    let stores: [SharedKeyStore; 2] = [MemoryStore::new().into(), OwnStore::default().into()];
    for store in stores {
        let keys =
            KeyService::builder(scheme(), store).limit_store(SharedLimitStore::from(Full)).build();
        let new = NewKey::named("strict")
            .owner("org_1")
            .permissions(["read:assets"])
            .rate_limit(RateLimit::per_second(1)?.strict());
        let key = keys.issue(&Actor::system("setup"), new).await?.into_key();
        let refused = keys.verify(key.expose_secret(), &SERVED).await.unwrap_err();
        assert_eq!((refused.code(), refused.status()), ("RATE_LIMITED", 429));
        assert_eq!(refused.retry_after(), Some(Duration::from_millis(1_500)));
    }
    let keys = KeyService::new(scheme(), OwnStore::default());
    let capped = Actor::system("setup").key_cap(0);
    let refused = keys.issue(&capped, NewKey::named("one").owner("org_1")).await.unwrap_err();
    assert!(matches!(refused, ManageError::KeyLimitReached { max: 0 }));
    Ok(())
}

#[test]
fn types_can_be_shared_cloned_and_shown() {
    fn shared<T: Send + Sync + 'static>() {}
    fn value<T: Clone + Debug + Send + Sync + 'static>() {}
    fn handle<T: Clone + Send + Sync + 'static>() {}
    fn error<T: Error + Send + Sync + 'static>() {}

    value::<AccessRequest<'static>>();
    value::<Actor>();
    value::<Changed>();
    value::<Environment>();
    value::<Event>();
    value::<FakeClock>();
    value::<ImportFamily>();
    value::<KeyEdit>();
    value::<KeyId>();
    value::<KeyQuery>();
    value::<KeyRecord>();
    value::<KeyScheme>();
    value::<KeyService>();
    value::<KeyView>();
    value::<LocalLimits>();
    value::<Maintained>();
    value::<MemoryStore>();
    value::<NewKey>();
    value::<Page<KeyView>>();
    value::<Pepper>();
    value::<PepperReport>();
    value::<PepperRing>();
    value::<Prefix>();
    value::<Rejected>();
    value::<ReportOptions>();
    value::<Reports>();
    value::<Resealed>();
    value::<Roles>();
    value::<Rotation>();
    value::<SharedKeyStore>();
    value::<SharedLimitStore>();
    value::<Trace>();
    value::<Usage>();
    value::<Verified>();
    handle::<ImportDigest>();
    shared::<Challenge<'static>>();
    shared::<Compromised>();
    shared::<IssuedKey>();
    shared::<KeyServiceBuilder>();
    shared::<SystemClock>();
    error::<FieldError>();
    error::<ManageError>();
    error::<Rejected>();
    error::<StoreError>();
    error::<VerifyError>();
}

/// What a trait demands of its implementers, its users may rely on.
#[test]
fn traits_are_send_sync_and_static() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    fn any(
        clock: &impl Clock,
        keys: &impl KeyStore,
        limits: &impl LimitStore,
        observer: &impl Observer,
        usage: &impl UsageStore,
    ) {
        shared(clock);
        shared(keys);
        shared(limits);
        shared(observer);
        shared(usage);
    }
    let store = OwnStore::default();
    any(&SystemClock::new(), &store, &Full, &Arc::new(Heard::default()), &store);
}

/// Every future may move to another thread, or no runtime with threads could spawn it.
#[test]
fn futures_are_send() {
    fn send<T>(future: impl Future<Output = T> + Send) {
        drop(future);
    }
    let keys = KeyService::new(scheme(), OwnStore::default());
    let (actor, id) = (Actor::system("setup"), KeyId::from_bytes([0; 10]));
    let (query, edit) = (KeyQuery::new(), KeyEdit::new());
    let (at, options, ring) = (
        start(),
        ReportOptions::default(),
        PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap(),
    );
    send(keys.verify("", &SERVED));
    send(keys.issue(&actor, NewKey::default()));
    send(keys.import(&actor, NewKey::default(), "", ""));
    send(keys.get(&actor, id));
    send(keys.list(&actor, &query));
    send(keys.update(&actor, id, edit.clone()));
    send(keys.rotate(&actor, id, Duration::ZERO));
    send(keys.regenerate(&actor, id));
    send(keys.compromised(&actor, id));
    send(keys.finish_rotation(&actor, id));
    send(keys.disable(&actor, id));
    send(keys.enable(&actor, id));
    send(keys.revoke(&actor, id, Reason::Other));
    send(keys.events(&actor, id));
    send(keys.usage(&actor, id));
    send(keys.reports(&actor, &options));
    send(keys.explain(&actor, id, &SERVED, at));
    send(keys.simulate(&actor, id, &edit, &SERVED, at));
    send(keys.would_break(&actor, &query, &edit, &SERVED, at));
    send(keys.pepper_report());
    send(keys.check_peppers());
    send(keys.check_ring(&ring));
    send(keys.reseal_all(&actor));
    send(keys.flush());
    send(keys.maintain());
}

/// Secrets don't come out by the side doors.
#[pollster::test]
async fn what_holds_a_secret_does_not_show_it() -> Anyhow {
    let keys = KeyService::new(scheme(), MemoryStore::new());
    let issued = keys.issue(&Actor::system("setup"), NewKey::named("n").owner("o")).await?;
    let shown = format!("{issued:?} {:?} {keys:?}", issued.view());
    let key = issued.into_key();
    let shown = format!("{shown} {key:?}");
    let secret = &key.expose_secret()["ak_live_1".len() + 17..];
    for window in secret.as_bytes().windows(8) {
        let window = std::str::from_utf8(window)?;
        assert!(!shown.contains(window), "{shown}");
    }
    Ok(())
}
