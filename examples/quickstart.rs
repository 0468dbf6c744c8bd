//! The main job from end to end: `cargo run --example quickstart`.
//!
//! Keys are issued, verified, refused, rotated, listed and revoked. The clock is a fake one, so that
//! a key can expire while you watch.

use std::error::Error;
use std::time::Duration;

use keyward::{
    AccessRequest, Actor, ApiKey, ClientIp, Environment, FakeClock, KeyId, KeyQuery, KeyScheme,
    KeyService, MemoryStore, NewKey, PepperRing, RateLimit, Reason, Verified,
};
use serde::Serialize;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HOUR: Duration = Duration::from_secs(3_600);
const OFFICE: &str = "10.1.2.3";
const READ_ASSETS: AccessRequest<'_> =
    AccessRequest::new(Environment::PRODUCTION).scope("read:assets");

#[pollster::main]
async fn main() -> Result {
    let clock = FakeClock::at("2025-01-15T10:00:00Z".parse()?);
    let places = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
    let keys = service(&places, &clock)?;
    let admin = Actor::system("quickstart");

    heading("Issue: the token is shown once");
    let (id, key) = issue(&keys, &admin, asset_controls()?).await?;
    second_scheme(&admin, &clock).await?;

    heading("Verify");
    let from_office = READ_ASSETS.from(ClientIp::Peer(OFFICE.parse()?));
    let verified = keys.verify(key.expose_secret(), &from_office).await?;
    show_verified(&verified);

    heading("Refuse: what the client is told");
    refusals(&keys, &admin, &key).await?;
    expired(&keys, &admin, &clock).await?;
    rate_limited(&keys, &admin).await?;
    revoked(&keys, &admin).await?;

    heading("Rotate: both secrets work for a day");
    let rotated = rotate(&keys, &admin, &clock, id, &key).await?;

    heading("Regenerate: the old secrets stop at once");
    regenerate(&keys, &admin, id, &rotated).await?;

    heading("List");
    println!("\n{}", pretty(&keys.list(&admin, &KeyQuery::new().owner("org_1")).await?)?);

    heading("Audit trail, newest first");
    println!();
    for event in keys.events(&admin, id).await? {
        println!("{}  {:<11} by {}  {:?}", event.at, event.action, event.actor, event.details);
    }

    heading("Explain: why would a write from another address be refused?");
    let write = AccessRequest::new(Environment::PRODUCTION)
        .scope("write:schedules")
        .from(ClientIp::Peer("203.0.113.50".parse()?));
    print!("\n{}", keys.explain(&admin, id, &write, keys.now()).await?);
    Ok(())
}

/// A service on a store in memory. A real host reads its pepper from a secret manager.
fn service(places: &[(&str, Environment)], clock: &FakeClock) -> Result<KeyService> {
    let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
    let scheme = KeyScheme::new(peppers, places.iter().copied())?;
    Ok(KeyService::builder(scheme, MemoryStore::new()).clock(clock.clone()).build())
}

fn asset_controls() -> Result<NewKey> {
    Ok(NewKey::named("Asset Controls Backend")
        .owner("org_1")
        .permissions(["read:assets", "write:schedules"])
        .ip_allowlist(["10.0.0.0/8"])
        .expires_at("2025-12-31T23:59:59Z".parse()?))
}

async fn issue(keys: &KeyService, actor: &Actor, new: NewKey) -> Result<(KeyId, ApiKey)> {
    let issued = keys.issue(actor, new).await?;
    let view = issued.view().clone();
    let key = issued.into_key();
    println!("\n{}, {}\n{}", view.name, view.id, key.expose_secret());
    Ok((view.id, key))
}

async fn second_scheme(actor: &Actor, clock: &FakeClock) -> Result {
    let onvera = service(&[("onv_sk_live", Environment::PRODUCTION)], clock)?;
    let new = NewKey::named("Deploy bot").owner("org_7").permissions(["deployments:write"]);
    issue(&onvera, actor, new).await?;
    Ok(())
}

fn show_verified(verified: &Verified) {
    println!("\n{} `{}` of {}", verified.key_id(), verified.name(), verified.owner());
    println!("may write schedules: {}", verified.can("write:schedules"));
    println!("may delete assets: {}", verified.can("delete:assets"));
}

async fn refusals(keys: &KeyService, actor: &Actor, key: &ApiKey) -> Result {
    let office = ClientIp::Peer(OFFICE.parse()?);
    let elsewhere = ClientIp::Peer("203.0.113.50".parse()?);
    let new = NewKey::named("Asset Controls Test").owner("org_1").permissions(["read:assets"]);
    let (_, test) = issue(keys, actor, new.environment(Environment::SANDBOX)).await?;
    let mut typo = key.expose_secret().to_owned();
    let last = if typo.pop() == Some('x') { 'y' } else { 'x' };
    typo.push(last);

    refuse(keys, "a typing error", &typo, READ_ASSETS.from(office)).await?;
    refuse(keys, "a test key in production", test.expose_secret(), READ_ASSETS).await?;
    refuse(keys, "another address", key.expose_secret(), READ_ASSETS.from(elsewhere)).await?;
    let delete = AccessRequest::new(Environment::PRODUCTION).scope("delete:assets").from(office);
    refuse(keys, "a permission it lacks", key.expose_secret(), delete).await
}

async fn expired(keys: &KeyService, actor: &Actor, clock: &FakeClock) -> Result {
    let end = keys.now().saturating_add(HOUR);
    let new = NewKey::named("Temporary Integration").owner("org_2").expires_at(end);
    let (_, key) = issue(keys, actor, new.permissions(["read:assets"])).await?;
    clock.advance(HOUR);
    refuse(keys, "an hour later", key.expose_secret(), READ_ASSETS).await
}

async fn rate_limited(keys: &KeyService, actor: &Actor) -> Result {
    let new = NewKey::named("Polling Script").owner("org_2").rate_limit(RateLimit::per_minute(2)?);
    let (_, key) = issue(keys, actor, new.permissions(["read:assets"])).await?;
    for _ in 0..2 {
        keys.verify(key.expose_secret(), &READ_ASSETS).await?;
    }
    refuse(keys, "the third request of a minute", key.expose_secret(), READ_ASSETS).await
}

async fn revoked(keys: &KeyService, actor: &Actor) -> Result {
    let new = NewKey::named("Leaked Script").owner("org_2").permissions(["read:assets"]);
    let (id, key) = issue(keys, actor, new).await?;
    keys.revoke(actor, id, Reason::Compromised).await?;
    refuse(keys, "after it was revoked", key.expose_secret(), READ_ASSETS).await
}

async fn rotate(
    keys: &KeyService,
    actor: &Actor,
    clock: &FakeClock,
    id: KeyId,
    old: &ApiKey,
) -> Result<ApiKey> {
    let new = keys.rotate(actor, id, 24 * HOUR).await?.into_key();
    let request = READ_ASSETS.from(ClientIp::Peer(OFFICE.parse()?));
    clock.advance(HOUR);
    keys.verify(old.expose_secret(), &request).await?;
    clock.advance(HOUR);
    keys.verify(new.expose_secret(), &request).await?;
    println!("\n{}", pretty(&keys.get(actor, id).await?.secrets)?);
    Ok(new)
}

async fn regenerate(keys: &KeyService, actor: &Actor, id: KeyId, old: &ApiKey) -> Result {
    let new = keys.regenerate(actor, id).await?.into_key();
    let request = READ_ASSETS.from(ClientIp::Peer(OFFICE.parse()?));
    keys.verify(new.expose_secret(), &request).await?;
    println!("\nthe new secret works, under the same id {id}");
    refuse(keys, "the old one", old.expose_secret(), request).await
}

/// Verifies what must be refused, and prints the answer that the client gets.
async fn refuse(
    keys: &KeyService,
    title: &str,
    presented: &str,
    request: AccessRequest<'_>,
) -> Result {
    let Err(refused) = keys.verify(presented, &request).await else {
        return Err(format!("{title} was allowed").into());
    };
    println!("\n{title}: HTTP {}", refused.status());
    println!("{}", pretty(&refused.body(&request))?);
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text} ==");
}

fn pretty(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
