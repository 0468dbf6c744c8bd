//! Two rotations: of a key's secret, and of the pepper. `cargo run --example rotation`.

use std::error::Error;
use std::time::Duration;

use keyward::{
    AccessRequest, Actor, ApiKey, Environment, FakeClock, KeyId, KeyScheme, KeyService,
    MemoryStore, NewKey, Pepper, PepperRing, Timestamp,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const DAY: Duration = Duration::from_secs(86_400);
const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION).scope("read:assets");

#[pollster::main]
async fn main() -> Result {
    let clock = FakeClock::at("2025-01-15T10:00:00Z".parse()?);
    let store = MemoryStore::new();
    let first = PepperRing::generate()?;
    let keys = service(PepperRing::from_base64(&first)?, &store, &clock)?;
    let admin = Actor::system("rotation");

    let new = NewKey::named("Production Server").owner("org_1").permissions(["read:assets"]);
    let issued = keys.issue(&admin, new).await?;
    let id = issued.view().id;
    let key = rotate_key(&keys, &admin, &clock, id, issued.into_key()).await?;
    rotate_pepper(&first, &store, &clock, &admin, &key).await
}

/// One key, two secrets: the old one is ended when nobody uses it any more.
async fn rotate_key(
    keys: &KeyService,
    admin: &Actor,
    clock: &FakeClock,
    id: KeyId,
    old: ApiKey,
) -> Result<ApiKey> {
    println!("== Rotate a key, with 30 days for its clients to follow ==\n");
    let new = keys.rotate(admin, id, 30 * DAY).await?.into_key();
    let clients = [("the nightly job", 2, &old), ("the server", 3, &new), ("the job", 5, &new)];
    for (client, day, key) in clients {
        clock.set("2025-01-15T10:00:00Z".parse::<Timestamp>()?.saturating_add(day * DAY));
        keys.verify(key.expose_secret(), &REQUEST).await?;
        println!("{}: {client} was here", keys.now());
    }
    for secret in keys.get(admin, id).await?.secrets {
        let which = if secret.current { "new" } else { "old" };
        match secret.last_used_at {
            Some(used) => println!("the {which} secret was last used at {used}"),
            None => println!("the {which} secret was never used"),
        }
    }
    keys.finish_rotation(admin, id).await?;
    let refused = keys.verify(old.expose_secret(), &REQUEST).await.err().ok_or("still valid")?;
    println!("rotation finished; the old secret gets {}", refused.code());
    Ok(new)
}

/// A new pepper in four steps, none of which refuses a key.
async fn rotate_pepper(
    first: &str,
    store: &MemoryStore,
    clock: &FakeClock,
    admin: &Actor,
    key: &ApiKey,
) -> Result {
    println!("\n== Rotate the pepper ==\n");
    let second = PepperRing::generate()?;

    println!("1. deploy a ring with the new pepper first and the old one accepted");
    let ring = PepperRing::from_base64(&second)?.accept(Pepper::from_base64(first)?)?;
    let keys = service(ring, store, clock)?;
    keys.check_peppers().await?;
    show_peppers(&keys).await?;

    println!("2. put every seal under the new pepper; it needs no secret");
    println!("   {} resealed", keys.reseal_all(admin).await?.resealed);

    println!("3. keys move their tags over when they are used");
    keys.verify(key.expose_secret(), &REQUEST).await?;
    println!("   {} retagged by maintain", keys.maintain().await?.retagged);
    show_peppers(&keys).await?;

    println!("4. ask before the old pepper is taken away, and then do");
    let alone = PepperRing::from_base64(&second)?;
    keys.check_ring(&alone).await?;
    let keys = service(alone, store, clock)?;
    keys.verify(key.expose_secret(), &REQUEST).await?;
    println!("   the same key still works");
    Ok(())
}

async fn show_peppers(keys: &KeyService) -> Result {
    for (pepper, used) in keys.pepper_report().await?.peppers {
        println!("   pepper {pepper}: {} tags, {} seals", used.tags, used.seals);
    }
    Ok(())
}

fn service(ring: PepperRing, store: &MemoryStore, clock: &FakeClock) -> Result<KeyService> {
    let scheme = KeyScheme::new(ring, [("ak_live", Environment::PRODUCTION)])?;
    Ok(KeyService::builder(scheme, store.clone()).clock(clock.clone()).build())
}
