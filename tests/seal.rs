//! Whoever writes to the database changes nothing that counts: every bit of every
//! field is under the seal.
//!
//! Exhaustive over one record with every field filled and a rotation running; no scale.

mod common;

use common::{RowStore, START, World, builder, pepper, ring, run, scheme, system};
use keyward::{
    AccessRequest, ClientIp, Deny, Environment, FakeClock, KeyEdit, KeyId, KeyRecord, KeyScheme,
    KeyService, LocalLimits, ManageError, NewKey, PepperRing, Quota, RateLimit, Reason, Refill,
    Roles, Status,
};
use serde_json::Value;
use std::time::Duration;

/// Two keys of two owners, both with everything that a key can have.
struct Victims {
    store: RowStore,
    keys: KeyService,
    ids: [KeyId; 2],
    tokens: [Vec<String>; 2],
}

const HOUR: Duration = Duration::from_secs(3_600);

fn full(name: &str, owner: &str) -> NewKey {
    NewKey::named(name)
        .owner(owner)
        .permissions(["read:assets", "write:schedules", "deployments:*"])
        .roles(["reader", owner])
        .ip_allowlist(["10.0.0.0/8", "2001:db8::/32"])
        .ip_denylist([format!("10.9.{}.0/24", name.len())])
        .customers(["cust_1", owner])
        .resources("site", [owner])
        .rate_limit(RateLimit::per_minute(100).unwrap().burst(7).unwrap())
        .rate_limit(RateLimit::per_day(5_000).unwrap().named(name).unwrap().fail_closed())
        .quota(Quota::new(9_000 + name.len() as u64, Refill::Month).unwrap())
        .not_before(START)
        .expires_at(START.saturating_add(HOUR * if name.len() == 5 { 100 } else { 200 }))
        .metadata("team", name)
        .metadata("note", "two\nlines")
        .idempotency_key(name)
}

fn request() -> AccessRequest<'static> {
    AccessRequest::new(Environment::PRODUCTION)
        .scope("read:assets")
        .from(ClientIp::Peer("10.0.0.1".parse().unwrap()))
        .resources(&[("customer", "cust_1"), ("site", "org_a")])
        .cost(0)
}

impl Victims {
    fn new() -> Self {
        let store = RowStore::default();
        let keys = builder(scheme(&[1]), store.clone(), &FakeClock::at(START), 1).build();
        let make = |name, owner: &str| {
            let issued = run(keys.issue(&system(), full(name, owner))).unwrap();
            let id = issued.view().id;
            let old = issued.into_key();
            let new =
                run(keys.rotate(&system(), id, HOUR * u32::try_from(name.len()).unwrap())).unwrap();
            let token = |key: keyward::ApiKey| key.expose_secret().to_owned();
            (id, vec![token(old), token(new.into_key())])
        };
        let (a, b) = (make("first", "org_a"), make("second", "org_b"));
        Self { store, keys, ids: [a.0, b.0], tokens: [a.1, b.1] }
    }

    fn row(&self, victim: usize) -> (u64, String) {
        self.store.document(self.ids[victim])
    }

    /// How the first key's tokens are answered if this is its row: allowed, or why not.
    fn answers(&self, record: &KeyRecord) -> Vec<Result<(), Option<Deny>>> {
        let ask = |token: &String| {
            let challenge = self.keys.scheme().begin(token).unwrap();
            let (roles, limits) = (Roles::none(), LocalLimits::new());
            let verified = challenge.finish(Some(record), &request(), &roles, &limits, START);
            verified.map(drop).map_err(|error| error.deny())
        };
        self.tokens[0].iter().map(ask).collect()
    }

    /// `false` if the row reads as exactly the record that was there before.
    fn must_be_denied(&self, version: u64, document: &str, case: &str) -> bool {
        let record = KeyRecord::from_row(self.ids[0], version, document);
        let same = record.is_readable() && record.to_document() == self.row(0).1;
        for answer in self.answers(&record) {
            match answer {
                Ok(()) => assert!(same, "{case}: allowed"),
                Err(None | Some(Deny::BadSeal)) => assert!(!same, "{case}"),
                // Without its tag, or with another prefix, it is not the key's secret.
                Err(Some(Deny::WrongSecret)) => {
                    let hit = ["slots", "prefix", "bit"].iter().any(|part| case.contains(part));
                    assert!(hit, "{case}: a wrong secret");
                }
                Err(deny) => panic!("{case}: {deny:?}"),
            }
        }
        !same
    }

    /// Every change but a revoke refuses the row and leaves it; a revoke ends it.
    fn only_revoke_works(&self, version: u64, document: &str, case: &str) {
        let id = self.ids[0];
        let store = self.store.healed();
        store.put(id, version, document);
        let actor = system();
        let keys = builder(scheme(&[1]), store.clone(), &FakeClock::at(START), 2).build();
        let refused = [
            run(keys.update(&actor, id, KeyEdit::new().name("renamed"))).map(drop),
            run(keys.rotate(&actor, id, keyward::Rotation::grace(HOUR).replacing_older()))
                .map(drop),
            run(keys.regenerate(&actor, id)).map(drop),
            run(keys.compromised(&actor, id)).map(drop),
            run(keys.disable(&actor, id)).map(drop),
            run(keys.enable(&actor, id)).map(drop),
            run(keys.finish_rotation(&actor, id)).map(drop),
        ];
        for done in refused {
            let error = done.expect_err(case);
            let alarm = matches!(
                error,
                ManageError::SealBroken | ManageError::Store(_) | ManageError::PepperInUse(_)
            );
            assert!(alarm, "{case}: {error}");
        }
        assert_eq!(store.document(id), (version, document.to_owned()), "{case}");
        let resealed = run(keys.reseal_all(&actor)).unwrap();
        assert_eq!(resealed.refused, [id], "{case}");

        let view = run(keys.get(&actor, id)).unwrap();
        assert_eq!(view.id, id, "{case}: it can't be shown");
        let revoked = run(keys.revoke(&actor, id, Reason::Compromised)).unwrap().key;
        assert_eq!((revoked.status, revoked.id), (Status::Revoked, id), "{case}");
        for token in &self.tokens[0] {
            let error = run(keys.verify(token, &request())).unwrap_err();
            assert_eq!(error.code(), "INVALID_API_KEY", "{case}");
        }
        let sealed = store.snapshot().record(id).unwrap();
        assert!(sealed.is_readable(), "{case}: {:?}", sealed.damage());
        assert!(run(keys.reseal_all(&actor)).unwrap().refused.is_empty(), "{case}");
        assert_eq!(run(keys.events(&actor, id)).unwrap()[0].action, keyward::Action::Revoked);
    }
}

#[test]
fn an_untouched_row_is_allowed() {
    let victims = Victims::new();
    let (version, document) = victims.row(0);
    assert!(!victims.must_be_denied(version, &document, "untouched"));
    let spaced = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&document).unwrap());
    assert!(!victims.must_be_denied(version, &spaced.unwrap(), "spaced"));
}

#[test]
fn every_bit_of_the_document_counts() {
    let victims = Victims::new();
    let (version, document) = victims.row(0);
    let mut same = Vec::new();
    for place in 0..document.len() {
        for bit in 0..8_u8 {
            let mut bytes = document.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let text = String::from_utf8_lossy(&bytes);
            let case = format!("bit {bit} of byte {place}");
            if !victims.must_be_denied(version, &text, &case) {
                same.push((document.as_bytes()[place], bytes[place]));
            } else if place % 97 == usize::from(bit) {
                victims.only_revoke_works(version, &text, &case);
            }
        }
    }
    // Another spelling of the same instant or of `2001:db8::`, and nothing else.
    let spelling =
        |flip: &(u8, u8)| matches!(flip, (b'T', b't') | (b'Z', b'z') | (b'd', b'D') | (b'b', b'B'));
    assert!(same.iter().all(spelling), "{same:?}");
}

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, at: &str, to: &mut Vec<String>) {
    let mut visit = |part: &str, inner: &Value| {
        let place = format!("{at}/{}", part.replace('~', "~0").replace('/', "~1"));
        to.push(place.clone());
        places(inner, &place, to);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| visit(name, inner)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, inner)| visit(&i.to_string(), inner));
        }
        _ => {}
    }
}

/// Values that some field takes.
const WORDS: [&str; 8] =
    ["*", "::/0", "sandbox", "ak_test", "disabled", "revoked", "week", "legacy"];

/// Other values for a field: of its type and of others.
fn instead_of(value: &Value) -> Vec<Value> {
    let mut others: Vec<Value> = ["null", "true", "0", "1", "-1", "\"\"", "[]", "{}", "[null]"]
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    match value {
        Value::String(text) => {
            let own = [format!("{text}x"), text.chars().rev().collect(), text.to_uppercase()];
            others.extend(own.map(Value::from));
            others.push(text.replace('5', "6").into());
            others.extend(WORDS.map(Value::from));
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            others.extend([(number + 1).into(), (number * 2).into(), u64::MAX.into()]);
        }
        Value::Array(items) => {
            others.push(items.iter().skip(1).cloned().collect());
            others.push(items.iter().rev().cloned().collect());
            others.push(items.iter().chain(items).cloned().collect());
        }
        Value::Object(fields) => {
            for name in fields.keys() {
                let mut fewer = fields.clone();
                fewer.remove(name);
                others.push(fewer.into());
            }
            for (name, value) in [("unknown", ""), ("mode", "strict"), ("on_failure", "open")] {
                let mut more = fields.clone();
                more.insert(name.into(), value.into());
                others.push(more.into());
            }
        }
        _ => others.extend(["x".into(), 7.into()]),
    }
    others
}

#[test]
fn every_field_counts() {
    let victims = Victims::new();
    let (version, document) = victims.row(0);
    let original: Value = serde_json::from_str(&document).unwrap();
    let mut all = Vec::new();
    places(&original, "", &mut all);
    assert!(all.len() > 60, "{all:#?}");
    let mut denied = 0;
    for place in &all {
        for other in instead_of(original.pointer(place).unwrap()) {
            let mut changed = original.clone();
            *changed.pointer_mut(place).unwrap() = other;
            let text = changed.to_string();
            if victims.must_be_denied(version, &text, &format!("{place} in {text}")) {
                denied += 1;
                if denied % 5 == 0 {
                    victims.only_revoke_works(version, &text, place);
                }
            }
        }
    }
    let whole = instead_of(&original);
    for other in &whole {
        assert!(victims.must_be_denied(version, &other.to_string(), "whole prefix or slots"));
    }
    assert!(denied > 700 && whole.len() > 25, "{denied}, {whole:?}");
}

#[test]
fn no_field_can_be_moved_from_one_record_to_another() {
    let victims = Victims::new();
    let (version, document) = victims.row(0);
    let (mine, theirs): (Value, Value) = (
        serde_json::from_str(&document).unwrap(),
        serde_json::from_str(&victims.row(1).1).unwrap(),
    );
    let mut all = Vec::new();
    places(&mine, "", &mut all);
    let mut moved = 0;
    for place in &all {
        let Some(value) = theirs.pointer(place) else { continue };
        if mine.pointer(place) == Some(value) {
            continue;
        }
        let mut changed = mine.clone();
        *changed.pointer_mut(place).unwrap() = value.clone();
        assert!(victims.must_be_denied(version, &changed.to_string(), place), "{place}");
        victims.only_revoke_works(version, &changed.to_string(), place);
        moved += 1;
    }
    assert!(moved > 20, "{moved}");
    // The whole row under the other's id, and under another version.
    assert!(victims.must_be_denied(version, &victims.row(1).1, "the other row"));
    assert!(victims.must_be_denied(version + 1, &document, "a later version"));
    let other = KeyRecord::from_row(victims.ids[1], version, &victims.row(1).1);
    assert!(victims.answers(&other).iter().all(|answer| *answer == Err(None)));
}

#[test]
fn what_a_thief_would_try_is_a_bad_seal() {
    let victims = Victims::new();
    let (version, document) = victims.row(0);
    let original: Value = serde_json::from_str(&document).unwrap();
    let attempts: [(&str, Value); 8] = [
        ("/grants/scopes", serde_json::json!(["*"])),
        (
            "/grants/networks",
            original.pointer("/grants/networks").map_or(Value::Null, without_deny),
        ),
        ("/owner", "org_b".into()),
        ("/expires_at", Value::Null),
        ("/created_by", "someone else".into()),
        ("/metadata/team", "other".into()),
        ("/seal", Value::Null),
        ("/slots/0/valid_until", Value::Null),
    ];
    for (place, value) in attempts {
        let mut changed = original.clone();
        *changed.pointer_mut(place).expect(place) = value;
        let record = KeyRecord::from_row(victims.ids[0], version, &changed.to_string());
        assert!(record.is_readable(), "{place}: {:?}", record.damage());
        assert_eq!(victims.answers(&record), [Err(Some(Deny::BadSeal)); 2], "{place}");
        victims.only_revoke_works(version, &changed.to_string(), place);
    }
    let mut swapped = original.clone();
    swapped["slots"].as_array_mut().unwrap().swap(0, 1);
    assert!(victims.must_be_denied(version, &swapped.to_string(), "swapped slots"));

    let keys = builder(scheme(&[1]), victims.store.clone(), &FakeClock::at(START), 3).build();
    run(keys.revoke(&system(), victims.ids[0], Reason::Compromised)).unwrap();
    let (version, document) = victims.row(0);
    let mut alive: Value = serde_json::from_str(&document).unwrap();
    alive["state"] = original["state"].clone();
    let record = KeyRecord::from_row(victims.ids[0], version, &alive.to_string());
    assert_eq!(victims.answers(&record), [Err(Some(Deny::BadSeal)); 2]);
}

fn without_deny(networks: &Value) -> Value {
    let mut networks = networks.clone();
    networks["deny"] = serde_json::json!([]);
    networks
}

fn service(scheme: KeyScheme, store: &RowStore) -> KeyService {
    builder(scheme, store.clone(), &FakeClock::at(START), 4).build()
}

#[test]
fn a_tag_only_pepper_proves_secrets_and_no_records() {
    let world = World::new();
    let store = world.store();
    let (id, token) = (world.id("old pepper"), world.token("old pepper"));
    let rolled = || ring(&[2]).tag_only(pepper(1)).unwrap();
    let after = service(scheme(&[2]).with_peppers(rolled()), &store);
    let deny = |keys: &KeyService| {
        run(keys.verify(token, &common::READ)).map(drop).map_err(|error| error.deny())
    };
    assert_eq!(deny(&after), Err(Some(Deny::BadSeal)), "not resealed yet");

    let resealed = run(service(scheme(&[2, 1]), &store).reseal_all(&system())).unwrap();
    assert_eq!((resealed.resealed, resealed.refused.len()), (2, 0));
    assert_eq!(deny(&after), Ok(()), "its tag is under the old pepper still");

    // A thief with the old pepper and the database.
    let thief = service(scheme(&[1, 2]), &store);
    run(thief.update(&system(), id, KeyEdit::new().permissions(["*"]))).unwrap();
    assert_eq!(deny(&after), Err(Some(Deny::BadSeal)));
    assert_eq!(run(after.reseal_all(&system())).unwrap().refused, [id]);
    let reports = run(after.reports(&system(), &keyward::ReportOptions::default())).unwrap();
    assert_eq!(reports.bad_seals, [id]);
}

#[test]
fn without_seals_a_row_is_believed_as_the_docs_say() {
    let victims = Victims::new();
    let (version, document) = victims.row(0);
    victims.store.put(victims.ids[0], version, &document.replace("write:schedules", "write:all"));
    let write = request().scope("write:all");
    let open = service(scheme(&[1]).without_seals(), &victims.store);
    let token = &victims.tokens[0][0];
    assert!(run(open.verify(token, &write)).is_ok());
    let renamed = KeyEdit::new().name("renamed");
    run(open.update(&system(), victims.ids[0], renamed)).unwrap();
    assert!(victims.row(0).1.contains(r#""seal":null"#));
    let sealing = service(scheme(&[1]), &victims.store);
    let error = run(sealing.verify(token, &write)).unwrap_err();
    assert_eq!(error.deny(), Some(Deny::BadSeal), "sealing was switched on again");
}

#[test]
fn another_realm_or_pepper_believes_nothing() {
    let victims = Victims::new();
    let elsewhere = service(scheme(&[1]).realm("elsewhere").unwrap(), &victims.store);
    let error = run(elsewhere.verify(&victims.tokens[0][0], &request())).unwrap_err();
    assert_eq!(error.status(), 401);
    let lost = service(scheme(&[1]).with_peppers(PepperRing::new(pepper(9))), &victims.store);
    let error = run(lost.verify(&victims.tokens[0][0], &request())).unwrap_err();
    assert_eq!(error.status(), 503);
}
