//! Trains: datagrams for one peer that leave in one system call, cut apart by the kernel.
//!
//! All datagrams of a train have one length; only the last may be shorter. Messages differ in
//! length, so those that may be lengthened are, by octets that their reader skips; the octets are a
//! piece of their own when the kernel reads them, nothing is copied.
//!
//! ```text
//!   one turn, one peer     900  420  880  610  400  860        (lanes keep their order)
//!   by length              900  880  860 │ 610 │ 420  400
//!   trains                 900  900  900   610 │ 420  400
//!                             pad 20  40   last, as it is
//! ```
//!
//! The longest goes first and sets the length; who would grow by more than a quarter begins the next
//! train, unless it can be the last of this one. A datagram never overtakes another of its lane: the
//! second of a lane is ordered behind all firsts, the third behind all seconds.
//!
//! Cost, for each datagram of a handler that coalesces: one question to the handler, its share of a
//! sort of up to [`PLAN_MAX`] keys, two moves of its entry. Held by `benches/io.rs`.

use std::net::{IpAddr, SocketAddr};

use base::PacketId;

use crate::handler::{Fellow, PAD_BYTES_MAX, Place};
use crate::sys::SEGMENTS_MAX;

/// How many datagrams are put in order at a time.
pub(crate) const PLAN_MAX: usize = 1_024;
/// The longest datagram that travels with others: what RFC 3261 §18.1.1 lets a request have when
/// the path's MTU is unknown, so that no segment needs fragments.
const SEGMENT_BYTES_MAX: usize = 1_300;
/// The longest train: what fits one UDP datagram over IPv6.
const TRAIN_BYTES_MAX: usize = 65_487;
/// Places to remember what was seen of a lane.
const LANES: usize = 1_024;

/// A packet that waits to leave over a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) peer: SocketAddr,
    /// Our address that it must leave from, on a wildcard socket.
    pub(crate) source: Option<IpAddr>,
    pub(crate) packet: PacketId,
    pub(crate) token: u64,
    /// Its own octets, once it is being planned.
    pub(crate) len: u32,
    /// Octets that are put in, and where.
    pub(crate) pad: u16,
    pub(crate) place: Option<Place>,
    /// Of the first of a train: how many datagrams it has. 1 = alone.
    pub(crate) train: u16,
    /// Whether it may be part of a train.
    joins: bool,
}

impl Waiting {
    /// A packet that leaves alone unless a plan says otherwise.
    pub(crate) fn alone(
        peer: SocketAddr,
        source: Option<IpAddr>,
        packet: PacketId,
        token: u64,
    ) -> Waiting {
        Waiting {
            peer,
            source,
            packet,
            token,
            len: 0,
            pad: 0,
            place: None,
            train: 1,
            joins: false,
        }
    }

    /// How many octets leave for it.
    pub(crate) fn wire_len(&self) -> usize {
        self.len as usize + usize::from(self.pad)
    }

    /// Its octets as they leave, in up to three pieces.
    pub(crate) fn pieces<'b>(&self, bytes: &'b [u8]) -> [&'b [u8]; 3] {
        match self.place {
            Some(place) if self.pad > 0 => {
                let (head, tail) = bytes.split_at(usize::from(place.at));
                [head, (place.filling)(usize::from(self.pad)), tail]
            }
            _ => [bytes, &[], &[]],
        }
    }
}

/// Puts what waits in order. One for each shard; its memory is made once.
pub(crate) struct Planner {
    keys: Vec<u64>,
    ordered: Vec<Waiting>,
    /// How many datagrams of a lane were seen; lanes that share a place only wait for each other.
    seen: Vec<u16>,
}

impl Planner {
    pub(crate) fn new() -> Planner {
        Planner {
            keys: Vec::with_capacity(PLAN_MAX),
            ordered: Vec::with_capacity(PLAN_MAX),
            seen: vec![0; LANES],
        }
    }

    /// Orders up to [`PLAN_MAX`] datagrams and couples those that can travel together. `fellow` says
    /// what the handler says of one.
    pub(crate) fn plan(
        &mut self,
        waiting: &mut [Waiting],
        mut fellow: impl FnMut(&Waiting) -> Option<Fellow>,
    ) {
        assert!(waiting.len() <= PLAN_MAX, "a plan has a bound");
        if waiting.len() < 2 {
            return;
        }
        self.seen.fill(0);
        self.keys.clear();
        for (at, waiting) in waiting.iter_mut().enumerate() {
            let told = fellow(waiting);
            let key = self.key(waiting, told);
            self.keys.push(key | at as u64);
            waiting.joins = told.is_some() && waiting.len as usize <= SEGMENT_BYTES_MAX;
            waiting.place = told.and_then(|told| told.place);
            (waiting.pad, waiting.train) = (0, 1);
        }
        self.keys.sort_unstable();
        self.ordered.clear();
        let in_order = self
            .keys
            .iter()
            .map(|key| waiting[usize::from(*key as u16)]);
        self.ordered.extend(in_order);
        waiting.copy_from_slice(&self.ordered);
        let mut rest = waiting;
        while !rest.is_empty() {
            let count = couple(rest);
            rest = &mut rest[count..];
        }
    }

    /// What a datagram is sorted by: its path, how many of its lane go before it, its length from
    /// long to short, and its place, which the caller adds.
    fn key(&mut self, waiting: &Waiting, told: Option<Fellow>) -> u64 {
        let path = hash(waiting);
        let (before, length) = match told {
            Some(fellow) => {
                let lane = (path ^ u64::from(fellow.lane).wrapping_mul(0x9e37_79b9)) as usize;
                let seen = &mut self.seen[lane % LANES];
                *seen += 1;
                (*seen - 1, u16::MAX - waiting.len.min(0xffff) as u16)
            }
            None => (0, 0),
        };
        path << 48 | u64::from(before) << 32 | u64::from(length) << 16
    }
}

/// Which path a datagram leaves by, in 16 bits; two that share a number only make trains shorter.
fn hash(waiting: &Waiting) -> u64 {
    let fold = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() ^ ip.to_bits() >> 64) as u64,
    };
    let source = waiting.source.map_or(0, fold).rotate_left(20);
    let port = u64::from(waiting.peer.port()) << 40;
    (fold(waiting.peer.ip()) ^ port ^ source).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48
}

/// Makes a train of the first ones, as many as fit, and returns how many they are.
fn couple(waiting: &mut [Waiting]) -> usize {
    let (first, rest) = waiting.split_first_mut().expect("something waits");
    let length = first.len;
    let mut bytes = length as usize;
    let mut count = 1;
    if first.joins {
        for next in rest.iter_mut().take(SEGMENTS_MAX - 1) {
            let is_same_path = next.peer == first.peer && next.source == first.source;
            bytes += length as usize;
            if !is_same_path || !next.joins || next.len > length || bytes > TRAIN_BYTES_MAX {
                break;
            }
            count += 1;
            let pad = length - next.len;
            if pad > 0 && (next.place.is_none() || !is_small(pad, next.len)) {
                break; // as it is, it can be the last
            }
            next.pad = pad as u16;
        }
    }
    first.train = count as u16;
    if count > 1 {
        rest[count - 2].pad = 0;
    }
    count
}

/// Whether a pad is worth its octets: a quarter of the message at most.
fn is_small(pad: u32, len: u32) -> bool {
    pad as usize <= PAD_BYTES_MAX && pad * 4 <= len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn spaces(len: usize) -> &'static [u8] {
        &[b' '; PAD_BYTES_MAX][..len]
    }

    /// One datagram: peer, lane, length, and whether it may join and be lengthened.
    type Item = (u8, u8, usize, bool, bool);

    fn item() -> impl Strategy<Value = Item> {
        let len = prop_oneof![1..1_400_usize, Just(600), Just(900), 590..610_usize];
        (
            0..3_u8,
            0..12_u8,
            len,
            prop::bool::weighted(0.9),
            prop::bool::weighted(0.8),
        )
    }

    fn planned(items: &[Item]) -> Vec<Waiting> {
        let mut waiting: Vec<Waiting> = (items.iter().enumerate())
            .map(|(at, item)| {
                let peer = SocketAddr::from(([192, 0, 2, item.0], 5_060));
                let alone = Waiting::alone(peer, None, PacketId(at as u32), 0);
                Waiting {
                    len: item.2 as u32,
                    ..alone
                }
            })
            .collect();
        Planner::new().plan(&mut waiting, |waiting| {
            let (_, lane, len, joins, grows) = items[waiting.packet.0 as usize];
            let at = len as u16;
            let place = Place {
                at,
                filling: spaces,
            };
            joins.then_some(Fellow {
                lane: u32::from(lane),
                place: grows.then_some(place),
            })
        });
        waiting
    }

    /// The lengths of the trains, as they leave.
    fn trains(waiting: &[Waiting]) -> Vec<Vec<usize>> {
        let mut trains = Vec::new();
        let mut rest = waiting;
        while let Some(first) = rest.first() {
            let (train, others) = rest.split_at(usize::from(first.train));
            trains.push(train.iter().map(Waiting::wire_len).collect());
            rest = others;
        }
        trains
    }

    #[track_caller]
    fn check(lens: &[usize], want: &[&[usize]]) {
        let items: Vec<Item> = (lens.iter().enumerate())
            .map(|(lane, &len)| (1, lane as u8, len, true, true))
            .collect();
        assert_eq!(trains(&planned(&items)), want);
    }

    #[test]
    fn what_is_near_in_length_travels_together() {
        check(&[700], &[&[700]]);
        check(&[700, 700, 700], &[&[700, 700, 700]]);
        check(
            &[900, 420, 880, 610, 400, 860],
            &[&[900, 900, 900, 610], &[420, 400]],
        );
        check(&[500, 400, 300], &[&[500, 500, 300]]);
        check(&[500, 399, 300], &[&[500, 399], &[300]]);
        check(
            &[1_301, 1_301, 700, 1_300],
            &[&[1_301], &[1_301], &[1_300, 700]],
        );
        let many: Vec<usize> = vec![1_300; 70];
        let sizes: Vec<usize> = trains(&planned(
            &many
                .iter()
                .map(|&len| (1, 0, len, true, true))
                .collect::<Vec<_>>(),
        ))
        .iter()
        .map(Vec::len)
        .collect();
        assert_eq!(sizes, [50, 20], "65,000 octets are a train");
    }

    #[test]
    fn one_lane_keeps_its_order_and_a_stranger_to_trains_its_place() {
        let lane = |len| (1, 7, len, true, true);
        let order = |items: &[Item]| -> Vec<u32> {
            planned(items)
                .iter()
                .map(|waiting| waiting.packet.0)
                .collect()
        };
        assert_eq!(order(&[lane(400), lane(900), lane(600)]), [0, 1, 2]);
        let off = |len| (1, 0, len, false, false);
        assert_eq!(order(&[off(400), off(900), off(600)]), [0, 1, 2]);
        assert_eq!(trains(&planned(&[off(600), off(600)])), [[600], [600]]);
    }

    #[test]
    fn octets_are_put_in_where_the_message_has_a_place() {
        let mut waiting = Waiting::alone(([192, 0, 2, 1], 1).into(), None, PacketId(0), 0);
        waiting.len = 6;
        assert_eq!(waiting.pieces(b"abcdef").concat(), b"abcdef");
        waiting.place = Some(Place {
            at: 2,
            filling: spaces,
        });
        waiting.pad = 3;
        assert_eq!(waiting.pieces(b"abcdef").concat(), b"ab   cdef");
        assert_eq!(waiting.wire_len(), 9);
    }

    proptest! {
        /// Against what a train may be: everything leaves once, lanes keep their order, all of a
        /// train have its length but the last, and nobody grows more than a quarter.
        #[test]
        fn every_plan_keeps_the_rules(items in prop::collection::vec(item(), 0..300)) {
            let waiting = planned(&items);
            let mut ids: Vec<u32> = waiting.iter().map(|one| one.packet.0).collect();
            let mut last: HashMap<(u8, u8), u32> = HashMap::new();
            for &id in &ids {
                let (peer, lane, _, joins, _) = items[id as usize];
                if joins && let Some(before) = last.insert((peer, lane), id) {
                    prop_assert!(before < id, "{id} overtook {before}");
                }
            }
            ids.sort_unstable();
            prop_assert!(ids.iter().copied().eq(0..items.len() as u32));
            let mut rest = &waiting[..];
            while let Some(first) = rest.first() {
                let count = usize::from(first.train);
                prop_assert!((1..=SEGMENTS_MAX).contains(&count));
                let (train, others) = rest.split_at(count);
                rest = others;
                let length = first.wire_len();
                let total: usize = train.iter().map(Waiting::wire_len).sum();
                prop_assert!(count == 1 || total <= TRAIN_BYTES_MAX && length <= SEGMENT_BYTES_MAX);
                for (at, one) in train.iter().enumerate() {
                    let (peer, _, len, joins, grows) = items[one.packet.0 as usize];
                    prop_assert_eq!(one.peer, first.peer);
                    prop_assert_eq!(one.peer, SocketAddr::from(([192, 0, 2, peer], 5_060)));
                    prop_assert!(one.wire_len() == length || at == count - 1);
                    prop_assert!(one.wire_len() <= length);
                    prop_assert!(count == 1 || joins);
                    prop_assert!(one.pad == 0 || grows && usize::from(one.pad) * 4 <= len);
                    prop_assert_eq!(one.wire_len(), len + usize::from(one.pad));
                }
            }
        }
    }
}
