//! Keys that nobody issued, two thousand a second and with the right checksum, before a
//! server with few connections: real keys that are not in memory are served, and those
//! that are never notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use keyward::{KeyCache, KeyService, VerifyError};

use super::common::{self, READ, Seeded, forged, new_key, system};
use super::servers::Postgres;
use super::{empty, service, store};

const COLD: usize = 300;
/// Tasks that present made-up keys, five each twenty milliseconds.
const STRANGERS: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn junk_keeps_no_real_key_waiting() {
    let store = empty(store(&Postgres::shared().url(), 4)).await;
    let admin = service(&store);
    let mut tokens = Vec::new();
    for number in 0..=COLD {
        let issued = admin.issue(&system(), new_key(&number.to_string())).await.unwrap();
        tokens.push(issued.into_key().expose_secret().to_owned());
    }
    let hot = tokens.pop().unwrap();
    let cache = KeyCache::builder(store).timer(tokio::time::sleep).capacity(1_000).build();
    let keys = KeyService::new(common::scheme(&[1]), cache.clone());
    keys.maintain().await.unwrap();
    keys.verify(&hot, &READ).await.unwrap();

    let ended = Arc::new(AtomicBool::new(false));
    let (refused, turned_away) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for stranger in 0..STRANGERS {
        let (keys, ended) = (keys.clone(), Arc::clone(&ended));
        let (refused, turned_away) = (Arc::clone(&refused), Arc::clone(&turned_away));
        tasks.spawn(async move {
            let mut made_up = Seeded(stranger);
            while !ended.load(SeqCst) {
                for _ in 0..5 {
                    let id = format!("key_{}", made_up.text(16, common::CROCKFORD));
                    let token = forged(&mut made_up, "ak_live", &id);
                    match keys.verify(&token, &READ).await {
                        Ok(_) => panic!("a made-up key was allowed"),
                        Err(VerifyError::Rejected(_)) => refused.fetch_add(1, SeqCst),
                        Err(_) => turned_away.fetch_add(1, SeqCst),
                    };
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let mut served = 0;
    for (number, token) in tokens.iter().enumerate() {
        served += usize::from(keys.verify(token, &READ).await.is_ok());
        keys.verify(&hot, &READ).await.expect("a key in memory never fails");
        assert!(cache.misses() <= 100, "{} reads wait", cache.misses());
        if number % 50 == 49 {
            keys.maintain().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ended.store(true, SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let (refused, turned_away) = (refused.load(SeqCst), turned_away.load(SeqCst));
    println!("{served} of {COLD} served; made up: {refused} looked for, {turned_away} turned away");
    assert!(served * 100 >= COLD * 99, "{served} of {COLD}");
    assert!(refused > 0 && turned_away > refused, "{refused} {turned_away}");
}
