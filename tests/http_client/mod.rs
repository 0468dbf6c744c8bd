//! A small HTTP/1.1 client over real sockets, and a server of a router on a free port.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use serde_json::Value;

/// A router that is served on a free port of 127.0.0.1 until this is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Served {
    pub(crate) fn new(router: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, service).await });
        Self { address, runtime: Some(runtime) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sends requests with some headers that all have, over connections that it keeps.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    /// Sees the method, the path and the answer of each request.
    check: fn(&str, &str, &Reply),
    idle: Arc<Mutex<Vec<TcpStream>>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new(), check: |_, _, _| {}, idle: Arc::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn checked(self, check: fn(&str, &str, &Reply)) -> Self {
        Self { check, ..self }
    }

    /// What `curl -H "Authorization: Bearer …"` sends.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    /// A body of JSON, under that content type.
    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        let typed = self.clone().with("Content-Type", "application/json");
        typed.send(method, path, Some(&body.to_string()))
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        let mut lines = vec![format!("{method} {path} HTTP/1.1")];
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            lines.push(format!("Host: {}", self.address));
        }
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.extend(body.map(|body| format!("Content-Length: {}", body.len())));
        let request = format!("{}\r\n\r\n{}", lines.join("\r\n"), body.unwrap_or_default());
        let kept = self.idle.lock().unwrap().pop();
        let kept = kept.map(|stream| self.exchange(stream, request.as_bytes(), method));
        let reply = match kept {
            Some(Ok(reply)) => reply,
            // It was closed meanwhile.
            _ => self.exchange(self.connect(), request.as_bytes(), method).unwrap(),
        };
        (self.check)(method, path, &reply);
        reply
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn exchange(&self, mut stream: TcpStream, request: &[u8], method: &str) -> io::Result<Reply> {
        stream.write_all(request)?;
        let mut answer = Vec::new();
        let head = loop {
            if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break Reply::parse(&answer[..end + 4]);
            }
            more(&mut stream, &mut answer)?;
        };
        let length: usize = head.header("content-length").map_or(0, |text| text.parse().unwrap());
        let whole = head.bytes.len() + if method == "HEAD" { 0 } else { length };
        while answer.len() < whole {
            more(&mut stream, &mut answer)?;
        }
        if head.header("connection") != Some("close") {
            self.idle.lock().unwrap().push(stream);
        }
        Ok(Reply::parse(&answer))
    }

    /// Sends bytes as they are, and reads until the server closes the connection.
    pub(crate) fn raw(&self, request: &[u8]) -> Reply {
        self.held_back(request, &[], || {})
    }

    /// The same in two parts, with something done between them.
    pub(crate) fn held_back(&self, first: &[u8], rest: &[u8], between: impl FnOnce()) -> Reply {
        let mut stream = self.connect();
        // A server that refuses early may stop reading.
        let _ = stream.write_all(first);
        between();
        let _ = stream.write_all(rest);
        let mut answer = Vec::new();
        while more(&mut stream, &mut answer).is_ok() {}
        Reply::parse(&answer)
    }
}

fn more(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    match stream.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => {
            answer.extend_from_slice(&chunk[..read]);
            Ok(())
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Everything, as it came.
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
        Self { status, headers, body, bytes: bytes.to_vec() }
    }

    /// The value of a header, which is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} twice");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Fails unless the status is this; shows the answer then.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}
