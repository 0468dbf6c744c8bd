//! Bad input: every failing field at once, each with what was given and the rule; never a
//! secret, never a hang, nothing lost.

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fixture::{PEPPER, World, at, scheme};
use keyward::{
    AccessRequest, Actor, Environment, FieldError, KeyEdit, KeyQuery, KeyScheme, KeyService,
    ManageError, MemoryStore, Network, NewKey, Pepper, PepperRing, Prefix, Quota, RateLimit,
    Refill, Scope, Status,
};
use pollster::block_on;

const ALL_WRONG: &str = r#"{
    "name": "",
    "owner": "a b",
    "environment": "Prod",
    "prefix": "AK!",
    "permissions": ["read:a", "a b", "read:*:x"],
    "role": " x",
    "roles": ["fine", "a\nb"],
    "ip_allowlist": ["10.0.0.1/8", "10.0.0.0/8"],
    "ip_denylist": ["192.0.2.0/024"],
    "customers": ["c1", "c 2"],
    "resources": { "Site": ["s1"], "site": [], "customer": ["c3"] },
    "rate_limits": [
        { "name": "a", "count": 1, "period_ms": 1000 },
        { "name": "a", "count": 2, "period_ms": 1000 }
    ],
    "not_before": "tomorrow",
    "expires_at": "2025-02-30T00:00:00Z",
    "metadata": { "bell": "\u0007", "also": "\u0000", "": "no name" }
}"#;

const ALL_FIELDS: [&str; 20] = [
    "name",
    "owner",
    "idempotency_key",
    "environment",
    "prefix",
    "permissions[1]",
    "permissions[2]",
    "role",
    "roles[1]",
    "ip_allowlist[0]",
    "ip_denylist[0]",
    "customers[1]",
    "resources",
    "resources.site",
    "rate_limits[1].name",
    "not_before",
    "expires_at",
    "metadata.bell",
    "metadata.also",
    "metadata",
];

fn invalid<T: std::fmt::Debug>(result: Result<T, ManageError>) -> Vec<FieldError> {
    match result {
        Err(ManageError::Invalid(errors)) => errors,
        other => panic!("{other:?}"),
    }
}

fn fields(errors: &[FieldError]) -> BTreeSet<&str> {
    errors.iter().map(FieldError::field).collect()
}

#[test]
fn a_new_key_reports_every_failing_field() {
    let world = World::new();
    let new: NewKey = serde_json::from_str(ALL_WRONG).unwrap();
    let errors = invalid(block_on(world.keys.issue(&world.host, new.idempotency_key("a b"))));
    assert_eq!(fields(&errors), BTreeSet::from(ALL_FIELDS), "{errors:#?}");
    assert_eq!(errors.len(), ALL_FIELDS.len(), "{errors:#?}");
    for error in &errors {
        assert!(!error.rule().is_empty() && !error.rule().ends_with('.'), "{error}");
        assert!(error.to_string().starts_with(&format!("`{}` {}", error.field(), error.rule())));
    }
    let given = |field: &str| errors.iter().find(|error| error.field() == field).unwrap().given();
    assert_eq!(given("permissions[1]"), Some("a b"));
    assert_eq!(given("not_before"), Some("tomorrow"));
    assert_eq!(given("customers[1]"), Some("c 2"));
    assert_eq!(given("roles[1]"), Some(r"a\nb"), "escaped");
    let error = ManageError::Invalid(errors);
    assert_eq!((error.code(), error.status()), ("VALIDATION_FAILED", 422));
    let body = serde_json::to_value(error.body()).unwrap();
    let listed = body["error"]["details"]["fields"].as_array().unwrap();
    assert_eq!(listed.len(), ALL_FIELDS.len());
    assert!(listed.iter().all(|one| one["field"].is_string() && one["rule"].is_string()));
}

#[test]
fn an_edit_reports_every_failing_field_and_changes_nothing() {
    let world = World::new();
    let (id, _) = world.issue(NewKey::named("k").owner("o"));
    let before = world.record(id).to_document();
    let mut all: serde_json::Value = serde_json::from_str(ALL_WRONG).unwrap();
    for fixed in ["owner", "environment", "prefix"] {
        all.as_object_mut().unwrap().remove(fixed);
    }
    let edit: KeyEdit = serde_json::from_value(all).unwrap();
    let errors = invalid(block_on(world.keys.update(&world.host, id, edit)));
    let mut expected = BTreeSet::from(ALL_FIELDS);
    for fixed in ["owner", "environment", "prefix", "idempotency_key"] {
        expected.remove(fixed);
    }
    assert_eq!(fields(&errors), expected, "{errors:#?}");
    assert_eq!(errors.len(), expected.len());
    assert_eq!(world.record(id).to_document(), before);
}

/// What only the scheme or the service can tell is reported with the rest.
#[test]
fn what_the_scheme_does_not_have_is_reported_with_the_rest() {
    let world = World::new();
    let rate = RateLimit::per_minute(1).unwrap().strict();
    for (new, expected) in [
        (NewKey::named("").environment(Environment::STAGING), ["environment", "name"]),
        (NewKey::named("").prefix("sk_live"), ["name", "prefix"]),
        (NewKey::named("").prefix("ak_live").environment(Environment::SANDBOX), ["name", "prefix"]),
        (NewKey::named("").rate_limit(rate), ["name", "rate_limits"]),
    ] {
        let errors = invalid(block_on(world.keys.issue(&world.host, new.owner("o"))));
        assert_eq!(fields(&errors), BTreeSet::from(expected), "{errors:#?}");
    }
}

#[test]
fn dates_must_make_sense() {
    let world = World::new();
    let (id, _) = world.issue(NewKey::named("k").owner("o").not_before(at(50)));
    for (start, end) in [(10, 10), (10, 9), (-5, -6)] {
        let new = NewKey::named("k").owner("o").expires_at(at(end)).not_before(at(start));
        let errors = invalid(block_on(world.keys.issue(&world.host, new)));
        assert_eq!(fields(&errors), BTreeSet::from(["expires_at"]));
    }
    for (end, against) in [(50, "the key's own start"), (0, "now"), (-1, "now")] {
        let edit = KeyEdit::new().expires_at(at(end));
        let errors = invalid(block_on(world.keys.update(&world.host, id, edit)));
        assert_eq!(fields(&errors), BTreeSet::from(["expires_at"]), "against {against}");
    }
}

#[test]
fn a_key_may_be_issued_expired() {
    let world = World::new();
    for end in [0, -1] {
        let new = NewKey::named("k").owner("o").expires_at(at(end));
        let (view, key) = block_on(world.keys.issue(&world.host, new)).unwrap().into_parts();
        assert_eq!(view.status, Status::Expired);
        let request = AccessRequest::new(Environment::PRODUCTION);
        let refused = block_on(world.keys.verify(key.expose_secret(), &request)).unwrap_err();
        assert_eq!(refused.code(), "API_KEY_EXPIRED");
    }
}

#[test]
fn json_with_a_field_that_is_not_known_is_refused() {
    for text in [
        r#"{"name":"k","scopes":["a"]}"#,
        r#"{"name":"k","expiresAt":"2030-01-01T00:00:00Z"}"#,
        r#"{"name":"k","idempotency_key":"x"}"#,
        r#"{"name":"k","quota":{"limit":1,"refill":"day","period":"day"}}"#,
        r#"{"name":"k","rate_limits":[{"name":"a","count":1,"period_ms":1,"per":"s"}]}"#,
    ] {
        let error = serde_json::from_str::<NewKey>(text).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
    }
    for text in [r#"{"owner":"o"}"#, r#"{"environment":"sandbox"}"#, r#"{"state":"enabled"}"#] {
        assert!(serde_json::from_str::<KeyEdit>(text).is_err(), "{text}");
    }
}

/// Absent, null and a value are three things.
#[test]
fn json_of_an_edit() {
    let read = |text: &str| serde_json::from_str::<KeyEdit>(text).unwrap();
    assert_eq!(read("{}"), KeyEdit::new());
    assert_eq!(read(r#"{"expires_at":null}"#), KeyEdit::new().never_expires());
    assert_eq!(read(r#"{"not_before":null}"#), KeyEdit::new().valid_at_once());
    assert_eq!(read(r#"{"quota":null}"#), KeyEdit::new().without_quota());
    let quota = Quota::new(5, Refill::Day).unwrap();
    let edit = KeyEdit::new().name("n").quota(quota).expires_at(at(5)).customers(["c"]);
    assert_eq!(read(&serde_json::to_string(&edit).unwrap()), edit);
}

#[test]
fn networks_are_exact_and_say_what_was_meant() {
    for (text, says) in [
        ("10.0.0.1/8", "`10.0.0.0/8`"),
        ("2001:db8::1/32", "`2001:db8::/32`"),
        ("10.0.0.0/+8", "without sign"),
        ("10.0.0.0/08", "leading zero"),
        ("10.0.0.0/255.0.0.0", "not a mask"),
        ("fe80::1%eth0", "zone id"),
        ("10.0.0.0/33", "at most 32"),
        ("10.0.0", "IP address"),
        ("010.0.0.1", "IP address"),
        ("10.0.0.1 ", "IP address"),
        ("", "IP address"),
    ] {
        let error = Network::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn scopes_prefixes_and_cursors_name_the_rule() {
    for text in ["", "a b", "*:a", "a*", "a:*b", "a::b", ":a", "a.", "ä", "a:**", "a\u{202e}b"] {
        let error = Scope::parse(text).unwrap_err();
        assert!(!error.rule().is_empty() && error.given().is_some(), "{error}");
    }
    for text in ["", "AK", "ak__live", "_ak", "ak_", "ak-live", "a b", "ä"] {
        assert!(Prefix::new(text).is_err(), "{text}");
    }
    let damaged = "A".repeat(1 << 20);
    for text in ["", "x", "....", damaged.as_str()] {
        let error = KeyQuery::new().cursor(text).unwrap_err();
        assert_eq!(error.field(), "cursor");
        assert!(error.to_string().len() < 500);
    }
    let world = World::new();
    for limit in [0, 1_001, usize::MAX] {
        let query = KeyQuery::new().limit(limit);
        let errors = invalid(block_on(world.keys.list(&world.host, &query)));
        assert_eq!(fields(&errors), BTreeSet::from(["limit"]));
    }
}

/// An error about a pepper never shows any of it.
#[test]
fn peppers_are_never_shown() {
    let secret = "c3VwZXIgc2VjcmV0IHBlcHBlciBidXQgdG9vIHNob3J0";
    for text in [secret, "short", "", &"z".repeat(1 << 16), "!!!!"] {
        let error = PepperRing::from_base64(text).map(drop).unwrap_err();
        assert_eq!(error.given(), None);
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
    for bytes in [&b""[..], &[0; 31], &[0; 33], &[9; 32]] {
        assert_eq!(Pepper::from_bytes(bytes).map(drop).unwrap_err().given(), None);
    }
    let twice = PepperRing::from_bytes(PEPPER).unwrap();
    assert!(twice.accept(Pepper::from_bytes(PEPPER).unwrap()).is_err());
    let shown = format!("{:?} {:?}", scheme(), Pepper::from_bytes(PEPPER).unwrap());
    assert!(!shown.contains("kept out"), "{shown}");
    let ring = || PepperRing::from_bytes(PEPPER).unwrap();
    let none: [(&str, Environment); 0] = [];
    assert!(KeyScheme::new(ring(), none).is_err());
    let twice = [("ak", Environment::PRODUCTION), ("ak", Environment::SANDBOX)];
    assert!(KeyScheme::new(ring(), twice).is_err());
}

/// Huge input is refused in time and memory that don't follow its size.
#[test]
fn huge_input_fails_fast() {
    let world = World::new();
    let million = || (0..1_000_000).map(|i| format!("a b {i}"));
    let long = "x".repeat(1 << 20);
    let named = || NewKey::named("k").owner("o");
    let inputs: Vec<(&str, NewKey)> = vec![
        ("permissions", named().permissions(million())),
        ("roles", named().roles(million())),
        ("ip_allowlist", named().ip_allowlist(million())),
        ("ip_denylist", named().ip_denylist(million())),
        ("customers", named().customers(million())),
        ("resources", named().resources("site", million())),
        ("name", NewKey::named(&long).owner("o")),
        ("owner", NewKey::named("k").owner(&long)),
        ("prefix", named().prefix(&long)),
        ("permissions", named().permissions([&long])),
        ("roles", named().roles([&long])),
        ("metadata", named().metadata("k", &long)),
        ("metadata", named().metadata(&long, "v")),
        ("idempotency_key", named().idempotency_key(&long)),
        ("resources", named().resources(&long, ["a"])),
    ];
    for (field, new) in inputs {
        let started = Instant::now();
        let errors = invalid(block_on(world.keys.issue(&world.host, new)));
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "{field}: {took:?}");
        let about = |error: &FieldError| {
            error.field().starts_with(field)
                || (field == "customers" && error.field() == "resources")
        };
        assert!(errors.iter().all(about), "{field}: {:?}", errors.last());
        assert!(errors.len() <= 1_001, "{field}: {}", errors.len());
        assert!(errors.iter().all(|error| error.to_string().len() < 1_000), "{field}");
    }
}

/// Text that hides or reorders other text is refused; everything else is kept as it is.
#[test]
fn names_are_kept_exactly_or_refused() {
    let world = World::new();
    for name in ["k", "Größe ✓ 日本", "Robert'); DROP TABLE keys;--", "<b>&amp;", "a\u{301}"]
    {
        let (id, _) = world.issue(NewKey::named(name).owner("o").metadata("note", name));
        let view = block_on(world.keys.get(&world.host, id)).unwrap();
        assert_eq!((view.name.as_str(), view.metadata["note"].as_str()), (name, name));
    }
    let long = "x".repeat(257);
    for name in ["", " ", "\t", "a\0b", "a\r\nb", "a\u{202e}b", "\u{feff}a", "a\u{2028}", &long] {
        let errors =
            invalid(block_on(world.keys.issue(&world.host, NewKey::named(name).owner("o"))));
        assert_eq!(fields(&errors), BTreeSet::from(["name"]), "{name:?}");
        assert!(errors[0].to_string().chars().all(|c| !c.is_control()), "{:?}", errors[0]);
    }
}

/// An owner that the host left empty owns nothing, not even what can't be read.
#[test]
fn an_actor_of_an_empty_owner_manages_nothing() {
    let store = MemoryStore::new();
    let keys = KeyService::new(scheme(), store.clone());
    let host = Actor::system("host");
    let id = block_on(keys.issue(&host, NewKey::named("k").owner("o"))).unwrap().view().id;
    let change = keyward::Change {
        record: keyward::KeyRecord::from_row(id, 2, "{}"),
        expect: keyward::Expect::Version(1),
        event: None,
    };
    block_on(keyward::KeyStore::commit(&store, change)).unwrap();
    let nobody = Actor::new("nobody").for_owner("").holding(["api.key.*"]).unwrap();
    assert_eq!(block_on(keys.get(&nobody, id)).unwrap_err().code(), "KEY_NOT_FOUND");
    let revoked = block_on(keys.revoke(&nobody, id, keyward::Reason::Other));
    assert_eq!(revoked.unwrap_err().code(), "KEY_NOT_FOUND");
    assert_eq!(block_on(keys.reseal_all(&nobody)).unwrap_err().status(), 403);
    assert!(block_on(keys.list(&nobody, &KeyQuery::new())).unwrap().data.is_empty());
    assert_eq!(block_on(keys.list(&host, &KeyQuery::new())).unwrap().data.len(), 1);
}

/// Metadata has room for 16 KiB in all.
#[test]
fn metadata_has_its_room() {
    let world = World::new();
    let full = |value: usize| NewKey::named("k").owner("o").metadata("k", "v".repeat(value));
    world.issue(full(16 * 1024 - 1));
    let errors = invalid(block_on(world.keys.issue(&world.host, full(16 * 1024))));
    assert_eq!(fields(&errors), BTreeSet::from(["metadata"]));
    let (id, _) = world.issue(full(1));
    let many: BTreeMap<_, _> = (0..10_000).map(|i| (format!("{i:05}"), "v".into())).collect();
    let edit = KeyEdit::new().metadata(many);
    let errors = invalid(block_on(world.keys.update(&world.host, id, edit)));
    assert_eq!(fields(&errors), BTreeSet::from(["metadata"]));
}
