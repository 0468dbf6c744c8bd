//! A pepper can leave the ring once no secret that may still work needs it.

use std::time::Duration;

use keyward::{
    AccessRequest, Actor, ApiKey, Environment, FakeClock, KeyId, KeyScheme, KeyService,
    MemoryStore, NewKey, Pepper, PepperRing, Reason, ReportOptions, Timestamp,
};

const DAY: Duration = Duration::from_secs(86_400);
const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

fn service(ring: PepperRing, store: &MemoryStore, clock: &FakeClock) -> KeyService {
    let scheme = KeyScheme::new(ring, [("ak_live", Environment::PRODUCTION)]).unwrap();
    KeyService::builder(scheme, store.clone()).clock(clock.clone()).build()
}

async fn issue(keys: &KeyService, admin: &Actor, new: NewKey) -> (KeyId, ApiKey) {
    let issued = keys.issue(admin, new.owner("org_1")).await.unwrap();
    (issued.view().id, issued.into_key())
}

#[pollster::test]
async fn secrets_that_have_ended_hold_no_pepper_back() {
    let clock = FakeClock::at(Timestamp::from_unix_seconds(1_750_000_000));
    let (store, admin) = (MemoryStore::new(), Actor::system("test"));
    let first = PepperRing::generate().unwrap();
    let second = PepperRing::generate().unwrap();
    let keys = service(PepperRing::from_base64(&first).unwrap(), &store, &clock);

    let (rotated, superseded) = issue(&keys, &admin, NewKey::named("rotated")).await;
    let current = keys.rotate(&admin, rotated, DAY).await.unwrap().into_key();
    let (revoked_id, revoked) = issue(&keys, &admin, NewKey::named("revoked")).await;
    keys.revoke(&admin, revoked_id, Reason::Unused).await.unwrap();
    let ending = NewKey::named("expired").expires_at(keys.now().saturating_add(DAY));
    let (_, expired) = issue(&keys, &admin, ending).await;

    let both = PepperRing::from_base64(&second).unwrap();
    let both = both.accept(Pepper::from_base64(&first).unwrap()).unwrap();
    let keys = service(both, &store, &clock);
    keys.reseal_all(&admin).await.unwrap();
    keys.verify(current.expose_secret(), &REQUEST).await.unwrap();
    keys.maintain().await.unwrap();

    let alone = PepperRing::from_base64(&second).unwrap();
    let refused = keys.check_ring(&alone).await.unwrap_err();
    assert!(matches!(refused, keyward::ManageError::PepperInUse(_)), "the grace still runs");
    clock.advance(DAY);
    let old = Pepper::from_base64(&first).unwrap().id();
    assert!(keys.check_ring(&alone).await.unwrap().peppers[&old].is_unused());
    let reports = keys.reports(&admin, &ReportOptions::default()).await.unwrap();
    assert!(reports.old_pepper.is_empty());

    let keys = service(alone, &store, &clock);
    assert!(keys.verify(current.expose_secret(), &REQUEST).await.is_ok());
    for ended in [superseded, revoked, expired] {
        let answer = keys.verify(ended.expose_secret(), &REQUEST).await.unwrap_err();
        assert_eq!((answer.code(), answer.status()), ("INVALID_API_KEY", 401));
    }
}

#[pollster::test]
async fn a_secret_that_may_still_work_is_unavailable_without_its_pepper() {
    let clock = FakeClock::at(Timestamp::from_unix_seconds(1_750_000_000));
    let (store, admin) = (MemoryStore::new(), Actor::system("test"));
    let first = PepperRing::generate().unwrap();
    let keys = service(PepperRing::from_base64(&first).unwrap(), &store, &clock);
    let (_, key) = issue(&keys, &admin, NewKey::named("in use")).await;

    let other = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
    let keys = service(other, &store, &clock);
    let answer = keys.verify(key.expose_secret(), &REQUEST).await.unwrap_err();
    assert_eq!((answer.code(), answer.status()), ("UNAVAILABLE", 503));
    assert!(keys.check_peppers().await.is_err());
}
