use std::net::IpAddr;

use crate::grant::ClientIp;

/// The head of an HTTP request, as any framework has it.
///
/// ```
/// use std::net::IpAddr;
///
/// use keyward::RequestHead;
///
/// /// A request of some framework: pairs of header names and values, and its peer.
/// struct Request {
///     headers: Vec<(String, Vec<u8>)>,
///     peer: Option<IpAddr>,
/// }
///
/// impl RequestHead for Request {
///     fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
///         let named = self.headers.iter().filter(move |(it, _)| it.eq_ignore_ascii_case(name));
///         named.map(|(_, value)| &**value)
///     }
///
///     fn peer(&self) -> Option<IpAddr> {
///         self.peer
///     }
/// }
/// ```
///
/// # Contract
///
/// Reading allocates nothing if the implementation doesn't.
pub trait RequestHead {
    /// The values of every header of this name, in the order they came.
    ///
    /// Names are compared without regard to case; `name` is in lower case. A header that
    /// came twice gives two values: joining them would hide that it did.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// The query of the URI, as it came, without the `?`.
    fn query(&self) -> Option<&str> {
        None
    }

    /// The other end of the connection, if it is known.
    fn peer(&self) -> Option<IpAddr>;

    /// The client, if the host has found out by itself who it is: then neither the peer nor
    /// a forwarding header is asked.
    fn client(&self) -> Option<ClientIp> {
        None
    }
}
