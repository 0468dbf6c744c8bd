use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;
use http::request::Parts;

use crate::gate::RequestHead;
use crate::grant::ClientIp;

/// The peer is a [`SocketAddr`] among the extensions, and with the feature `axum` its
/// `ConnectInfo<SocketAddr>`; a [`ClientIp`] among them is the client itself.
impl RequestHead for Parts {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    fn peer(&self) -> Option<IpAddr> {
        let peer = self.extensions.get::<SocketAddr>();
        #[cfg(feature = "axum")]
        let peer = peer.or_else(|| {
            let info = self.extensions.get::<::axum::extract::ConnectInfo<SocketAddr>>();
            info.map(|info| &info.0)
        });
        peer.map(SocketAddr::ip)
    }

    fn client(&self) -> Option<ClientIp> {
        self.extensions.get().copied()
    }
}
