//! `kill -9`, of the server and of the client, in the middle of issue, rotate and revoke:
//! what was acknowledged is there afterwards, and nothing is half there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward::{Action, KeyId, KeyStore, LogQuery, ManageError, Reason, State};

use super::servers::{Postgres, signal};
use super::{common, dropped, service, store};
use crate::PostgresStore;

/// Names the database for the process that is to be killed.
const CLIENT: &str = "KEYWARD_TEST_CLIENT";

fn kills() -> usize {
    5 * common::scale()
}

/// The last version of each key that somebody was told of, and whether it was its revoke.
type Told = BTreeMap<KeyId, (u64, bool)>;

/// Issues, rotates and revokes until the server is gone, telling of each acknowledgement.
async fn work(store: PostgresStore, seed: u64, mut tell: impl FnMut(KeyId, u64, bool)) {
    let (keys, actor) = (service(&store), common::system());
    let mut random = common::Seeded(seed);
    loop {
        let worked: Result<(), ManageError> = async {
            let issued = keys.issue(&actor, common::new_key("worked on")).await?;
            let id = issued.id();
            tell(id, issued.view().revision, false);
            if random.below(2) == 0 {
                let rotated = keys.rotate(&actor, id, Duration::from_secs(60)).await?;
                tell(id, rotated.view().revision, false);
            }
            let revoked = keys.revoke(&actor, id, Reason::Unused).await?;
            tell(id, revoked.key.revision, true);
            Ok(())
        }
        .await;
        match worked {
            Ok(()) => {}
            Err(ManageError::Store(error)) if error.is_retryable() => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Demands that all of this is in the store, and that all that is in it is whole.
async fn hold(store: &PostgresStore, told: &Told) {
    let log = store.log(&LogQuery::from(0).limit(1_000_000)).await.unwrap();
    for (id, (version, is_revoked)) in told {
        let record = store.get(*id).await.unwrap().expect("an acknowledged key is there");
        assert!(record.version() >= *version, "{id}: an acknowledged change is lost");
        if *is_revoked {
            assert!(matches!(record.state(), Some(State::Revoked { .. })), "{id}: a lost revoke");
            let mut events = log.iter().rev().filter(|(_, event)| event.key == *id);
            assert!(events.next().is_some_and(|(_, event)| event.action == Action::Revoked));
        }
    }
    dropped::check(store).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_killed_server_loses_nothing_acknowledged() {
    // Commits ask for what the server's setting would not give.
    let server = Postgres::start(&["synchronous_commit=off", "wal_writer_delay=10s"]);
    let new_store = || store(&server.url(), 5);
    new_store().migrate().await.unwrap();
    let mut all = 0;
    for kill in 0..kills() {
        let told: Arc<Mutex<Told>> = Arc::default();
        let (seed, store) = (kill as u64 * 8, new_store().patience(Duration::from_secs(1)));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (told, store) = (Arc::clone(&told), store.clone());
                tokio::spawn(work(store, seed + worker, move |id, version, is_revoked| {
                    told.lock().unwrap().insert(id, (version, is_revoked));
                }))
            })
            .collect();
        // Until something was acknowledged, however busy the machine is.
        for _ in 0..500 {
            if told.lock().unwrap().len() > 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(kill as u64 % 7 * 13)).await;
        tokio::task::block_in_place(|| server.kill());
        for worker in workers {
            worker.await.unwrap();
        }
        tokio::task::block_in_place(|| server.resume());
        let told = told.lock().unwrap().clone();
        all += told.len();
        hold(&new_store(), &told).await;
        // Keys of earlier rounds were looked at, and make the next ones slow.
        server.psql("postgres", "TRUNCATE keyward_keys, keyward_log");
    }
    assert!(all > kills(), "{all} keys were told of");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_killed_client_leaves_nothing_half_done() {
    let server = Postgres::shared();
    let database = server.database();
    let store = store(&server.url_of(&database), 5);
    store.migrate().await.unwrap();
    let mut all = 0;
    for kill in 0..kills() {
        let mut client = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "durable::the_client_to_be_killed"])
            .env(CLIENT, server.url_of(&database))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        let mut told = Told::new();
        let mut read = |lines: &mut std::io::Lines<BufReader<std::process::ChildStdout>>| {
            let Some(Ok(line)) = lines.next() else { return false };
            if let Some((id, rest)) = line.strip_prefix("told ").and_then(|l| l.split_once(' ')) {
                let (version, is_revoked) = rest.split_once(' ').unwrap();
                let told_of = (version.parse().unwrap(), is_revoked == "true");
                told.insert(id.parse().unwrap(), told_of);
            }
            true
        };
        for _ in 0..20 + kill % 9 {
            assert!(read(&mut lines));
        }
        std::thread::sleep(Duration::from_micros(kill as u64 % 5 * 300));
        signal(client.id(), "KILL");
        while read(&mut lines) {}
        client.wait().unwrap();
        all += told.len();
        hold(&store, &told).await;
        server.psql(&database, "TRUNCATE keyward_keys, keyward_log");
    }
    assert!(all > kills(), "{all} keys were told of");
}

/// Not a test of its own: the process that the one above kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn the_client_to_be_killed() {
    let Ok(url) = std::env::var(CLIENT) else { return };
    let store = store(&url, 5);
    let workers: Vec<_> = (0..3)
        .map(|worker| {
            tokio::spawn(work(store.clone(), worker, |id, version, is_revoked| {
                let mut out = std::io::stdout().lock();
                writeln!(out, "told {id} {version} {is_revoked}").unwrap();
                out.flush().unwrap();
            }))
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}
