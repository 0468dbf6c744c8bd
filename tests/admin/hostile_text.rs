//! Hostile text through names, metadata, owners and everything else that people write: it is
//! stored exactly, or refused with the field named, and never gets into a header.
//!
//! 400 keys by default; `KEYWARD_TEST_SCALE` multiplies them.

use keyward::Actor;
use keyward::admin::{Authorizer, Credentials, Unauthorized};
use serde_json::{Value, json};

use crate::world::{World, path};

/// The host itself, for every owner.
struct Root;

impl Authorizer for Root {
    async fn authorize(&self, _: &axum::http::request::Parts) -> Result<Actor, Unauthorized> {
        Ok(Actor::system("root").for_owner("org_1").for_all_owners())
    }

    fn credentials(&self, _: &axum::http::request::Parts) -> Credentials {
        Credentials::Explicit
    }
}

const PIECES: [&str; 40] = [
    "\0",
    "\r\n",
    "\n",
    "\t",
    "\r\nSet-Cookie: a=b",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{200e}",
    "\u{202e}",
    "\u{2066}",
    "\u{2069}",
    "\u{2028}",
    "\u{feff}",
    "\u{200b}",
    "\u{ad}",
    "é",
    "e\u{301}",
    "日本",
    "😀",
    "👩‍👩‍👧",
    "\u{10ffff}",
    "'; DROP TABLE keyward_keys; --",
    "\" OR \"1\"=\"1",
    "%00",
    "%0d%0a",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "${jndi:ldap://a}",
    "../../etc/passwd",
    "\\",
    "\"",
    "'",
    "`",
    " ",
    "a",
    "Z9",
    "key_",
    "ak_live_",
    "-",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % bound as u64).unwrap()
    }

    fn text(&mut self) -> String {
        let pieces = match self.below(20) {
            0 => 0,
            1 => 200,
            _ => 1 + self.below(4),
        };
        (0..pieces).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}

#[test]
fn text_is_stored_exactly_or_refused() {
    let scale = std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    let world = World::authorized(|_| Root);
    let client = world.anyone();
    let mut random = Random(28);
    let (mut stored, mut refused) = (0, 0);
    for _ in 0..400 * scale.unwrap_or(1usize) {
        let texts: Vec<String> = (0..6).map(|_| random.text()).collect();
        let mut body = json!({ "name": "plain", "owner": "org_1" });
        match random.below(6) {
            0 => body["name"] = json!(texts[0]),
            1 => body["owner"] = json!(texts[0]),
            2 => body["metadata"] = json!({ texts[0].clone(): texts[1] }),
            3 => body["metadata"] = json!({ "note": texts[0] }),
            4 => body["resources"] = json!({ "customer": [texts[0]] }),
            _ => {
                for (field, text) in ["name", "owner", "role", "environment"].iter().zip(&texts) {
                    body[*field] = json!(text);
                }
            }
        }
        let reply = client.json("POST", "/admin/api-keys", &body);
        if reply.status == 201 {
            stored += 1;
            let key = reply.json();
            assert_eq!(reply.header("location"), Some(path(&key).as_str()));
            let got = client.get(&path(&key)).expect(200).json();
            for field in ["name", "owner", "metadata", "resources"] {
                let sent = body.get(field).cloned().unwrap_or(json!({}));
                assert_eq!(got[field], sent, "{body}");
            }
            for text in texts.iter().filter(|text| !text.is_empty()) {
                let listed = client.get(&format!("/admin/api-keys?search={}", encoded(text)));
                assert!(matches!(listed.status, 200 | 422));
            }
        } else {
            refused += 1;
            assert_eq!((reply.status, reply.code().as_str()), (422, "VALIDATION_FAILED"), "{body}");
            let fields = reply.json()["error"]["details"]["fields"].clone();
            for field in fields.as_array().unwrap() {
                let name = field["field"].as_str().unwrap();
                let known = ["name", "owner", "metadata", "resources", "role", "environment"];
                assert!(known.iter().any(|known| name.starts_with(known)), "{name}");
                check_shown(&reply.json());
            }
        }
        for text in &texts {
            let odd = client.get(&format!("/admin/api-keys/{}", encoded(text)));
            assert!(matches!(odd.status, 200 | 404), "{text:?}: {}", odd.status);
        }
    }
    assert!(stored > 50 && refused > 50, "{stored} stored, {refused} refused");
}

/// What errors repeat is escaped: no character of it ends a line or turns the text around.
fn check_shown(value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(check_shown),
        Value::Object(fields) => fields.values().for_each(check_shown),
        Value::String(text) => {
            let hostile =
                |c: char| c.is_control() || "\u{202e}\u{2066}\u{200e}\u{feff}".contains(c);
            assert!(!text.contains(hostile), "{text:?}");
        }
        _ => {}
    }
}

fn encoded(text: &str) -> String {
    let escapes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    escapes.concat()
}

/// Names of owners and actors never get into a header, and cursors are refused unless they
/// are ours.
#[test]
fn parameters_are_text_too() {
    let world = World::authorized(|_| Root);
    let client = world.anyone();
    for piece in PIECES {
        for parameter in
            ["owner", "created_by", "search", "cursor", "environment", "status", "limit"]
        {
            let reply = client.get(&format!("/admin/api-keys?{parameter}={}", encoded(piece)));
            assert!(matches!(reply.status, 200 | 422), "{parameter} {piece:?}: {}", reply.status);
            check_shown(&reply.json());
        }
        client.get(&format!("/admin/api-keys?{}=1", encoded(piece))).expect(422);
    }
}
