//! Networks as the configuration writes them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A network: an address whose bits beyond the first `bits` are 0. A v4-mapped one is the v4
/// network that it maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadNetwork {
    Address,
    Bits,
    /// Bits are set beyond the network, which is this one.
    HostBits(Network),
}

impl Network {
    pub(crate) fn parse(text: &str) -> Result<Network, BadNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| BadNetwork::Address)?;
        let address = written.to_canonical();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let Some(bits) = bits else {
            return Ok(Network {
                address,
                bits: width,
            });
        };
        // `u8::from_str` takes a sign, which no network has.
        let is_digits = bits.bytes().all(|octet| octet.is_ascii_digit());
        let bits: u8 = bits
            .parse()
            .ok()
            .filter(|_| is_digits)
            .ok_or(BadNetwork::Bits)?;
        // ::ffff:a.b.c.d/96+n is a.b.c.d/n; anything shorter would reach beyond v4.
        let mapped = if written.is_ipv6() && address.is_ipv4() {
            96
        } else {
            0
        };
        let bits = bits
            .checked_sub(mapped)
            .filter(|bits| *bits <= width)
            .ok_or(BadNetwork::Bits)?;
        let meant = Network {
            address: first_of(address, bits),
            bits,
        };
        if meant.address == address {
            Ok(meant)
        } else {
            Err(BadNetwork::HostBits(meant))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn first_of(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((it.to_bits() & mask).into())
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((it.to_bits() & mask).into())
        }
    }
}

/// An address with its port, or with SIP's if it has none. A v4-mapped one is its v4 address.
pub(crate) fn socket_address(text: &str) -> Option<SocketAddr> {
    const PORT: u16 = 5060;
    let bare = text
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(text);
    let address: SocketAddr = match bare.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, PORT),
        Err(_) => text.parse().ok()?,
    };
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}
