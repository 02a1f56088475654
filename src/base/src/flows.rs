//! The paths of a shard's messages, each kept once.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Index;

use crate::{Chains, Flow};

/// A path that is kept in its shard's [`Flows`]. Valid on that shard only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(NonZeroU32);

impl FlowId {
    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The flows that a shard's transactions and calls hold, counted: a trunk is a few addresses, so
/// half a million transactions share a few dozen of these, each on warm cache lines, and keep 4 bytes
/// instead of 80.
///
/// Lives on one shard. At the limit [`Flows::keep`] says `None`; with a place for every holder that
/// does not come about.
#[derive(Debug)]
pub struct Flows {
    slots: Vec<Kept>,
    places: Chains,
    free: Vec<u32>,
    /// Places that were asked for last, by the peer: mostly the right one, at worst another's.
    recent: [u32; RECENT],
    capacity: usize,
    seed: u64,
}

/// A shard's peers of the moment. A power of two.
const RECENT: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Kept {
    flow: Flow,
    references: u32,
    /// The peer's IPv4 address in words, and how many octets that takes; 0: it has none.
    host: [u8; HOST_BYTES],
    host_len: u8,
}

/// `255.255.255.255`
const HOST_BYTES: usize = 15;

impl Kept {
    fn new(flow: &Flow) -> Kept {
        let mut host = [0; HOST_BYTES];
        let mut rest = &mut host[..];
        if let IpAddr::V4(ip) = flow.peer.ip() {
            write!(rest, "{ip}").expect("an IPv4 address takes 15 octets");
        }
        let left = rest.len();
        Kept {
            flow: *flow,
            references: 1,
            host,
            host_len: (HOST_BYTES - left) as u8,
        }
    }
}

impl Flows {
    /// Room for so many different flows. `seed` keeps peers from choosing addresses that collide.
    #[must_use]
    pub fn new(capacity: usize, seed: u64) -> Flows {
        Flows {
            slots: Vec::with_capacity(capacity),
            places: Chains::new(capacity),
            free: Vec::new(),
            recent: [0; RECENT],
            capacity,
            seed,
        }
    }

    /// A reference to this flow, kept from now on if it was not.
    pub fn keep(&mut self, flow: &Flow) -> Option<FlowId> {
        let memo = memo(flow);
        let place = self.recent[memo];
        if let Some(kept) = self.slots.get_mut(place as usize)
            && kept.references > 0
            && kept.flow == *flow
        {
            kept.references += 1;
            return Some(id(place));
        }
        let id = self.find_or_add(flow)?;
        self.recent[memo] = id.place() as u32;
        Some(id)
    }

    fn find_or_add(&mut self, flow: &Flow) -> Option<FlowId> {
        let hash = hash(flow, self.seed);
        let known = self.places.find(hash);
        for place in known {
            let kept = &mut self.slots[place as usize];
            if kept.flow == *flow {
                kept.references += 1;
                return Some(id(place));
            }
        }
        let kept = Kept::new(flow);
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = kept;
                place
            }
            None if self.slots.len() < self.capacity => {
                self.slots.push(kept);
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        self.places.insert(hash, place);
        Some(id(place))
    }

    /// One more reference to a kept flow.
    pub fn retain(&mut self, id: FlowId) -> FlowId {
        let kept = &mut self.slots[id.place()];
        assert!(kept.references > 0, "a flow is used while referenced");
        kept.references += 1;
        id
    }

    /// One reference less; the last one forgets the flow.
    pub fn release(&mut self, id: FlowId) {
        let kept = &mut self.slots[id.place()];
        assert!(kept.references > 0, "a flow is released once a reference");
        kept.references -= 1;
        if kept.references == 0 {
            let hash = hash(&kept.flow, self.seed);
            let place = id.place() as u32;
            let found = self.places.remove(hash, place);
            assert!(found, "a kept flow is in the index");
            self.free.push(place);
        }
    }

    /// The IPv4 address of a flow's peer as it is written in a URI; empty for one of IPv6.
    #[must_use]
    #[inline]
    pub fn host(&self, id: FlowId) -> &[u8] {
        let kept = &self.slots[id.place()];
        kept.host.get(..usize::from(kept.host_len)).unwrap_or(&[])
    }

    /// How many different flows are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many references there are to all of them; for audits.
    #[must_use]
    pub fn references(&self) -> usize {
        self.slots.iter().map(|kept| kept.references as usize).sum()
    }
}

impl Index<FlowId> for Flows {
    type Output = Flow;

    fn index(&self, id: FlowId) -> &Flow {
        &self.slots[id.place()].flow
    }
}

fn id(place: u32) -> FlowId {
    FlowId(NonZeroU32::new(place + 1).expect("a place and one is not 0"))
}

/// Where a flow of this peer is remembered.
#[inline]
fn memo(flow: &Flow) -> usize {
    let ip = match flow.peer.ip() {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => ip.to_bits() as u32,
    };
    let mixed = (ip ^ u32::from(flow.peer.port())).wrapping_mul(0x9e37_79b1);
    mixed as usize >> (32 - RECENT.ilog2())
}

/// Folded multiplication over the parts of a flow. Seeded, and no more is needed: who wants to make
/// chains long must own addresses that trunks trust.
fn hash(flow: &Flow, seed: u64) -> u64 {
    let kind = (flow.transport as u64) << 8 | u64::from(flow.listener.0);
    let mut hash = fold(seed ^ kind);
    for address in [&flow.local, &flow.peer] {
        let port = u64::from(address.port());
        match address.ip() {
            IpAddr::V4(ip) => hash = fold(hash ^ (u64::from(ip.to_bits()) << 16 | port)),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                hash = fold(hash ^ bits as u64);
                hash = fold(hash ^ (bits >> 64) as u64);
                hash = fold(hash ^ (u64::from(scope(address)) << 16 | port));
            }
        }
    }
    match flow.conn {
        Some(conn) => fold(hash ^ conn.bits()),
        None => hash,
    }
}

fn scope(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

#[inline]
fn fold(word: u64) -> u64 {
    // Pi's digits: odd, and no pattern in them.
    let wide = u128::from(word ^ 0x243f_6a88_85a3_08d3) * 0x1319_8a2e_0370_7345;
    wide as u64 ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ListenerId, ShardId, SlotId, Transport};

    fn flow(peer: &str, conn: Option<u32>) -> Flow {
        Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            local: "192.0.2.1:5060".parse().expect("an address"),
            peer: peer.parse().expect("an address"),
            conn: conn.map(|index| SlotId::new(ShardId(0), index, 1)),
        }
    }

    #[test]
    fn equal_flows_share_a_place_and_the_last_holder_frees_it() {
        let mut flows = Flows::new(4, 7);
        let many = [
            flow("198.51.100.7:5060", None),
            flow("198.51.100.7:5060", Some(1)),
            flow("[2001:db8::7]:5060", None),
            flow("[::ffff:198.51.100.7]:5060", None),
        ];
        let ids: Vec<FlowId> = many
            .iter()
            .map(|flow| flows.keep(flow).expect("room"))
            .collect();
        assert_eq!(flows.len(), 4, "all differ");
        assert_eq!(flows.keep(&flow("198.51.100.8:5060", None)), None, "full");
        for (flow, &id) in many.iter().zip(&ids) {
            assert_eq!((flows.keep(flow), flows[id]), (Some(id), *flow));
        }
        assert_eq!(flows.retain(ids[0]), ids[0]);
        for _ in 0..2 {
            ids.iter().for_each(|&id| flows.release(id));
        }
        assert_eq!((flows.len(), flows.references()), (1, 1));
        flows.release(ids[0]);
        assert!(flows.is_empty());
        assert!(flows.keep(&many[3]).is_some(), "the places are used again");
    }

    #[test]
    fn addresses_of_one_network_spread_over_the_index() {
        let spread = |seed| {
            let heads: std::collections::BTreeSet<u64> = (0..4_096_u32)
                .map(|n| {
                    let peer = format!("10.0.{}.{}:5060", n >> 8, n & 255);
                    hash(&flow(&peer, None), seed) & 8_191
                })
                .collect();
            heads.len()
        };
        // Thrown at random, 4,096 keys hit about 3,224 of 8,192 heads.
        for seed in [0, 1, u64::MAX] {
            assert!(spread(seed) > 3_000, "{}", spread(seed));
        }
    }
}
