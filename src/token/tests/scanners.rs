//! Public scanner rules must not capture the secret of a key with a vendor-like prefix.

use regex::Regex;

use super::{SplitMix, scale, token};
use crate::token::KeyId;

/// Rules for other vendors' keys as public scanners publish them, without a left
/// boundary or with a weak one. Those that demand a literal no prefix can hold
/// (`AKIA`, `xoxb-`, …) can meet our keys only by chance and are left out: the whole list of
/// gitleaks 8 as of 2026-07-22, 221 rules, was run over 4,000 keys of seven such prefixes, and
/// over every ending of an id. It captured secrets behind `ghp`, `ghr` and `ghs`, which ids
/// avoid since.
const RULES: [(&str, &str); 13] = [
    ("github, personal", r"ghp_[0-9a-zA-Z]{36}"),
    ("github, app", r"(?:ghu|ghs)_[0-9a-zA-Z]{36}"),
    ("github, refresh", r"ghr_[0-9a-zA-Z]{36}"),
    ("stripe, detect-secrets", r"(?:r|s)k_live_[0-9a-zA-Z]{24}"),
    ("stripe, trufflehog", r"[rs]k_live_[a-zA-Z0-9]{20,247}"),
    ("stripe, open-ended", r"sk_live_[0-9a-zA-Z]{24,}"),
    ("stripe restricted, trufflehog regexes", r"rk_live_[0-9a-zA-Z]{24}"),
    ("stripe, gitleaks 7", r"(?i)(?:sk|pk)_(?:test|live)_[0-9a-z]{10,32}"),
    ("stripe, gitleaks 8", r"\b((?:sk|rk)_(?:test|live|prod)_[a-zA-Z0-9]{10,99})\b"),
    ("picatic", r"sk_live_[0-9a-z]{32}"),
    ("openai, old", r"sk-[a-zA-Z0-9]{48}"),
    ("flutterwave", r"(?i)FLWSECK_TEST-[a-h0-9]{12}"),
    ("base64 of 40, bounded", r"(?:^|[^A-Za-z0-9/+=_])[A-Za-z0-9/+=]{40}(?:$|[^A-Za-z0-9/+=_])"),
];

#[test]
fn no_rule_captures_a_character_of_the_secret() {
    let rules = RULES.map(|(name, rule)| (name, Regex::new(rule).unwrap()));
    let mut rng = SplitMix(18);
    for at in 0..10_000 * scale() {
        let prefix = ["onv_sk_live", "onv_rk_live", "sk_live", "sk_test", "pk_live"][at % 5];
        let token = token(&mut rng, prefix);
        let secret = token.len() - 49;
        for (name, rule) in &rules {
            let text = format!("Authorization: Bearer {token}\n");
            let offset = text.find(&token).unwrap();
            for found in rule.find_iter(&text) {
                assert!(found.end() <= offset + secret, "{name} in {token}");
            }
        }
    }
}

#[test]
fn the_same_rules_do_capture_a_secret_that_comes_first() {
    let token = token(&mut SplitMix(19), "onv_sk_live");
    let random_first = format!("onv_sk_live_{}", &token[token.len() - 49..]);
    let capturing =
        RULES.iter().filter(|(_, rule)| Regex::new(rule).unwrap().is_match(&random_first)).count();
    assert!(capturing >= 4, "{capturing}");
}

#[test]
fn an_id_that_ends_like_a_github_prefix_would_give_the_secret_away() {
    let mut rng = SplitMix(20);
    let id = |tail: &str| format!("key_7d0q5x2j9kz3w{tail}").parse::<KeyId>().unwrap();
    for tail in ["ghp", "ghr", "ghs"] {
        assert!(id(tail).invites_a_scanner());
        let secret = token(&mut rng, "ak_live").split_off(26);
        let text = format!("ak_live_17d0q5x2j9kz3w{tail}_{secret}");
        let captured = |(_, rule): &(&str, &str)| Regex::new(rule).unwrap().is_match(&text);
        assert!(RULES.iter().any(captured), "{tail}");
    }
    assert!(!id("ghq").invites_a_scanner() && !id("hgp").invites_a_scanner());
}
