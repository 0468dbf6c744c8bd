//! The generator: a task for each connection, which sends its next request when the answer to
//! the last has come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// Whole requests, made beforehand.
pub(crate) type Requests = Arc<[Vec<u8>]>;

/// Connections that stay open, all asked by one thread.
pub(crate) struct Load {
    runtime: Runtime,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Which request is next.
    next: usize,
}

/// One request for each token, as a client of some library would send it.
pub(crate) fn requests(path: &str, tokens: &[String]) -> Requests {
    let request = |token: &String| {
        let head = "host: api.example.com\r\nuser-agent: bench/1.0\r\naccept: application/json";
        format!("GET {path} HTTP/1.1\r\n{head}\r\nx-api-key: {token}\r\n\r\n").into_bytes()
    };
    tokens.iter().map(request).collect()
}

impl Load {
    pub(crate) fn connect(address: SocketAddr, connections: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connections = (0..connections).map(|number| {
            let stream = runtime.block_on(TcpStream::connect(address)).unwrap();
            stream.set_nodelay(true).unwrap();
            Connection { stream, buffer: Vec::with_capacity(4096), next: number * 7 }
        });
        let connections = connections.collect();
        Self { runtime, connections }
    }

    /// Sends so many requests on each connection, and gives how long each took, in
    /// microseconds, and all together, in nanoseconds for one.
    pub(crate) fn run(&mut self, each: usize, requests: &Requests) -> (Vec<f64>, f64) {
        let start = Instant::now();
        let mut times = Vec::with_capacity(each * self.connections.len());
        let mut tasks = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let requests = Arc::clone(requests);
            let asked = async move {
                let times = connection.ask(each, &requests).await;
                (connection, times)
            };
            tasks.spawn_on(asked, self.runtime.handle());
        }
        self.runtime.block_on(async {
            while let Some(asked) = tasks.join_next().await {
                let (connection, taken) = asked.unwrap();
                self.connections.push(connection);
                times.extend(taken);
            }
        });
        let one = start.elapsed().as_secs_f64() * 1e9 / times.len() as f64;
        (times, one)
    }
}

impl Connection {
    async fn ask(&mut self, count: usize, requests: &Requests) -> Vec<f64> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            self.next = (self.next + 1) % requests.len();
            let start = Instant::now();
            self.stream.write_all(&requests[self.next]).await.unwrap();
            self.buffer.clear();
            while !is_whole(&self.buffer) {
                let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
                assert!(read > 0, "the server closed a connection");
            }
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        times
    }
}

/// Whether a response has come to its end, which its length tells.
fn is_whole(response: &[u8]) -> bool {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(head) = find(response, b"\r\n\r\n") else { return false };
    let at = find(&response[..head], LENGTH).expect("a length") + LENGTH.len();
    let digits = response[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let body = digits.fold(0, |number, byte| number * 10 + usize::from(byte - b'0'));
    response.len() >= head + 4 + body
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
