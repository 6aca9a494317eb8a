//! Where a client comes from, as far as bounds go: one IPv4 address, or the /64 that one
//! owner of IPv6 addresses has in any case. It must not know what is bounded.

use std::net::{IpAddr, Ipv6Addr};

/// An address or network whose clients share what one of them may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(IpAddr);

/// The bits of an IPv6 address that name a network.
const NETWORK: u128 = !0 << 64;

impl Origin {
    /// The origin of an address; an IPv4 address is the same one in its IPv6 form.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & NETWORK).into(),
            four @ IpAddr::V4(_) => four,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_stands_alone_and_an_ipv6_network_is_one() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("10.1.2.3"), of("::ffff:10.1.2.3"));
        assert_ne!(of("10.1.2.3"), of("10.1.2.4"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::9"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }
}
