//! Two keys whose random ids are the same: the later one is drawn again, and loses nothing
//! else. Two services that draw the same numbers make them at will.

mod common;

use common::{READ, START, builder, new_key, run, scheme, system};
use keyward::{FakeClock, KeyQuery, KeyStore, KeyView, ManageError, MemoryStore, StoreErrorKind};

/// Everything but what an id is in.
fn apart_from_its_id(view: &KeyView) -> String {
    let mut json = serde_json::to_value(view).unwrap();
    for field in ["id", "prefix"] {
        json.as_object_mut().unwrap().remove(field).unwrap();
    }
    json.to_string()
}

#[test]
fn an_id_that_is_taken_is_drawn_again_eight_times() {
    for taken in [1, 8, 9] {
        let (store, clock) = (MemoryStore::new(), FakeClock::at(START));
        let service = || builder(scheme(&[1]), store.clone(), &clock, 7).build();
        let new = || new_key("twin").owner("org_1").metadata("team", "core");
        let (first, second) = (service(), service());
        let issued: Vec<_> =
            (0..taken).map(|_| run(first.issue(&system(), new())).unwrap()).collect();
        match run(second.issue(&system(), new())) {
            Ok(late) => {
                assert!(taken <= 8);
                assert!(issued.iter().all(|early| early.view().id != late.view().id));
                for early in &issued {
                    assert_eq!(apart_from_its_id(early.view()), apart_from_its_id(late.view()));
                }
                let stored = run(store.get(late.view().id)).unwrap().unwrap();
                assert_eq!(stored.view(None, START), *late.view());
                for key in issued.into_iter().chain([late]) {
                    let key = key.into_key();
                    run(second.verify(key.expose_secret(), &READ)).unwrap();
                }
            }
            Err(ManageError::Store(error)) => {
                assert_eq!((taken, error.kind()), (9, StoreErrorKind::AlreadyExists));
                assert_eq!(run(store.list(&KeyQuery::new())).unwrap().len(), 9);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
