use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::grant::Network;
use crate::token::KeyId;

fn alert(kind: AlertKind, about: u8, authenticated: bool, second: i64) -> Alert {
    let at = Timestamp::from_unix_seconds(second);
    Alert {
        kind,
        authenticated,
        key: Some(KeyId::from_bytes([about; 10])),
        address: Some(Network::parse(&format!("192.0.2.{about}")).unwrap()),
        count: 1,
        threshold: 1,
        window_seconds: 0,
        first_at: at,
        last_at: at,
        held_back: 0,
    }
}

proptest! {
    /// Against a model with maps: few enough subjects that none is forgotten.
    #[test]
    fn the_same_is_held_back_and_no_hour_has_more_than_its_number(
        raised in prop::collection::vec((0usize..2, 0u8..6, any::<bool>(), 0i64..900), 0..200),
    ) {
        let delivery = Delivery::new(Duration::from_secs(1_800), 4);
        let mut last = HashMap::<(usize, u8, bool), i64>::new();
        let mut used = HashMap::<(usize, bool, i64), u32>::new();
        let (mut delivered, mut held_back) = (0, 0);
        let mut second = 0;
        for (kind, about, authenticated, later) in raised {
            second += later;
            let subject = (kind, about, authenticated);
            let is_same = last.get(&subject).is_some_and(|last| second - last < 1_800);
            let used = used.entry((kind, authenticated, second / 3_600)).or_default();
            let expected = !is_same && *used < 4;
            let kind = [AlertKind::BadSeal, AlertKind::NeverIssued][kind];
            let admitted = delivery.admit(alert(kind, about, authenticated, second));
            prop_assert_eq!(admitted.is_some(), expected);
            match admitted {
                Some(admitted) => {
                    *used += 1;
                    last.insert(subject, second);
                    delivered += admitted.held_back;
                }
                None => held_back += 1,
            }
        }
        prop_assert!(delivered <= held_back);
    }
}

#[test]
fn what_was_held_back_is_told_with_the_next() {
    let delivery = Delivery::new(Duration::from_secs(60), 2);
    let admit = |about, second| {
        let alert = alert(AlertKind::NewAddress, about, true, second);
        delivery.admit(alert).map(|alert| alert.held_back)
    };
    assert_eq!([admit(1, 0), admit(1, 10), admit(1, 59)], [Some(0), None, None]);
    assert_eq!([admit(1, 60), admit(2, 61), admit(3, 62)], [Some(2), None, None]);
    assert_eq!([admit(2, 3_600), admit(3, 3_601)], [Some(2), Some(0)]);
}

#[test]
fn strangers_use_up_nothing_of_those_who_are_proven() {
    let delivery = Delivery::new(Duration::from_secs(60), 3);
    let delivered = (0..200)
        .filter(|n| delivery.admit(alert(AlertKind::FailuresByKey, *n, false, 5)).is_some())
        .count();
    assert_eq!(delivered, 3);
    assert!(delivery.admit(alert(AlertKind::FailuresByKey, 0, true, 6)).is_some());
}

#[test]
fn a_clock_that_went_back_holds_nothing_back_for_long() {
    let delivery = Delivery::new(Duration::from_secs(60), 9);
    let admit = |second| delivery.admit(alert(AlertKind::BadSeal, 1, false, second)).is_some();
    assert_eq!([admit(1_000_000), admit(5), admit(40), admit(65)], [true, true, false, true]);
}
