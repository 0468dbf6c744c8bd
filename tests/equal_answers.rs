//! Seven reasons, one answer: who has no valid secret learns nothing of the key.
//!
//! 8,000 answers by default, all compared with each other; 1e5 with `KEYWARD_TEST_SCALE=13`.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{
    BASE62, CROCKFORD, READ, RowStore, START, Seeded, builder, forged, new_key, run, scale, scheme,
    secret_of, system, with_checksum,
};
use keyward::{
    AccessRequest, ClientIp, Deny, Environment, FakeClock, KeyEdit, KeyService, MemoryStore,
    NewKey, RateLimit, Reason, VerifyError,
};

/// Everything of an answer that can reach a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    status: u16,
    code: &'static str,
    body: String,
    body_text: String,
    display: String,
    retry_after: Option<Duration>,
    sources: usize,
}

fn answer(error: &VerifyError, request: &AccessRequest<'_>) -> Answer {
    let chain = |error: &dyn std::error::Error| {
        std::iter::successors(error.source(), |error| error.source()).count()
    };
    let body = error.body(request);
    Answer {
        status: error.status(),
        code: error.code(),
        body: serde_json::to_string(&body).unwrap(),
        body_text: body.to_string(),
        display: error.to_string(),
        retry_after: error.retry_after(),
        sources: chain(error),
    }
}

/// Requests as different as they come: none may show in the answer.
fn some_request(rng: &mut Seeded) -> AccessRequest<'static> {
    let client = *rng.pick(&["10.1.2.3", "2001:db8::1", "192.0.2.7"]);
    let request = AccessRequest::new(Environment::PRODUCTION)
        .from(ClientIp::Peer(client.parse().unwrap()))
        .cost(u32::try_from(rng.below(5)).unwrap());
    match rng.below(3) {
        0 => request,
        1 => request.scope("read:assets"),
        _ => request.all_of(&["write:all", "admin"]).resources(&[("customer", "c_1")]),
    }
}

/// Keys with all kinds of other reasons to be refused, which must not show either.
fn some_key(rng: &mut Seeded) -> NewKey {
    let key = new_key(&format!("key {}", rng.number()));
    match rng.below(6) {
        0 => key.ip_allowlist(["203.0.113.0/24"]),
        1 => key.permissions(["nothing:here"]).customers(["c_9"]),
        2 => key.expires_at("2125-01-01T00:00:00Z".parse().unwrap()),
        3 => key.not_before("2099-01-01T00:00:00Z".parse().unwrap()),
        4 => key.rate_limit(RateLimit::per_day(1).unwrap()),
        _ => key,
    }
}

/// A token that is refused for the reason, and must be.
fn refused(keys: &KeyService, store: &RowStore, rng: &mut Seeded, reason: usize) -> (String, Deny) {
    let actor = system();
    let issued = run(keys.issue(&actor, some_key(rng))).unwrap();
    let id = issued.view().id;
    let token = issued.into_key().expose_secret().to_owned();
    match reason {
        0 => {
            let id = format!("key_{}", rng.text(16, CROCKFORD));
            (forged(rng, "ak_live", &id), Deny::UnknownKey)
        }
        1 => (forged(rng, "ak_live", &id.to_string()), Deny::WrongSecret),
        2 => {
            run(keys.revoke(&actor, id, Reason::Policy)).unwrap();
            (token, Deny::Revoked)
        }
        3 => {
            drop(run(keys.regenerate(&actor, id)).unwrap());
            (token, Deny::Superseded)
        }
        4 => {
            let new = some_key(rng).environment(Environment::SANDBOX);
            let key = run(keys.issue(&actor, new)).unwrap().into_key();
            (key.expose_secret().to_owned(), Deny::WrongEnvironment)
        }
        5 => {
            let (version, document) = store.document(id);
            let raised = document.replace("\"org_1\"", "\"org_2\"");
            assert_ne!(raised, document);
            store.put(id, version, &raised);
            (token, Deny::BadSeal)
        }
        // A key of another prefix that is the scheme's too.
        6 => {
            let body = format!("old_live_1{}_{}", &id.to_string()[4..], secret_of(&token));
            (with_checksum(&body), Deny::WrongSecret)
        }
        _ => (malformed(rng, &token), Deny::Malformed),
    }
}

fn malformed(rng: &mut Seeded, token: &str) -> String {
    let place = rng.below(token.len());
    let mut damaged = token.to_owned();
    match rng.below(6) {
        0 => damaged.truncate(place),
        1 => damaged.insert(place, '\u{e9}'),
        2 => damaged.make_ascii_uppercase(),
        3 => damaged = rng.text(75, BASE62),
        4 => damaged = token.replace("ak_live", "ak_prod"),
        _ => drop(damaged.remove(place)),
    }
    damaged
}

#[test]
fn every_reason_without_a_valid_secret_reads_the_same() {
    let mut answers = BTreeSet::new();
    let mut reasons = BTreeMap::<String, usize>::new();
    for round in 0..scale() {
        let mut rng = Seeded(round as u64);
        let store = RowStore::default();
        let keys =
            builder(scheme(&[1]), store.clone(), &FakeClock::at(START), rng.number()).build();
        for reason in (0..8).cycle().take(8 * 1_000) {
            let (token, expected) = refused(&keys, &store, &mut rng, reason);
            let request = some_request(&mut rng);
            let error = run(keys.verify(&token, &request)).unwrap_err();
            assert_eq!(error.deny(), Some(expected), "{token}");
            *reasons.entry(format!("{expected:?}")).or_default() += 1;
            answers.insert(answer(&error, &request));
        }
    }
    assert_eq!(reasons.len(), 7, "{reasons:?}");
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let answer = answers.first().unwrap();
    assert_eq!((answer.status, answer.retry_after), (401, None));
    assert_eq!(
        answer.body,
        r#"{"error":{"code":"INVALID_API_KEY","message":"The provided API key is invalid"}}"#
    );
}

/// The other refusals are different: without this, the test above proves nothing.
#[test]
fn whoever_holds_the_secret_is_told_why() {
    let keys = builder(scheme(&[1]), MemoryStore::new(), &FakeClock::at(START), 1).build();
    let issued = run(keys.issue(&system(), new_key("narrow"))).unwrap();
    let id = issued.view().id;
    let key = issued.into_key();
    let mut answers = BTreeSet::new();
    let mut ask = |request: &AccessRequest<'_>| {
        let error = run(keys.verify(key.expose_secret(), request)).unwrap_err();
        assert!(error.deny().unwrap().is_authenticated());
        answers.insert(answer(&error, request));
    };
    ask(&READ.scope("write:all"));
    run(keys.update(&system(), id, KeyEdit::new().ip_allowlist(["10.0.0.0/8"]))).unwrap();
    ask(&READ);
    run(keys.disable(&system(), id)).unwrap();
    ask(&READ);
    assert_eq!(answers.len(), 3);
}
