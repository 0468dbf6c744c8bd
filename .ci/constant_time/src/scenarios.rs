//! What is done with secrets.

use std::hint::black_box;
use std::time::Duration;

use keyward::{
    AccessRequest, Actor, Environment, FakeClock, ImportDigest, ImportFamily, IssuedKey, KeyId,
    KeyRecord, KeyScheme, KeyService, KeyStore, MemoryStore, NewKey, Pepper, PepperRing, Rotation,
    Timestamp,
};
use pollster::block_on;

use crate::marks::{Drawn, ID, hide_keys, hide_secret, hide_tags};

pub(crate) const ALL: [(&str, fn()); 13] = [
    ("the secret of a key", right),
    ("a wrong secret", wrong),
    ("no such key", unknown),
    ("both secrets of a rotation", rotating),
    ("a secret after its grace", superseded),
    ("a secret under an old pepper", old_pepper),
    ("characters of no token", characters),
    ("a checksum that is wrong", checksum),
    ("a revoked key", revoked),
    ("a record read anew, and its seal", sealed),
    ("an imported key", imported),
    ("a key is issued", issued),
    ("a secret is replaced", replaced),
];

const OLD: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
const NEW: [u8; 32] = *b"fedcba9876543210fedcba9876543210";

const GRACE: Duration = Duration::from_mins(1);

/// A service, and what it was made of.
struct Place {
    scheme: KeyScheme,
    store: MemoryStore,
    clock: FakeClock,
    keys: KeyService,
}

impl Place {
    fn new() -> Self {
        Self::with(PepperRing::from_bytes(&OLD).unwrap(), MemoryStore::new())
    }

    fn with(peppers: PepperRing, store: MemoryStore) -> Self {
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        let clock = FakeClock::at(Timestamp::UNIX_EPOCH.saturating_add(Duration::from_secs(1)));
        let keys = KeyService::builder(scheme.clone(), store.clone()).clock(clock.clone()).build();
        Self { scheme, store, clock, keys }
    }

    fn drawing(&self, entropy: Drawn) -> KeyService {
        KeyService::builder(self.scheme.clone(), self.store.clone()).entropy(entropy).build()
    }

    fn issue(&self) -> (KeyId, String) {
        issue(&self.keys)
    }

    fn rotate(&self, id: KeyId) -> (KeyId, String) {
        let rotation = Rotation::grace(GRACE);
        told(block_on(self.keys.rotate(&Actor::system("test"), id, rotation)).unwrap())
    }

    fn record(&self, id: KeyId) -> KeyRecord {
        block_on(self.store.get(id)).unwrap().unwrap()
    }

    /// Verifies with all that is secret hidden: the token's, the stored, and the keys.
    fn allows(&self, id: Option<KeyId>, token: &str) -> bool {
        hide_keys(&self.scheme);
        if let Some(id) = id {
            hide_tags(&self.record(id));
        }
        hide_secret(token);
        let request = AccessRequest::new(Environment::PRODUCTION).scope("read:assets");
        black_box(block_on(self.keys.verify(token, &request)).is_ok())
    }
}

fn issue(keys: &KeyService) -> (KeyId, String) {
    let new = NewKey::named("backend").owner("org_1").permissions(["read:assets"]);
    told(block_on(keys.issue(&Actor::system("test"), new)).unwrap())
}

fn told(issued: IssuedKey) -> (KeyId, String) {
    (issued.id(), issued.into_key().expose_secret().to_owned())
}

fn right() {
    let place = Place::new();
    let (id, token) = place.issue();
    assert!(place.allows(Some(id), &token));
}

/// The id of a key with another's secret, and a checksum that holds.
fn wrong() {
    let [here, elsewhere] = [1, 2].map(|number| {
        let place = Place::new();
        let (id, token) = issue(&place.drawing(Drawn { number, hidden_from: None }));
        (place, id, token)
    });
    let ((place, id, right), (_, other, token)) = (here, elsewhere);
    assert!(id == other && right != token);
    assert!(!place.allows(Some(id), &token));
}

fn unknown() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let (_, token) = elsewhere.issue();
    assert!(!place.allows(None, &token));
}

fn rotating() {
    let place = Place::new();
    let (id, old) = place.issue();
    let (_, new) = place.rotate(id);
    assert!(place.allows(Some(id), &old));
    assert!(place.allows(Some(id), &new));
}

fn superseded() {
    let place = Place::new();
    let (id, old) = place.issue();
    let (_, _new) = place.rotate(id);
    place.clock.advance(GRACE);
    assert!(!place.allows(Some(id), &old));
}

fn old_pepper() {
    let before = Place::new();
    let (id, token) = before.issue();
    let peppers = PepperRing::from_bytes(&NEW).unwrap();
    let peppers = peppers.accept(Pepper::from_bytes(&OLD).unwrap()).unwrap();
    let place = Place::with(peppers, before.store.clone());
    assert!(place.allows(Some(id), &token));
}

fn characters() {
    let place = Place::new();
    let (id, token) = place.issue();
    for at in [8, 25, 43, 49] {
        let mut mistyped = token.clone();
        mistyped.replace_range(token.len() - at..=token.len() - at, "-");
        assert!(!place.allows(Some(id), &mistyped));
    }
}

fn checksum() {
    let place = Place::new();
    let (id, mut token) = place.issue();
    let last = if token.ends_with('0') { "1" } else { "0" };
    token.replace_range(token.len() - 1.., last);
    assert!(!place.allows(Some(id), &token));
}

fn revoked() {
    let place = Place::new();
    let (id, token) = place.issue();
    block_on(place.keys.revoke(&Actor::system("test"), id, keyward::Reason::Superseded)).unwrap();
    assert!(!place.allows(Some(id), &token));
}

fn sealed() {
    let before = Place::new();
    let (id, token) = before.issue();
    let stored = before.record(id);
    let document = stored.to_document();
    for (document, holds) in
        [(document.clone(), true), (document.replace("backend", "other"), false)]
    {
        let place = Place::new();
        let read = KeyRecord::from_row(id, stored.version(), &document);
        hide_keys(&place.scheme);
        hide_tags(&read);
        hide_secret(&token);
        let challenge = place.scheme.begin(&token).unwrap();
        let request = AccessRequest::new(Environment::PRODUCTION);
        let limits = keyward::LocalLimits::new();
        let now = place.keys.now();
        let answer = challenge.finish(Some(&read), &request, &keyward::Roles::none(), &limits, now);
        assert_eq!(answer.is_ok(), holds);
    }
}

/// Its id is made from the secret and may be told; what is stored may not.
fn imported() {
    let before = Place::new();
    let family = ImportFamily::new("legacy", "lk_", ImportDigest::Sha256, 128).unwrap();
    let scheme = before.scheme.clone().importing(family).unwrap();
    let keys = KeyService::new(scheme.clone(), before.store.clone());
    // SHA-256 of the token.
    let digest = "19cedbab72d0f51015c9cfa536f6a617f5873bcb904188a605c47aede1c1ad22";
    let new = NewKey::named("cron").owner("org_1");
    let id = block_on(keys.import(&Actor::system("test"), new, "legacy", digest)).unwrap().key.id;
    hide_keys(&scheme);
    hide_tags(&before.record(id));
    let request = AccessRequest::new(Environment::PRODUCTION);
    let token = "lk_0123456789abcdef0123456789abcdef";
    assert!(block_on(keys.verify(token, &request)).is_ok());
}

fn issued() {
    let place = Place::new();
    let keys = place.drawing(Drawn { number: 1, hidden_from: Some(ID) });
    hide_keys(&place.scheme);
    let new = NewKey::named("backend").owner("org_1");
    let issued = block_on(keys.issue(&Actor::system("test"), new)).unwrap();
    black_box(issued.into_key());
}

fn replaced() {
    let place = Place::new();
    let (id, _) = place.issue();
    let keys = place.drawing(Drawn { number: 1, hidden_from: Some(0) });
    hide_keys(&place.scheme);
    hide_tags(&place.record(id));
    black_box(
        block_on(keys.rotate(&Actor::system("test"), id, Rotation::grace(GRACE)))
            .unwrap()
            .into_key(),
    );
}
