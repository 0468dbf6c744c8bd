//! Text that wants to be something else is stored exactly as it came, or refused with the
//! name of the field; nothing panics, and nothing huge takes long.
//!
//! 1,500 texts by default, times `KEYWARD_TEST_SCALE` (70 makes 1e5).

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{READ, RowStore, START, Seeded, builder, new_key, run, scale, scheme, system};
use keyward::{
    Actor, Environment, FakeClock, FieldError, KeyEdit, KeyId, KeyQuery, KeyRecord, KeyService,
    ManageError, NewKey, Prefix, Reason, Scope, ScopeExpr,
};
use serde_json::Value;

const SEEDS: [&str; 46] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\r\n",
    "name\r\nX-Injected: yes",
    "name\nnext line",
    "\t",
    "\u{7f}",
    "\u{85}",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{202e}gnp.exe",
    "\u{2066}isolated\u{2069}",
    "\u{200e}\u{200f}\u{61c}",
    "\u{2028}\u{2029}",
    "\u{feff}bom",
    "zero\u{200b}width\u{200d}",
    "'; DROP TABLE keys; --",
    "\" OR \"\"=\"",
    "Robert'); --",
    "%s%n%x",
    "{{7*7}} ${7*7} <%= 7 %>",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "\\u0000",
    "\\\"\\\\",
    "{\"error\":{\"code\":\"OK\"}}",
    "null",
    "true",
    "1e999",
    "-0",
    "*",
    "a:*",
    "a:b:*:c",
    "api.key.*",
    "::ffff:10.0.0.1/96",
    "10.0.0.0/+8",
    "０.０.０.０/０",
    "\u{1f600}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "e\u{301} \u{e9}",
    "\u{10ffff}\u{fffd}",
    "İıŞß",
    "ΩΩΩ",
    "org_1",
    "10.0.0.0/8",
    "2001:db8::1",
];

/// A seed, two of them glued, one in something ordinary, or characters at random.
fn hostile(rng: &mut Seeded) -> String {
    match rng.below(5) {
        0 => (*rng.pick(&SEEDS)).to_owned(),
        1 => format!("{}{}", rng.pick(&SEEDS), rng.pick(&SEEDS)),
        2 => format!("read:{}assets", rng.pick(&SEEDS)),
        3 => rng.pick(&SEEDS).repeat(1 + rng.below(300)),
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

fn is_display_text(text: &str) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !text.chars().any(hidden)
}

/// An error that a client may be sent, and that names one of the fields.
fn check_refusal(error: &ManageError, fields: &[&str], case: &str) {
    let (ManageError::Invalid(errors) | ManageError::GrantExceedsActor(errors)) = error else {
        panic!("{case}: {error}");
    };
    assert!(!errors.is_empty(), "{case}");
    for found in errors {
        assert!(
            fields.iter().any(|field| found.field().starts_with(field)),
            "{case}: {found} names none of {fields:?}"
        );
        assert!(!found.rule().is_empty(), "{case}");
        assert!(found.given().is_none_or(|given| given.chars().count() <= 64 * 10), "{case}");
    }
    check_body(&error.body().to_json(), case);
    assert!(error.to_string().len() < 10_000 * errors.len(), "{case}: {error}");
    assert!(is_display_text(&error.to_string()), "{case}: a log line would be broken: {error}");
}

fn check_body(body: &str, case: &str) {
    let parsed: Value = serde_json::from_str(body).expect(case);
    assert!(parsed["error"]["code"].is_string() && parsed["error"]["message"].is_string());
    assert!(body.bytes().all(|byte| byte >= 0x20), "{case}: a raw control character in {body}");
}

struct Bench {
    store: RowStore,
    keys: KeyService,
}

impl Bench {
    fn new() -> Self {
        let store = RowStore::default();
        let keys = builder(scheme(&[1]), store.clone(), &FakeClock::at(START), 1).build();
        Self { store, keys }
    }

    /// What came of an issue: the record as any other process would read it.
    fn issue(&self, actor: &Actor, new: NewKey, fields: &[&str], case: &str) -> Option<KeyRecord> {
        match run(self.keys.issue(actor, new)) {
            Ok(issued) => {
                let id = issued.view().id;
                let (version, document) = self.store.document(id);
                let record = KeyRecord::from_row(id, version, &document);
                assert!(record.is_readable(), "{case}: {:?}", record.damage());
                let seen = run(self.keys.get(&system(), id)).unwrap();
                assert_eq!(&seen, issued.view(), "{case}");
                let json = serde_json::to_value(&seen).unwrap();
                assert_eq!(json["name"], seen.name, "{case}");
                Some(record)
            }
            Err(error) => {
                check_refusal(&error, fields, case);
                None
            }
        }
    }
}

#[test]
fn every_field_stores_exactly_or_refuses_by_name() {
    let bench = Bench::new();
    let mut rng = Seeded(28);
    let mut kept = BTreeMap::<&str, [usize; 2]>::new();
    for round in 0..1_500 * scale() {
        let text =
            if round < SEEDS.len() * 11 { SEEDS[round / 11].to_owned() } else { hostile(&mut rng) };
        let t = text.as_str();
        let case = format!("{text:?}");
        let field = [
            "name",
            "owner",
            "permissions",
            "roles",
            "customers",
            "resources",
            "ip_allowlist",
            "ip_denylist",
            "metadata key",
            "metadata value",
            "idempotency_key",
        ][round % 11];
        let (new, fields): (NewKey, &[&str]) = match field {
            "name" => (NewKey::named(t).owner("org_1"), &["name"]),
            "owner" => (new_key("n").owner(t), &["owner"]),
            "permissions" => (new_key("n").permissions([t, "read:assets"]), &["permissions"]),
            "roles" => (new_key("n").roles([t]), &["roles"]),
            "customers" => (new_key("n").customers([t]), &["resources", "customer"]),
            "resources" => (new_key("n").resources(t, [t]), &["resources"]),
            "ip_allowlist" => (new_key("n").ip_allowlist([t]), &["ip_allowlist"]),
            "ip_denylist" => (new_key("n").ip_denylist([t]), &["ip_denylist"]),
            "metadata key" => (new_key("n").metadata(t, "v"), &["metadata"]),
            "metadata value" => (new_key("n").metadata("k", t), &["metadata"]),
            _ => (new_key("n").idempotency_key(format!("{round}{t}")), &["idempotency_key"]),
        };
        let record = bench.issue(&system(), new, fields, &format!("{field} {case}"));
        kept.entry(field).or_default()[usize::from(record.is_some())] += 1;
        let Some(record) = record else { continue };
        let view = run(bench.keys.get(&system(), record.id())).unwrap();
        match field {
            "name" => {
                assert_eq!((record.name(), view.name.as_str()), (t, t));
                assert!(is_display_text(t), "{case} hides something in a list");
            }
            "owner" => assert_eq!((record.owner(), view.owner.as_str()), (t, t)),
            "permissions" => assert!(view.permissions.iter().any(|scope| scope == t), "{case}"),
            "roles" => assert_eq!(view.roles, [t]),
            "customers" => assert_eq!(view.resources["customer"], [t]),
            "resources" => assert_eq!(view.resources[t], [t]),
            "metadata key" => assert_eq!(view.metadata[t], "v"),
            "metadata value" => assert_eq!(view.metadata["k"], t),
            _ => {}
        }
        let edit = KeyEdit::new().name(t).metadata(BTreeMap::from([("k".into(), text.clone())]));
        match run(bench.keys.update(&system(), record.id(), edit)) {
            Ok(changed) => {
                assert_eq!((changed.key.name.as_str(), &*changed.key.metadata["k"]), (t, t));
            }
            Err(error) => check_refusal(&error, &["name", "metadata"], &case),
        }
    }
    assert!(kept.values().all(|[refused, stored]| *refused > 0 && *stored > 0), "{kept:?}");
}

#[test]
fn what_an_actor_is_called_is_in_the_log_exactly() {
    let mut bench = Bench::new();
    let mut rng = Seeded(29);
    for number in 0..300 * scale() {
        if number % 300 == 0 {
            // The store reads its whole log for each key's events.
            bench = Bench::new();
        }
        let given = hostile(&mut rng);
        let actor = Actor::system(given.clone());
        let name = actor.name().to_owned();
        // An actor can't be refused: its label is cleaned when it is made, and stays so.
        let clean = !given.contains(char::is_control) && given.len() <= 256;
        assert!(!name.contains(char::is_control) && name.len() <= 256);
        assert!(name == given || !clean, "{given:?} became {name:?}");
        let record = bench.issue(&actor, new_key("n"), &[], &name).unwrap();
        assert_eq!(record.created_by(), name);
        run(bench.keys.revoke(&actor, record.id(), Reason::Other)).unwrap();
        let events = run(bench.keys.events(&system(), record.id())).unwrap();
        assert_eq!(events.len(), 2);
        for event in events {
            assert_eq!(event.actor, name);
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<keyward::Event>(&json).unwrap(), event);
            assert!(json.bytes().all(|byte| byte >= 0x20));
        }
        assert!(KeyQuery::new().created_by(&name).matches(&record));
    }
}

#[test]
fn requests_and_parsers_take_any_text() {
    let bench = Bench::new();
    let key = run(bench.keys.issue(&system(), new_key("n").customers(["c"]))).unwrap().into_key();
    let mut rng = Seeded(30);
    for _ in 0..1_500 * scale() {
        let text = hostile(&mut rng);
        let t = text.as_str();
        let resources = [(t, t), ("customer", t)];
        for request in [
            READ.scope(t),
            READ.any_of(&[t]),
            READ.resources(&resources),
            READ.resources(&[(t, "c"), ("customer", "c")]).scope(t),
        ] {
            match run(bench.keys.verify(key.expose_secret(), &request)) {
                Ok(_) => assert!(t == "read:assets" || t == "c", "{text:?}"),
                Err(error) => {
                    check_body(&error.body(&request).to_json(), t);
                    assert!(is_display_text(&error.to_string()));
                }
            }
        }
        let presented = run(bench.keys.verify(t, &READ)).unwrap_err();
        assert_eq!(presented.code(), "INVALID_API_KEY");
        let wrong = [
            t.parse::<KeyId>().err(),
            KeyQuery::new().cursor(t).err(),
            Prefix::new(t).err(),
            Environment::new(t).err(),
            Scope::parse(t).err(),
            ScopeExpr::parse(t).err(),
        ];
        for error in wrong.iter().flatten() {
            assert!(is_display_text(&error.to_string()), "{error}");
            assert!(error.to_string().len() < 2_000, "{error}");
        }
        let redacted = bench.keys.scheme().redact(t);
        assert!(redacted == t || t.contains("_1"));
        let _ =
            (KeyRecord::from_row(KeyId::from_bytes([1; 10]), 1, t), bench.keys.scheme().scan(t));
        let _ = serde_json::from_str::<NewKey>(t);
        let owner = KeyQuery::new().owner(t);
        assert!(
            run(bench.keys.list(&system(), &owner)).unwrap().data.len()
                <= usize::from(t == "org_1")
        );
    }
}

#[test]
fn a_megabyte_in_any_field_is_refused_quickly() {
    let bench = Bench::new();
    let key = run(bench.keys.issue(&system(), new_key("n"))).unwrap().into_key();
    let started = Instant::now();
    for unit in ["a", "\0", "é", "*", "a:", "(", "_1", "1.", "ak_live_1"] {
        let huge = unit.repeat((1 << 20) / unit.len());
        let t = huge.as_str();
        let many = || std::iter::repeat_n(unit, 50_000);
        for (new, field) in [
            (NewKey::named(t).owner("o"), "name"),
            (new_key("n").owner(t), "owner"),
            (new_key("n").permissions([t]), "permissions"),
            (new_key("n").roles([t]), "roles"),
            (new_key("n").roles((0..5_000).map(|i| format!("r{i}"))), "roles"),
            (new_key("n").ip_allowlist([t]), "ip_allowlist"),
            (new_key("n").customers([t]), "resources"),
            (new_key("n").resources(t, ["x"]), "resources"),
            (new_key("n").prefix(t), "prefix"),
            (new_key("n").metadata(t, "v"), "metadata"),
            (new_key("n").metadata("k", t), "metadata"),
            (new_key("n").idempotency_key(t), "idempotency_key"),
        ] {
            let error = run(bench.keys.issue(&system(), new)).expect_err(field);
            check_refusal(&error, &[field, "customer"], &format!("{unit:?} in {field}"));
        }
        for new in [
            new_key("n").permissions(many()),
            new_key("n").ip_denylist(many()),
            new_key("n").customers(many()),
        ] {
            if let Err(error) = run(bench.keys.issue(&system(), new)) {
                assert_eq!(error.status(), 422);
                check_body(&error.body().to_json(), unit);
            }
        }
        assert_eq!(run(bench.keys.verify(t, &READ)).unwrap_err().code(), "INVALID_API_KEY");
        assert!(run(bench.keys.verify(key.expose_secret(), &READ.scope(t))).is_err());
        let errors: [Option<FieldError>; 5] = [
            t.parse::<KeyId>().err(),
            KeyQuery::new().cursor(t).err(),
            Scope::parse(t).err(),
            ScopeExpr::parse(t).err(),
            Environment::new(t).err(),
        ];
        for error in errors {
            assert!(error.unwrap().to_string().len() < 2_000);
        }
        let _ = (bench.keys.scheme().redact(t), bench.keys.scheme().scan(t));
        assert!(!KeyRecord::from_row(KeyId::from_bytes([1; 10]), 1, t).is_readable());
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}
