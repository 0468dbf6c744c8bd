//! A process that is killed at any moment loses nothing that it had acknowledged, and
//! leaves nothing half done.
//!
//! 10 kills by default, times `KEYWARD_TEST_SCALE`; every second process works in place.
#![cfg(feature = "sqlite")]

mod common;
mod sqlite;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use common::{READ, Seeded, scale};
use keyward::{
    Actor, KeyId, KeyQuery, KeyService, KeyStore, LogQuery, NewKey, PepperRing, Reason,
    SqliteStore, Status,
};
use pollster::block_on;
use sqlite::{BOTH, Other, Scratch, role, say, scheme};

/// How many threads of the killed process write, so that commits share transactions.
const WRITERS: u64 = 3;

const PEPPER: &str = "KEYWARD_SQLITE_PEPPER";
const SEED: &str = "KEYWARD_SQLITE_SEED";
const MODE: &str = "KEYWARD_SQLITE_MODE";

fn system() -> Actor {
    Actor::system("writer")
}

/// Issues, rotates and revokes until it is killed, and says so before and after each.
fn write(keys: &KeyService, seed: u64) {
    let mut rng = Seeded(seed);
    let mut mine: Vec<KeyId> = Vec::new();
    loop {
        let at = rng.below(mine.len().max(1));
        match (rng.below(3), mine.get(at).copied()) {
            (1, Some(id)) => {
                say(&format!("try {id}"));
                let issued = block_on(keys.regenerate(&system(), id)).unwrap();
                let revision = issued.view().revision;
                let token = issued.into_key();
                say(&format!("rotated {id} {revision} {}", token.expose_secret()));
            }
            (2, Some(id)) => {
                mine.remove(at);
                say(&format!("try {id}"));
                let changed = block_on(keys.revoke(&system(), id, Reason::Unused)).unwrap();
                say(&format!("revoked {id} {} -", changed.key.revision));
            }
            _ => {
                let new = NewKey::named("key").owner("org_1").permissions(["read:assets"]);
                let issued = block_on(keys.issue(&system(), new)).unwrap();
                let id = issued.view().id;
                mine.push(id);
                say(&format!("issued {id} 1 {}", issued.into_key().expose_secret()));
            }
        }
    }
}

fn be_killed(file: &str) {
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let mode: usize = std::env::var(MODE).unwrap().parse().unwrap();
    let store = BOTH[mode].open(file).unwrap();
    let keys = KeyService::new(scheme(&std::env::var(PEPPER).unwrap()), store);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let keys = &keys;
            scope.spawn(move || write(keys, seed * WRITERS + writer));
        }
    });
}

/// What a process said of a key.
#[derive(Debug, Default)]
struct Told {
    revision: u64,
    token: String,
    revoked: bool,
    /// It had begun another change when it was killed.
    trying: bool,
}

fn told(lines: &[String]) -> BTreeMap<KeyId, Told> {
    let mut keys = BTreeMap::<KeyId, Told>::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let key = keys.entry(words[1].parse().unwrap()).or_default();
        key.trying = words[0] == "try";
        if let [what, _, revision, token] = words[..] {
            key.revision = revision.parse().unwrap();
            key.revoked = what == "revoked";
            key.token = if key.revoked { key.token.clone() } else { token.to_owned() };
        }
    }
    keys
}

/// Everything that was acknowledged is there, and at most one change more per writer.
fn check(keys: &KeyService, store: &SqliteStore, told: &BTreeMap<KeyId, Told>) {
    for (id, told) in told {
        let view = block_on(keys.get(&system(), *id)).unwrap();
        assert_ne!(view.status, Status::Unreadable);
        assert!(view.revision >= told.revision, "{id}: {told:?} was lost: {view:?}");
        assert!(view.revision <= told.revision + u64::from(told.trying), "{id}: {told:?}");
        let verified = block_on(keys.verify(&told.token, &READ));
        if told.revoked {
            assert_eq!(view.status, Status::Revoked, "{id}: an acknowledged revoke was lost");
            assert!(verified.is_err(), "{id}: a revoked key works");
        } else if view.revision == told.revision {
            assert_eq!(view.status, Status::Active, "{id}: {told:?}");
            assert!(verified.is_ok(), "{id}: {told:?}: {:?}", verified.err());
        } else {
            assert!(verified.is_err(), "{id}: {told:?}: a change that happened did nothing");
        }
    }
    let records = block_on(store.list(&KeyQuery::new().with_revoked().limit(usize::MAX))).unwrap();
    let log = block_on(store.log(&LogQuery::from(0).limit(usize::MAX))).unwrap();
    let mut versions = BTreeMap::<KeyId, Vec<u64>>::new();
    for (_, event) in &log {
        versions.entry(event.key).or_default().push(event.version);
    }
    assert_eq!(versions.len(), records.len());
    for record in records {
        assert!(record.is_readable(), "{:?}", record.damage());
        let logged = versions.get(&record.id()).map(Vec::as_slice).unwrap_or_default();
        assert!(logged.iter().copied().eq(1..=record.version()), "{record:?}: {logged:?}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(file) = role() {
        return be_killed(&file);
    }
    let scratch = Scratch::new();
    let pepper = PepperRing::generate().unwrap();
    let (mut rng, mut acknowledged, mut revoked) = (Seeded(24), [0; 2], 0);
    for kill in 0..10 * scale() {
        let file = scratch.file().to_str().unwrap().to_owned();
        let seed = kill.to_string();
        let mode = (kill % 2).to_string();
        let variables = [(PEPPER, pepper.as_str()), (SEED, &seed), (MODE, &mode)];
        let mut other = Other::start("what_was_acknowledged_survives_a_kill", &file, &variables);
        let mut lines = Vec::new();
        // Most die while they work, some before they have begun.
        let begun = rng.below(8) > 0;
        if begun {
            lines.extend(other.hear());
        }
        thread::sleep(Duration::from_micros(rng.number() % 60_000));
        other.child.kill().unwrap();
        lines.extend(std::iter::from_fn(|| other.hear()));
        other.child.wait().unwrap();

        let told = told(&lines);
        acknowledged[kill % 2] += lines.iter().filter(|line| !line.starts_with("try")).count();
        revoked += told.values().filter(|key| key.revoked).count();
        let store = scratch.open();
        check(&KeyService::new(scheme(&pepper), store.clone()), &store, &told);
        drop(store);
        let integrity: String =
            scratch.sql().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(integrity, "ok");
    }
    let enough = acknowledged.iter().all(|changes| *changes > 0);
    assert!(enough && revoked > 0, "only {acknowledged:?} changes were seen");
}
