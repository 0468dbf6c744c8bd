use super::*;

const KINDS: [&str; 2] = ["a", "b"];
const IDS: [&str; 3] = ["1", "2", "3"];

/// Rules as bits: three ids of kind `a`, then three of kind `b`; none is a free kind.
fn rules(bits: u8) -> ResourceRules {
    let kinds = KINDS.iter().enumerate().filter_map(|(kind, name)| {
        let ids: Vec<_> =
            (0..3).filter(|id| bits >> (3 * kind + id) & 1 == 1).map(|id| IDS[id]).collect();
        (!ids.is_empty()).then_some((name, ids))
    });
    ResourceRules::new(kinds).unwrap()
}

fn request(bits: u8) -> Vec<(&'static str, &'static str)> {
    (0..6).filter(|bit| bits >> bit & 1 == 1).map(|bit| (KINDS[bit / 3], IDS[bit % 3])).collect()
}

fn naive(rule: u8, request: u8) -> bool {
    [0, 3].iter().all(|shift| {
        let (rule, request) = (rule >> shift & 7, request >> shift & 7);
        rule == 0 || (request != 0 && request & !rule == 0)
    })
}

#[test]
fn every_small_rule_and_request_equal_the_naive_model() {
    for rule in 0..64 {
        let ours = rules(rule);
        let json = serde_json::to_string(&ours).unwrap();
        assert_eq!(serde_json::from_str::<ResourceRules>(&json).unwrap(), ours);
        for asked in 0..64 {
            let mut resources = request(asked);
            assert_eq!(ours.allows(&resources), naive(rule, asked), "{rule:06b} {asked:06b}");
            resources.push(("c", "1"));
            resources.rotate_right(1);
            assert_eq!(ours.allows(&resources), naive(rule, asked));
        }
        for outer in 0..64 {
            let expected = (0..64).all(|asked| !naive(rule, asked) || naive(outer, asked));
            assert_eq!(ours.within(&rules(outer)), expected, "{rule:06b} {outer:06b}");
        }
    }
}

#[test]
fn the_kind_that_refuses_is_named() {
    let rules = rules(0b001_001);
    assert_eq!(rules.refused_by(&[("a", "1"), ("b", "1")]), None);
    assert_eq!(rules.refused_by(&[("a", "1"), ("b", "1"), ("b", "2")]), Some("b"));
    assert_eq!(rules.refused_by(&[("b", "1")]), Some("a"));
    assert_eq!(rules.values("a").collect::<Vec<_>>(), ["1"]);
    assert_eq!(rules.values("c").count(), 0);
    assert_eq!(rules.kinds().collect::<Vec<_>>(), KINDS);
    assert_eq!(rules.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "1")]);
}

#[test]
fn every_failing_part_is_reported() {
    let errors = ResourceRules::new([
        ("customer", vec!["ok", "not ok", ""]),
        ("Kind", vec!["x"]),
        ("site", vec![]),
        ("customer", vec!["y"]),
    ])
    .unwrap_err();
    let fields: Vec<_> = errors.iter().map(FieldError::field).collect();
    assert_eq!(
        fields,
        [
            "resources.customer[1]",
            "resources.customer[2]",
            "resources",
            "resources.site",
            "resources.customer",
        ]
    );
}

#[test]
fn limits_hold_at_their_edges() {
    let ids = |count: usize| (0..count).map(|id| id.to_string());
    let made = |kind: &str, count| ResourceRules::new([(kind.to_owned(), ids(count))]);
    assert!(made("a", 1000).is_ok());
    assert!(made("a", 1001).is_err());
    assert_eq!(made("a", 1 << 20).unwrap_err().len(), 1);
    assert!(made(&"k".repeat(64), 1).is_ok());
    assert!(made(&"k".repeat(65), 1).is_err());
    let id = |id: String| ResourceRules::new([("a", [id])]);
    assert!(id("i".repeat(256)).is_ok());
    for bad in ["i".repeat(257), "i".repeat(1 << 20), "é".into(), "a\0".into()] {
        assert!(id(bad).is_err());
    }
    let kinds = |count: usize| (0..count).map(|kind| (format!("k{kind}"), ["1"]));
    assert!(ResourceRules::new(kinds(1000)).is_ok());
    assert!(ResourceRules::new(kinds(1001)).is_err());
}

#[test]
fn damaged_documents_are_refused() {
    for text in [
        r#"{"a":[]}"#,
        r#"{"a":["1"],"a":["2"]}"#,
        r#"{"A":["1"]}"#,
        r#"{"a":"1"}"#,
        r#"{"a":[""]}"#,
        "[]",
    ] {
        assert!(serde_json::from_str::<ResourceRules>(text).is_err(), "{text}");
    }
}

#[test]
fn asking_allocates_nothing() {
    let rules = rules(0b011_001);
    let counted = allocation_counter::measure(|| {
        for asked in [&[][..], &[("a", "1"), ("b", "2")], &[("a", "9")]] {
            std::hint::black_box(rules.allows(asked));
        }
    });
    assert_eq!(counted.count_total, 0);
}
