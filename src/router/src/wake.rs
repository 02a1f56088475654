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
use transaction::Timer;

const SLOT_BITS: u32 = 54;

/// What a deadline or a failed send is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// A timer of a transaction.
    Timer(Timer, SlotId),
    /// The patience with the branch of this client transaction: no response, or no answer.
    Patience(SlotId),
    /// The call has lasted as long as it may.
    CallEnds(SlotId),
    /// A probe's answer is overdue: the slot is its client transaction.
    Probe(SlotId),
    /// A response of this server transaction did not leave.
    SentByServer(SlotId),
    /// A request of this client transaction did not leave.
    SentByClient(SlotId),
}

const PATIENCE: u64 = 32;
const CALL_ENDS: u64 = 33;
const PROBE: u64 = 34;
const BY_SERVER: u64 = 35;
const BY_CLIENT: u64 = 36;

impl Wake {
    /// The token that brings this back. Never 0: every kind is counted from 1.
    pub(crate) fn token(self) -> u64 {
        let (kind, slot) = match self {
            Wake::Timer(timer, slot) => (u64::from(timer.index()) + 1, slot),
            Wake::Patience(slot) => (PATIENCE, slot),
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
            kind @ 1..PATIENCE => Wake::Timer(Timer::from_index(kind as u8 - 1)?, slot),
            PATIENCE => Wake::Patience(slot),
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
        let timers = (0..).map_while(Timer::from_index);
        let mut wakes: Vec<Wake> = timers.map(|timer| Wake::Timer(timer, slot)).collect();
        assert!(
            wakes.len() < PATIENCE as usize,
            "the timers have room below the other kinds"
        );
        wakes.extend([
            Wake::Patience(slot),
            Wake::CallEnds(slot),
            Wake::Probe(slot),
            Wake::SentByServer(slot),
            Wake::SentByClient(slot),
        ]);
        for wake in wakes {
            assert_eq!(Wake::read(wake.token(), ShardId(1023)), Some(wake));
        }
        assert_eq!(Wake::read(0, ShardId(0)), None);
    }
}
