//! What the peers count, readable while they run.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Histogram;

/// What a caller has seen so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// INVITEs sent, each once.
    pub placed: u64,
    /// Calls that got a 2xx.
    pub answered: u64,
    /// Calls that got another final response, or none in time.
    pub failed: u64,
    /// Answered calls whose BYE was answered, or that the other side ended.
    pub completed: u64,
    /// Calls being set up or up.
    pub active: u64,
    /// Median of the time from the INVITE sent to the 2xx received.
    pub setup_p50_us: u64,
    /// The same, 99 of 100 calls.
    pub setup_p99_us: u64,
    /// Requests sent again and final responses received again.
    pub retransmissions: u64,
    /// Calls not placed because `active_max` were up.
    pub held_back: u64,
    /// BYEs that nobody answered.
    pub bye_unanswered: u64,
}

/// What a vendor has seen so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VendorFigures {
    /// Calls offered, each once.
    pub invites: u64,
    /// Calls answered with 200.
    pub answered: u64,
    /// Calls answered with the refusal.
    pub refused: u64,
    /// Calls that ended by CANCEL.
    pub cancelled: u64,
    /// Calls that ended by BYE.
    pub byes: u64,
    /// OPTIONS answered.
    pub options: u64,
    /// Calls being set up or up.
    pub active: u64,
    /// Requests received again and final responses sent again.
    pub retransmissions: u64,
    /// 2xx whose ACK never came.
    pub unacknowledged: u64,
    /// Datagrams that were no SIP, or for which there was no room.
    pub dropped: u64,
}

/// A counter with one writing thread (the peer's) and any reader.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct CallerCounts {
    pub(crate) placed: Count,
    pub(crate) answered: Count,
    pub(crate) failed: Count,
    pub(crate) completed: Count,
    pub(crate) active: Count,
    pub(crate) retransmissions: Count,
    pub(crate) held_back: Count,
    pub(crate) bye_unanswered: Count,
    pub(crate) setup: Histogram,
}

impl CallerCounts {
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            placed: self.placed.get(),
            answered: self.answered.get(),
            failed: self.failed.get(),
            completed: self.completed.get(),
            active: self.active.get(),
            setup_p50_us: self.setup.quantile_us(500),
            setup_p99_us: self.setup.quantile_us(990),
            retransmissions: self.retransmissions.get(),
            held_back: self.held_back.get(),
            bye_unanswered: self.bye_unanswered.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct VendorCounts {
    pub(crate) invites: Count,
    pub(crate) answered: Count,
    pub(crate) refused: Count,
    pub(crate) cancelled: Count,
    pub(crate) byes: Count,
    pub(crate) options: Count,
    pub(crate) active: Count,
    pub(crate) retransmissions: Count,
    pub(crate) unacknowledged: Count,
    pub(crate) dropped: Count,
}

impl VendorCounts {
    pub(crate) fn figures(&self) -> VendorFigures {
        VendorFigures {
            invites: self.invites.get(),
            answered: self.answered.get(),
            refused: self.refused.get(),
            cancelled: self.cancelled.get(),
            byes: self.byes.get(),
            options: self.options.get(),
            active: self.active.get(),
            retransmissions: self.retransmissions.get(),
            unacknowledged: self.unacknowledged.get(),
            dropped: self.dropped.get(),
        }
    }
}
