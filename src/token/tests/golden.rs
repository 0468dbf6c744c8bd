//! Tokens that were issued once must be read for ever: `tests/golden/tokens.json`.

use serde::{Deserialize, Serialize};

use super::parse;
use crate::token::{KeyId, Prefix, display_hint, slot_of};

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Golden {
    token: String,
    prefix: Prefix,
    id: KeyId,
    id_bytes: [u8; 10],
    hint: String,
    slot: usize,
}

fn read(token: &str) -> Golden {
    let parsed = parse(token, |prefix| Prefix::new(str::from_utf8(prefix).ok()?).ok()).unwrap();
    Golden {
        token: token.to_owned(),
        prefix: parsed.prefix,
        id: parsed.id,
        id_bytes: *parsed.id.as_bytes(),
        hint: display_hint(parsed.prefix.as_str(), parsed.id),
        slot: slot_of(parsed.secret),
    }
}

#[test]
fn committed_tokens_are_read_as_ever() {
    let text = include_str!("../../../tests/golden/tokens.json");
    let golden: Vec<Golden> = serde_json::from_str(text).unwrap();
    assert!(golden.len() >= 6);
    for golden in golden {
        assert_eq!(read(&golden.token), golden);
    }
}
