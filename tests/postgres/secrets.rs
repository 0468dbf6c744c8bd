//! Who reads the database learns no secret.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::time::Duration;

use super::servers::Postgres;
use super::{common, service, store};

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_dump_holds_no_secret_in_any_spelling() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 5);
    store.migrate().await.unwrap();
    let (keys, actor) = (service(&store), common::system());
    let (mut tokens, mut ids) = (Vec::new(), Vec::new());
    for number in 0..1_000 {
        let issued = keys.issue(&actor, common::new_key("kept")).await.unwrap();
        let id = issued.id();
        ids.push(id.to_string());
        tokens.push(issued.into_key().expose_secret().to_owned());
        if number % 10 == 0 {
            let rotated = keys.rotate(&actor, id, Duration::from_secs(3_600)).await.unwrap();
            tokens.push(rotated.into_key().expose_secret().to_owned());
        }
        keys.verify(tokens.last().unwrap(), &common::READ).await.unwrap();
    }
    keys.flush().await.unwrap();
    let dump = String::from_utf8(server.dump(&database)).unwrap();
    assert!(dump.lines().filter(|line| line.contains("\"slots\"")).count() >= 1_000);
    // One pass for all: every window of the dump that is as long as a spelling.
    let mut spelled: std::collections::HashMap<usize, std::collections::HashSet<String>> =
        std::collections::HashMap::new();
    for token in &tokens {
        let secret = common::secret_of(token);
        for bytes in [token.as_bytes(), secret.as_bytes()] {
            let digest = Sha256::digest(bytes);
            for spelling in [
                String::from_utf8(bytes.to_vec()).unwrap(),
                common::hex(bytes),
                BASE64_URL_SAFE_NO_PAD.encode(bytes),
                BASE64_STANDARD_NO_PAD.encode(bytes),
                common::hex(&digest),
                BASE64_URL_SAFE_NO_PAD.encode(digest),
                BASE64_STANDARD_NO_PAD.encode(digest),
            ] {
                let start = spelling[..20].to_owned();
                spelled.entry(start.len()).or_default().insert(start);
            }
        }
    }
    let dump = format!("{dump}{}", dump.to_lowercase());
    for (length, starts) in &spelled {
        for at in 0..dump.len().saturating_sub(*length) {
            let Some(window) = dump.get(at..at + length) else { continue };
            assert!(!starts.contains(window), "the dump holds a secret at {at}");
        }
    }
    // The search finds what is there.
    assert!(ids.iter().all(|id| dump.contains(id)), "ids are public, and in the dump");
}
