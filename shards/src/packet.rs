//! Messages kept to be sent, and sent again: pooled buffers with reference counts.
//!
//! Cost: taking and releasing touch the class's free stack and two words per packet; nothing is
//! allocated after [`Packets::new`], which reserves address space. A page becomes resident when the
//! first packet on it is used, and the packet freed last is taken first, so that few stay warm.
//!
//! ```text
//!   PacketId:  31     29 28                        0
//!             ┌─────────┬───────────────────────────┐
//!             │  class  │           index           │
//!             └─────────┴───────────────────────────┘
//! ```

use base::PacketId;

/// The sizes of packets, in octets. The largest holds any datagram.
pub const PACKET_SIZES: [usize; 6] = [512, 1_024, 2_048, 4_096, 16_384, 65_536];

const INDEX_BITS: u32 = 29;

/// The packets of one shard, each found by a [`PacketId`].
///
/// A class that is used up lends from the next larger one; when those are used up too, `take` says
/// `None` and the caller counts and refuses.
#[derive(Debug)]
pub struct Packets {
    classes: [Class; PACKET_SIZES.len()],
    live: usize,
}

#[derive(Debug)]
struct Class {
    size: usize,
    capacity: u32,
    memory: Vec<u8>,
    /// Of the packets that were ever used.
    slots: Vec<Slot>,
    /// Freed packets, the last one on top.
    free: Vec<u32>,
}

/// What is known of a packet.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// References to it; 0 = free.
    refs: u32,
    len: u32,
}

impl Packets {
    /// A pool with so many packets of each of [`PACKET_SIZES`].
    #[must_use]
    pub fn new(counts: [u32; PACKET_SIZES.len()]) -> Packets {
        let class = |class: usize| Class::new(PACKET_SIZES[class], counts[class]);
        Packets {
            classes: std::array::from_fn(class),
            live: 0,
        }
    }

    /// Asks for huge pages behind the packets; what is not given stays in small ones.
    pub(crate) fn use_huge_pages(&mut self) -> std::io::Result<()> {
        let mut all = self.classes.iter_mut();
        all.try_for_each(|class| crate::sys::huge_pages(&mut class.memory))
    }

    /// A packet for at least `capacity` octets, with one reference and length 0.
    pub fn take(&mut self, capacity: usize) -> Option<PacketId> {
        let wanted = PACKET_SIZES.iter().position(|&size| size >= capacity)?;
        for class in wanted..self.classes.len() {
            if let Some(index) = self.classes[class].take() {
                self.live += 1;
                return Some(PacketId((class as u32) << INDEX_BITS | index));
            }
        }
        None
    }

    /// The octets written, as far as the length says.
    #[must_use]
    pub fn bytes(&self, packet: PacketId) -> &[u8] {
        let (class, index) = self.find(packet);
        let start = index * class.size;
        &class.memory[start..start + class.slots[index].len as usize]
    }

    /// The whole capacity, to compose into. Only a packet with a single reference may be changed:
    /// others may be waiting to be sent.
    pub fn buffer(&mut self, packet: PacketId) -> &mut [u8] {
        let (class, index) = self.find_mut(packet);
        let refs = class.slots[index].refs;
        assert!(refs == 1, "a shared packet is not changed");
        let start = index * class.size;
        &mut class.memory[start..start + class.size]
    }

    /// Says how many octets of the buffer are the message.
    pub fn set_len(&mut self, packet: PacketId, len: usize) {
        let (class, index) = self.find_mut(packet);
        assert!(len <= class.size, "a packet's length is within its buffer");
        class.slots[index].len = len as u32;
    }

    /// How many octets the packet can hold.
    #[must_use]
    pub fn capacity(&self, packet: PacketId) -> usize {
        self.find(packet).0.size
    }

    /// One more reference.
    pub fn retain(&mut self, packet: PacketId) {
        let (class, index) = self.find_mut(packet);
        class.slots[index].refs += 1;
    }

    /// One reference less; the last one frees the packet.
    pub fn release(&mut self, packet: PacketId) {
        let (class, index) = self.find_mut(packet);
        class.slots[index].refs -= 1;
        if class.slots[index].refs == 0 {
            class.free.push(index as u32);
            self.live -= 1;
        }
    }

    /// How many references there are; for audits.
    #[must_use]
    pub fn references(&self, packet: PacketId) -> u32 {
        let (class, index) = self.find(packet);
        class.slots[index].refs
    }

    /// How many packets are taken.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many packets of a class are taken.
    #[must_use]
    pub fn live_of(&self, class: usize) -> usize {
        let class = &self.classes[class];
        class.slots.len() - class.free.len()
    }

    fn find(&self, packet: PacketId) -> (&Class, usize) {
        let class = &self.classes[(packet.0 >> INDEX_BITS) as usize];
        let index = (packet.0 & ((1 << INDEX_BITS) - 1)) as usize;
        let refs = class.slots[index].refs;
        assert!(refs > 0, "a packet is used while referenced");
        (class, index)
    }

    fn find_mut(&mut self, packet: PacketId) -> (&mut Class, usize) {
        let class = &mut self.classes[(packet.0 >> INDEX_BITS) as usize];
        let index = (packet.0 & ((1 << INDEX_BITS) - 1)) as usize;
        let refs = class.slots[index].refs;
        assert!(refs > 0, "a packet is used while referenced");
        (class, index)
    }
}

impl Class {
    fn new(size: usize, capacity: u32) -> Class {
        assert!(
            capacity < 1 << INDEX_BITS,
            "a class has fewer than 2^29 packets"
        );
        let count = capacity as usize;
        Class {
            size,
            capacity,
            // Zeroed allocations of this size come from the kernel untouched.
            memory: vec![0; count * size],
            // Untouched too: it grows into what is reserved as packets are used first.
            slots: Vec::with_capacity(count),
            free: Vec::with_capacity(count),
        }
    }

    fn take(&mut self) -> Option<u32> {
        let taken = Slot { refs: 1, len: 0 };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = taken;
            return Some(index);
        }
        let index = self.slots.len() as u32;
        (index < self.capacity).then(|| {
            self.slots.push(taken);
            index
        })
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
