//! The keys that are verified, and the requests they are verified for.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keyward::{
    AccessRequest, Actor, ClientIp, Clock, Environment, KeyScheme, KeyService, MemoryStore, NewKey,
    PepperRing, RateLimit, SystemClock,
};
use rand_core::{TryCryptoRng, TryRng};

pub(crate) const PREFIX: &str = "ak_live";

/// The length of a token with [`PREFIX`].
pub(crate) const TOKEN_LEN: usize = 75;

const SCOPES: [&str; 2] = ["read:assets", "write:schedules"];

/// A service on an empty `MemoryStore`, with the system's clock.
pub(crate) fn service(seed: u64) -> KeyService {
    service_with(seed, SystemClock::new())
}

/// The same with a clock of the host's.
pub(crate) fn service_with(seed: u64, clock: impl Clock) -> KeyService {
    let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
    let scheme = KeyScheme::new(peppers, [(PREFIX, Environment::PRODUCTION)]).unwrap();
    KeyService::builder(scheme, MemoryStore::new()).entropy(Seeded(seed)).clock(clock).build()
}

/// A key with everything that a whole verify looks at.
pub(crate) fn key(number: usize) -> NewKey {
    NewKey::named(format!("Backend {number}"))
        .owner(format!("org_{}", number / 10))
        .permissions(SCOPES)
        .ip_allowlist(["10.0.0.0/8"])
        .expires_at("9000-01-01T00:00:00Z".parse().unwrap())
        .rate_limit(RateLimit::per_second(1_000_000_000).unwrap())
}

/// What a whole verify is asked.
pub(crate) fn request() -> AccessRequest<'static> {
    AccessRequest::new(Environment::PRODUCTION)
        .all_of(&SCOPES)
        .from(ClientIp::Peer([10, 1, 2, 3].into()))
}

/// Issues a key and gives its token.
pub(crate) fn issue(keys: &KeyService, new: NewKey) -> String {
    let actor = Actor::system("bench");
    let issued = pollster::block_on(keys.issue(&actor, new)).unwrap();
    issued.into_key().expose_secret().to_owned()
}

/// Whether a key is allowed. The future is polled in the caller, as an `await` is, and the
/// answer is looked at where it was made.
#[expect(clippy::inline_always, reason = "an await becomes a part of the future it stands in")]
#[inline(always)]
pub(crate) fn verify(keys: &KeyService, token: &str, request: &AccessRequest<'_>) -> bool {
    let mut future = pin!(keys.verify(token, request));
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ref answer) => black_box(answer).is_ok(),
        Poll::Pending => panic!("a MemoryStore never waits"),
    }
}

/// A refusal: its name, the token to present, and the request to present it with.
pub(crate) struct Refusal {
    pub(crate) name: &'static str,
    pub(crate) token: String,
    pub(crate) request: AccessRequest<'static>,
}

/// One refusal of every kind; `keys` gets the keys that are refused.
pub(crate) fn refusals(keys: &KeyService) -> Vec<Refusal> {
    let request = request();
    let token = issue(keys, key(0));
    let replaced = |at: usize, with: &str| {
        let mut token = token.clone();
        token.replace_range(at..at + with.len(), with);
        token
    };
    let id_at = PREFIX.len() + 2;
    let other = |at: usize| if token.as_bytes()[at] == b'a' { "b" } else { "a" };
    let unknown = issue(&service(0xdead), key(0));
    let soon = keys.now().saturating_add(Duration::from_millis(50));
    let expired = issue(keys, key(0).expires_at(soon));
    let limited = issue(keys, key(0).rate_limit(RateLimit::per_day(1).unwrap()));
    std::thread::sleep(Duration::from_millis(100));
    assert!(verify(keys, &limited, &request));
    let another = issue(keys, key(0));
    let wrong = reassembled(&token, &another);
    let mut elsewhere = request;
    elsewhere.environment = Environment::SANDBOX;
    let refusal = |name, token: String| Refusal { name, token, request };
    vec![
        refusal("malformed_length", "k".repeat(128)),
        refusal("malformed_length_1mib", "k".repeat(1 << 20)),
        refusal("malformed_prefix", replaced(1, "q")),
        refusal("malformed_separator", replaced(PREFIX.len(), "-")),
        refusal("malformed_id", replaced(id_at, "u")),
        refusal("malformed_class", replaced(TOKEN_LEN - 20, "-")),
        refusal("malformed_checksum", replaced(TOKEN_LEN - 20, other(TOKEN_LEN - 20))),
        refusal("unknown_key", unknown),
        refusal("wrong_secret", wrong),
        refusal("expired", expired),
        Refusal { request: elsewhere, ..refusal("environment", token.clone()) },
        Refusal {
            request: request.from(ClientIp::Peer([192, 0, 2, 1].into())),
            ..refusal("network", token.clone())
        },
        Refusal { request: request.scope("admin"), ..refusal("scope", token.clone()) },
        refusal("rate_limited", limited),
    ]
}

/// The id of one token with the secret of another, and a checksum that holds.
fn reassembled(id: &str, secret: &str) -> String {
    let (head, _) = id.split_at(id.len() - 49);
    let (body, _) = secret.split_at(secret.len() - 6);
    let mut token = format!("{head}{}", &body[body.len() - 43..]);
    let mut crc = crc32fast::hash(token.as_bytes());
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut check = [0; 6];
    for place in check.iter_mut().rev() {
        *place = digits[(crc % 62) as usize];
        crc /= 62;
    }
    token.extend(check.map(char::from));
    token
}

/// `SplitMix64` (Steele, Lea, Flood 2014): quick, repeatable, and good for nothing else.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A uniform enough number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for chunk in to.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}
