//! What is in the file: no secret, and every text as it came.
//!
//! 1,000 keys and 300 texts by default, times `KEYWARD_TEST_SCALE`.
#![cfg(feature = "sqlite")]

mod common;
mod sqlite;

use std::collections::HashSet;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use common::{READ, START, Seeded, builder, hex, new_key, pepper_bytes, scale, scheme, system};
use keyward::{
    FakeClock, KeyEdit, KeyQuery, KeyRecord, KeyService, KeyStore, LogQuery, NewKey, Reason,
    SqliteStore,
};
use pollster::block_on;
use sha2::{Digest, Sha256};
use sqlite::Scratch;

const WINDOW: usize = 12;

fn service(store: &SqliteStore) -> KeyService {
    builder(scheme(&[1]), store.clone(), &FakeClock::at(START), 1).build()
}

/// The parts of what must not be found.
struct Needles {
    all: HashSet<[u8; WINDOW]>,
    /// Whether some part begins with bytes of this sketch: asked first, for speed.
    sketches: Vec<bool>,
}

fn sketch(window: &[u8]) -> usize {
    let head = u64::from_le_bytes(window[..8].try_into().unwrap());
    usize::try_from(head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 38).unwrap()
}

impl Needles {
    fn new() -> Self {
        Self { all: HashSet::new(), sketches: vec![false; 1 << 26] }
    }

    fn add(&mut self, bytes: &[u8]) {
        for window in bytes.windows(WINDOW) {
            self.sketches[sketch(window)] = true;
            self.all.insert(window.try_into().unwrap());
        }
    }

    fn add_encoded(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.add(hex(bytes).as_bytes());
        self.add(hex(bytes).to_uppercase().as_bytes());
        for shift in 0..3.min(bytes.len()) {
            self.add(BASE64_STANDARD.encode(&bytes[shift..]).trim_end_matches('=').as_bytes());
            self.add(BASE64_URL_SAFE_NO_PAD.encode(&bytes[shift..]).as_bytes());
        }
    }

    fn found(&self, bytes: &[u8]) -> Option<String> {
        let hit = bytes
            .windows(WINDOW)
            .find(|window| self.sketches[sketch(window)] && self.all.contains(*window))?;
        Some(String::from_utf8_lossy(hit).into_owned())
    }
}

#[test]
fn no_byte_of_the_file_tells_of_a_secret() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let keys = service(&store);
    let mut needles = Needles::new();
    let mut last = String::new();
    for n in 0..1_000 * scale() {
        let issued = block_on(keys.issue(&system(), new_key("key"))).unwrap();
        let id = issued.view().id;
        let mut tokens = vec![issued.into_key()];
        if n % 10 == 0 {
            let grace = Duration::from_secs(60);
            tokens.push(block_on(keys.rotate(&system(), id, grace)).unwrap().into_key());
        }
        for token in &tokens {
            let token = token.expose_secret();
            block_on(keys.verify(token, &READ)).unwrap();
            let secret = common::secret_of(token);
            needles.add_encoded(secret.as_bytes());
            needles.add_encoded(&Sha256::digest(secret));
            needles.add_encoded(&Sha256::digest(token));
            token.clone_into(&mut last);
        }
        if n % 50 == 0 {
            block_on(keys.revoke(&system(), id, Reason::Unused)).unwrap();
        }
    }
    let imported = "lk_qwertyuiopasdfghjklzxcvbnm123456";
    let digest = Sha256::digest(imported);
    block_on(keys.import(&system(), new_key("old"), "legacy", &hex(&digest))).unwrap();
    needles.add_encoded(imported.as_bytes());
    needles.add_encoded(&digest);
    needles.add_encoded(&pepper_bytes(1));
    block_on(keys.flush()).unwrap();

    let files = || {
        let entries = std::fs::read_dir(scratch.folder()).unwrap();
        entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    let open = files();
    drop((keys, store));
    let copy = scratch.folder().join("copy.db");
    scratch.sql().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let closed = files();
    assert!(open.len() == 3 && closed.len() >= 2);
    for bytes in open.iter().chain(&closed) {
        assert_eq!(needles.found(bytes), None);
    }
    assert!(open.iter().map(Vec::len).sum::<usize>() > 1_000_000);
    assert!(needles.all.len() > 100_000);
    // The search would find one.
    let planted = [closed[0].as_slice(), last.as_bytes()].concat();
    assert!(needles.found(&planted).is_some());
}

const SEEDS: [&str; 22] = [
    " ",
    "'; DROP TABLE keys; --",
    "\" OR \"\"=\"",
    "Robert'); --",
    "$.owner",
    "\"]}",
    "\\u0000",
    "\\\"\\\\",
    "?1 :a @b $c",
    "%_*?[a-z]",
    "null",
    "1e999",
    "0x1F",
    "x'00'",
    "key\u{301}",
    "İıŞß",
    "ΩΩΩ",
    "\u{1f468}\u{200d}\u{1f469}",
    "\u{10ffff}\u{fffd}",
    "１２",
    "2026-01-01T00:00:00Z",
    "now",
];

fn hostile(rng: &mut Seeded) -> String {
    match rng.below(4) {
        0 => (*rng.pick(&SEEDS)).to_owned(),
        1 => format!("{}{}", rng.pick(&SEEDS), rng.pick(&SEEDS)),
        2 => rng.pick(&SEEDS).repeat(1 + rng.below(20)),
        _ => {
            let length = rng.below(40);
            let any = |rng: &mut Seeded| {
                let range = *rng.pick(&[0x20, 0x80, 0x3000, 0x11_0000]);
                char::from_u32(u32::try_from(rng.below(range)).unwrap()).unwrap_or('\u{fffd}')
            };
            (0..length).map(|_| any(rng)).collect()
        }
    }
}

/// Text that was taken is found again, under its owner and in its column.
#[test]
fn hostile_text_comes_back_as_it_went() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let keys = service(&store);
    let sql = scratch.sql();
    let mut rng = Seeded(28);
    let mut kept = 0;
    for _ in 0..300 * scale() {
        let [name, owner, value] = std::array::from_fn(|_| hostile(&mut rng));
        let new = NewKey::named(&*name).owner(&*owner).metadata("note", &*value);
        let Ok(issued) = block_on(keys.issue(&system(), new)) else { continue };
        kept += 1;
        let id = issued.view().id;
        let edit = KeyEdit::new().metadata([("more".to_owned(), value.clone())].into());
        block_on(keys.update(&system(), id, edit)).unwrap();

        let record = block_on(store.get(id)).unwrap().unwrap();
        assert!(record.is_readable());
        assert_eq!((record.name(), record.owner()), (name.as_str(), owner.as_str()));
        assert!(block_on(keys.get(&system(), id)).unwrap().metadata["more"] == value);
        let listed = block_on(store.list(&KeyQuery::new().owner(owner.as_str()))).unwrap();
        assert!(listed.iter().all(|other| other.owner() == owner));
        assert!(listed.iter().map(KeyRecord::id).any(|other| other == id));
        let log = block_on(store.log(&LogQuery::from(0).key(id))).unwrap();
        assert!(log.len() == 2 && log.iter().all(|(_, event)| event.owner == owner));
        let columns: (String, String, String) = sql
            .query_row(
                "SELECT owner, name, state FROM keys WHERE id = ?1",
                [id.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(columns, (owner, name, "enabled".to_owned()));
    }
    assert!(kept > 50 * scale(), "only {kept} were taken");
}
