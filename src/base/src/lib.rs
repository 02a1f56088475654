//! Types that every plane shares: time, identities, addresses of messages, and the memory that a
//! shard keeps its values in.
//!
//! This crate does nothing by itself. It reads no clock, opens no socket and depends on nothing:
//! values come in, values go out. Words: a *shard* is one pinned event loop with the calls it owns;
//! a *slot* is a place in a shard's [`Slab`]; a *flow* is the path a message came by or leaves by.

#![forbid(unsafe_code)]

mod chains;
mod digest;
mod flow;
mod flows;
mod money;
mod places;
mod slab;
mod texts;
mod time;

pub use chains::Chains;
pub use digest::{Digest, Running};
pub use flow::{ConnId, Flow, ListenerId, Transport};
pub use flows::{FlowId, Flows};
pub use money::Money;
pub use places::FreePlaces;
pub use slab::Slab;
pub use texts::{TextId, Texts};
pub use time::{Time, Wall};

use std::fmt;
use std::num::NonZeroU64;

/// One shard of this process, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The most shards that a [`SlotId`] can name.
    pub const COUNT_MAX: usize = 1 << SlotId::SHARD_BITS;
}

/// A trunk, by a number that stays the same over reloads while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrunkId(pub u32);

/// A gateway, by a number that stays the same over reloads while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GatewayId(pub u32);

/// A message kept in its shard's packet pool. Valid on that shard only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PacketId(pub u32);

/// An armed deadline in its shard's wheel. Valid on that shard only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId(pub NonZeroU64);

/// A slot of one shard's slab, with the generation that tells it from its predecessors there.
///
/// ```text
///   63        54 53                      24 23                 0
///  ┌────────────┬──────────────────────────┬────────────────────┐
///  │ shard (10) │     generation (30)      │     index (24)     │
///  └────────────┴──────────────────────────┴────────────────────┘
/// ```
///
/// The generation is never 0, so `Option<SlotId>` takes 8 bytes. It wraps after 2^30 uses of one
/// slot; an id that old names a call that ended a thousand million calls ago.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(NonZeroU64);

impl SlotId {
    const SHARD_BITS: u32 = 10;
    const GENERATION_BITS: u32 = 30;
    const INDEX_BITS: u32 = 24;
    /// The largest generation; the next one is 1 again.
    pub const GENERATION_MAX: u32 = (1 << Self::GENERATION_BITS) - 1;
    /// The most slots a slab can have.
    pub const INDEX_COUNT_MAX: usize = 1 << Self::INDEX_BITS;

    /// Puts an id together. `generation` must be between 1 and [`SlotId::GENERATION_MAX`].
    #[must_use]
    #[inline]
    pub fn new(shard: ShardId, index: u32, generation: u32) -> SlotId {
        assert!(
            usize::from(shard.0) < ShardId::COUNT_MAX,
            "shard number fits its 10 bits"
        );
        assert!(
            (index as usize) < Self::INDEX_COUNT_MAX,
            "slot index fits its 24 bits"
        );
        assert!(
            (1..=Self::GENERATION_MAX).contains(&generation),
            "generation fits its 30 bits"
        );
        let raw = u64::from(shard.0) << (Self::GENERATION_BITS + Self::INDEX_BITS)
            | u64::from(generation) << Self::INDEX_BITS
            | u64::from(index);
        SlotId(NonZeroU64::new(raw).expect("a generation is never 0"))
    }

    /// The id of the same place when it is given out the next time.
    #[inline]
    pub(crate) fn successor(self) -> SlotId {
        match self.generation() {
            Self::GENERATION_MAX => SlotId::new(self.shard(), self.index(), 1),
            // The generation lies above the index and does not run over into the shard.
            _ => SlotId(self.0.saturating_add(1 << Self::INDEX_BITS)),
        }
    }

    /// Reads an id from its 64 bits, as it travelled in a Via or a Record-Route.
    ///
    /// `None` if no slab can have given it out. A `Some` may still name a slot that is gone.
    #[must_use]
    #[inline]
    pub fn from_bits(bits: u64) -> Option<SlotId> {
        let generation = bits >> Self::INDEX_BITS & u64::from(Self::GENERATION_MAX);
        if generation == 0 {
            return None;
        }
        NonZeroU64::new(bits).map(SlotId)
    }

    /// The id as 64 bits.
    #[must_use]
    #[inline]
    pub fn bits(self) -> u64 {
        self.0.get()
    }

    /// The shard whose slab gave the id out.
    #[must_use]
    #[inline]
    pub fn shard(self) -> ShardId {
        ShardId((self.bits() >> (Self::GENERATION_BITS + Self::INDEX_BITS)) as u16)
    }

    /// The place in the slab.
    #[must_use]
    #[inline]
    pub fn index(self) -> u32 {
        (self.bits() & ((1 << Self::INDEX_BITS) - 1)) as u32
    }

    /// How often the place had been given out, from 1.
    #[must_use]
    #[inline]
    pub fn generation(self) -> u32 {
        (self.bits() >> Self::INDEX_BITS) as u32 & Self::GENERATION_MAX
    }
}

impl fmt::Debug for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}#{}",
            self.shard().0,
            self.index(),
            self.generation()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_id_keeps_its_parts() {
        for (shard, index, generation) in [
            (0, 0, 1),
            (1023, (1 << 24) - 1, SlotId::GENERATION_MAX),
            (7, 42, 3),
        ] {
            let id = SlotId::new(ShardId(shard), index, generation);
            assert_eq!(
                (id.shard().0, id.index(), id.generation()),
                (shard, index, generation)
            );
            assert_eq!(SlotId::from_bits(id.bits()), Some(id));
        }
        assert_eq!(SlotId::from_bits(5), None, "generation 0 is nobody's");
        assert_eq!(size_of::<Option<SlotId>>(), 8);
    }
}
