//! Whose request this is: trunks and gateways found by the address a request came from.
//!
//! Cost: one binary search for each distinct prefix length of the file, longest first; a file
//! with `/32`, `/29` and `/24` costs at most three. Nothing is hashed, nothing allocated.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base::{GatewayId, Transport, TrunkId};

/// Addresses that a trunk's requests come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Source {
    /// The network; a v4-mapped one is the v4 network it maps.
    pub network: IpAddr,
    /// How many leading bits of it count.
    pub bits: u8,
    /// The source port, if only one belongs to the trunk.
    pub port: Option<u16>,
    /// The transport, if only one belongs to the trunk.
    pub transport: Option<Transport>,
}

impl Source {
    /// One network, any port, any transport. Host bits are cleared.
    ///
    /// `None` if there are more `bits` than the family has.
    #[must_use]
    pub fn network(network: IpAddr, bits: u8) -> Option<Source> {
        let key = Key::of(network);
        let bits = match (network, key.family) {
            // ::ffff:a.b.c.d/96+n is a.b.c.d/n; anything shorter would reach beyond v4.
            (IpAddr::V6(_), Family::V4) => bits.checked_sub(96)?,
            _ => bits,
        };
        if bits > key.family.bits() {
            return None;
        }
        Some(Source {
            network: key.masked(bits).address(),
            bits,
            port: None,
            transport: None,
        })
    }

    /// One address, any port, any transport.
    #[must_use]
    pub fn address(address: IpAddr) -> Source {
        let key = Key::of(address);
        Source {
            network: key.address(),
            bits: key.family.bits(),
            port: None,
            transport: None,
        }
    }

    /// Reads `address`, `address/bits`; the rest is set by the caller.
    #[must_use]
    pub fn parse(text: &str) -> Option<Source> {
        match text.split_once('/') {
            None => Some(Source::address(text.parse().ok()?)),
            Some((address, bits)) => Source::network(address.parse().ok()?, bits.parse().ok()?),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)?;
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        if let Some(transport) = self.transport {
            write!(f, " {transport}")?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// The address of all ones.
    const fn whole(self) -> Key {
        Key {
            family: self,
            number: u128::MAX >> (128 - self.bits() as u32),
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

/// An address as a number of its family; v4-mapped addresses are of the family they map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    family: Family,
    number: u128,
}

impl Key {
    fn of(address: IpAddr) -> Key {
        match address.to_canonical() {
            IpAddr::V4(v4) => Key {
                family: Family::V4,
                number: u128::from(v4.to_bits()),
            },
            IpAddr::V6(v6) => Key {
                family: Family::V6,
                number: v6.to_bits(),
            },
        }
    }

    fn masked(self, bits: u8) -> Key {
        let low = u32::from(self.family.bits() - bits);
        let number = self.number.checked_shr(low).unwrap_or(0);
        Key {
            family: self.family,
            number: number.checked_shl(low).unwrap_or(0),
        }
    }

    fn address(self) -> IpAddr {
        match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(self.number as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(self.number)),
        }
    }
}

/// All sources of all trunks, sorted for the search.
#[derive(Debug, Default)]
pub(crate) struct Ingress {
    /// Longest prefix first; within one network the entry that says most first.
    entries: Box<[Entry]>,
    /// One run of `entries` for each family and prefix length.
    runs: Box<[Run]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    bits: u8,
    port: Option<u16>,
    transport: Option<Transport>,
    trunk: TrunkId,
}

impl Entry {
    /// Port weighs more than transport: a port is nearly a host, a transport is half the world.
    fn generality(&self) -> u8 {
        u8::from(self.port.is_none()) * 2 + u8::from(self.transport.is_none())
    }
}

#[derive(Clone, Copy, Debug)]
struct Run {
    family: Family,
    bits: u8,
    /// What of an address counts.
    mask: u128,
    start: u32,
    end: u32,
}

impl Ingress {
    /// Sorts the sources. The second of two that say exactly the same comes back as an error.
    pub(crate) fn build(
        sources: impl Iterator<Item = (TrunkId, Source)>,
    ) -> Result<Ingress, (TrunkId, TrunkId, Source)> {
        let mut entries: Vec<Entry> = sources
            .map(|(trunk, source)| Entry {
                key: Key::of(source.network).masked(source.bits),
                bits: source.bits,
                port: source.port,
                transport: source.transport,
                trunk,
            })
            .collect();
        entries.sort_by_key(|entry| {
            let length = (entry.key.family, std::cmp::Reverse(entry.bits));
            let said = (entry.generality(), entry.port, entry.transport);
            (length, entry.key, said)
        });
        for pair in entries.windows(2) {
            let said = |entry: &Entry| (entry.key, entry.bits, entry.port, entry.transport);
            if said(&pair[0]) == said(&pair[1]) {
                let source = Source {
                    network: pair[1].key.address(),
                    bits: pair[1].bits,
                    port: pair[1].port,
                    transport: pair[1].transport,
                };
                return Err((pair[0].trunk, pair[1].trunk, source));
            }
        }
        let mut runs: Vec<Run> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if (run.family, run.bits) == (entry.key.family, entry.bits) => {
                    run.end = at as u32 + 1;
                }
                _ => runs.push(Run {
                    family: entry.key.family,
                    bits: entry.bits,
                    mask: entry.key.family.whole().masked(entry.bits).number,
                    start: at as u32,
                    end: at as u32 + 1,
                }),
            }
        }
        Ok(Ingress {
            entries: entries.into(),
            runs: runs.into(),
        })
    }

    /// The trunk with the most specific source that takes this peer in.
    pub(crate) fn find(&self, peer: SocketAddr, transport: Transport) -> Option<TrunkId> {
        self.matching(peer.ip(), |entry| {
            entry.port.is_none_or(|port| port == peer.port())
                && entry.transport.is_none_or(|only| only == transport)
        })
    }

    /// Whether any trunk may send from this address, whatever the port.
    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        self.matching(address, |_| true).is_some()
    }

    fn matching(&self, address: IpAddr, fits: impl Fn(&Entry) -> bool) -> Option<TrunkId> {
        let key = Key::of(address);
        for run in self.runs.iter().filter(|run| run.family == key.family) {
            let entries = &self.entries[run.start as usize..run.end as usize];
            // All of a run are of one family: only the numbers differ.
            let wanted = key.number & run.mask;
            let first = entries.partition_point(|entry| entry.key.number < wanted);
            let same = entries[first..]
                .iter()
                .take_while(|entry| entry.key.number == wanted);
            if let Some(entry) = same.into_iter().find(|entry| fits(entry)) {
                return Some(entry.trunk);
            }
        }
        None
    }
}

/// Gateways by the address they send from.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    /// Sorted by address, port, transport.
    entries: Box<[(IpAddr, u16, Transport, GatewayId)]>,
}

impl Egress {
    pub(crate) fn build(
        gateways: impl Iterator<Item = (SocketAddr, Transport, GatewayId)>,
    ) -> Egress {
        let mut entries: Vec<_> = gateways
            .map(|(at, transport, id)| (at.ip().to_canonical(), at.port(), transport, id))
            .collect();
        entries.sort_unstable();
        Egress {
            entries: entries.into(),
        }
    }

    /// The gateway at this address: best with the same port and transport, then the same port,
    /// then any (a gateway opens its own TCP connections from a port of the moment).
    pub(crate) fn find(&self, peer: SocketAddr, transport: Transport) -> Option<GatewayId> {
        let here = self.at(peer.ip().to_canonical());
        let exact = here.iter().find(|e| (e.1, e.2) == (peer.port(), transport));
        let port = || here.iter().find(|e| e.1 == peer.port());
        exact.or_else(port).or(here.first()).map(|entry| entry.3)
    }

    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        !self.at(address.to_canonical()).is_empty()
    }

    fn at(&self, address: IpAddr) -> &[(IpAddr, u16, Transport, GatewayId)] {
        let start = self.entries.partition_point(|entry| entry.0 < address);
        let end = self.entries.partition_point(|entry| entry.0 <= address);
        &self.entries[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        let mut words = text.split(' ');
        let mut source = Source::parse(words.next().expect("a network")).expect(text);
        for word in words {
            match word {
                "udp" => source.transport = Some(Transport::Udp),
                "tcp" => source.transport = Some(Transport::Tcp),
                port => source.port = Some(port.parse().expect("a port")),
            }
        }
        source
    }

    fn check(sources: &[&str], want: &[(&str, Transport, Option<u32>)]) {
        let numbered = sources.iter().enumerate();
        let table = Ingress::build(numbered.map(|(at, text)| (TrunkId(at as u32), source(text))))
            .expect("no two alike");
        for &(peer, transport, trunk) in want {
            let found = table.find(peer.parse().expect(peer), transport);
            assert_eq!(
                found,
                trunk.map(TrunkId),
                "{peer} {transport} in {sources:?}"
            );
        }
    }

    use Transport::{Tcp, Udp};

    #[test]
    fn most_specific_source_wins() {
        check(
            &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0"],
            &[
                ("10.9.9.9:5060", Udp, Some(0)),
                ("10.1.9.9:5060", Tcp, Some(1)),
                ("10.1.2.3:1", Udp, Some(2)),
                ("192.0.2.1:5060", Udp, Some(3)),
                ("[2001:db8::1]:5060", Udp, None),
            ],
        );
    }

    #[test]
    fn network_then_port_then_transport() {
        check(
            &[
                "192.0.2.1",
                "192.0.2.1 tcp",
                "192.0.2.1 5070",
                "192.0.2.1 5070 udp",
                "192.0.2.0/24 5099 udp",
            ],
            &[
                ("192.0.2.1:5060", Udp, Some(0)),
                ("192.0.2.1:5060", Tcp, Some(1)),
                ("192.0.2.1:5070", Tcp, Some(2)),
                ("192.0.2.1:5070", Udp, Some(3)),
                ("192.0.2.1:5099", Udp, Some(0)),
                ("192.0.2.2:5099", Udp, Some(4)),
                ("192.0.2.2:5098", Udp, None),
            ],
        );
    }

    #[test]
    fn a_source_that_does_not_fit_leaves_the_shorter_one() {
        check(
            &["192.0.2.1 5070", "192.0.2.0/24"],
            &[
                ("192.0.2.1:5060", Udp, Some(1)),
                ("192.0.2.1:5070", Udp, Some(0)),
            ],
        );
    }

    #[test]
    fn a_mapped_address_is_the_v4_address() {
        check(
            &["192.0.2.0/24", "::ffff:198.51.100.0/120", "::/0"],
            &[
                ("[::ffff:192.0.2.7]:5060", Udp, Some(0)),
                ("198.51.100.9:5060", Udp, Some(1)),
                ("[2001:db8::9]:5060", Udp, Some(2)),
                ("203.0.113.1:5060", Udp, None),
            ],
        );
        assert_eq!(Source::parse("::ffff:10.0.0.0/95"), None);
    }

    #[test]
    fn ipv6_by_prefix() {
        check(
            &["2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::5"],
            &[
                ("[2001:db8:2::1]:5060", Udp, Some(0)),
                ("[2001:db8:1::1]:5060", Udp, Some(1)),
                ("[2001:db8:1::5]:5060", Udp, Some(2)),
                ("[2001:db9::1]:5060", Udp, None),
            ],
        );
    }

    #[test]
    fn two_alike_are_an_error() {
        let sources = [source("10.1.2.3/8"), source("::ffff:10.0.0.0/104")];
        let built = Ingress::build(
            sources
                .iter()
                .enumerate()
                .map(|(at, &s)| (TrunkId(at as u32), s)),
        );
        assert_eq!(
            built.expect_err("the same network"),
            (TrunkId(0), TrunkId(1), source("10.0.0.0/8"))
        );
    }

    #[test]
    fn parse_refuses_what_is_no_network() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a/8",
            "10.0.0.0/",
            "/8",
            "1.2.3.4/-1",
        ] {
            assert_eq!(Source::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_gateway_is_known_by_its_address() {
        let at = |text: &str| text.parse::<SocketAddr>().expect(text);
        let egress = Egress::build(
            [
                (at("192.0.2.1:5060"), Udp, GatewayId(0)),
                (at("192.0.2.1:5060"), Tcp, GatewayId(1)),
                (at("192.0.2.1:5070"), Udp, GatewayId(2)),
                (at("[2001:db8::1]:5060"), Udp, GatewayId(3)),
            ]
            .into_iter(),
        );
        for (peer, transport, want) in [
            ("192.0.2.1:5060", Udp, Some(0)),
            ("192.0.2.1:5060", Tcp, Some(1)),
            ("192.0.2.1:5070", Tcp, Some(2)),
            ("192.0.2.1:40000", Tcp, Some(0)),
            ("[::ffff:192.0.2.1]:5070", Udp, Some(2)),
            ("[2001:db8::1]:9", Udp, Some(3)),
            ("192.0.2.2:5060", Udp, None),
        ] {
            assert_eq!(
                egress.find(at(peer), transport),
                want.map(GatewayId),
                "{peer}"
            );
        }
        assert!(egress.knows(at("192.0.2.1:1").ip()) && !egress.knows(at("192.0.2.3:1").ip()));
    }
}
