//! Tokens, prefixes and ids against the grammar; scan and redaction of any text.
//!
//! The input is read as a text. It also chooses places in a token where another character is
//! put, and then the checksum is made to fit: mutations seldom do either.
#![no_main]

use std::borrow::Cow;
use std::sync::LazyLock;

use keyward::{Environment, ImportDigest, ImportFamily, KeyId, KeyScheme, Prefix};
use keyward_fuzz::token::{Token, check, id_bytes, is_key_id, is_prefix};
use keyward_fuzz::{PREFIXES, peppers, scheme, text};
use libfuzzer_sys::fuzz_target;

static SCHEME: LazyLock<KeyScheme> = LazyLock::new(scheme);
static IMPORTING: LazyLock<KeyScheme> = LazyLock::new(|| {
    let family = ImportFamily::new("legacy", "lk_", ImportDigest::Sha256, 128).unwrap();
    SCHEME.importing(family.lengths(20..=40).unwrap()).unwrap()
});

fuzz_target!(|data: &[u8]| {
    let given = text(data);
    every_reader(given);
    // The same with the checksum that belongs to it, which no mutation would find.
    if let Some((body, _)) = given.split_at_checked(given.len().saturating_sub(6)) {
        let body = body.strip_prefix("secret-token:").unwrap_or(body);
        every_reader(&format!("{body}{}", check(body)));
    }
    let mut seed = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for _ in 0..16 {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let [place, other, ..] = seed.to_be_bytes();
        let at = usize::from(place) % BODY.len();
        let mut body = BODY.to_owned();
        body.replace_range(at..=at, char::from(other & 0x7f).encode_utf8(&mut [0]));
        begin(&format!("{body}{}", check(&body)));
    }
});

/// A token without its checksum.
const BODY: &str = "ak_live_1g5193p9gg3wv8efw_FeOgd23eOp1ARVjVEeNJPXGyijpXUwIL8tuPmXyNciz";

fn every_reader(given: &str) {
    begin(given);
    prefix_and_id(given);
    leaks(given);
}

fn begin(given: &str) {
    let bare = given.strip_prefix("secret-token:").unwrap_or(given);
    let token = Token::parse(bare, &PREFIXES);
    let begun = SCHEME.begin(given);
    assert_eq!(begun.is_ok(), token.is_some(), "{given:?}");
    let imported = (20..=40).contains(&given.len())
        && given.starts_with("lk_")
        && given.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    let importing = IMPORTING.begin(given);
    assert_eq!(importing.is_ok(), token.is_some() || imported, "{given:?}");
    let (Ok(begun), Some(token)) = (begun, token) else { return };
    assert_eq!(token.print(), bare);
    assert_eq!(begun.key_id().to_string(), format!("key_{}", token.id));
    assert_eq!(begun.key_id().as_bytes()[..], id_bytes(&token.id));
    assert_eq!(importing.unwrap().key_id(), begun.key_id());
}

fn prefix_and_id(given: &str) {
    let prefix = Prefix::new(given);
    assert_eq!(prefix.is_ok(), is_prefix(given), "{given:?}");
    if let Ok(prefix) = prefix {
        assert_eq!(prefix.as_str(), given);
        assert!(KeyScheme::new(peppers(), [(given, Environment::SANDBOX)]).is_ok());
    }
    let id = given.parse::<KeyId>();
    assert_eq!(id.is_ok(), is_key_id(given), "{given:?}");
    if let Ok(id) = id {
        assert_eq!(id.to_string(), given);
        assert_eq!(id.as_bytes()[..], id_bytes(&given[4..]));
    }
}

fn leaks(given: &str) {
    let found = SCHEME.scan(given);
    // What stands at each place, by each prefix.
    let mut expected = Vec::new();
    for (end, _) in given.char_indices().chain([(given.len(), ' ')]) {
        let shaped = PREFIXES.iter().filter_map(|prefix| {
            let start = end.checked_sub(prefix.len() + 68)?;
            Some((start, Token::shaped(given.get(start..end)?, &[prefix])?))
        });
        expected.extend(shaped.max_by_key(|(start, token)| (token.is_whole(), end - start)));
    }
    assert_eq!(found.len(), expected.len(), "{given:?}");
    for (found, (start, token)) in found.iter().zip(&expected) {
        assert_eq!(found.range, *start..start + token.print().len());
        assert_eq!(found.key_id.to_string(), format!("key_{}", token.id));
        assert_eq!(found.prefix.as_str(), token.prefix);
        assert_eq!(found.checksum_valid, token.is_whole());
    }
    let redacted = SCHEME.redact(given);
    assert_eq!(matches!(redacted, Cow::Borrowed(_)), *redacted == *given);
    assert!(SCHEME.scan(&redacted).is_empty(), "{given:?} became {redacted:?}");
    assert!(matches!(SCHEME.redact(&redacted), Cow::Borrowed(_)), "{given:?} became {redacted:?}");
    // What is hidden is cut out, and nothing else is touched.
    let mut rest = given;
    for kept in redacted.split("[redacted]") {
        let at = rest.find(kept).unwrap_or_else(|| panic!("{given:?} became {redacted:?}"));
        rest = &rest[at + kept.len()..];
    }
}
