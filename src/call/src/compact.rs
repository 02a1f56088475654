//! What a call keeps for hours, in as few octets as it can be said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base::{Time, Transport};

use crate::Target;

/// A moment that may not have come yet: 8 octets, where an `Option<Time>` takes 16.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

impl Moment {
    /// Not yet.
    pub const NONE: Moment = Moment(u64::MAX);

    /// This one. The last microsecond of 584,000 years is not told from none.
    #[must_use]
    pub const fn at(time: Time) -> Moment {
        Moment(time.0)
    }

    /// When it was, if it was.
    #[must_use]
    pub const fn get(self) -> Option<Time> {
        match self {
            Moment::NONE => None,
            Moment(us) => Some(Time(us)),
        }
    }

    /// Whether it has come.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != Moment::NONE.0
    }

    /// Whether it has not come.
    #[must_use]
    pub const fn is_none(self) -> bool {
        !self.is_some()
    }

    /// Sets it if it has not come before.
    pub fn set_once(&mut self, time: Time) {
        if self.is_none() {
            *self = Moment::at(time);
        }
    }
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// A [`Target`] in 19 octets instead of 36. An address in a URI has no scope to lose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    ip: [u8; 16],
    port: [u8; 2],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Peer,
    V4(Transport),
    V6(Transport),
}

impl From<Target> for Packed {
    fn from(target: Target) -> Packed {
        let Target::Address(transport, address) = target else {
            return Packed {
                ip: [0; 16],
                port: [0; 2],
                kind: Kind::Peer,
            };
        };
        let (ip, kind) = match address.ip() {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().octets(), Kind::V4(transport)),
            IpAddr::V6(v6) => (v6.octets(), Kind::V6(transport)),
        };
        Packed {
            ip,
            port: address.port().to_be_bytes(),
            kind,
        }
    }
}

impl Packed {
    /// As it was.
    #[must_use]
    pub fn target(&self) -> Target {
        let port = u16::from_be_bytes(self.port);
        let [.., a, b, c, d] = self.ip;
        match self.kind {
            Kind::Peer => Target::Peer,
            Kind::V4(transport) => {
                let ip = Ipv4Addr::new(a, b, c, d);
                Target::Address(transport, SocketAddr::from((ip, port)))
            }
            Kind::V6(transport) => {
                let ip = Ipv6Addr::from(self.ip);
                Target::Address(transport, SocketAddr::from((ip, port)))
            }
        }
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.target().fmt(f)
    }
}

const _: () = assert!(size_of::<Packed>() <= 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_back_as_they_went() {
        let addresses = [
            "192.0.2.1:5060",
            "[2001:db8::1]:5061",
            "[::ffff:192.0.2.1]:5060",
            "0.0.0.0:0",
        ];
        for address in addresses {
            for transport in [Transport::Udp, Transport::Tcp] {
                let address = address.parse().expect("an address");
                let target = Target::Address(transport, address);
                assert_eq!(Packed::from(target).target(), target);
            }
        }
        assert_eq!(Packed::from(Target::Peer).target(), Target::Peer);
    }

    #[test]
    fn a_moment_comes_once() {
        let mut moment = Moment::NONE;
        assert_eq!((moment.get(), moment.is_none()), (None, true));
        moment.set_once(Time(0));
        moment.set_once(Time(9));
        assert_eq!((moment.get(), moment.is_some()), (Some(Time(0)), true));
    }
}
