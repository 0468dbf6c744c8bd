//! A log that loses its old end.
#![cfg(feature = "sqlite")]

mod sqlite;

use keyward::{Actor, KeyStore, LogQuery, NewKey};
use pollster::block_on;
use sqlite::{Scratch, service};

#[test]
fn the_log_is_trimmed_at_its_old_end_only() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let issue = || {
        let new = NewKey::named("key").owner("org_1");
        drop(block_on(service(&store).issue(&Actor::system("test"), new)).unwrap());
    };
    for _ in 0..30 {
        issue();
    }
    let log = |from| block_on(store.log(&LogQuery::from(from).limit(10_000))).unwrap();
    let all = log(0);
    let middle = all[20].1.at;
    let older = all.iter().take_while(|(_, event)| event.at < middle).count();
    assert_eq!(block_on(store.trim_log(middle)).unwrap(), older as u64);
    assert_eq!(log(0), all[older..]);
    assert_eq!(block_on(store.trim_log(middle)).unwrap(), 0);
    assert_eq!(block_on(store.trim_log(keyward::Timestamp::MAX)).unwrap(), 29 - older as u64);
    assert_eq!(log(0), all[29..]);
    issue();
    assert_eq!(log(0).last().unwrap().0, 31, "a position was used twice");
    // More than are deleted at a time.
    let sql = scratch.sql();
    sql.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
         INSERT INTO log (event) SELECT event FROM log, n WHERE position = 31",
    )
    .unwrap();
    assert_eq!(block_on(store.trim_log(keyward::Timestamp::MAX)).unwrap(), 2_501);
}
