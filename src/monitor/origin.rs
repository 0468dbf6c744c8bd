use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

use crate::grant::{ClientIp, Network};

/// Whom an address stands for, in 64 bits: an IPv4 address, or the /64 of an IPv6 address,
/// which is what one subscriber is given (RFC 6177) and can choose addresses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin(NonZeroU64);

/// IPv4 addresses lie where IPv6 has multicast (`ffff:ffff::/32`), which nothing comes from.
const V4: u64 = 0xffff_ffff_0000_0000;

impl Origin {
    pub(super) fn of(client: ClientIp) -> Option<Self> {
        let bits = match client.address()? {
            IpAddr::V4(address) => V4 | u64::from(address.to_bits()),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).ok()?,
        };
        // `::/64` is where loopback is; nothing routed comes from the network beside it.
        Some(Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN)))
    }

    pub(super) fn network(self) -> Network {
        let bits = self.0.get();
        let [.., a, b, c, d] = bits.to_be_bytes();
        if bits & V4 == V4 {
            return Network::of_client(Ipv4Addr::from([a, b, c, d]).into());
        }
        let bits = if bits == 1 { 0 } else { bits };
        Network::of_client(Ipv6Addr::from_bits(u128::from(bits) << 64).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(address: &str) -> String {
        let origin = Origin::of(ClientIp::Peer(address.parse().unwrap())).unwrap();
        origin.network().to_string()
    }

    #[test]
    fn an_ipv6_address_stands_for_its_64_and_an_ipv4_address_for_itself() {
        assert_eq!(shown("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(shown("192.0.2.7"), "192.0.2.7");
        assert_eq!(shown("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!((shown("::1"), shown("0.0.0.0")), ("::/64".to_owned(), "0.0.0.0".to_owned()));
        assert_eq!(Origin::of(ClientIp::Unknown), None);
    }

    proptest! {
        #[test]
        fn the_network_holds_the_address(bits: u128, v4: u32) {
            for address in [IpAddr::V6(bits.into()), IpAddr::V4(v4.into())] {
                // Multicast is no source.
                prop_assume!(!address.to_canonical().is_ipv6() || bits >> 96 != 0xffff_ffff);
                let origin = Origin::of(ClientIp::Peer(address)).unwrap();
                prop_assert!(origin.network().contains(address));
            }
        }
    }
}
