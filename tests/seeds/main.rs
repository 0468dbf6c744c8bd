//! Four published pages about API keys, each walked from top to bottom: through the public interface,
//! and as its readers would, over sockets.
//!
//! The pages are those of an energy platform, an IP intelligence service, a deployment platform and a
//! licensing platform. Every statement that a library can make true is asserted, under the words of
//! the page. Each of the others is named in a comment that begins with `Not here`: it is advice to
//! the page's readers, which no program can follow for them, or another page of that product. The
//! manual's chapter on the product pages lists where each section went; [`coverage`] holds it to that.

mod alerts;
mod coverage;
#[path = "../http_client/mod.rs"]
mod http_client;
mod ipaware;
mod licensing;
mod onvera;
mod page;
mod portal;
mod powerverse;

use std::time::Duration;

use keyward::store::{KeyStore, LogQuery, UsageStore};
use keyward::{
    AccessRequest, Actor, ApiKey, ClientIp, Environment, FakeClock, KeyEdit, KeyId, KeyQuery,
    KeyScheme, KeyService, KeyServiceBuilder, KeyView, ManageError, MemoryStore, NewKey,
    PepperRing, Timestamp, Verified,
};
use serde_json::Value;

const DAY: Duration = Duration::from_secs(86_400);

/// One of the platforms, on a store in memory and a clock that the test moves.
struct Platform {
    keys: KeyService,
    clock: FakeClock,
    store: MemoryStore,
    /// Manages the keys of one organisation and may give them anything.
    admin: Actor,
}

impl Platform {
    fn new(prefixes: &[(&str, Environment)], now: &str) -> Self {
        Self::with(prefixes, now, |builder| builder)
    }

    fn with(
        prefixes: &[(&str, Environment)],
        now: &str,
        parts: impl FnOnce(KeyServiceBuilder) -> KeyServiceBuilder,
    ) -> Self {
        let peppers = PepperRing::from_base64(&PepperRing::generate().unwrap()).unwrap();
        let scheme = KeyScheme::new(peppers, prefixes.iter().copied()).unwrap();
        let (store, clock) = (MemoryStore::new(), FakeClock::at(at(now)));
        let builder = KeyService::builder(scheme, store.clone()).clock(clock.clone());
        let admin = Actor::system("admin").for_owner("org_1");
        Self { keys: parts(builder).build(), clock, store, admin }
    }

    fn set(&self, now: &str) {
        self.clock.set(at(now));
    }

    async fn issue(&self, new: NewKey) -> (KeyView, ApiKey) {
        let issued = self.keys.issue(&self.admin, new).await.unwrap();
        let view = issued.view().clone();
        (view, issued.into_key())
    }

    async fn issue_json(&self, body: &str) -> (KeyView, ApiKey) {
        self.issue(serde_json::from_str(body).unwrap()).await
    }

    async fn verify(&self, key: &ApiKey, request: AccessRequest<'_>) -> Verified {
        self.keys.verify(key.expose_secret(), &request).await.unwrap()
    }

    async fn refuse(&self, presented: &str, request: AccessRequest<'_>) -> Refusal {
        let error = self.keys.verify(presented, &request).await.unwrap_err();
        let body = serde_json::to_value(error.body(&request)).unwrap();
        Refusal { status: error.status(), body }
    }

    async fn list(&self) -> Vec<KeyView> {
        self.keys.list(&self.admin, &KeyQuery::new()).await.unwrap().data
    }

    async fn get(&self, id: KeyId) -> KeyView {
        self.keys.get(&self.admin, id).await.unwrap()
    }

    async fn update(&self, id: KeyId, edit: KeyEdit) -> Result<KeyView, ManageError> {
        self.keys.update(&self.admin, id, edit).await.map(|changed| changed.key)
    }

    /// Everything that the store keeps about a key, as text.
    async fn stored(&self, id: KeyId) -> String {
        let record = self.store.get(id).await.unwrap().unwrap();
        let log = self.store.log(&LogQuery::from(0).limit(1_000)).await.unwrap();
        let usage = UsageStore::usage(&self.store, &[id]).await.unwrap();
        format!("{} {log:?} {usage:?}", record.to_document())
    }
}

/// What a client gets.
#[derive(Debug, PartialEq)]
struct Refusal {
    status: u16,
    body: Value,
}

impl Refusal {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ip(text: &str) -> ClientIp {
    ClientIp::Peer(text.parse().unwrap())
}

/// The part of a token that nobody but its holder may ever see.
fn secret_of(key: &ApiKey) -> &str {
    key.expose_secret().rsplit('_').next().unwrap()
}

/// A token with one character mistyped.
fn mistyped(key: &ApiKey, place: usize) -> String {
    let mut typo = key.expose_secret().as_bytes().to_vec();
    typo[place] = if typo[place] == b'a' { b'b' } else { b'a' };
    String::from_utf8(typo).unwrap()
}
