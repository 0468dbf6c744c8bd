//! Whose word a proven record is: the scheme's that proved it, and nobody else's; and how
//! records without seals come back under one.

mod common;

use common::{READ, RowStore, START, builder, new_key, pepper, ring, run, scheme, system};
use keyward::{
    Actor, Deny, FakeClock, IssuedKey, KeyEdit, KeyId, KeyQuery, KeyRecord, KeyScheme, KeyService,
    KeyStore as _, LocalLimits, ManageError, MemoryStore, Reason, Roles, SharedKeyStore, Status,
};

fn service(scheme: &KeyScheme, store: impl Into<SharedKeyStore>) -> KeyService {
    builder(scheme.clone(), store, &FakeClock::at(START), 1).build()
}

fn issue(keys: &KeyService, name: &str) -> (KeyId, String) {
    let issued: IssuedKey = run(keys.issue(&system(), new_key(name))).unwrap();
    (issued.id(), issued.into_key().expose_secret().to_owned())
}

fn denied(keys: &KeyService, token: &str) -> Option<Deny> {
    run(keys.verify(token, &READ)).err().map(|error| error.deny().unwrap())
}

fn finish(scheme: &KeyScheme, token: &str, record: &KeyRecord) -> Result<(), Option<Deny>> {
    let challenge = scheme.begin(token).unwrap();
    let verified =
        challenge.finish(Some(record), &READ, &Roles::none(), &LocalLimits::new(), START);
    verified.map(drop).map_err(|error| error.deny())
}

/// Schemes that see the same rows, and none of which may lean on another's check.
#[test]
fn one_scheme_takes_no_other_ones_word() {
    let store = MemoryStore::new();
    let one = scheme(&[1]);
    let keys = service(&one, store.clone());
    let (id, token) = issue(&keys, "k");
    assert_eq!(denied(&keys, &token), None, "proven, and remembered by the handle");

    let tag_only = scheme(&[2]).with_peppers(ring(&[2]).tag_only(pepper(1)).unwrap());
    let after = service(&tag_only, store.clone());
    assert_eq!(denied(&after, &token), Some(Deny::BadSeal), "the ring takes no seal of it");
    assert_eq!(denied(&keys, &token), None);
    let error = run(after.update(&system(), id, KeyEdit::new().name("n"))).unwrap_err();
    assert!(matches!(error, ManageError::SealBroken), "{error}");
    assert_eq!(run(after.get(&system(), id)).unwrap().status, Status::Unreadable);
    assert_eq!(run(keys.get(&system(), id)).unwrap().status, Status::Active);

    let elsewhere = service(&one.realm("elsewhere").unwrap(), store);
    let error = run(elsewhere.update(&system(), id, KeyEdit::new().name("n"))).unwrap_err();
    assert!(matches!(error, ManageError::SealBroken), "{error}");
    assert_eq!(run(elsewhere.get(&system(), id)).unwrap().status, Status::Unreadable);
    assert_eq!(denied(&keys, &token), None);
}

/// A bad verdict is not remembered either: the scheme that sealed it still believes it.
#[test]
fn a_refusal_spoils_no_handle() {
    let store = RowStore::default();
    let one = scheme(&[1]);
    let (id, token) = issue(&service(&one, store.clone()), "k");
    let record = store.snapshot().record(id).unwrap();
    let tag_only = one.with_peppers(ring(&[2]).tag_only(pepper(1)).unwrap());
    for _ in 0..3 {
        for _ in 0..2 {
            assert_eq!(finish(&tag_only, &token, &record), Err(Some(Deny::BadSeal)));
        }
        for _ in 0..2 {
            assert_eq!(finish(&one, &token, &record), Ok(()));
        }
    }
}

#[test]
fn what_was_written_without_seals_is_refused_until_it_is_sealed() {
    let store = RowStore::default();
    let open = service(&scheme(&[1]).without_seals(), store.clone());
    let (id, token) = issue(&open, "k");
    let (gone, _) = issue(&open, "gone");
    run(open.revoke(&system(), gone, Reason::Unused)).unwrap();
    assert_eq!(denied(&open, &token), None);

    let sealing = service(&scheme(&[1]), store.clone());
    assert_eq!(denied(&sealing, &token), Some(Deny::BadSeal));
    let resealed = run(sealing.reseal_all(&system())).unwrap();
    assert_eq!((resealed.resealed, resealed.refused.len()), (0, 2), "it believes no such record");
    assert_eq!(denied(&sealing, &token), Some(Deny::BadSeal));

    let (forged, forged_token) = issue(&sealing, "forged");
    let (version, document) = store.document(forged);
    store.put(forged, version, &document.replace("read:assets", "read:*"));
    let sealed = run(sealing.seal_unsealed(&system())).unwrap();
    assert_eq!((sealed.resealed, sealed.refused), (2, vec![forged]), "a broken seal stays broken");
    assert_eq!(denied(&sealing, &token), None);
    assert_eq!(denied(&sealing, &forged_token), Some(Deny::BadSeal));
    let again = run(sealing.seal_unsealed(&system())).unwrap();
    assert_eq!((again.resealed, again.current, again.refused), (0, 2, vec![forged]));
    assert_eq!(run(sealing.get(&system(), id)).unwrap().revision, 1, "people changed nothing");
    assert_eq!(run(sealing.get(&system(), gone)).unwrap().status, Status::Revoked);
}

#[test]
fn only_a_scheme_that_seals_seals_and_only_for_who_manages_all() {
    let open = service(&scheme(&[1]).without_seals(), RowStore::default());
    let sealing = service(&scheme(&[1]), RowStore::default());
    let alice = Actor::new("alice").for_owner("org_1").holding(["api.key.*"]).unwrap();
    for unsealed in [false, true] {
        let seal = async |keys: &KeyService, actor: &Actor| {
            if unsealed { keys.seal_unsealed(actor).await } else { keys.reseal_all(actor).await }
        };
        let error = run(seal(&open, &system())).unwrap_err();
        assert!(
            matches!(&error, ManageError::Invalid(fields) if fields[0].field() == "scheme"),
            "{error}"
        );
        let error = run(seal(&sealing, &alice)).unwrap_err();
        assert_eq!(error.status(), 403, "{error}");
        assert_eq!(run(seal(&sealing, &system())).unwrap(), keyward::Resealed::default());
    }
}

#[test]
fn an_edited_row_is_shown_as_unreadable() {
    let store = RowStore::default();
    let keys = service(&scheme(&[1]), store.clone());
    let (id, _) = issue(&keys, "edited");
    let (sound, _) = issue(&keys, "sound");
    let (version, document) = store.document(id);
    store.put(id, version, &document.replace("read:assets", "*"));

    assert!(run(store.get(id)).unwrap().unwrap().is_readable());
    assert_eq!(run(keys.get(&system(), id)).unwrap().status, Status::Unreadable);
    let page = run(keys.list(&system(), &KeyQuery::new())).unwrap();
    let mut shown: Vec<_> = page.data.iter().map(|view| (view.id, view.status)).collect();
    shown.sort_unstable_by_key(|(key, _)| *key != id);
    assert_eq!(shown, [(id, Status::Unreadable), (sound, Status::Active)]);
    let revoked = run(keys.revoke(&system(), id, Reason::Policy)).unwrap();
    assert_eq!(revoked.key.status, Status::Revoked);
}
