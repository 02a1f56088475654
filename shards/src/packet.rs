//! Messages kept to be sent, and sent again: pooled buffers with reference counts.
//!
//! Cost: taking and releasing touch a word of the class's free places and one word per packet, reading
//! one word; nothing is allocated after [`Packets::new`], which reserves address space. A page becomes
//! resident when the first packet on it is used, and the lowest free packet is taken first, so that
//! those in use lie together.
//!
//! ```text
//!   PacketId = where it begins, in units of 512 octets
//!
//!   ┌─ 512 ─┬─ 512 ─┬ … ┬───── 1,024 ─────┬ … ┬──────── 65,536 ────────┐   memory
//!   │  slot │  slot │ … │  slot   (none)  │ … │  slot  (none) × 127    │   one word a unit
//! ```

use base::{FreePlaces, PacketId};

/// The sizes of packets, in octets. The largest holds any datagram.
pub const PACKET_SIZES: [usize; 6] = [512, 1_024, 2_048, 4_096, 16_384, 65_536];

/// What an id counts in.
const UNIT_BYTES: usize = PACKET_SIZES[0];

/// How many units a packet of each class is, as a power of two.
const UNITS_SHIFT: [u32; PACKET_SIZES.len()] = {
    let mut shifts = [0; PACKET_SIZES.len()];
    let mut class = 0;
    while class < shifts.len() {
        let units = PACKET_SIZES[class] / UNIT_BYTES;
        assert!(
            units.is_power_of_two(),
            "a packet is found by shifts, not by division"
        );
        shifts[class] = units.trailing_zeros();
        class += 1;
    }
    shifts
};

/// The packets of one shard, each found by a [`PacketId`].
///
/// A class that is used up lends from the next larger one; when those are used up too, `take` says
/// `None` and the caller counts and refuses.
#[derive(Debug)]
pub struct Packets {
    memory: Vec<u8>,
    /// What is known of the packet that begins at a unit.
    slots: Vec<Slot>,
    classes: [Class; PACKET_SIZES.len()],
    live: usize,
}

/// References to a packet (0 = free), the handler's note, its length and its class, in one word so that
/// zeroed memory is a free packet and none of it is touched before it is used.
type Slot = u64;

/// Of references, of a note, and of a length.
const FIELD_MASK: u64 = (1 << 20) - 1;
const NOTE_SHIFT: u32 = 20;
const LEN_SHIFT: u32 = 40;
const CLASS_SHIFT: u32 = 60;

/// The largest note that a packet can carry.
pub const NOTE_MAX: u32 = FIELD_MASK as u32;

const fn field(slot: Slot, shift: u32) -> u64 {
    slot >> shift & FIELD_MASK
}

const fn with_field(slot: Slot, shift: u32, value: u64) -> Slot {
    slot & !(FIELD_MASK << shift) | value << shift
}

const fn refs(slot: Slot) -> u32 {
    field(slot, 0) as u32
}

const fn len(slot: Slot) -> usize {
    field(slot, LEN_SHIFT) as usize
}

const fn class(slot: Slot) -> usize {
    (slot >> CLASS_SHIFT) as usize
}

#[derive(Debug)]
struct Class {
    /// Of the packets used before, counted from the class's first.
    free: FreePlaces,
    /// Where the class begins.
    start: u32,
    /// Packets from here on were never used.
    fresh: u32,
    /// Where the next class begins.
    end: u32,
    live: usize,
}

impl Packets {
    /// A pool with so many packets of each of [`PACKET_SIZES`].
    #[must_use]
    pub fn new(counts: [u32; PACKET_SIZES.len()]) -> Packets {
        let mut units = 0;
        let classes = std::array::from_fn(|class| {
            let start = units as u32;
            units += counts[class] as usize * (PACKET_SIZES[class] / UNIT_BYTES);
            assert!(
                units <= u32::MAX as usize,
                "ids count up to 2 TiB of packets"
            );
            Class {
                free: FreePlaces::new(counts[class] as usize),
                start,
                fresh: start,
                end: units as u32,
                live: 0,
            }
        });
        Packets {
            // Zeroed allocations of this size come from the kernel untouched.
            memory: vec![0; units * UNIT_BYTES],
            slots: vec![0; units],
            classes,
            live: 0,
        }
    }

    /// Where they lie, and what is known of them, and how many octets that takes.
    pub(crate) fn rooms(&self) -> [(*const u8, usize); 2] {
        let slots = self.slots.capacity() * size_of::<Slot>();
        [
            (self.memory.as_ptr(), self.memory.capacity()),
            (self.slots.as_ptr().cast(), slots),
        ]
    }

    /// A packet for at least `capacity` octets, with one reference and length 0.
    pub fn take(&mut self, capacity: usize) -> Option<PacketId> {
        let mut class = PACKET_SIZES.iter().position(|&size| size >= capacity)?;
        let packet = loop {
            match self.classes.get_mut(class)?.take(class) {
                Some(packet) => break packet,
                None => class += 1,
            }
        };
        self.live += 1;
        self.slots[packet.0 as usize] = (class as u64) << CLASS_SHIFT | 1;
        Some(packet)
    }

    /// The octets written, as far as the length says.
    #[must_use]
    pub fn bytes(&self, packet: PacketId) -> &[u8] {
        let len = len(self.slot(packet));
        let start = packet.0 as usize * UNIT_BYTES;
        &self.memory[start..start + len]
    }

    /// How many octets were written.
    #[must_use]
    pub fn len(&self, packet: PacketId) -> usize {
        len(self.slot(packet))
    }

    /// The whole capacity, to compose into. Only a packet with a single reference may be changed:
    /// others may be waiting to be sent.
    pub fn buffer(&mut self, packet: PacketId) -> &mut [u8] {
        let slot = self.slot(packet);
        assert!(refs(slot) == 1, "a shared packet is not changed");
        let start = packet.0 as usize * UNIT_BYTES;
        &mut self.memory[start..start + PACKET_SIZES[class(slot)]]
    }

    /// Says how many octets of the buffer are the message.
    pub fn set_len(&mut self, packet: PacketId, len: usize) {
        let slot = self.slot(packet);
        let fits = len <= PACKET_SIZES[class(slot)];
        assert!(fits, "a packet's length is within its buffer");
        self.slots[packet.0 as usize] = with_field(slot, LEN_SHIFT, len as u64);
    }

    /// Keeps a word of the handler's with the packet, at most [`NOTE_MAX`].
    pub fn set_note(&mut self, packet: PacketId, note: u32) {
        assert!(note <= NOTE_MAX, "a note has 20 bits");
        let slot = self.slot(packet);
        self.slots[packet.0 as usize] = with_field(slot, NOTE_SHIFT, note.into());
    }

    /// The handler's word; 0 if it gave none.
    #[must_use]
    pub fn note(&self, packet: PacketId) -> u32 {
        field(self.slot(packet), NOTE_SHIFT) as u32
    }

    /// How many octets the packet can hold.
    #[must_use]
    pub fn capacity(&self, packet: PacketId) -> usize {
        PACKET_SIZES[class(self.slot(packet))]
    }

    /// One more reference.
    pub fn retain(&mut self, packet: PacketId) {
        let more = self.slot(packet) + 1;
        assert!(refs(more) != 0, "references are counted in 20 bits");
        self.slots[packet.0 as usize] = more;
    }

    /// One reference less; the last one frees the packet.
    pub fn release(&mut self, packet: PacketId) {
        let less = self.slot(packet) - 1;
        self.slots[packet.0 as usize] = less;
        if refs(less) == 0 {
            let class = class(less);
            self.classes[class].release(class, packet);
            self.live -= 1;
        }
    }

    /// How many references there are; for audits.
    #[must_use]
    pub fn references(&self, packet: PacketId) -> u32 {
        refs(self.slot(packet))
    }

    /// How many packets are taken.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many packets of a class are taken.
    #[must_use]
    pub fn live_of(&self, class: usize) -> usize {
        self.classes[class].live
    }

    fn slot(&self, packet: PacketId) -> Slot {
        let slot = self.slots[packet.0 as usize];
        assert!(refs(slot) > 0, "a packet is used while referenced");
        slot
    }
}

impl Class {
    fn take(&mut self, class: usize) -> Option<PacketId> {
        let packet = match self.free.take() {
            Some(place) => PacketId(self.start + (place << UNITS_SHIFT[class])),
            None if self.fresh < self.end => {
                let packet = PacketId(self.fresh);
                self.fresh += 1 << UNITS_SHIFT[class];
                packet
            }
            None => return None,
        };
        self.live += 1;
        Some(packet)
    }

    fn release(&mut self, class: usize, packet: PacketId) {
        self.free.put((packet.0 - self.start) >> UNITS_SHIFT[class]);
        self.live -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn lends_from_larger_classes_and_then_refuses() {
        let mut pool = Packets::new([1, 1, 0, 0, 0, 1]);
        let ids: Vec<_> = (0..3).map(|_| pool.take(10).expect("room")).collect();
        let capacities: Vec<_> = ids.iter().map(|&p| pool.capacity(p)).collect();
        assert_eq!(capacities, [512, 1_024, 65_536]);
        assert_eq!(pool.take(10), None, "all are taken");
        assert_eq!(pool.take(70_000), None, "nothing is that large");
        pool.release(ids[1]);
        assert_eq!(pool.take(10), Some(ids[1]), "what was freed is used again");
        assert_eq!((pool.live(), pool.live_of(0), pool.live_of(2)), (3, 1, 0));
    }

    #[test]
    #[should_panic(expected = "a shared packet is not changed")]
    fn a_shared_packet_cannot_be_written() {
        let mut pool = Packets::new([1, 0, 0, 0, 0, 0]);
        let packet = pool.take(1).expect("room");
        pool.retain(packet);
        pool.buffer(packet)[0] = 1;
    }

    #[test]
    #[should_panic(expected = "a packet is used while referenced")]
    fn a_released_packet_cannot_be_read() {
        let mut pool = Packets::new([1, 0, 0, 0, 0, 0]);
        let packet = pool.take(1).expect("room");
        pool.release(packet);
        let _ = pool.bytes(packet);
    }

    proptest! {
        /// Against a map from id to (content, references).
        #[test]
        fn agrees_with_a_map(ops in prop::collection::vec((0_u8..4, any::<u16>()), 1..400)) {
            let mut pool = Packets::new([4, 3, 2, 1, 1, 1]);
            let mut model: HashMap<PacketId, (Vec<u8>, u32)> = HashMap::new();
            let mut order: Vec<PacketId> = Vec::new();
            for (op, x) in ops {
                let picked = order.get(usize::from(x) % order.len().max(1)).copied();
                match (op, picked) {
                    (0, _) => {
                        let content = vec![x as u8; usize::from(x) % 5_000];
                        let Some(packet) = pool.take(content.len()) else {
                            let fits = PACKET_SIZES.iter().zip([4_usize, 3, 2, 1, 1, 1]).enumerate();
                            for (class, (&size, count)) in fits {
                                prop_assert!(size < content.len() || pool.live_of(class) == count);
                            }
                            continue;
                        };
                        pool.buffer(packet)[..content.len()].copy_from_slice(&content);
                        pool.set_len(packet, content.len());
                        prop_assert!(model.insert(packet, (content, 1)).is_none());
                        order.push(packet);
                    }
                    (1, Some(packet)) => {
                        pool.retain(packet);
                        model.get_mut(&packet).expect("known").1 += 1;
                    }
                    (_, Some(packet)) => {
                        pool.release(packet);
                        let entry = model.get_mut(&packet).expect("known");
                        entry.1 -= 1;
                        if entry.1 == 0 {
                            model.remove(&packet);
                            order.retain(|&p| p != packet);
                        }
                    }
                    (_, None) => {}
                }
                prop_assert_eq!(pool.live(), model.len());
                for (&packet, (content, references)) in &model {
                    prop_assert_eq!(pool.bytes(packet), &content[..]);
                    prop_assert_eq!(pool.references(packet), *references);
                }
            }
        }
    }
}
