//! Every edit that was acknowledged was made, once, whoever else was editing.

use std::collections::BTreeSet;

use keyward::{
    Action, Actor, Environment, Event, KeyEdit, KeyId, KeyRecord, KeyScheme, KeyService, KeyStore,
    LogQuery, ManageError, MemoryStore, NewKey, PepperRing,
};

const WRITERS: usize = 8;

/// A thousand, times `KEYWARD_TEST_SCALE`.
fn edits() -> usize {
    let scale = std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|scale| scale.parse().ok());
    1_000 * scale.unwrap_or(1).max(1)
}

fn service(store: &MemoryStore) -> KeyService {
    let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
    let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
    KeyService::new(scheme, store.clone())
}

fn issue(keys: &KeyService) -> KeyId {
    let new = NewKey::named("contended").owner("org_1");
    pollster::block_on(keys.issue(&system(), new)).unwrap().view().id
}

fn system() -> Actor {
    Actor::system("writer")
}

/// Everything that was done to a key, oldest first.
fn log(store: &MemoryStore, id: KeyId) -> Vec<Event> {
    let query = LogQuery::from(0).key(id).limit(usize::MAX);
    let entries = pollster::block_on(store.log(&query)).unwrap();
    entries.into_iter().map(|(_, event)| event).collect()
}

fn record(store: &MemoryStore, id: KeyId) -> KeyRecord {
    pollster::block_on(store.get(id)).unwrap().unwrap()
}

/// What the writers were told, one list of names each, and how often they were refused.
fn race<T: Send>(write: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

#[test]
fn every_acknowledged_edit_is_applied() {
    let store = MemoryStore::new();
    let keys = service(&store);
    let id = issue(&keys);
    let revisions = race(|writer| {
        let rename = |n| KeyEdit::new().name(format!("writer {writer}, edit {n}"));
        let mut revisions = Vec::new();
        while revisions.len() < edits() {
            match pollster::block_on(keys.update(&system(), id, rename(revisions.len()))) {
                Ok(changed) => revisions.push(changed.key.revision),
                Err(ManageError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        revisions
    });
    let acknowledged = u64::try_from(WRITERS * edits()).unwrap();
    let all: BTreeSet<u64> = revisions.iter().flatten().copied().collect();
    assert!(all.into_iter().eq(2..=acknowledged + 1), "two edits were told of one revision");

    let key = record(&store, id);
    assert_eq!(key.version(), acknowledged + 1);
    let events = log(&store, id);
    assert!(events.iter().map(|event| event.version).eq(1..=acknowledged + 1));
    let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len());
    assert!(events.iter().skip(1).all(|event| event.action == Action::Updated));
}

#[test]
fn counters_that_are_read_and_written_by_revision_lose_no_count() {
    let store = MemoryStore::new();
    let keys = service(&store);
    let id = issue(&keys);
    let count = |view: &keyward::KeyView| {
        view.metadata.get("count").map_or(0, |count| count.parse::<usize>().unwrap())
    };
    let refused: usize = race(|_| {
        let (mut done, mut refused) = (0, 0);
        while done < edits() / 10 {
            let seen = pollster::block_on(keys.get(&system(), id)).unwrap();
            let next = [("count".to_owned(), (count(&seen) + 1).to_string())];
            let edit = KeyEdit::new().metadata(next.into()).if_revision(seen.revision);
            match pollster::block_on(keys.update(&system(), id, edit)) {
                Ok(_) => done += 1,
                Err(ManageError::Conflict { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        refused
    })
    .into_iter()
    .sum();
    let counted = count(&pollster::block_on(keys.get(&system(), id)).unwrap());
    let acknowledged = WRITERS * (edits() / 10);
    assert_eq!(counted, acknowledged, "{refused} edits were refused");
    assert_eq!(log(&store, id).len(), 1 + acknowledged);
}

#[test]
fn edits_of_different_fields_all_stay() {
    let store = MemoryStore::new();
    let keys = service(&store);
    let id = issue(&keys);
    let edits: [KeyEdit; WRITERS] = [
        KeyEdit::new().name("renamed"),
        KeyEdit::new().permissions(["read:assets"]),
        KeyEdit::new().ip_allowlist(["192.0.2.0/24"]),
        KeyEdit::new().ip_denylist(["192.0.2.7"]),
        KeyEdit::new().customers(["c_1"]),
        KeyEdit::new().rate_limits([keyward::RateLimit::per_minute(5).unwrap()]),
        KeyEdit::new().metadata([("team".to_owned(), "a".to_owned())].into()),
        KeyEdit::new().expires_at("9000-01-01T00:00:00Z".parse().unwrap()),
    ];
    race(|writer| pollster::block_on(keys.update(&system(), id, edits[writer].clone())).unwrap());
    let view = pollster::block_on(keys.get(&system(), id)).unwrap();
    assert_eq!(view.revision, 9);
    assert_eq!(view.name, "renamed");
    assert_eq!(view.permissions, ["read:assets"]);
    assert_eq!(view.ip_allowlist, ["192.0.2.0/24"]);
    assert_eq!(view.ip_denylist.len(), 1);
    assert_eq!(view.resources["customer"], ["c_1"]);
    assert_eq!(view.rate_limits.len(), 1);
    assert_eq!(view.metadata["team"], "a");
    assert!(view.expires_at.is_some());
}
