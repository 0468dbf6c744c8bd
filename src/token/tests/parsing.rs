//! `parse` against a regular expression, on tokens, ruins of tokens, and hostile text.

use allocation_counter::measure;
use proptest::prelude::*;
use regex::Regex;

use super::{SplitMix, known, naive_crc32, parse, token};
use crate::token::parse::Malformed;

/// Prefix, id and secret, by the grammar and a bitwise CRC.
fn model(text: &str) -> Option<(String, String, String)> {
    thread_local! {
        static TOKEN: Regex = Regex::new(
            r"\A(?:secret-token:)?((ak_live|ak_test|live|onv_sk_live|pv)_1([0-9a-hjkmnp-tv-z]{16})_([0-9A-Za-z]{43}))([0-9A-Za-z]{6})\z",
        )
        .unwrap();
    }
    let found = TOKEN.with(|token| token.captures(text))?;
    let mut crc = naive_crc32(found[1].as_bytes()) as usize;
    let mut check = String::new();
    for _ in 0..6 {
        let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        check.insert(0, alphabet.as_bytes()[crc % 62].into());
        crc /= 62;
    }
    let part = |at: usize| found[at].to_owned();
    (check == found[5]).then(|| (part(2), part(3), part(4)))
}

fn ours(text: &str) -> Option<(String, String, String)> {
    let parsed = parse(text, known).ok()?;
    let ascii = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Some((parsed.prefix.to_owned(), ascii(&parsed.id.encode()), ascii(parsed.secret)))
}

fn checked(body: &str) -> String {
    let check = crate::token::checksum(body.as_bytes());
    format!("{body}{}", std::str::from_utf8(&check).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_the_model(
        seed: u64,
        prefix in prop_oneof!["ak_live", "pv", "onv_sk_live", "live", "xk"],
        scheme in prop_oneof![Just(""), Just("secret-token:"), Just("secret-token:secret-token:")],
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof!["[0-9A-Za-z_]", "\\PC", Just(String::new())]), 0..3),
        valid_again: bool,
    ) {
        let mut text: Vec<String> = token(&mut SplitMix(seed), &prefix).chars().map(String::from).collect();
        if valid_again {
            text.truncate(text.len() - 6);
        }
        for (at, new) in edits {
            let at = at.index(text.len());
            text[at] = new;
        }
        let mut text = text.concat();
        if valid_again {
            text = checked(&text);
        }
        let text = format!("{scheme}{text}");
        prop_assert_eq!(ours(&text), model(&text), "{}", text);
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,120}") {
        prop_assert_eq!(ours(&text), model(&text));
    }
}

#[test]
fn what_was_assembled_is_parsed() {
    let mut rng = SplitMix(1);
    for prefix in ["ak_live", "ak_test", "live", "onv_sk_live", "pv"] {
        for _ in 0..200 {
            let token = token(&mut rng, prefix);
            assert_eq!(token.len(), prefix.len() + 68);
            assert_eq!(ours(&token), model(&token));
            assert!(ours(&token).is_some(), "{token}");
            assert_eq!(ours(&format!("secret-token:{token}")), ours(&token));
        }
    }
}

fn refusal(text: &str) -> Malformed {
    let mut refused = None;
    let allocations = measure(|| refused = parse(text, known).err()).count_total;
    assert_eq!(allocations, 0);
    refused.unwrap()
}

#[test]
fn the_cheapest_broken_rule_is_named_and_nothing_allocated() {
    let good = token(&mut SplitMix(2), "ak_live");
    let with = |at: usize, byte: &str| {
        let mut text = good.clone();
        text.replace_range(at..=at, byte);
        text
    };
    assert_eq!(refusal(&good[1..]), Malformed::UnknownPrefix);
    assert_eq!(refusal(&good[..69]), Malformed::Length);
    assert_eq!(refusal(&with(7, "-")), Malformed::Separator);
    assert_eq!(refusal(&with(8, "2")), Malformed::Separator);
    assert_eq!(refusal(&with(25, "a")), Malformed::Separator);
    assert_eq!(refusal(&with(4, "L")), Malformed::UnknownPrefix);
    assert_eq!(refusal(&with(9, "u")), Malformed::Id);
    assert_eq!(refusal(&with(26, "-")), Malformed::Character);
    assert_eq!(refusal(&with(74, "_")), Malformed::Character);
    let wrong = if good.ends_with('0') { "1" } else { "0" };
    assert_eq!(refusal(&with(74, wrong)), Malformed::Checksum);
    let allocations = measure(|| assert!(parse(&good, known).is_ok())).count_total;
    assert_eq!(allocations, 0);
}

#[test]
fn hostile_texts_are_refused_without_allocating() {
    let good = token(&mut SplitMix(3), "pv");
    assert_eq!(good.len(), 70);
    for text in ["", "_", "1", "secret-token:", "\0", "é"] {
        assert_eq!(refusal(text), Malformed::Length);
    }
    for text in [good.repeat(15_000), "\0".repeat(1 << 20), "é".repeat(1 << 19)] {
        assert_eq!(refusal(&text), Malformed::Length);
        assert_eq!(refusal(&format!("secret-token:{text}")), Malformed::Length);
    }
    for length in 0..=120 {
        for text in ["a", "_"].map(|text| text.repeat(length)) {
            let is_length = refusal(&text) == Malformed::Length;
            assert_eq!(is_length, !(70..=100).contains(&length), "{text}");
        }
        refusal(&"_1".repeat(length));
    }
}

#[test]
fn foreign_characters_at_every_position_are_refused() {
    let good = token(&mut SplitMix(4), "ak_live");
    for at in 0..=good.len() {
        for foreign in ["\0", "\n", " ", "é", "€", "𝟙", "\u{200b}", "\u{7f}", "ａ"] {
            refusal(&format!("{}{foreign}{}", &good[..at], &good[at..]));
            if at + foreign.len() <= good.len() {
                refusal(&format!("{}{foreign}{}", &good[..at], &good[at + foreign.len()..]));
            }
        }
    }
}

#[test]
fn an_underscore_in_the_prefix_is_no_separator() {
    let mut rng = SplitMix(5);
    let any = |prefix: &[u8]| String::from_utf8(prefix.to_vec()).ok();
    for prefix in ["a1", "ak_1_live", "ak_1", "a_b_c_d_e_f_g_h_i_j_k_l_m_n_o_pq", "x_1_1_1_1"] {
        let token = token(&mut rng, prefix);
        assert_eq!(parse(&token, any).unwrap().prefix, prefix);
    }
}
