//! Every code of the decision table: its status, its details, and that it is told only to
//! whom it may be.

mod fixture;

use fixture::{World, at, seconds};
use keyward::{
    AccessRequest, Actor, Change, ClientIp, Deny, Environment, Expect, FieldError, KeyEdit, KeyId,
    KeyRecord, KeyStore as _, LocalLimits, ManageError, NewKey, Quota, RateLimit, Reason, Refill,
    Rejected, Roles, StoreError, StoreErrorKind, VerifyError,
};
use pollster::block_on;
use serde_json::{Value, json};

const LIVE: AccessRequest<'static> = AccessRequest::new(Environment::PRODUCTION);

fn refused(world: &World, presented: &str, request: &AccessRequest<'_>) -> VerifyError {
    block_on(world.keys.verify(presented, request)).unwrap_err()
}

/// Code, status, and the details of the body.
fn told(error: &VerifyError, request: &AccessRequest<'_>) -> (String, u16, Value) {
    let body: Value = serde_json::from_str(&error.body(request).to_json()).unwrap();
    assert_eq!(body["error"]["code"], error.code());
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.len() > 10), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1);
    (error.code().to_owned(), error.status(), body["error"]["details"].clone())
}

/// Puts another document in the place of a key's, as somebody with the database could.
fn forge(world: &World, id: KeyId, edit: impl Fn(String) -> String) {
    let record = world.record(id);
    let forged = KeyRecord::from_row(id, record.version(), &edit(record.to_document()));
    let expect = Expect::Version(record.version());
    block_on(world.store.commit(Change { record: forged, expect, event: None })).unwrap();
}

/// Whatever is not proven, or not of this place, gets the same bytes.
#[test]
fn invalid_keys_are_all_alike() {
    let world = World::new();
    let (keys, host) = (&world.keys, &world.host);
    let fresh = || world.issue(NewKey::named("k").owner("o").permissions(["read:a"]));
    let sandbox = AccessRequest::new(Environment::SANDBOX).scope("read:a");
    let request = LIVE.scope("read:a");
    let mut answers = Vec::new();
    let mut answer = |deny: Deny, presented: &str, request: &AccessRequest<'_>| {
        let error = refused(&world, presented, request);
        assert_eq!(error.deny(), Some(deny));
        assert_eq!((error.code(), error.status()), ("INVALID_API_KEY", 401));
        assert_eq!(error.retry_after(), None);
        answers.push(error.body(request).to_json());
    };
    answer(Deny::Malformed, "", &request);
    answer(Deny::Malformed, "ak_live_1", &request);
    answer(Deny::Malformed, &"a".repeat(1 << 20), &request);
    let (_, secret) = World::new().issue(NewKey::named("k").owner("o"));
    answer(Deny::UnknownKey, secret.expose_secret(), &request);
    let (id, secret) = fresh();
    block_on(keys.revoke(host, id, Reason::Compromised)).unwrap();
    answer(Deny::Revoked, secret.expose_secret(), &request);
    let (id, secret) = fresh();
    block_on(keys.regenerate(host, id)).unwrap().into_key();
    answer(Deny::Superseded, secret.expose_secret(), &request);
    block_on(keys.regenerate(host, id)).unwrap().into_key();
    answer(Deny::WrongSecret, secret.expose_secret(), &request);
    let (_, secret) = fresh();
    answer(Deny::WrongEnvironment, secret.expose_secret(), &sandbox);
    let (id, secret) = fresh();
    forge(&world, id, |document| document.replace("read:a", "read:*"));
    answer(Deny::BadSeal, secret.expose_secret(), &request);
    assert!(answers.iter().all(|body| *body == answers[0]), "{answers:#?}");
    assert!(!answers[0].contains("details"), "{}", answers[0]);
}

#[test]
fn every_other_refusal_of_the_table() {
    let limits = LocalLimits::new().per_owner(RateLimit::per_minute(3).unwrap()).unwrap();
    let world = World::with(Roles::none(), limits);
    let (keys, host) = (&world.keys, &world.host);
    let named = || NewKey::named("k").owner("o");
    let check = |error: &VerifyError, request: &AccessRequest<'_>, expected: (&str, u16, Value)| {
        let (code, status, details) = told(error, request);
        assert_eq!((code.as_str(), status, details), expected);
    };
    let missing = VerifyError::from(Rejected::missing());
    check(&missing, &LIVE, ("MISSING_API_KEY", 401, Value::Null));
    let ambiguous = VerifyError::from(Rejected::ambiguous());
    check(&ambiguous, &LIVE, ("AMBIGUOUS_API_KEY", 400, Value::Null));

    let (id, secret) = world.issue(named());
    block_on(keys.disable(host, id)).unwrap();
    let error = refused(&world, secret.expose_secret(), &LIVE);
    check(&error, &LIVE, ("API_KEY_INACTIVE", 401, Value::Null));

    let (_, secret) = world.issue(named().not_before(at(10)).expires_at(at(20)));
    let error = refused(&world, secret.expose_secret(), &LIVE);
    let details = json!({ "valid_from": at(10) });
    check(&error, &LIVE, ("API_KEY_NOT_YET_VALID", 401, details));
    world.clock.set(at(20));
    let error = refused(&world, secret.expose_secret(), &LIVE);
    check(&error, &LIVE, ("API_KEY_EXPIRED", 401, json!({ "expired_at": at(20) })));

    let (_, secret) = world.issue(
        named().ip_allowlist(["10.0.0.0/8"]).customers(["c1"]).permissions(["read:a", "x:*"]),
    );
    let request = LIVE.from(ClientIp::Peer("192.0.2.1".parse().unwrap()));
    let error = refused(&world, secret.expose_secret(), &request);
    let details = json!({ "client_ip": "192.0.2.1", "allowed_ips": ["10.0.0.0/8"] });
    check(&error, &request, ("IP_NOT_ALLOWED", 403, details));
    let short = error.body(&request).without("allowed_ips");
    assert_eq!(short.error().details.keys().collect::<Vec<_>>(), ["client_ip"]);
    let request = LIVE.from(ClientIp::Peer("::ffff:10.0.0.1".parse().unwrap()));
    let error = refused(&world, secret.expose_secret(), &request);
    check(&error, &request, ("RESOURCE_NOT_ALLOWED", 403, json!({ "resource": "customer" })));
    let request = request.resources(&[("customer", "c1")]).all_of(&["read:a", "write:a"]);
    let error = refused(&world, secret.expose_secret(), &request);
    let details = json!({ "required": ["read:a", "write:a"], "missing": ["write:a"] });
    check(&error, &request, ("INSUFFICIENT_PERMISSIONS", 403, details));

    let rate = RateLimit::per_minute(2).unwrap().burst(1).unwrap();
    let (_, secret) = world.issue(named().rate_limit(rate));
    assert!(block_on(keys.verify(secret.expose_secret(), &LIVE)).is_ok());
    let error = refused(&world, secret.expose_secret(), &LIVE);
    let details = json!({ "limit": "minute", "retry_after": 30 });
    check(&error, &LIVE, ("RATE_LIMITED", 429, details));
    assert_eq!(error.retry_after(), Some(seconds(30)));
    let greedy = LIVE.cost(2);
    let error = refused(&world, secret.expose_secret(), &greedy);
    let details = json!({ "limit": "minute", "retry_after": null });
    check(&error, &greedy, ("RATE_LIMITED", 429, details));
    assert_eq!(error.retry_after(), None, "it never has room for two");

    let quota = Quota::new(1, Refill::Hour).unwrap();
    let (_, secret) = world.issue(named().quota(quota));
    assert!(block_on(keys.verify(secret.expose_secret(), &LIVE)).is_ok());
    let error = refused(&world, secret.expose_secret(), &LIVE);
    let (_, end) = Refill::Hour.window(at(20));
    let details = json!({ "limit": "quota", "resets_at": end });
    check(&error, &LIVE, ("QUOTA_EXCEEDED", 429, details));
    assert_eq!(error.retry_after(), Some(end.saturating_duration_since(at(20))));

    let (_, secret) = world.issue(named());
    assert!(block_on(keys.verify(secret.expose_secret(), &LIVE)).is_ok());
    let error = refused(&world, secret.expose_secret(), &LIVE);
    let details = json!({ "limit": "owner", "retry_after": 20 });
    check(&error, &LIVE, ("RATE_LIMITED", 429, details));

    let (id, secret) = world.issue(named().owner("o2"));
    forge(&world, id, |_| "{ damaged".to_owned());
    let error = refused(&world, secret.expose_secret(), &LIVE);
    check(&error, &LIVE, ("UNAVAILABLE", 503, json!({ "retry_after": 1 })));
    assert_eq!((error.deny(), error.retry_after()), (None, Some(seconds(1))));
}

#[test]
fn every_refusal_of_an_operation() {
    let world = World::new();
    let (keys, host) = (&world.keys, &world.host);
    let (id, _) = world.issue(NewKey::named("k").owner("o").idempotency_key("a"));
    let (revoked, _) = world.issue(NewKey::named("k").owner("o"));
    block_on(keys.revoke(host, revoked, Reason::Unused)).unwrap();
    let (forged, _) = world.issue(NewKey::named("k").owner("o").permissions(["read:a"]));
    forge(&world, forged, |document| document.replace("read:a", "read:*"));
    let narrow = Actor::new("narrow").for_owner("o").holding(["api.key.*"]).unwrap();
    let reader = Actor::new("reader").for_owner("o").holding(["api.key.view"]).unwrap();
    let stranger = Actor::new("stranger").for_owner("p").holding(["api.key.*"]).unwrap();
    let capped = Actor::system("capped").key_cap(1);
    let rename = || KeyEdit::new().name("other");
    let errors: Vec<(ManageError, &str, u16, &[&str])> = vec![
        (
            block_on(keys.issue(host, NewKey::named("k").owner("o").idempotency_key("a")))
                .unwrap_err(),
            "ALREADY_ISSUED",
            409,
            &["key"],
        ),
        (
            block_on(keys.issue(host, NewKey::named("l").owner("o").idempotency_key("a")))
                .unwrap_err(),
            "IDEMPOTENCY_MISMATCH",
            422,
            &[],
        ),
        (
            block_on(keys.update(host, id, rename().if_revision(7))).unwrap_err(),
            "VERSION_CONFLICT",
            412,
            &["revision"],
        ),
        (
            block_on(keys.update(&reader, id, rename())).unwrap_err(),
            "INSUFFICIENT_PERMISSIONS",
            403,
            &["required"],
        ),
        (
            block_on(keys.regenerate(&narrow, id)).unwrap_err(),
            "GRANT_EXCEEDS_ACTOR",
            403,
            &["fields"],
        ),
        (
            block_on(keys.update(host, id, KeyEdit::new().name(""))).unwrap_err(),
            "VALIDATION_FAILED",
            422,
            &["fields"],
        ),
        (
            block_on(keys.issue(&capped, NewKey::named("k").owner("o"))).unwrap_err(),
            "KEY_LIMIT_REACHED",
            409,
            &["max"],
        ),
        (block_on(keys.get(&stranger, id)).unwrap_err(), "KEY_NOT_FOUND", 404, &[]),
        (
            block_on(keys.get(host, KeyId::from_bytes([1; 10]))).unwrap_err(),
            "KEY_NOT_FOUND",
            404,
            &[],
        ),
        (block_on(keys.enable(host, revoked)).unwrap_err(), "WRONG_STATE", 409, &["status"]),
        (block_on(keys.update(host, forged, rename())).unwrap_err(), "WRONG_STATE", 409, &[]),
        (ManageError::PepperInUse(Vec::new()), "UNAVAILABLE", 503, &[]),
        (
            StoreError::new(StoreErrorKind::Unavailable).with_source("postgres://u:pw@host").into(),
            "UNAVAILABLE",
            503,
            &[],
        ),
    ];
    for (error, code, status, details) in errors {
        assert_eq!((error.code(), error.status()), (code, status), "{error}");
        let body: Value = serde_json::from_str(&error.body().to_json()).unwrap();
        assert_eq!(body["error"]["code"], code);
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(char::is_uppercase) && !message.contains("pw@"), "{message}");
        let told = body["error"]["details"].as_object();
        let told: Vec<&str> =
            told.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
        assert_eq!(told, details, "{body}");
    }
    assert!(block_on(keys.revoke(host, forged, Reason::Other)).is_ok(), "it can be revoked");
}

/// Which operation needs which permission, and that `*` is none of them.
#[test]
fn every_operation_needs_its_permission() {
    type Operation = fn(&World, &Actor, KeyId) -> Option<ManageError>;
    let operations: &[(&str, Operation)] = &[
        ("create", |w, a, _| block_on(w.keys.issue(a, NewKey::named("k").owner("o"))).err()),
        ("create", |w, a, _| {
            block_on(w.keys.import(a, NewKey::named("k").owner("o"), "none", "00")).err()
        }),
        ("update", |w, a, id| block_on(w.keys.update(a, id, KeyEdit::new())).err()),
        ("update", |w, a, id| block_on(w.keys.rotate(a, id, seconds(1))).err()),
        ("update", |w, a, id| block_on(w.keys.regenerate(a, id)).err()),
        ("update", |w, a, id| block_on(w.keys.compromised(a, id)).err()),
        ("update", |w, a, id| block_on(w.keys.finish_rotation(a, id)).err()),
        ("update", |w, a, id| block_on(w.keys.disable(a, id)).err()),
        ("update", |w, a, id| block_on(w.keys.enable(a, id)).err()),
        ("update", |w, a, _| block_on(w.keys.reseal_all(a)).err()),
        ("delete", |w, a, id| block_on(w.keys.revoke(a, id, Reason::Other)).err()),
        ("view", |w, a, id| block_on(w.keys.get(a, id)).err()),
        ("view", |w, a, id| block_on(w.keys.events(a, id)).err()),
        ("view", |w, a, id| block_on(w.keys.explain(a, id, &LIVE, at(0))).err()),
        ("view", |w, a, _| block_on(w.keys.list(a, &keyward::KeyQuery::new())).err()),
        ("view", |w, a, _| block_on(w.keys.reports(a, &keyward::ReportOptions::default())).err()),
        ("view", |w, a, id| block_on(w.keys.simulate(a, id, &KeyEdit::new(), &LIVE, at(0))).err()),
        ("view", |w, a, _| {
            let query = keyward::KeyQuery::new();
            block_on(w.keys.would_break(a, &query, &KeyEdit::new(), &LIVE, at(0))).err()
        }),
    ];
    let all = ["create", "update", "delete", "view"];
    for (needed, operation) in operations {
        let world = World::new();
        let (id, _) = world.issue(NewKey::named("k").owner("o"));
        let others = all.iter().filter(|one| *one != needed).map(|one| format!("api.key.{one}"));
        let scopes: Vec<String> = others.chain(["*".into(), "api.*".into()]).collect();
        let without = Actor::new("a")
            .for_all_owners()
            .in_environments([Environment::PRODUCTION])
            .holding(scopes)
            .unwrap();
        let before = world.record(id).to_document();
        match operation(&world, &without, id) {
            Some(ManageError::Forbidden { permission }) => {
                assert_eq!(permission, format!("api.key.{needed}"));
            }
            other => panic!("{needed}: {other:?}"),
        }
        assert_eq!(world.record(id).to_document(), before);
        let with = Actor::new("a")
            .for_all_owners()
            .in_environments([Environment::PRODUCTION])
            .holding([format!("api.key.{needed}")])
            .unwrap();
        let error = operation(&world, &with, id);
        let fine = matches!(&error, None | Some(ManageError::Invalid(_)));
        assert!(fine, "{needed}: {error:?}");
    }
}

/// What is given is shown, cut and escaped; the rest of an error is fixed text.
#[test]
fn field_errors_serialise_for_people() {
    let error: FieldError = "a b\u{7}".parse::<keyward::Scope>().unwrap_err();
    let json = serde_json::to_value(&error).unwrap();
    assert_eq!(json["field"], "scope");
    assert_eq!(json["given"], r"a b\u{7}");
    assert!(json["rule"].is_string());
}
