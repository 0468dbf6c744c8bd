//! What is said when something is wrong with the server, or with the way to it.

use std::error::Error;
use std::fmt::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use keyward::{LimitStore, RedisHints, RedisLimits, RedisPublisher, StoreError, StoreErrorKind};

use crate::servers::Redis;
use crate::{Keys, REQUEST, charge, connect, fresh, issue, key, open, per_day};

/// An error and all its sources, as a host may print them.
fn printed(error: &StoreError) -> String {
    let mut text = format!("{error:?}\n{error}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, "\n{error:?}\n{error}");
        source = error.source();
    }
    text
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_wrong_password_is_told_and_not_shown() {
    let server = Redis::with(&["--requirepass", "right"]);
    let port = server.port();
    for (url, secret) in [
        (format!("redis://:hunter2wrong@127.0.0.1:{port}/"), "hunter2wrong"),
        (format!("redis://somebody:hunter2wrong@127.0.0.1:{port}/"), "hunter2wrong"),
        (format!("redis://127.0.0.1:{port}/"), "right"),
    ] {
        let limits = RedisLimits::open(&url).unwrap();
        let error = limits.check().await.unwrap_err();
        let text = printed(&error);
        assert!(text.contains("check user and password of the URL"), "{text}");
        assert!(!text.contains(secret), "{text}");
        assert!(!format!("{limits:?}").contains(secret));
        let node = Keys::new().node(limits).build();
        let key = issue(&node, key().rate_limit(per_day(1))).await;
        let error = node.verify(key.expose_secret(), &REQUEST).await.unwrap_err();
        assert_eq!(error.status(), 503);
    }
    let right = RedisLimits::open(&format!("redis://:right@127.0.0.1:{port}/")).unwrap();
    right.check().await.unwrap();
}

#[tokio::test]
async fn a_wrong_url_is_told_and_not_shown() {
    for url in [
        "",
        "hunter2",
        "http://:hunter2@localhost/",
        "redis://:hunter2@localhost:99999/",
        "redis://:hunter2@localhost:6379/many",
        "redis://:hunter2@",
    ] {
        for error in [
            RedisLimits::open(url).unwrap_err(),
            RedisPublisher::open(url).unwrap_err(),
            RedisHints::open(url).unwrap_err(),
        ] {
            let text = printed(&error);
            assert!(text.contains("must be like `redis://"), "{url}: {text}");
            assert!(!text.contains("hunter2"), "{url}: {text}");
        }
    }
    let limits = RedisLimits::open("redis://localhost:1/").unwrap();
    for prefix in ["", "a b", "{a}", "\u{e4}", &"p".repeat(65)] {
        assert!(limits.clone().prefix(prefix).is_err(), "{prefix}");
    }
    let error = limits.check().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("check that it runs"), "{error}");
}

#[test]
fn outside_of_a_runtime_there_is_an_error_and_no_panic() {
    for error in [
        RedisLimits::open("redis://localhost/").unwrap_err(),
        RedisPublisher::open("redis://localhost/").unwrap_err(),
        RedisHints::open("redis://localhost/").unwrap_err(),
    ] {
        assert!(error.to_string().contains("Tokio runtime"), "{error}");
    }
}

/// Accepts, and never says a word.
#[tokio::test]
async fn a_server_that_is_silent_is_waited_for_so_long_and_no_longer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let wait = Duration::from_millis(200);
    let limits = RedisLimits::open(&url).unwrap().timeout(wait);
    for _ in 0..3 {
        let begun = Instant::now();
        let error = limits.take(&[charge(per_day(1), 1)]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("in time"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    }
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn the_server_says_what_is_wrong_with_it() {
    let replica = ["--replicaof", "127.0.0.1", "1"];
    let user = ["--user", "narrow", "on", ">pw", "~*", "-@all"];
    let server = Redis::with(&[&replica[..], &user[..]].concat());
    let told = |error: StoreError, kind, part| {
        assert!(error.to_string().contains(part), "{}", printed(&error));
        assert_eq!(error.kind(), kind);
    };
    let read_only = fresh(&server).take(&[charge(per_day(1), 1)]).await.unwrap_err();
    told(read_only, StoreErrorKind::Unavailable, "give the URL of the primary");
    let narrow = format!("redis://narrow:pw@127.0.0.1:{}/", server.port());
    let narrow = RedisLimits::open(&narrow).unwrap().check().await.unwrap_err();
    told(narrow, StoreErrorKind::Other, "lacks a permission");

    let server = Redis::start();
    let limits = open(&server).prefix("p").unwrap();
    let name = "{p:org_1}:owner:rate:day";
    for foreign in [["LPUSH", name, "x"], ["SET", name, "rate 1 2 x"]] {
        let mut redis = connect(&server);
        let _: () = redis::cmd("DEL").arg(name).query(&mut redis).unwrap();
        let _: redis::Value = redis::cmd(foreign[0]).arg(&foreign[1..]).query(&mut redis).unwrap();
        let error = limits.take(&[charge(per_day(1), 1)]).await.unwrap_err();
        told(error, StoreErrorKind::Corrupt, "give keyward a prefix of its own");
    }
    let server = Redis::with(&["--maxmemory", "1"]);
    let full = fresh(&server).take(&[charge(per_day(1), 1)]).await.unwrap_err();
    told(full, StoreErrorKind::Unavailable, "raise its `maxmemory`");
}
