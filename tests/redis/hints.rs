//! Changes that other nodes hear of.

use std::sync::Arc;
use std::time::Duration;

use keyward::{Hints, RedisHints, RedisPublisher};

use crate::servers::Redis;
use crate::{Keys, REQUEST, connect, fresh, issue, key};

async fn hears(hints: &mut RedisHints, within: u64) -> bool {
    tokio::time::timeout(Duration::from_millis(within), hints.next()).await.is_ok()
}

/// Waits until the subscription is there.
async fn subscribed(server: &Redis, channel: &str) {
    for _ in 0..400 {
        let mut redis = connect(server);
        let (_, count): (String, u32) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query(&mut redis).unwrap();
        if count > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody subscribes");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_change_is_heard_by_other_nodes() {
    let server = Redis::start();
    let publisher = RedisPublisher::open(&server.url()).unwrap();
    let mut hints = RedisHints::open(&server.url()).unwrap();
    let mut others = RedisHints::open(&server.url()).unwrap().channel("other").unwrap();
    subscribed(&server, "keyward:changes").await;
    subscribed(&server, "other").await;
    let node = Keys::new().node(fresh(&server)).observer(publisher.clone()).build();
    assert!(!hears(&mut hints, 200).await);
    let key = issue(&node, key()).await;
    assert!(hears(&mut hints, 10_000).await);
    assert!(node.verify(key.expose_secret(), &REQUEST).await.is_ok());
    assert!(!hears(&mut hints, 200).await, "a verify is no change");

    for _ in 0..10_000 {
        publisher.publish();
    }
    assert!(hears(&mut hints, 10_000).await);
    let mut more = 0;
    while hears(&mut hints, 300).await {
        more += 1;
    }
    assert!(more <= 2, "10,000 changes made {more} hints more");
    assert!(!hears(&mut others, 1).await);
    let to_others = RedisPublisher::open(&server.url()).unwrap().channel("other").unwrap();
    to_others.publish();
    assert!(hears(&mut others, 10_000).await);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn after_a_reconnect_there_is_one_hint() {
    let mut server = Redis::start();
    let publisher = RedisPublisher::open(&server.url()).unwrap();
    let mut hints = RedisHints::open(&server.url()).unwrap();
    subscribed(&server, "keyward:changes").await;
    for _ in 0..3 {
        server.stop();
        publisher.publish();
        assert!(!hears(&mut hints, 300).await);
        server.start_again();
        assert!(hears(&mut hints, 20_000).await, "no hint for those that were lost");
        assert!(!hears(&mut hints, 300).await);
        // The publisher's connection is made again too.
        let mut heard = false;
        for _ in 0..20 {
            publisher.publish();
            heard = hears(&mut hints, 500).await;
            if heard {
                break;
            }
        }
        assert!(heard);
        while hears(&mut hints, 100).await {}
    }
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn hints_may_be_opened_before_the_server_is_there() {
    let mut server = Redis::start();
    server.stop();
    let mut hints = RedisHints::open(&server.url()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.start_again();
    assert!(hears(&mut hints, 20_000).await);
    let shared = Arc::new(RedisPublisher::open(&server.url()).unwrap());
    shared.publish();
    assert!(hears(&mut hints, 10_000).await);
}
