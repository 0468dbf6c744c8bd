//! Verifying without async: `cargo run --example blocking`.
//!
//! A host that has its own threads, cache or database driver asks the scheme to read the token, looks
//! the record up in its own way, and lets the challenge decide. Nothing here awaits, and time is an
//! argument. Only issuing goes through the service.

use std::collections::HashMap;
use std::error::Error;

use keyward::store::KeyStore;
use keyward::{
    AccessRequest, Actor, Clock, Environment, KeyId, KeyRecord, KeyScheme, KeyService, LocalLimits,
    MemoryStore, NewKey, PepperRing, RateLimit, Roles, SystemClock, Verified, VerifyError,
};

const READ_SITES: AccessRequest<'_> =
    AccessRequest::new(Environment::PRODUCTION).scope("read:sites");

/// What verifying needs; counters live as long as it does.
struct Gate {
    scheme: KeyScheme,
    records: HashMap<KeyId, KeyRecord>,
    roles: Roles,
    limits: LocalLimits,
    clock: SystemClock,
}

impl Gate {
    fn verify(&self, presented: &str) -> Result<Verified, VerifyError> {
        let challenge = self.scheme.begin(presented)?;
        let record = self.records.get(&challenge.key_id());
        challenge.finish(record, &READ_SITES, &self.roles, &self.limits, self.clock.now())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let peppers = PepperRing::from_base64(&PepperRing::generate()?)?;
    let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?;
    let store = MemoryStore::new();
    let keys = KeyService::new(scheme.clone(), store.clone());
    let new = NewKey::named("Sites page")
        .owner("org_1")
        .permissions(["read:sites"])
        .rate_limit(RateLimit::per_minute(2)?);
    let issued = pollster::block_on(keys.issue(&Actor::system("setup"), new))?;
    let id = issued.view().id;
    let key = issued.into_key();

    let found = pollster::block_on(store.get(id))?;
    let records = found.into_iter().map(|record| (record.id(), record)).collect();
    let (roles, limits, clock) = (Roles::none(), LocalLimits::new(), SystemClock::new());
    let gate = Gate { scheme, records, roles, limits, clock };

    for attempt in 1..=3 {
        match gate.verify(key.expose_secret()) {
            Ok(verified) => println!("{attempt}: {} may read sites", verified.name()),
            Err(refused) => println!("{attempt}: {}", refused.body(&READ_SITES)),
        }
    }
    if let Err(refused) = gate.verify("ak_live_not_a_key") {
        println!("junk: {}", refused.body(&READ_SITES));
    }
    Ok(())
}
