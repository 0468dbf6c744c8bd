use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Result;

/// What becomes of the connections that go through a [`Proxy`], and of new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    /// They are closed, as when the server is gone.
    Closed,
    /// They stay open and nothing comes through, as when the network is gone. What was on
    /// its way arrives when it is back.
    Silent,
}

/// The only way from one node to the server.
pub(crate) struct Proxy {
    port: u16,
    line: watch::Sender<Line>,
}

impl Proxy {
    /// A proxy on the loopback interface before this `host:port`.
    pub(crate) async fn before(server: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (line, lines) = watch::channel(Line::Open);
        tokio::spawn(accept(listener, server, lines));
        Ok(Self { port, line })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// Until the proxy is dropped.
async fn accept(listener: TcpListener, server: String, mut line: watch::Receiver<Line>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(pass_on(client, server.clone(), line.clone()));
                }
            }
            changed = line.changed() => if changed.is_err() { return },
        }
    }
}

async fn pass_on(client: TcpStream, server: String, line: watch::Receiver<Line>) {
    if until(line.clone(), |line| line != Line::Silent).await != Some(Line::Open) {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, line.clone()) => {}
        () = pump(from_server, to_client, line.clone()) => {}
        _ = until(line, |line| line == Line::Closed) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, line: watch::Receiver<Line>) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let open = until(line.clone(), |line| line != Line::Silent).await.is_some();
        if !open || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// The state of the line once it is as wanted; `None` if the proxy is no more.
async fn until(mut line: watch::Receiver<Line>, is_so: impl Fn(Line) -> bool) -> Option<Line> {
    line.wait_for(|line| is_so(*line)).await.ok().map(|line| *line)
}
