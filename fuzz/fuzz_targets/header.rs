//! Which key a request presents, and what is answered, against the rules of `Gate`.
//!
//! The first line names the places to look at, in their order (none: the default); `b` is
//! `Authorization: Bearer`, `x` and `c` are headers, `q` the query. Every other line is a
//! value: its first byte says of which place, `h` is some other header. `$1` to `$5` stand
//! for keys.
#![no_main]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use keyward::{
    AccessRequest, Actor, Answer, Environment, Gate, ImportDigest, ImportFamily, KeyService,
    KeySource, MemoryStore, NewKey, Reason, RequestHead,
};
use keyward_fuzz::{PREFIXES, scheme, text};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

struct World {
    keys: KeyService,
    /// Two that are valid, a revoked one, a mistyped one, one of an imported family's shape.
    tokens: [String; 5],
    /// What is answered without a key, with two, and with a wrong one.
    missing: Answer,
    ambiguous: Answer,
    invalid: Answer,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let family = ImportFamily::new("legacy", "lk_", ImportDigest::Sha256, 128).unwrap();
    let scheme = scheme().importing(family).unwrap();
    let keys = KeyService::new(scheme, MemoryStore::new());
    let actor = Actor::system("fuzz");
    let issue = |name: &str| {
        let new = NewKey::named(name).owner("org_1").permissions(["read:assets"]);
        let issued = block_on(keys.issue(&actor, new)).unwrap();
        (issued.id(), issued.into_key().expose_secret().to_owned())
    };
    let ((_, one), (_, two), (id, revoked)) = (issue("one"), issue("two"), issue("three"));
    block_on(keys.revoke(&actor, id, Reason::Other)).unwrap();
    let mistyped = one.replace("ak_live_1", "ak_live_2");
    let imported = "lk_golden_0123456789abcdef0123456789".to_owned();
    let answer = |headers: &[(&'static str, &str)]| {
        let gate = Gate::new(keys.clone(), Environment::PRODUCTION);
        let own = |(name, value): &(&'static str, &str)| (*name, value.as_bytes().to_vec());
        let head = Head { headers: headers.iter().map(own).collect(), query: None };
        let refusal = block_on(gate.check(&head, READ)).unwrap_err();
        refusal.answer()
    };
    let missing = answer(&[]);
    let ambiguous = answer(&[("x-api-key", &one), ("x-api-key", &one)]);
    let invalid = answer(&[("x-api-key", "theirs")]);
    let tokens = [one, two, revoked, mistyped, imported];
    World { keys, tokens, missing, ambiguous, invalid }
});

const READ: AccessRequest<'_> =
    AccessRequest::new(Environment::PRODUCTION).scope("read:assets").cost(0);

struct Head {
    headers: Vec<(&'static str, Vec<u8>)>,
    query: Option<String>,
}

impl RequestHead for Head {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(it, _)| *it == name).map(|(_, value)| &**value)
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let places = lines.next().unwrap_or_default();
    let places: Vec<u8> = places.iter().copied().filter(|it| b"bxcq".contains(it)).collect();
    let mut head = Head { headers: Vec::new(), query: None };
    for line in lines.take(16) {
        let Some((place, value)) = line.split_first() else { continue };
        let value = expanded(value);
        match place {
            b'q' => head.query = Some(text(&value).to_owned()),
            place => head.headers.extend(header(*place).map(|name| (name, value))),
        }
    }
    check(&places, &head);
});

fn header(place: u8) -> Option<&'static str> {
    match place {
        b'b' => Some("authorization"),
        b'x' => Some("x-api-key"),
        b'c' => Some("x-partner-key"),
        b'h' => Some("x-other"),
        _ => None,
    }
}

fn source(place: u8) -> KeySource {
    match place {
        b'b' => KeySource::bearer(),
        b'q' => KeySource::query("key").unwrap(),
        place => KeySource::header(header(place).unwrap()).unwrap(),
    }
}

/// A value whose `$1` to `$5` are keys.
fn expanded(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if let (b'$', Some((digit @ b'1'..=b'5', after))) = (byte, after.split_first()) {
            bytes.extend(WORLD.tokens[usize::from(digit - b'1')].bytes());
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

/// What a request says of its key.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    /// A bearer token of somebody else's, and nothing more.
    Foreign,
    TwoKeys,
    Key {
        text: String,
        in_query: bool,
    },
}

fn check(places: &[u8], head: &Head) {
    let gate = Gate::new(WORLD.keys.clone(), Environment::PRODUCTION);
    let gate = match places {
        [] => gate,
        _ => gate.sources(places.iter().map(|place| source(*place))),
    };
    let places = if places.is_empty() { b"bx" } else { places };
    let said = said(places, head);
    for place in places {
        let values = values(*place, head);
        let ours = matches!(&*values, [value] if is_ours(&as_text(value)));
        assert_eq!(gate.has_key_at(head, &source(*place)), ours);
    }

    let checked = block_on(gate.check(head, READ));
    let optional = block_on(gate.check_optional(head, READ));
    let unasked = matches!(said, Said::Nothing | Said::Foreign);
    match (&checked, &optional) {
        (_, Ok(None)) => assert!(unasked),
        (Ok(one), Ok(Some(other))) => assert_eq!(one.headers(), other.headers()),
        (Err(one), Err(other)) => assert_eq!(one.answer(), other.answer()),
        _ => panic!("a layer that lets others through differs: {said:?}"),
    }
    assert_eq!(unasked, matches!(optional, Ok(None)), "{said:?}");
    match (checked, said) {
        (Ok(admitted), Said::Key { text, in_query }) => {
            let alone = block_on(WORLD.keys.verify(&text, &READ)).unwrap();
            assert_eq!(admitted.verified().key_id(), alone.key_id());
            let marked = admitted.headers().iter().any(|(name, _)| *name == "cache-control");
            assert_eq!(marked, in_query);
        }
        (Ok(_), said) => panic!("let through: {said:?}"),
        (Err(refusal), said) => {
            let answer = refusal.answer();
            let expected = match said {
                Said::Nothing => &WORLD.missing,
                Said::TwoKeys => &WORLD.ambiguous,
                Said::Foreign => &WORLD.invalid,
                Said::Key { text, .. } => {
                    let alone = block_on(WORLD.keys.verify(&text, &READ)).unwrap_err();
                    assert_eq!(alone.code(), "INVALID_API_KEY", "{text:?}");
                    &WORLD.invalid
                }
            };
            assert_eq!(answer, *expected);
        }
    }
}

fn said(places: &[u8], head: &Head) -> Said {
    let mut ours = BTreeSet::new();
    let (mut in_query, mut foreign, mut wrong) = (false, false, None);
    for place in places {
        match &*values(*place, head) {
            [] => {}
            [value] => {
                let key = as_text(value);
                if is_ours(&key) {
                    ours.insert(key);
                    in_query |= *place == b'q';
                } else if *place == b'b' {
                    foreign = true;
                } else {
                    wrong = Some(key);
                }
            }
            _ => return Said::TwoKeys,
        }
    }
    match (ours.len(), wrong) {
        (0, Some(text)) => Said::Key { text, in_query: false },
        (0, None) if foreign => Said::Foreign,
        (0, None) => Said::Nothing,
        (1, _) => Said::Key { text: ours.pop_first().unwrap(), in_query },
        _ => Said::TwoKeys,
    }
}

/// What stands at a place: no more than one value unless it comes twice.
fn values(place: u8, head: &Head) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = match place {
        b'q' => {
            let pairs = head.query.as_deref().unwrap_or_default().split('&');
            pairs.filter_map(|pair| pair.strip_prefix("key=")).map(Into::into).collect()
        }
        place => {
            let named = head.headers.iter().filter(|(name, _)| Some(*name) == header(place));
            named.map(|(_, value)| value.clone()).collect()
        }
    };
    if let [value] = values.as_mut_slice() {
        *value = value.trim_ascii().to_vec();
        if place == b'b' {
            let (word, rest) = value.split_at(value.len().min(6));
            let is_bearer = word.eq_ignore_ascii_case(b"bearer")
                && rest.first().is_none_or(|next| matches!(next, b' ' | b'\t'));
            *value = if is_bearer { rest.trim_ascii().to_vec() } else { Vec::new() };
        }
        if value.is_empty() {
            values.clear();
        }
    }
    values
}

/// A value as text; what is none, or too long for a key, is as good as empty.
fn as_text(value: &[u8]) -> String {
    let text = if value.len() <= 1024 { String::from_utf8(value.to_vec()).ok() } else { None };
    text.unwrap_or_default()
}

/// Whether a text is meant to be a key of ours, by how it begins or by its family's shape.
fn is_ours(key: &str) -> bool {
    let bare = key.strip_prefix("secret-token:").unwrap_or(key);
    let begins = |prefix: &&str| bare.starts_with(&format!("{prefix}_"));
    let imported = key.starts_with("lk_")
        && (16..=512).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic());
    PREFIXES.iter().any(begins) || imported
}
