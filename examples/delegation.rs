//! Who may give what: `cargo run --example delegation`.
//!
//! An actor is a person or a key. None can hand out more than it holds, however it goes about it.

use std::error::Error;

use keyward::{
    AccessRequest, Actor, Environment, FakeClock, KeyEdit, KeyScheme, KeyService, ManageError,
    MemoryStore, NewKey, PepperRing,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[pollster::main]
async fn main() -> Result {
    let keys = service()?;
    narrow_admin(&keys).await?;
    key_that_issues_keys(&keys).await?;
    plan_limit(&keys).await
}

async fn narrow_admin(keys: &KeyService) -> Result {
    println!("== Alice manages sandbox keys of org_1 that end within the year ==");
    let alice = Actor::new("alice@example.com")
        .for_owner("org_1")
        .holding(["api.key.*", "read:assets"])?
        .in_environments([Environment::SANDBOX])
        .not_beyond("2025-12-31T23:59:59Z".parse()?);
    let fine = NewKey::named("Test runner")
        .environment(Environment::SANDBOX)
        .permissions(["read:assets"])
        .expires_at("2025-06-30T23:59:59Z".parse()?);
    let id = keys.issue(&alice, fine.clone()).await?.view().id;
    println!("issued {id}");

    let greedy = NewKey::named("Root").permissions(["read:assets", "delete:assets", "api.*"]);
    refused("issue another with more", keys.issue(&alice, greedy).await)?;
    let foreign = fine.owner("org_2");
    refused("issue for another organisation", keys.issue(&alice, foreign).await)?;
    let wider = KeyEdit::new().permissions(["*"]).never_expires();
    refused("widen the key", keys.update(&alice, id, wider).await)?;

    keys.update(&Actor::system("setup"), id, KeyEdit::new().permissions(["*"])).await?;
    refused("rotate a key that now has more than Alice", keys.regenerate(&alice, id).await)?;
    keys.disable(&alice, id).await?;
    println!("\ndisabling it is always hers to do");
    Ok(())
}

async fn key_that_issues_keys(keys: &KeyService) -> Result {
    println!("\n== A key that issues keys ==");
    let new = NewKey::named("Provisioner")
        .owner("org_1")
        .permissions(["api.key.create", "read:*"])
        .ip_allowlist(["10.0.0.0/8"]);
    let key = keys.issue(&Actor::system("setup"), new).await?.into_key();

    let request = AccessRequest::new(Environment::PRODUCTION)
        .from(keyward::ClientIp::Peer("10.0.0.7".parse()?));
    let provisioner = Actor::from(&keys.verify(key.expose_secret(), &request).await?);
    let child = NewKey::named("Child").permissions(["read:assets"]).ip_allowlist(["10.4.0.0/16"]);
    let child = keys.issue(&provisioner, child).await?;
    println!("issued {}, created by {}", child.view().id, child.view().created_by);

    let anywhere = NewKey::named("Child from anywhere").permissions(["read:assets"]);
    refused("issue a key without its networks", keys.issue(&provisioner, anywhere).await)?;
    refused("disable a key", keys.disable(&provisioner, child.view().id).await)
}

async fn plan_limit(keys: &KeyService) -> Result {
    println!("\n== A plan with two keys ==");
    let plan = Actor::system("billing").key_cap(2);
    for name in ["one", "two"] {
        let _ = keys.issue(&plan, NewKey::named(name).owner("org_9")).await?;
    }
    refused("a third", keys.issue(&plan, NewKey::named("three").owner("org_9")).await)
}

fn refused<T>(title: &str, result: std::result::Result<T, ManageError>) -> Result {
    let Err(error) = result else { return Err(format!("{title} was allowed").into()) };
    println!("\n{title}: HTTP {}, {}", error.status(), error.code());
    match &error {
        ManageError::GrantExceedsActor(fields) => {
            for field in fields {
                println!("  - {field}");
            }
        }
        other => println!("  - {other}"),
    }
    Ok(())
}

fn service() -> Result<KeyService> {
    let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
    let places = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
    let scheme = KeyScheme::new(peppers, places)?;
    let clock = FakeClock::at("2025-01-15T10:00:00Z".parse()?);
    Ok(KeyService::builder(scheme, MemoryStore::new()).clock(clock).build())
}
