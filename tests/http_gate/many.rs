//! 10,000 connections at once: the server here, the clients in another process, so that each
//! needs a file descriptor for only one end of them.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keyward::{ApiKeyLayer, Environment, NewKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, Semaphore};
use tokio::time::timeout;

use crate::fixture::World;
use crate::server::Server;

const CONNECTIONS: usize = 10_000;
const SERVER: &str = "KEYWARD_HTTP_SERVER";
const KEY: &str = "KEYWARD_HTTP_KEY";
const COUNT: &str = "KEYWARD_HTTP_CONNECTIONS";

/// Descriptors that this process may open, after asking for as many as it may have.
fn descriptors() -> usize {
    let limits = || {
        let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Max open files")).map(str::to_owned);
        let line = line.unwrap_or_default();
        let mut numbers = line.split_ascii_whitespace().skip(3).map(|number| number.parse().ok());
        let mut next = || numbers.next().map_or(256, |number| number.unwrap_or(usize::MAX));
        (next(), next())
    };
    let (soft, hard) = limits();
    if soft < CONNECTIONS + 200 && soft < hard {
        let (process, wanted) = (std::process::id(), hard.min(CONNECTIONS + 1_000));
        let mut raise = Command::new("prlimit");
        raise.arg(format!("--pid={process}")).arg(format!("--nofile={wanted}:{hard}"));
        let _ = raise.stderr(Stdio::null()).status();
    }
    limits().0
}

/// As many as the system lets one process have, which is said, and at most 10,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_at_once() {
    let count = CONNECTIONS.min(descriptors().saturating_sub(200));
    println!("{count} connections");
    let world = World::new();
    let gate = ApiKeyLayer::new(world.keys.clone(), Environment::PRODUCTION);
    let server = Server::guarding(gate.require("read:a").unwrap()).await;
    let key = world.issue(NewKey::named("k").owner("o").permissions(["read:a"])).1;
    let clients = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "many::clients", "--nocapture"])
        .env(SERVER, server.address.to_string())
        .env(KEY, key.expose_secret())
        .env(COUNT, count.to_string())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(300), clients).await.expect("too slow").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("all {count} served twice")), "{said}");
}

/// The other process; nothing when it is not told of a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients() {
    let Ok(address) = std::env::var(SERVER) else { return };
    let address: SocketAddr = address.parse().unwrap();
    let count: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    assert!(descriptors() > count + 50);
    let key = std::env::var(KEY).unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n\r\n");
    let request: Arc<str> = request.into();
    let all_open = Arc::new(Barrier::new(count));
    // So many at a time that the queue of the listener holds them.
    let connecting = Arc::new(Semaphore::new(256));
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let (request, all_open) = (request.clone(), all_open.clone());
            let connecting = connecting.clone();
            tokio::spawn(async move {
                let permit = connecting.acquire().await.unwrap();
                let mut stream = TcpStream::connect(address).await.unwrap();
                served(&mut stream, &request).await;
                drop(permit);
                all_open.wait().await;
                served(&mut stream, &request).await;
                all_open.wait().await;
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    println!("all {count} served twice");
}

async fn served(stream: &mut TcpStream, request: &str) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b" of o") {
        let read = stream.read_buf(&mut response).await.unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&response));
    }
    assert!(response.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&response));
}
