//! Scan and redaction against the published rule and against hostile text.

use std::borrow::Cow;
use std::time::Instant;

use proptest::prelude::*;
use regex::Regex;

use super::{Found, redact, scan, scanner_regex};
use crate::token::tests::{SplitMix, scale, token};
use crate::token::{KeyId, Prefix};

fn prefixes(names: &[&str]) -> Vec<Prefix> {
    names.iter().map(|name| Prefix::new(name).unwrap()).collect()
}

fn ours() -> Vec<Prefix> {
    prefixes(&["ak_live", "ak_test", "onv_sk_live", "live", "pv"])
}

fn found(text: &str) -> Vec<Found> {
    scan(&ours(), text).collect()
}

#[test]
fn the_rule_is_the_documented_one() {
    assert_eq!(
        scanner_regex(&prefixes(&["ak_live", "ak_test"])),
        "(?:ak_live|ak_test)_1[0-9a-hjkmnp-tv-z]{16}_[0-9A-Za-z]{49}"
    );
    let none = Regex::new(&scanner_regex(&[])).unwrap();
    assert!(!none.is_match(&token(&mut SplitMix(1), "ak_live")));
}

#[test]
fn rule_and_scan_find_every_token_whole() {
    let rule = Regex::new(&scanner_regex(&ours())).unwrap();
    let mut rng = SplitMix(2);
    for at in 0..10_000 * scale() {
        let prefix = ["ak_live", "ak_test", "onv_sk_live", "live", "pv"][at % 5];
        let key = token(&mut rng, prefix);
        let text = format!("X-Key={key}&ok");
        let range = 6..6 + key.len();
        assert_eq!(rule.find(&text).unwrap().range(), range);
        let key_id: KeyId = format!("key_{}", &key[prefix.len() + 2..][..16]).parse().unwrap();
        let prefix = Prefix::new(prefix).unwrap();
        assert_eq!(found(&text), [Found { range, key_id, prefix, checksum_valid: true }]);
    }
}

#[test]
fn the_prefix_whose_checksum_is_valid_wins_then_the_longest() {
    let mut rng = SplitMix(3);
    let short = token(&mut rng, "live");
    let glued = format!("ak_{short}");
    assert_eq!(found(&glued)[0].range, 3..glued.len());
    assert!(found(&glued)[0].checksum_valid);
    let mut long = token(&mut rng, "ak_live");
    let last = if long.ends_with('0') { '1' } else { '0' };
    long.pop();
    long.push(last);
    assert_eq!(found(&long)[0].range, 0..long.len());
    assert!(!found(&long)[0].checksum_valid);
}

#[test]
fn a_key_glued_to_a_truncated_one_is_found_as_well() {
    let mut rng = SplitMix(4);
    let (first, second) = (token(&mut rng, "ak_live"), token(&mut rng, "ak_test"));
    for lost in 0..=49 {
        let text = format!("{}{second}", &first[..first.len() - lost]);
        let last = found(&text).pop().unwrap();
        assert_eq!(&text[last.range.clone()], second);
        assert!(last.checksum_valid);
    }
}

/// Texts made of tokens, ruins of tokens and other things.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => (any::<u64>(), prop_oneof!["ak_live", "ak_test", "live", "pv"], 0usize..80)
            .prop_map(|(seed, prefix, cut)| {
                let key = token(&mut SplitMix(seed), &prefix);
                let kept = if cut > 75 { cut - 30 } else { key.len() };
                key[..kept.min(key.len())].to_owned()
            }),
        2 => "[0-9a-z_]{1,20}",
        1 => "\\PC{1,5}",
        1 => prop_oneof![Just("_1"), Just("ak_live_1"), Just("_"), Just("é")].prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn scan_agrees_with_the_rule(text in texts()) {
        let rule = Regex::new(&scanner_regex(&ours())).unwrap();
        let by_rule: Vec<_> = rule.find_iter(&text).map(|found| found.range()).collect();
        let by_scan = found(&text);
        for range in &by_rule {
            prop_assert!(by_scan.iter().any(|found| found.range.end == range.end));
        }
        for found in &by_scan {
            let whole = rule.find(&text[found.range.clone()]).unwrap();
            prop_assert_eq!(whole.range(), 0..found.range.len());
            let overlap = by_rule
                .iter()
                .any(|range| range.start < found.range.end && found.range.start < range.end);
            prop_assert!(overlap);
        }
        prop_assert!(by_scan.is_sorted_by_key(|found| found.range.end));
    }

    #[test]
    fn nothing_the_rule_finds_survives_redaction(text in texts()) {
        let once = redact(&ours(), &text).into_owned();
        let rule = Regex::new(
            "(?:ak_live|ak_test|onv_sk_live|live|pv)_1[0-9a-hjkmnp-tv-z]{16}_[0-9A-Za-z]",
        )
        .unwrap();
        prop_assert_eq!(rule.find(&once), None, "{}", text);
        prop_assert_eq!(once == text, matches!(redact(&ours(), &text), Cow::Borrowed(_)));
        let twice = redact(&ours(), &once);
        prop_assert!(matches!(twice, Cow::Borrowed(_)), "{} became {}", once, twice);
    }

    #[test]
    fn a_mistyped_key_loses_its_secret_all_the_same(
        seed: u64,
        at in 9usize..75,
        slip in prop_oneof!["[0-9A-Za-z_]?", "[^\\s]", "[0-9A-Za-z]{2}"],
        end in prop_oneof![Just(""), Just(" "), Just("\n"), Just("\", "), Just("&a=b")],
    ) {
        let key = token(&mut SplitMix(seed), "ak_live");
        let secret = &key[26..];
        let text = format!("key={}{slip}{}{end}", &key[..at], &key[at + 1..]);
        let redacted = redact(&ours(), &text);
        // The id is shown, and it and the word in its place may hold four of the secret's
        // characters by chance.
        let head = 4 + if at < 26 { 25 + slip.len() } else { 26 };
        let same = text.bytes().take(head).zip(redacted.bytes()).take_while(|(a, b)| a == b);
        let rest = String::from_utf8_lossy(&redacted.as_bytes()[same.count()..]).into_owned();
        let rest = rest.replace("[redacted]", " ");
        // Two characters together would be found by chance; four in a row are a piece.
        for piece in secret.as_bytes().windows(4) {
            let piece = std::str::from_utf8(piece).unwrap();
            prop_assert!(!rest.contains(piece), "{} became {}", text, redacted);
        }
        prop_assert!(redacted.starts_with("key=ak_live_1"));
        prop_assert!(redacted.ends_with(end));
    }
}

#[test]
fn every_truncation_is_redacted_and_keeps_prefix_and_id() {
    for prefix in ["ak_live", "live", "pv"] {
        let key = token(&mut SplitMix(6), prefix);
        let head = &key[..key.len() - 49];
        for end in head.len() + 1..=key.len() {
            let text = format!("got {}, é", &key[..end]);
            assert_eq!(redact(&ours(), &text), format!("got {head}[redacted], é"));
        }
        for end in 0..=head.len() {
            assert!(matches!(redact(&ours(), &key[..end]), Cow::Borrowed(_)));
        }
    }
}

#[test]
fn harmless_text_is_borrowed() {
    for text in [
        "",
        "ak_live",
        "ak_live_1",
        "ak_live_100_users and live_1_a",
        "xk_live2_1abcdefghjkmnpqr_zzz",
        "key_1vkr6z0gq5m3x8ye",
        "ak_live_1vkr…",
    ] {
        assert!(matches!(redact(&ours(), text), Cow::Borrowed(_)), "{text}");
    }
    let key = token(&mut SplitMix(7), "ak_live");
    assert!(matches!(redact(&[], &key), Cow::Borrowed(_)));
    assert!(matches!(redact(&prefixes(&["pv"]), &key), Cow::Borrowed(_)));
}

#[test]
fn hostile_text_takes_linear_time() {
    let key = token(&mut SplitMix(8), "ak_live");
    for piece in [
        "ak_live_1",
        "_1",
        "_",
        "1",
        "ak_live_1aaaaaaaaaaaaaaaa_",
        "ak_live_1aaaaaaaaaaaaaaaa_1aaaaaaaaaaaaaaaa_1",
        "é_1",
        &key,
        &key[..60],
    ] {
        let seconds = |bytes: usize| {
            let text = piece.repeat(bytes / piece.len());
            let start = Instant::now();
            let count = scan(&ours(), &text).count();
            let redacted = redact(&ours(), &text);
            assert_eq!(count > 0, piece == key, "{piece}");
            assert!(piece != key || !redacted.contains(&key[26..]));
            start.elapsed().as_secs_f64()
        };
        let (small, large) = (seconds(1 << 16), seconds(1 << 20));
        assert!(large < small * 160.0 + 0.05, "{piece}: {small} {large}");
    }
}
