//! Secret types show nothing.

use zeroize::ZeroizeOnDrop;

use super::{SplitMix, new_key, parse};
use crate::token::{ApiKey, KeyId, Prefix, Secret, assemble, display_hint};

#[test]
fn debug_shows_the_hint_and_no_character_of_the_secret() {
    let mut rng = SplitMix(1);
    for prefix in ["pv", "ak_live", "onv_sk_live"] {
        let key = new_key(&mut rng, prefix);
        let parsed = parse(key.expose_secret(), |_| Some(())).unwrap();
        let hint = display_hint(prefix, parsed.id);
        assert_eq!(hint.len(), prefix.len() + 5);
        assert!(key.expose_secret().starts_with(&hint));
        assert_eq!(format!("{key:?}"), format!("ApiKey({hint}…)"));
        assert_eq!(format!("{key:#?}"), format!("ApiKey({hint}…)"));
    }
    let secret = Secret::generate(&mut rng, 0).unwrap();
    assert_eq!(format!("{secret:?}"), "Secret(…)");
}

#[test]
fn secrets_are_wiped_on_drop() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<ApiKey>();
    wiped::<Secret>();
    assert!(std::mem::needs_drop::<Secret>());
}

#[test]
fn assembling_allocates_once_and_leaves_no_copy() {
    let mut rng = SplitMix(2);
    let prefix = Prefix::new("ak_live").unwrap();
    let secret = Secret::generate(&mut rng, 0).unwrap();
    let mut key = None;
    let measured = allocation_counter::measure(|| {
        key = Some(assemble(&prefix, KeyId::from_parts(1, 2), &secret));
    });
    assert_eq!(measured.count_total, 1);
    assert_eq!(key.unwrap().expose_secret().len(), 75);
}
