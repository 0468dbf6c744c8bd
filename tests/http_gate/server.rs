//! A real server, and clients that write bytes.

use std::fmt::Write;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use keyward::{ApiKeyLayer, Verified};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server on a free port of the loopback, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, serving }
    }

    /// `GET /` behind this layer.
    pub(crate) async fn guarding(layer: ApiKeyLayer) -> Self {
        Self::start(Router::new().route("/", get(whose)).route_layer(layer)).await
    }

    /// What the server answers to `GET /` with these headers.
    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.get_of("/", headers).await
    }

    pub(crate) async fn get_of(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        request.push_str("\r\n");
        self.send(request.as_bytes()).await
    }

    /// What it answers to these bytes.
    pub(crate) async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        Answer::read(&response)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Tells of the key, so that a test sees that the handler got it.
pub(crate) async fn whose(key: Verified) -> String {
    format!("{} of {}", key.key_id(), key.owner())
}

/// A response as it came, without its date.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Every header but `date`, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(response: &[u8]) -> Self {
        let end = response.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(response)));
        assert!(
            response[..end].iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0x20..=0x7e)),
            "{:?}",
            String::from_utf8_lossy(&response[..end])
        );
        let head = String::from_utf8(response[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            assert!(!value.contains(['\r', '\n']), "{line:?}");
            (name.to_owned(), value.to_owned())
        };
        let headers = lines.map(header).filter(|(name, _)| name != "date").collect();
        let body = String::from_utf8(response[end + 4..].to_vec()).unwrap();
        Self { status, headers, body }
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value
    }

    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().or(body["code"].as_str()).unwrap_or("none").to_owned()
    }
}
