//! Nothing that can be printed, serialised or read from the store holds eight characters
//! of a secret in a row.
//!
//! 600 operations and 1,000 stored keys by default; `KEYWARD_TEST_SCALE` multiplies both
//! (170 makes 1e5 operations).

mod common;
#[path = "common/telemetry.rs"]
mod telemetry;

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use common::{
    READ, RowStore, START, Seeded, builder, forged, hex, new_key, pepper, pepper_bytes, ring, run,
    scale, scheme, system,
};
use keyward::{
    Actor, Alert, AlertSink, Environment, Event, EventId, FakeClock, FieldError, ImportDigest,
    ImportFamily, ImportKey, KeyEdit, KeyId, KeyQuery, KeyService, ManageError, MetricsObserver,
    Monitor, Network, NewKey, Observer, Outcome, Pepper, PepperId, PepperRing, Prefix, Quota,
    RateLimit, Reason, Refill, ReportOptions, RoleName, Roles, Scope, ScopeExpr, Timestamp,
    TracingObserver, VerifyError,
};
use sha2::{Digest, Sha256};
use telemetry::{Captured, Recorded};

const WINDOW: usize = 8;

/// Everything that was said, and what must not be in it.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    text: String,
    windows: HashSet<String>,
}

fn windows(secret: &str, length: usize) -> impl Iterator<Item = &str> {
    (0..=secret.len() - length).map(move |i| &secret[i..i + length])
}

impl Said {
    fn secret(&self, secret: &str) {
        let mut heard = self.0.lock().unwrap();
        heard.windows.extend(windows(secret, WINDOW).map(str::to_owned));
    }

    /// The secret characters and the checksum of a token.
    fn token(&self, token: &str) {
        self.secret(&token[token.len() - 49..]);
    }

    fn text(&self, text: &str) {
        let mut heard = self.0.lock().unwrap();
        heard.text.push_str(text);
        heard.text.push('\n');
    }

    fn debug(&self, value: &impl Debug) {
        self.text(&format!("{value:?}\n{value:#?}"));
    }

    fn json(&self, value: &impl serde::Serialize) {
        self.text(&serde_json::to_string(value).unwrap());
    }

    fn error(&self, error: &(dyn std::error::Error + 'static)) {
        for error in std::iter::successors(Some(error), |error| error.source()) {
            self.text(&format!("{error} {error:?} {error:#?}"));
        }
    }

    fn managed<T: Debug>(&self, result: Result<T, ManageError>) -> Option<T> {
        match result {
            Ok(done) => {
                self.debug(&done);
                Some(done)
            }
            Err(error) => {
                self.error(&error);
                self.json(&error.body());
                self.text(&error.body().to_string());
                None
            }
        }
    }

    fn verified(&self, result: Result<keyward::Verified, VerifyError>) {
        match result {
            Ok(verified) => {
                self.debug(&verified);
                self.debug(&Actor::from(&verified));
                self.debug(verified.record());
            }
            Err(error) => {
                self.error(&error);
                self.json(&error.body(&READ));
                if let VerifyError::Rejected(rejected) = &error {
                    self.debug(rejected);
                    self.text(&rejected.to_string());
                }
            }
        }
    }

    /// Every secret that was told of, anywhere in what was said.
    fn hits(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        let bytes = heard.text.as_bytes();
        let mut hits = Vec::new();
        for (i, window) in bytes.windows(WINDOW).enumerate() {
            if let Some(window) = str::from_utf8(window).ok().filter(|w| heard.windows.contains(*w))
            {
                let around = &bytes[i.saturating_sub(100)..(i + 50).min(bytes.len())];
                hits.push(format!("{window} in {}", String::from_utf8_lossy(around)));
            }
        }
        hits
    }
}

impl Observer for Said {
    fn verified(&self, outcome: &Outcome<'_>) {
        self.debug(outcome);
    }

    fn changed(&self, event: &Event) {
        self.debug(event);
        self.json(event);
    }
}

fn operate(keys: &KeyService, said: &Said, rng: &mut Seeded, tokens: &mut Vec<(KeyId, String)>) {
    let actor = system();
    let (id, token) = rng.pick(tokens).clone();
    let keep = |issued: keyward::IssuedKey| {
        said.debug(&issued);
        said.json(issued.view());
        let id = issued.view().id;
        let key = issued.into_key();
        said.token(key.expose_secret());
        said.debug(&key);
        (id, key.expose_secret().to_owned())
    };
    match rng.below(16) {
        0 => {
            let new = new_key("key").metadata("a", "b").rate_limit(RateLimit::per_day(3).unwrap());
            said.debug(&new);
            tokens.push(keep(run(keys.issue(&actor, new)).unwrap()));
        }
        1 => {
            let new = new_key("once").idempotency_key("same");
            tokens.extend(run(keys.issue(&actor, new)).map(keep).map_err(|e| said.error(&e)));
        }
        2 => {
            let rotated = run(keys.rotate(&actor, id, Duration::from_secs(60)));
            tokens.extend(rotated.map(keep).map_err(|error| said.error(&error)));
        }
        3 => match run(keys.compromised(&actor, id)) {
            Ok(found) => {
                said.debug(&found);
                tokens.push(keep(found.issued));
            }
            Err(error) => said.error(&error),
        },
        4 => drop(said.managed(run(keys.update(&actor, id, KeyEdit::new().name("other"))))),
        5 => drop(said.managed(run(keys.disable(&actor, id)))),
        6 => drop(said.managed(run(keys.enable(&actor, id)))),
        7 if rng.below(6) == 0 => {
            if let Some(changed) = said.managed(run(keys.revoke(&actor, id, Reason::Compromised))) {
                said.json(&changed);
            }
        }
        8 => {
            let page = said.managed(run(keys.list(&actor, &KeyQuery::new().limit(5)))).unwrap();
            said.json(&page);
            for event in said.managed(run(keys.events(&actor, id))).unwrap() {
                said.json(&event);
            }
            said.debug(&said.managed(run(keys.usage(&actor, id))));
        }
        9 => {
            let trace = said.managed(run(keys.explain(&actor, id, &READ, keys.now()))).unwrap();
            said.json(&trace);
            said.text(&trace.to_string());
        }
        10 => {
            let reports = run(keys.reports(&actor, &ReportOptions::default()));
            said.json(&said.managed(reports).unwrap());
            said.json(&said.managed(run(keys.pepper_report())).unwrap());
            said.debug(&run(keys.maintain()));
            said.debug(&run(keys.reseal_all(&actor)));
        }
        11 => {
            let made_up = forged(rng, "ak_live", &id.to_string());
            said.token(&made_up);
            said.verified(run(keys.verify(&made_up, &READ)));
            said.verified(run(keys.verify(&token[..token.len() - 1], &READ)));
            said.debug(&keys.scheme().scan(&token));
        }
        12 => {
            let text = format!("curl -H 'authorization: Bearer {token}' # {token}x");
            said.text(&keys.scheme().redact(&text));
        }
        13 => said.verified(run(keys.verify(&token, &READ.scope("admin:all")))),
        _ => said.verified(run(keys.verify(&token, &READ))),
    }
}

impl AlertSink for Said {
    fn alert(&self, alert: &Alert) {
        self.debug(alert);
        self.json(alert);
        self.text(&alert.to_string());
    }
}

#[test]
fn no_output_of_any_operation_holds_a_secret() {
    let (captured, recorded) = (Captured::default(), Recorded::default());
    let said = metrics::with_local_recorder(&recorded, || {
        tracing::subscriber::with_default(captured.clone(), all_operations)
    });
    let events = captured.take();
    assert!(events.len() > 100, "{}", events.len());
    events.iter().chain(&recorded.names()).for_each(|text| said.text(text));
    assert_eq!(said.hits(), Vec::<String>::new());
}

/// 600 operations by a service that tells of everything.
fn all_operations() -> Said {
    let (said, clock, store) = (Said::default(), FakeClock::at(START), RowStore::default());
    let host_key = b"the host's own HMAC key, 32 long";
    let hmac = ImportDigest::HmacSha256(ImportKey::new(host_key.as_slice()).unwrap());
    let scheme = scheme(&[1, 2])
        .importing(ImportFamily::new("signed", "sg_", hmac.clone(), 128).unwrap())
        .unwrap();
    let monitor = Monitor::builder(said.clone()).sink(TracingObserver::new());
    let keys = builder(scheme.clone(), store, &clock, 1)
        .observer(said.clone())
        .observer(TracingObserver::new())
        .observer(MetricsObserver::new(&scheme))
        .observer(monitor.failures_by_key(2).out_of_scope(1).build())
        .build();
    said.secret(str::from_utf8(host_key).unwrap());
    said.debug(&hmac);
    let imported = "lk_qwertyuiopasdfghjklzxcvbnm123456";
    said.secret(&imported[3..]);
    let digest = hex(&Sha256::digest(imported));
    said.secret(&digest);
    let actor = system();
    let changed =
        said.managed(run(keys.import(&actor, new_key("old"), "legacy", &digest))).unwrap();
    said.managed(run(keys.import(&actor, new_key("old"), "legacy", &digest)));
    said.managed(run(keys.import(&actor, new_key("old"), "legacy", &digest[1..])));
    for n in [1, 2] {
        let bytes = pepper_bytes(n);
        for text in [BASE64_STANDARD.encode(bytes), BASE64_URL_SAFE_NO_PAD.encode(bytes)] {
            said.secret(&text);
        }
        said.secret(&hex(&bytes));
        said.debug(&pepper(n));
    }
    said.debug(&ring(&[1, 2]));
    said.debug(&scheme);
    said.debug(&keys);
    let issued = run(keys.issue(&actor, new_key("first"))).unwrap();
    let mut tokens = vec![(issued.view().id, issued.into_key().expose_secret().to_owned())];
    said.token(&tokens[0].1);
    let mut rng = Seeded(8);
    for step in 0..600 * scale() {
        clock.advance(Duration::from_secs(rng.number() % 30));
        operate(&keys, &said, &mut rng, &mut tokens);
        if step % 50 == 0 {
            said.verified(run(keys.verify(imported, &READ)));
            // Few enough to be picked again, and enough for every state.
            tokens.drain(..tokens.len().saturating_sub(12));
        }
    }
    assert_eq!(said.hits(), Vec::<String>::new());
    assert!(said.0.lock().unwrap().text.contains(&changed.key.id.to_string()));
    // The search itself finds what it looks for.
    let before = said.0.lock().unwrap().text.len();
    said.text(&tokens[0].1);
    assert_eq!(said.hits().len(), 49 - WINDOW + 1);
    said.0.lock().unwrap().text.truncate(before);
    said
}

#[test]
fn a_key_pasted_into_any_field_is_not_repeated() {
    let said = Said::default();
    let keys = builder(scheme(&[1]), RowStore::default(), &FakeClock::at(START), 1).build();
    let actor = system();
    let key = run(keys.issue(&actor, new_key("key"))).unwrap().into_key();
    let token = key.expose_secret();
    said.token(token);
    // As it is, and with a character that no field takes, before and behind.
    for token in [token.to_owned(), format!("{token}\u{7}"), format!("\u{7}! {token} é\n")] {
        let token = token.as_str();
        let mut refused = 0;
        let mut see = |error: Option<FieldError>| {
            if let Some(error) = error {
                said.error(&error);
                said.json(&error);
                refused += 1;
            }
        };
        see(token.parse::<KeyId>().err());
        see(token.parse::<EventId>().err());
        see(token.parse::<PepperId>().err());
        see(token.parse::<Timestamp>().err());
        see(KeyQuery::new().cursor(token).err());
        see(Prefix::new(token).err());
        see(Environment::new(token).err());
        see(Pepper::from_base64(token).err());
        see(Pepper::from_bytes(token.as_bytes()).err());
        see(Pepper::from_fn(|| Err::<Vec<u8>, _>("no")).err());
        see(PepperRing::from_base64(token).err());
        see(Scope::parse(token).err());
        see(ScopeExpr::parse(&format!("({token} AND")).err());
        see(RoleName::new(token).err());
        see(Network::parse(token).err());
        see(Roles::none().role(token, [token]).err());
        see(scheme(&[1]).realm(token).err());
        see(scheme(&[1]).retired(token, Environment::PRODUCTION).err());
        see(ImportFamily::new(token, token, ImportDigest::Sha256, 128).err());
        see(RateLimit::per_day(1).unwrap().named(token).err());
        see(Quota::new(1, Refill::Day).unwrap().named(token).err());
        assert!(refused >= 15, "{refused}");

        let instant = serde_json::json!({ "name": "n", "owner": "o", "expires_at": token });
        let rules = vec![RateLimit::per_day(1).unwrap(); 2];
        for new in [
            NewKey::named(format!("\u{7}{token}")).owner("o"),
            new_key("n").owner(format!("{token} ")),
            new_key("n").permissions([format!("{token}!"), format!("{token}*")]),
            new_key("n").roles([format!("{token}!")]),
            new_key("n").ip_allowlist([token]).ip_denylist([token]),
            new_key("n").customers([format!("\u{7}{token}")]),
            new_key("n").resources(format!("{token} !"), [token]),
            new_key("n").resources("site", [format!("\u{7}{token}"), String::new()]),
            new_key("n").prefix(token),
            new_key("n").metadata(format!("{token}\u{7}"), "v"),
            new_key("n").metadata(token, "\u{7}"),
            new_key("n").metadata("k", format!("{token}\u{7}")),
            new_key("n").metadata(token, "v".repeat(20_000)),
            new_key("n").idempotency_key(format!("{token} ")),
            rules.into_iter().fold(new_key("n"), NewKey::rate_limit),
            serde_json::from_value(instant).unwrap(),
        ] {
            let error = run(keys.issue(&actor, new)).unwrap_err();
            assert_eq!(error.status(), 422, "{error}");
            said.managed(Err::<(), _>(error));
        }
        for (family, digest) in [(token, "00"), ("legacy", token)] {
            said.managed(run(keys.import(&actor, new_key("n"), family, digest)));
        }
        // What holds a pasted key as the host wanted says so only to who may see it.
        let narrow = Actor::new("narrow").for_owner("org_1").holding(["api.key.*"]).unwrap();
        said.managed(run(keys.issue(&narrow, new_key("n").permissions([token]))));
        said.verified(run(keys.verify(token.trim_end(), &READ.scope("other"))));
    }
    assert_eq!(said.hits(), Vec::<String>::new());
}
