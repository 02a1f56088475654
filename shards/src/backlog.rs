//! Messages that a shard has put off: they are handled when it has nothing else to do.
//!
//! A socket's buffer keeps the order in which messages came. What is to be done last is put off, so that
//! it does not stand before what is to be done first. There are two ranks of them. Bounded; the octets are
//! in the shard's packets.

use std::collections::VecDeque;

use base::{Flow, PacketId, Time};

use crate::handler::{Brought, Inbound, Rank};
use crate::packet::{PACKET_SIZES, Packets};

/// Whoever of the first rank has waited for so long waits no longer for all else: that much a message's
/// sender does not notice, while one who waits for half a second (T1) sends it again.
pub(crate) const FIRST_WAITS_US: u64 = 20_000;

/// By rank, and within one in the order in which they were put off.
pub(crate) struct Backlog {
    first: VecDeque<PutOff>,
    last: VecDeque<PutOff>,
    max: usize,
    /// The octets of the one that was taken up last: its packet is free again while it is handled.
    bytes: Vec<u8>,
}

/// A message that waits.
#[derive(Clone, Copy, Debug)]
struct PutOff {
    flow: Flow,
    received: Time,
    /// Its octets; the reference is the backlog's own.
    packet: PacketId,
}

/// A message that is taken up. Its octets are to be given back.
pub(crate) struct TakenUp {
    flow: Flow,
    received: Time,
    bytes: Vec<u8>,
}

impl TakenUp {
    /// The message as it came.
    pub(crate) fn inbound(&self) -> Inbound<'_> {
        Inbound {
            flow: self.flow,
            bytes: &self.bytes,
            received: self.received,
            brought: Brought::PutOff,
            is_expected: false,
        }
    }
}

impl Backlog {
    /// Room for so many of both ranks together.
    pub(crate) fn new(max: usize) -> Backlog {
        const LONGEST: usize = PACKET_SIZES[PACKET_SIZES.len() - 1];
        Backlog {
            first: VecDeque::with_capacity(max),
            last: VecDeque::with_capacity(max),
            max,
            bytes: Vec::with_capacity(if max > 0 { LONGEST } else { 0 }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.last.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.last.len()
    }

    /// Puts a message behind the others of its rank. `false`: there is no room.
    pub(crate) fn put(&mut self, inbound: &Inbound<'_>, rank: Rank, packets: &mut Packets) -> bool {
        if self.len() >= self.max {
            return false;
        }
        let Some(packet) = packets.take(inbound.bytes.len()) else {
            return false;
        };
        packets.buffer(packet)[..inbound.bytes.len()].copy_from_slice(inbound.bytes);
        packets.set_len(packet, inbound.bytes.len());
        let waiting = match rank {
            Rank::First => &mut self.first,
            Rank::Last => &mut self.last,
        };
        waiting.push_back(PutOff {
            flow: inbound.flow,
            received: inbound.received,
            packet,
        });
        true
    }

    /// Takes up the one that waits longest, of the first rank that any waits of.
    pub(crate) fn take(&mut self, packets: &mut Packets) -> Option<TakenUp> {
        let first = self.first.pop_front().or_else(|| self.last.pop_front())?;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.extend_from_slice(packets.bytes(first.packet));
        packets.release(first.packet);
        Some(TakenUp {
            flow: first.flow,
            received: first.received,
            bytes,
        })
    }

    /// Takes up the next one of the first rank if it was received before `before`.
    pub(crate) fn take_older(&mut self, before: Time, packets: &mut Packets) -> Option<TakenUp> {
        let is_older = self.first.front()?.received < before;
        is_older.then(|| self.take(packets)).flatten()
    }

    /// What was taken up is handled.
    pub(crate) fn give_back(&mut self, taken: TakenUp) {
        self.bytes = taken.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ListenerId, Transport};
    use proptest::prelude::*;
    use std::collections::VecDeque as Model;

    proptest! {
        /// Against two deques: in order, with all their octets, never more than there is room for; and
        /// no packet is lost.
        #[test]
        fn agrees_with_deques(
            ops in prop::collection::vec((any::<bool>(), any::<bool>(), 0_usize..3_000), 1..100),
        ) {
            let mut packets = Packets::new([4, 4, 4, 4, 0, 0]);
            let mut backlog = Backlog::new(8);
            let (mut first, mut last) = (Model::<(u64, usize)>::new(), Model::new());
            let address = "192.0.2.1:5060".parse().expect("an address");
            for (number, (is_put, is_first, len)) in (0_u64..).zip(ops) {
                if is_put {
                    let bytes = vec![number as u8; len];
                    let inbound = Inbound {
                        flow: Flow {
                            transport: Transport::Udp,
                            listener: ListenerId(0),
                            local: address,
                            peer: address,
                            conn: None,
                        },
                        bytes: &bytes,
                        received: Time(number),
                        brought: Brought::Straight,
                        is_expected: false,
                    };
                    let (rank, model) = match is_first {
                        true => (Rank::First, &mut first),
                        false => (Rank::Last, &mut last),
                    };
                    let is_put = backlog.put(&inbound, rank, &mut packets);
                    if is_put {
                        model.push_back((number, len));
                    }
                    let waiting = first.len() + last.len();
                    prop_assert!(is_put || waiting == 8 || packets.take(len).is_none());
                } else {
                    let expected = first.pop_front().or_else(|| last.pop_front());
                    match (backlog.take(&mut packets), expected) {
                        (Some(taken), Some((number, len))) => {
                            let inbound = taken.inbound();
                            prop_assert_eq!(inbound.received, Time(number));
                            prop_assert_eq!(inbound.brought, Brought::PutOff);
                            prop_assert_eq!(inbound.bytes, &vec![number as u8; len][..]);
                            backlog.give_back(taken);
                        }
                        (None, None) => {}
                        (got, want) => prop_assert!(false, "{} for {want:?}", got.is_some()),
                    }
                }
                let waiting = first.len() + last.len();
                prop_assert_eq!(backlog.len(), waiting);
                prop_assert_eq!(backlog.is_empty(), waiting == 0);
            }
        }
    }
}
