//! Nothing that is kept holds eight characters of a secret in a row, or twelve of any form or
//! digest of one: 1,000 keys by default, `KEYWARD_TEST_SCALE` times as many.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use common::{READ, RowStore, START, builder, hex, new_key, run, scale, scheme, system};
use keyward::FakeClock;
use sha2::{Digest, Sha256};

const WINDOW: usize = 8;

fn windows(secret: &str, length: usize) -> impl Iterator<Item = &str> {
    (0..=secret.len() - length).map(move |i| &secret[i..i + length])
}

#[test]
fn no_stored_document_holds_a_secret_or_a_digest_of_one() {
    let store = RowStore::default();
    let clock = FakeClock::at(START);
    let keys = builder(scheme(&[1]), store.clone(), &clock, 1).build();
    let actor = system();
    let mut needles = HashSet::new();
    let mut needle = |text: &str| needles.extend(windows(text, 12).map(str::to_owned));
    let mut encoded = |bytes: &[u8]| {
        needle(&hex(bytes));
        needle(&hex(bytes).to_uppercase());
        for shift in 0..3.min(bytes.len()) {
            needle(BASE64_STANDARD.encode(&bytes[shift..]).trim_end_matches('='));
            needle(&BASE64_URL_SAFE_NO_PAD.encode(&bytes[shift..]));
        }
    };
    let mut raw = HashSet::new();
    for _ in 0..1_000 * scale() {
        let issued = run(keys.issue(&actor, new_key("key"))).unwrap();
        let id = issued.view().id;
        let old = issued.into_key();
        let new = run(keys.rotate(&actor, id, Duration::from_secs(60))).unwrap().into_key();
        run(keys.verify(old.expose_secret(), &READ)).unwrap();
        for key in [old, new] {
            let token = key.expose_secret();
            let secret = common::secret_of(token);
            raw.extend(windows(&token[token.len() - 49..], WINDOW).map(str::to_owned));
            encoded(secret.as_bytes());
            encoded(&Sha256::digest(secret));
            encoded(&Sha256::digest(token));
        }
    }
    let imported = "lk_qwertyuiopasdfghjklzxcvbnm123456";
    let digest = Sha256::digest(imported);
    run(keys.import(&actor, new_key("old"), "legacy", &hex(&digest))).unwrap();
    encoded(imported.as_bytes());
    encoded(&digest);
    run(keys.flush()).unwrap();
    let kept = store.snapshot();
    let rows = kept.rows.values().map(|(_, document)| document.clone());
    let log = kept.log.iter().map(|event| serde_json::to_string(event).unwrap());
    let usage = kept.usage.values().map(|usage| serde_json::to_string(usage).unwrap());
    let mut searched = BTreeMap::<usize, usize>::new();
    for text in rows.chain(log).chain(usage) {
        for (length, known) in [(WINDOW, &raw), (12, &needles)] {
            for window in windows(&text, length) {
                assert!(!known.contains(window), "{window} is at rest in {text}");
                *searched.entry(length).or_default() += 1;
            }
        }
    }
    assert!(searched[&12] > 1_000_000 && needles.len() > 100_000);
}
