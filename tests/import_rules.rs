//! What an import refuses, and that no refusal repeats what may be a secret.

mod common;

use common::{RowStore, START, builder, hex, new_key, run, scheme, system};
use keyward::{
    Actor, Environment, FakeClock, FieldError, ImportKey, KeyEdit, KeyService, ManageError,
};
use sha2::{Digest, Sha256};

fn service() -> KeyService {
    builder(scheme(&[1]), RowStore::default(), &FakeClock::at(START), 1).build()
}

fn digest() -> String {
    hex(&Sha256::digest("lk_0123456789abcdef0123456789abcdef"))
}

fn only<T: std::fmt::Debug>(result: Result<T, ManageError>) -> FieldError {
    match result {
        Err(ManageError::Invalid(mut fields)) if fields.len() == 1 => fields.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_short_key_is_refused_and_not_repeated() {
    for length in 0..40 {
        let bytes = vec![b'x'; length];
        match ImportKey::new(&bytes) {
            Ok(_) => assert!(length >= 16, "{length}"),
            Err(error) => {
                assert!(length < 16, "{length}");
                assert_eq!((error.field(), error.given()), ("import_key", None));
                assert!(!error.to_string().contains("xx"), "{error}");
            }
        }
    }
}

#[test]
fn an_import_takes_no_idempotency_key() {
    let keys = service();
    let new = || new_key("old");
    let once = new().idempotency_key("request-1");
    let error = only(run(keys.import(&system(), once, "legacy", &digest())));
    assert_eq!((error.field(), error.given()), ("idempotency_key", None));
    let first = run(keys.import(&system(), new(), "legacy", &digest())).unwrap().key;
    let again = run(keys.import(&system(), new(), "legacy", &digest())).unwrap_err();
    assert!(matches!(&again, ManageError::AlreadyIssued(view) if view.id == first.id), "{again}");
}

/// Neither whose it is nor what it is called.
#[test]
fn another_owners_digest_is_an_error_of_the_digest() {
    let keys = service();
    run(keys.import(&system(), new_key("theirs"), "legacy", &digest())).unwrap();
    let actor = Actor::new("bob")
        .for_owner("org_2")
        .holding(["api.key.*", "read:assets"])
        .unwrap()
        .in_environments([Environment::PRODUCTION]);
    let error = run(keys.import(&actor, new_key("mine").owner("org_2"), "legacy", &digest()));
    let body = error.as_ref().unwrap_err().body().to_json();
    for word in ["org_1", "theirs", &digest()] {
        assert!(!body.contains(word), "{body}");
    }
    assert_eq!(error.as_ref().unwrap_err().status(), 422);
    let error = only(error);
    assert_eq!((error.field(), error.given()), ("digest", None));
    assert!(!error.to_string().contains(&digest()), "{error}");
}

#[test]
fn no_refusal_repeats_a_value_of_metadata() {
    let keys = service();
    let issued = run(keys.issue(&system(), new_key("k"))).unwrap();
    let value = "hunter2 is my password\u{7}";
    let huge = "hunter2".repeat(4_000);
    for value in [value, huge.as_str()] {
        let metadata = [("note".to_owned(), value.to_owned())].into();
        let results = [
            run(keys.issue(&system(), new_key("k").metadata("note", value))).map(drop),
            run(keys.import(&system(), new_key("k").metadata("note", value), "legacy", &digest()))
                .map(drop),
            run(keys.update(&system(), issued.id(), KeyEdit::new().metadata(metadata))).map(drop),
        ];
        for result in results {
            let error = result.unwrap_err();
            let texts = [error.to_string(), format!("{error:?}"), error.body().to_json()];
            assert!(texts.iter().all(|text| !text.contains("hunter2")), "{texts:?}");
            assert!(only(Err::<(), _>(error)).field().starts_with("metadata"));
        }
    }
}
