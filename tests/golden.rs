//! Records and tokens of every release verify for ever.
//!
//! `tests/golden/records-v1.json` holds tokens, documents and the peppers they were made
//! with, for tests only. It is committed and never made again: a new release adds a file.
//! `KEYWARD_WRITE_GOLDEN=1 cargo test --test golden` writes one that is missing.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use common::{RowStore, START, builder, hex, new_key, pepper_bytes, run, scheme, system};
use keyward::{
    AccessRequest, ApiKey, ClientIp, Environment, FakeClock, ImportDigest, ImportFamily, KeyId,
    KeyRecord, KeyScheme, KeyService, NewKey, PepperRing, Quota, RateLimit, Reason, Refill,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Debug, Serialize, Deserialize)]
struct Golden {
    /// Base64, for tests only; the first is current.
    peppers: Vec<String>,
    realm: String,
    records: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    what: String,
    id: KeyId,
    version: u64,
    document: String,
    tokens: Vec<Presented>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Presented {
    text: String,
    at: Timestamp,
    /// `OK`, or the code and the internal reason.
    answer: String,
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

fn golden() -> Golden {
    serde_json::from_str(&std::fs::read_to_string(path("records-v1.json")).unwrap()).unwrap()
}

/// The scheme as its configuration would be read: nothing of it comes from this crate's tests.
fn golden_scheme(golden: &Golden) -> KeyScheme {
    let ring = PepperRing::from_base64(&golden.peppers.join(",")).unwrap();
    let places = [("ak_live", Environment::PRODUCTION), ("ak_test", Environment::SANDBOX)];
    KeyScheme::new(ring, places)
        .unwrap()
        .realm(&golden.realm)
        .unwrap()
        .importing(ImportFamily::new("legacy", "lk_", ImportDigest::Sha256, 128).unwrap())
        .unwrap()
}

fn request() -> AccessRequest<'static> {
    AccessRequest::new(Environment::PRODUCTION)
        .scope("read:assets")
        .from(ClientIp::Peer("10.0.0.1".parse().unwrap()))
        .resources(&[("customer", "cust_1"), ("site", "s_1")])
        .cost(0)
}

fn verify(golden: &Golden, record: &KeyRecord, token: &str, at: Timestamp) -> String {
    let store = RowStore::default();
    store.put(record.id(), record.version(), &record.to_document());
    let clock = FakeClock::at(at);
    let keys = KeyService::builder(golden_scheme(golden), store).clock(clock).build();
    match run(keys.verify(token, &request())) {
        Ok(verified) => {
            assert_eq!(verified.key_id(), record.id());
            "OK".to_owned()
        }
        Err(error) => match error.deny() {
            Some(deny) => format!("{} ({deny:?})", error.code()),
            None => error.code().to_owned(),
        },
    }
}

#[test]
fn every_golden_token_is_answered_as_on_the_day_it_was_made() {
    write_if_asked();
    let golden = golden();
    let mut seen = BTreeMap::<&str, usize>::new();
    for row in &golden.records {
        let record = KeyRecord::from_row(row.id, row.version, &row.document);
        assert!(record.is_readable(), "{}: {:?}", row.what, record.damage());
        assert_eq!(record.to_document(), row.document, "{}: a downgrade can't read it", row.what);
        for token in &row.tokens {
            let record = KeyRecord::from_row(row.id, row.version, &row.document);
            let found = verify(&golden, &record, &token.text, token.at);
            assert_eq!(found, token.answer, "{} at {}", row.what, token.at);
            *seen.entry(&token.answer).or_default() += 1;
        }
    }
    assert!(seen.len() >= 5 && seen["OK"] >= 8, "{seen:?}");
}

/// An older reader that does not know a restriction must not let anybody in.
#[test]
fn what_this_release_does_not_know_is_unavailable() {
    let golden = golden();
    for row in &golden.records {
        let Some(token) = row.tokens.iter().find(|token| token.answer == "OK") else { continue };
        let document: Value = serde_json::from_str(&row.document).unwrap();
        let mut strange = Vec::new();
        for inside in ["", "/grants", "/grants/limits", "/slots/0", "/state", "/seal"] {
            let mut more = document.clone();
            if let Some(fields) = more.pointer_mut(inside).and_then(Value::as_object_mut) {
                fields.insert("weekdays_only".into(), true.into());
                strange.push((format!("unknown field in `{inside}`"), more));
            }
            for name in document.pointer(inside).and_then(Value::as_object).into_iter().flatten() {
                let mut fewer = document.clone();
                fewer.pointer_mut(inside).unwrap().as_object_mut().unwrap().remove(name.0);
                strange.push((format!("no `{inside}/{}`", name.0), fewer));
            }
        }
        for encoding in [0, 2, 3, 255, 256] {
            let mut newer = document.clone();
            newer["encoding"] = encoding.into();
            strange.push((format!("encoding {encoding}"), newer));
        }
        assert!(strange.len() > 25, "{}", strange.len());
        for (case, document) in strange {
            let record = KeyRecord::from_row(row.id, row.version, &document.to_string());
            let readable = record.is_readable();
            let found = verify(&golden, &record, &token.text, token.at);
            // An empty list of limits may be left out; a full one that is gone is a broken seal.
            let wanted = if readable && case.contains("/grants/limits") {
                "INVALID_API_KEY (BadSeal)"
            } else {
                "UNAVAILABLE"
            };
            assert_eq!(found, wanted, "{}: {case}", row.what);
        }
    }
}

fn write_if_asked() {
    let path = path("records-v1.json");
    if std::env::var_os("KEYWARD_WRITE_GOLDEN").is_none() || path.exists() {
        return;
    }
    let golden = made();
    std::fs::write(path, serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
}

const HOUR: Duration = Duration::from_secs(3_600);

/// One record of every kind; the two last seconds of a grace and of a key are among the times.
fn made() -> Golden {
    use base64::prelude::{BASE64_STANDARD, Engine};

    let (store, actor) = (RowStore::default(), system());
    let clock = FakeClock::at(START);
    let keys = builder(scheme(&[1, 2]), store.clone(), &clock, 2025).build();
    let before = builder(scheme(&[2, 1]), store.clone(), &clock, 2024).build();
    let at = |hours: u32| START.saturating_add(HOUR * hours);
    let last = |hours: u32| at(hours).saturating_sub(Duration::from_micros(1));
    let text = |key: ApiKey| key.expose_secret().to_owned();
    let mut records = Vec::new();
    let mut add = |what: &str, id: KeyId, tokens: Vec<(String, Timestamp, &str)>| {
        let (version, document) = store.document(id);
        let token = |(text, at, answer): (String, Timestamp, &str)| Presented {
            text,
            at,
            answer: answer.to_owned(),
        };
        let tokens = tokens.into_iter().map(token).collect();
        records.push(Row { what: what.to_owned(), id, version, document, tokens });
    };
    let issue = |keys: &KeyService, new: NewKey| {
        let issued = run(keys.issue(&actor, new)).unwrap();
        (issued.view().id, text(issued.into_key()))
    };
    let plain = |name: &str| new_key(name);

    let (id, token) = issue(&keys, plain("plain"));
    add("current pepper", id, vec![(token.clone(), at(0), "OK"), (token, at(900_000), "OK")]);
    let (id, token) = issue(&before, plain("older"));
    add("accepted pepper", id, vec![(token, at(0), "OK")]);
    let (id, old) = issue(&keys, plain("rotated"));
    let new = text(run(keys.rotate(&actor, id, HOUR * 24)).unwrap().into_key());
    add(
        "rotated with grace",
        id,
        vec![
            (old.clone(), last(24), "OK"),
            (old, at(24), "INVALID_API_KEY (Superseded)"),
            (new, at(24), "OK"),
        ],
    );
    let secret = "lk_golden_0123456789abcdef0123456789";
    let digest = hex(&Sha256::digest(secret));
    let id = run(keys.import(&actor, plain("imported"), "legacy", &digest)).unwrap().key.id;
    add("imported", id, vec![(secret.to_owned(), at(0), "OK")]);
    let (id, token) = issue(&keys, plain("revoked"));
    run(keys.revoke(&actor, id, Reason::OwnerLeft)).unwrap();
    add("revoked", id, vec![(token, at(0), "INVALID_API_KEY (Revoked)")]);
    let (id, token) = issue(&keys, plain("disabled"));
    run(keys.disable(&actor, id)).unwrap();
    add("disabled", id, vec![(token, at(0), "API_KEY_INACTIVE (Disabled)")]);
    let full = plain("every grant \u{2713} \"quoted\"")
        .permissions(["read:assets", "write:schedules", "deployments:*"])
        .roles(["reader", "auditor"])
        .ip_allowlist(["10.0.0.0/8", "2001:db8::/32"])
        .ip_denylist(["10.9.0.0/16"])
        .customers(["cust_1", "cust_2"])
        .resources("site", ["s_1"])
        .rate_limit(RateLimit::per_minute(100).unwrap().burst(7).unwrap())
        .rate_limit(RateLimit::per_day(5_000).unwrap().named("daily").unwrap().fail_closed())
        .quota(Quota::new(9_000, Refill::Month).unwrap())
        .not_before(at(1))
        .expires_at(at(48))
        .metadata("team", "a\nb")
        .idempotency_key("golden-1");
    let (id, token) = issue(&keys, full);
    add(
        "every grant",
        id,
        vec![
            (token.clone(), last(1), "API_KEY_NOT_YET_VALID (NotYetValid)"),
            (token.clone(), at(1), "OK"),
            (token.clone(), last(48), "OK"),
            (token, at(48), "API_KEY_EXPIRED (Expired)"),
        ],
    );
    let (id, token) = issue(&keys, plain("sandbox").environment(Environment::SANDBOX));
    add("another environment", id, vec![(token, at(0), "INVALID_API_KEY (WrongEnvironment)")]);
    let peppers = [1, 2].map(|n| BASE64_STANDARD.encode(pepper_bytes(n))).to_vec();
    Golden { peppers, realm: "proofs".to_owned(), records }
}
