//! Deadlines and failed sends: what a token means.
//!
//! A token is a slot id whose shard, which is always this one, is replaced by the kind.
//!
//! ```text
//!   63    54 53                                      0
//!  ┌────────┬──────────────────────────────────────────┐
//!  │  kind  │  generation and index of the slot        │
//!  └────────┴──────────────────────────────────────────┘
//! ```

use base::{ShardId, SlotId};

const SLOT_BITS: u32 = 54;

/// What a deadline or a failed send is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// A deadline of a server transaction.
    Server(SlotId),
    /// A deadline of a client transaction, or the patience with it.
    Client(SlotId),
    /// The call has lasted as long as it may.
    CallEnds(SlotId),
    /// A probe's answer is overdue: the slot is its client transaction.
    Probe(SlotId),
    /// A response of this server transaction did not leave.
    SentByServer(SlotId),
    /// A request of this client transaction did not leave.
    SentByClient(SlotId),
}

const SERVER: u64 = 1;
const CLIENT: u64 = 2;
const CALL_ENDS: u64 = 3;
const PROBE: u64 = 4;
const BY_SERVER: u64 = 5;
const BY_CLIENT: u64 = 6;

impl Wake {
    /// The token that brings this back. Never 0: every kind is counted from 1.
    pub(crate) fn token(self) -> u64 {
        let (kind, slot) = match self {
            Wake::Server(slot) => (SERVER, slot),
            Wake::Client(slot) => (CLIENT, slot),
            Wake::CallEnds(slot) => (CALL_ENDS, slot),
            Wake::Probe(slot) => (PROBE, slot),
            Wake::SentByServer(slot) => (BY_SERVER, slot),
            Wake::SentByClient(slot) => (BY_CLIENT, slot),
        };
        kind << SLOT_BITS | slot.bits() & ((1 << SLOT_BITS) - 1)
    }

    /// Reads a token of `shard` back.
    pub(crate) fn read(token: u64, shard: ShardId) -> Option<Wake> {
        let slot = token & ((1 << SLOT_BITS) - 1) | u64::from(shard.0) << SLOT_BITS;
        let slot = SlotId::from_bits(slot)?;
        Some(match token >> SLOT_BITS {
            SERVER => Wake::Server(slot),
            CLIENT => Wake::Client(slot),
            CALL_ENDS => Wake::CallEnds(slot),
            PROBE => Wake::Probe(slot),
            BY_SERVER => Wake::SentByServer(slot),
            BY_CLIENT => Wake::SentByClient(slot),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        let slot = SlotId::new(ShardId(1023), 77, SlotId::GENERATION_MAX);
        let wakes = [
            Wake::Server(slot),
            Wake::Client(slot),
            Wake::CallEnds(slot),
            Wake::Probe(slot),
            Wake::SentByServer(slot),
            Wake::SentByClient(slot),
        ];
        for wake in wakes {
            assert_eq!(Wake::read(wake.token(), ShardId(1023)), Some(wake));
        }
        assert_eq!(Wake::read(0, ShardId(0)), None);
    }
}
