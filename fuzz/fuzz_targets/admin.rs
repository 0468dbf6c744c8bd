//! Requests to the admin API, one after the other, to a service of three keys.
//!
//! Requests are parted by lines of `---`. Each is a line with method and target, lines with
//! headers, an empty line, and the body. `$A`, `$N` and `$V` stand for the tokens of an
//! administrator, of a narrow key of the same owner and of another owner's key, `$T` for
//! the token issued last; `$a`, `$n`, `$v` and `$t` for their ids.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use keyward::admin::{self, Authorizer, Credentials, KeyAuthorizer, Unauthorized};
use keyward::{Actor, Environment, FakeClock, KeyScheme, KeyService, MemoryStore, NewKey, Roles};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use serde_json::Value;
use tower::ServiceExt;

const MOST_REQUESTS: usize = 6;
const BASE: &str = "/admin/api-keys";
/// Characters of a token that must not be seen: its secret and its checksum.
const TAIL: usize = 49;
/// So many of them in a row would be found by chance once in 62^8.
const WINDOW: usize = 8;

static SCHEME: LazyLock<KeyScheme> = LazyLock::new(keyward_fuzz::scheme);

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    let mut requests = vec![Vec::new()];
    for line in data.split(|byte| *byte == b'\n') {
        match (line, requests.last_mut()) {
            (b"---", _) => requests.push(Vec::new()),
            (_, Some(lines)) => lines.push(line),
            (_, None) => {}
        }
    }
    for lines in requests.into_iter().take(MOST_REQUESTS) {
        world.send(&lines);
    }
});

struct World {
    router: Router,
    /// The letter of a key, its id, its token.
    keys: Vec<(u8, String, String)>,
    /// What no answer may have.
    windows: HashSet<[u8; WINDOW]>,
    /// Whether a key stood where it isn't a credential, and may have been stored.
    has_pasted: bool,
}

/// A request, and what of it is known to be secret.
struct Sent {
    request: Request<Body>,
    /// Whether a valid credential stands in a header.
    has_credential: bool,
    /// Whether a key stands where it isn't a credential.
    is_pasted: bool,
}

impl World {
    fn new() -> Self {
        let clock = FakeClock::at("2024-01-15T10:00:00Z".parse().unwrap());
        let roles = Roles::none().role("viewer", ["read:assets"]).unwrap();
        let keys = KeyService::builder(SCHEME.clone(), MemoryStore::new()).clock(clock);
        let keys = keys.roles(roles).build();
        let authorizer = Either(KeyAuthorizer::new(keys.clone(), Environment::PRODUCTION));
        let router = admin::router(keys.clone(), authorizer);
        let mut world =
            Self { router, keys: Vec::new(), windows: HashSet::new(), has_pasted: false };
        let all: &[&str] = &["api.key.*", "read:*", "write:*"];
        for (letter, owner, permissions) in [
            (b'a', "org_1", all),
            (b'n', "org_1", &["api.key.read", "read:assets"]),
            (b'v', "org_2", all),
        ] {
            let new = NewKey::named("given").owner(owner).permissions(permissions.iter().copied());
            let issued = block_on(keys.issue(&Actor::system("fuzz"), new)).unwrap();
            let id = issued.id().to_string();
            world.learn(letter, &id, issued.into_key().expose_secret());
        }
        world
    }

    fn learn(&mut self, letter: u8, id: &str, token: &str) {
        let tail = &token.as_bytes()[token.len() - TAIL..];
        self.windows.extend(tail.windows(WINDOW).map(|it| <[u8; WINDOW]>::try_from(it).unwrap()));
        self.keys.retain(|(known, ..)| *known != letter);
        self.keys.push((letter, id.to_owned(), token.to_owned()));
    }

    /// `text` with the keys in it, and whether a token is among them.
    fn expanded(&self, text: &[u8]) -> (Vec<u8>, bool) {
        let (mut bytes, mut has_token) = (Vec::new(), false);
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let letter = after.first().copied().unwrap_or_default();
            let named = |(known, ..): &&(u8, String, String)| letter.eq_ignore_ascii_case(known);
            match self.keys.iter().find(named) {
                Some((_, id, token)) if byte == b'$' => {
                    has_token |= letter.is_ascii_uppercase();
                    let text = if letter.is_ascii_uppercase() { token } else { id };
                    bytes.extend(text.bytes());
                    rest = &after[1..];
                }
                _ => bytes.push(byte),
            }
        }
        (bytes, has_token)
    }

    fn request(&self, lines: &[&[u8]]) -> Option<Sent> {
        let mut lines = lines.iter();
        let first = lines.next()?;
        let space = first.iter().position(|byte| *byte == b' ')?;
        let (target, mut is_pasted) = self.expanded(&first[space + 1..]);
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
        *request.uri_mut() = Uri::try_from(target).ok()?;
        let mut has_credential = false;
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (value, has_token) = self.expanded(line[colon + 1..].trim_ascii());
            let name = HeaderName::from_bytes(&line[..colon]);
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) else { continue };
            has_credential |= value == SESSION || (has_token && is_credential(&name));
            request.headers_mut().append(name, value);
        }
        let body: Vec<&[u8]> = lines.copied().collect();
        let (body, has_token) = self.expanded(&body.join(&b'\n'));
        is_pasted |= has_token;
        *request.body_mut() = Body::from(body);
        Some(Sent { request, has_credential, is_pasted })
    }

    fn send(&mut self, lines: &[&[u8]]) {
        let Some(Sent { request, has_credential, is_pasted }) = self.request(lines) else {
            return;
        };
        self.has_pasted |= is_pasted;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = block_on(self.router.clone().oneshot(request)).unwrap();
        let (parts, body) = response.into_parts();
        let body = whole(body);
        let status = parts.status.as_u16();
        let shown = || format!("{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        if path != BASE && !path.starts_with("/admin/api-keys/") {
            assert_eq!((status, body.len()), (404, 0), "{}", shown());
            return;
        }
        assert!((200..500).contains(&status), "{}", shown());
        assert!(has_credential || status >= 400, "{}", shown());
        for (name, value) in [("content-type", "application/json"), ("cache-control", "no-store")] {
            assert_eq!(parts.headers[name], value, "{}", shown());
        }
        for value in parts.headers.values() {
            assert!(value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~')));
            assert!(!self.is_seen(value.as_bytes()), "{value:?}");
        }
        let mut json: Value = serde_json::from_slice(&body).unwrap_or_else(|_| {
            assert!(method == Method::HEAD && body.is_empty(), "{}", shown());
            Value::Null
        });
        if status >= 400 {
            assert!(is_error(&json) || method == Method::HEAD, "{}", shown());
        }
        let secret = json.as_object_mut().and_then(|json| json.remove("api_key"));
        let may_issue = method == Method::POST
            && (path == BASE || path.ends_with("/rotate") || path.ends_with("/regenerate"));
        assert_eq!(secret.is_some(), status < 400 && may_issue, "{}", shown());
        // A name that is somebody's key is shown as it was given; an error repeats nothing.
        if !self.has_pasted || (status >= 400 && json["error"]["code"] != "ALREADY_ISSUED") {
            assert!(!self.is_seen(json.to_string().as_bytes()), "{}", shown());
        }
        if let Some(token) = secret {
            let token = token.as_str().unwrap();
            assert!(SCHEME.begin(token).is_ok(), "{token}");
            self.learn(b't', json["id"].as_str().unwrap(), token);
            assert!(self.has_pasted || !self.is_seen(json.to_string().as_bytes()), "{json}");
        }
    }

    fn is_seen(&self, text: &[u8]) -> bool {
        text.windows(WINDOW).any(|window| self.windows.contains(window))
    }
}

fn is_credential(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "x-api-key")
}

/// `{"error":{"code","message"}}`, perhaps with details.
fn is_error(json: &Value) -> bool {
    let names = |json: &Value| -> Vec<String> {
        json.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let error = &json["error"];
    let code = error["code"].as_str().unwrap_or_default();
    names(json) == ["error"]
        && names(error).iter().all(|name| ["code", "details", "message"].contains(&&**name))
        && !code.is_empty()
        && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        && error["message"].as_str().is_some_and(|message| !message.is_empty())
        && (error["details"].is_object() || error["details"].is_null())
}

fn whole(mut body: Body) -> Bytes {
    let mut bytes = Vec::new();
    let frame = |body: &mut Body| {
        block_on(std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context)))
    };
    while let Some(frame) = frame(&mut body) {
        bytes.extend(frame.unwrap().into_data().unwrap_or_default());
    }
    bytes.into()
}

/// The cookie of somebody who is signed in to the host itself.
const SESSION: &str = "session=4711";

/// Keys, and people with a session.
struct Either(KeyAuthorizer);

fn has_session(parts: &Parts) -> bool {
    parts.headers.get("cookie").is_some_and(|cookie| cookie == SESSION)
}

impl Authorizer for Either {
    async fn authorize(&self, parts: &Parts) -> Result<Actor, Unauthorized> {
        if has_session(parts) {
            return Ok(Actor::system("alice").for_owner("org_1"));
        }
        self.0.authorize(parts).await
    }

    fn credentials(&self, parts: &Parts) -> Credentials {
        if has_session(parts) { Credentials::Ambient } else { self.0.credentials(parts) }
    }
}
