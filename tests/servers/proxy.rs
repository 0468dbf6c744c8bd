use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::postgres::url;

/// Passes TCP connections on to a server, and spoils them when told to.
///
/// Every command holds for the connections there are and for those to come.
pub(crate) struct Proxy(Arc<Inner>);

struct Inner {
    port: u16,
    /// Where connections are passed on to; 0 refuses them.
    server: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    swallows: AtomicBool,
    delay_micros: AtomicU64,
    /// How many more bytes the server may answer before all is cut; negative is any number.
    answer: AtomicI64,
    /// The same for what clients say.
    request: AtomicI64,
    /// How many more pieces the server may answer before all is cut, and the same for what
    /// clients say; negative is any number.
    pieces: [AtomicI64; 2],
}

impl Proxy {
    /// A proxy before a server on the loopback interface.
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let inner = Arc::new(Inner {
            port: listener.local_addr().unwrap().port(),
            server: AtomicU64::new(port.into()),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            swallows: AtomicBool::new(false),
            delay_micros: AtomicU64::new(0),
            answer: AtomicI64::new(-1),
            request: AtomicI64::new(-1),
            pieces: [AtomicI64::new(-1), AtomicI64::new(-1)],
        });
        let accepting = Arc::downgrade(&inner);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Some(inner) = accepting.upgrade() else { return };
                inner.accept(&client);
            }
        });
        Self(inner)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    /// The URL of a `PostgreSQL` database through it.
    pub(crate) fn url_of(&self, database: &str) -> String {
        url(self.0.port, database)
    }

    /// How many connections have been made so far.
    pub(crate) fn accepted(&self) -> usize {
        self.0.accepted.load(SeqCst)
    }

    /// Ends every connection there is; new ones are passed on.
    pub(crate) fn cut(&self) {
        self.0.cut();
    }

    /// Ends every connection there is, and every new one at once.
    pub(crate) fn refuse(&self) {
        self.0.server.store(0, SeqCst);
        self.0.cut();
    }

    /// Passes new connections on to this port from now on.
    pub(crate) fn pass_to(&self, port: u16) {
        self.0.server.store(port.into(), SeqCst);
    }

    /// Whether bytes vanish, both ways, while connections stay open.
    pub(crate) fn swallow(&self, on: bool) {
        self.0.swallows.store(on, SeqCst);
    }

    /// Holds back each piece for this long, both ways.
    pub(crate) fn delay(&self, by: Duration) {
        self.0.delay_micros.store(u64::try_from(by.as_micros()).unwrap(), SeqCst);
    }

    /// Cuts all connections once the server has answered so many more bytes.
    pub(crate) fn cut_answer_after(&self, bytes: usize) {
        self.0.answer.store(i64::try_from(bytes).unwrap(), SeqCst);
    }

    /// Cuts all connections once clients have said so many more bytes.
    pub(crate) fn cut_request_after(&self, bytes: usize) {
        self.0.request.store(i64::try_from(bytes).unwrap(), SeqCst);
    }

    /// Cuts all connections when, after so many more pieces that went through, clients say
    /// another, or the server answers one, which is lost.
    pub(crate) fn cut_at_message(&self, pieces: usize, is_answer: bool) {
        let [answers, requests] = &self.0.pieces;
        let pieces_left = if is_answer { answers } else { requests };
        pieces_left.store(i64::try_from(pieces).unwrap(), SeqCst);
    }

    /// Counts no more pieces; whether one was lost.
    pub(crate) fn mend_messages(&self) -> bool {
        let left = self.0.pieces.each_ref().map(|left| left.swap(-1, SeqCst));
        left.iter().all(|left| *left < 0)
    }

    /// Passes everything on again.
    pub(crate) fn mend(&self) {
        self.swallow(false);
        self.delay(Duration::ZERO);
        self.0.answer.store(-1, SeqCst);
        self.0.request.store(-1, SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0.port));
    }
}

impl Inner {
    fn accept(self: &Arc<Self>, client: &TcpStream) {
        let port = u16::try_from(self.server.load(SeqCst)).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Some(server) = (port != 0).then(|| TcpStream::connect(address).ok()).flatten() else {
            return;
        };
        self.accepted.fetch_add(1, SeqCst);
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let clone = |stream: &TcpStream| stream.try_clone().unwrap();
        {
            let mut connections = self.connections.lock().unwrap();
            connections.retain(|connection| connection.peer_addr().is_ok());
            connections.extend([clone(client), clone(&server)]);
        }
        for (from, to, is_answer) in
            [(clone(client), clone(&server), false), (clone(&server), clone(client), true)]
        {
            let inner = Arc::clone(self);
            std::thread::spawn(move || inner.pump(from, to, is_answer));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let delay = self.delay_micros.load(SeqCst);
            if delay > 0 {
                std::thread::sleep(Duration::from_micros(delay));
            }
            if self.swallows.load(SeqCst) {
                continue;
            }
            let [answers, requests] = &self.pieces;
            let pieces = if is_answer { answers } else { requests };
            let one_less = |left: i64| (left >= 0).then(|| left - 1);
            if pieces.fetch_update(SeqCst, SeqCst, one_less) == Ok(0) {
                self.cut();
                break;
            }
            let budget = if is_answer { &self.answer } else { &self.request };
            let allowed = Self::spend(budget, read);
            if to.write_all(&bytes[..allowed]).is_err() {
                break;
            }
            if allowed < read {
                self.cut();
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// How many of these bytes still go through.
    fn spend(budget: &AtomicI64, bytes: usize) -> usize {
        let bytes = i64::try_from(bytes).unwrap();
        let spent = |left: i64| (left >= 0).then(|| (left - bytes).max(0));
        match budget.fetch_update(SeqCst, SeqCst, spent) {
            Ok(left) => usize::try_from(left.min(bytes)).unwrap(),
            Err(_) => usize::try_from(bytes).unwrap(),
        }
    }

    fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}
