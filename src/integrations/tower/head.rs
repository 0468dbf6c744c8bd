use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Uri};

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
        peer(&self.extensions)
    }

    fn client(&self) -> Option<ClientIp> {
        self.extensions.get().copied()
    }
}

/// A head that is read where it stands, its headers by names that were read once.
#[derive(Clone, Copy)]
pub(super) struct Head<'p> {
    headers: &'p HeaderMap,
    uri: &'p Uri,
    extensions: &'p Extensions,
    names: &'p [HeaderName],
}

impl<'p> Head<'p> {
    pub(super) fn of<B>(request: &'p Request<B>, names: &'p [HeaderName]) -> Self {
        let (headers, extensions) = (request.headers(), request.extensions());
        Self { headers, uri: request.uri(), extensions, names }
    }

    pub(super) fn of_parts(parts: &'p Parts, names: &'p [HeaderName]) -> Self {
        let Parts { headers, uri, extensions, .. } = parts;
        Self { headers, uri, extensions, names }
    }
}

impl RequestHead for Head<'_> {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let values = match self.names.iter().find(|known| known.as_str() == name) {
            Some(known) => self.headers.get_all(known),
            None => self.headers.get_all(name),
        };
        values.iter().map(HeaderValue::as_bytes)
    }

    fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    fn peer(&self) -> Option<IpAddr> {
        peer(self.extensions)
    }

    fn client(&self) -> Option<ClientIp> {
        self.extensions.get().copied()
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<SocketAddr>();
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| {
        let info = extensions.get::<::axum::extract::ConnectInfo<SocketAddr>>();
        info.map(|info| &info.0)
    });
    peer.map(SocketAddr::ip)
}
