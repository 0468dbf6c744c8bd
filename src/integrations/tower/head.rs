use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use http::{HeaderName, HeaderValue};

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

/// A head whose headers are found by names that were read once, and not for each request.
pub(super) struct Head<'p> {
    pub(super) parts: &'p Parts,
    pub(super) names: &'p [HeaderName],
}

impl RequestHead for Head<'_> {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let values = match self.names.iter().find(|known| known.as_str() == name) {
            Some(known) => self.parts.headers.get_all(known),
            None => self.parts.headers.get_all(name),
        };
        values.iter().map(HeaderValue::as_bytes)
    }

    fn query(&self) -> Option<&str> {
        self.parts.query()
    }

    fn peer(&self) -> Option<IpAddr> {
        self.parts.peer()
    }

    fn client(&self) -> Option<ClientIp> {
        self.parts.client()
    }
}
