//! How many calls each limited trunk has up: the one thing that all shards count together.
//!
//! One padded atomic a trunk, two operations a call. Every shard adds when a call takes a channel
//! and takes away when its slot gives the channel back; nobody else writes.

use std::sync::atomic::{AtomicU32, Ordering};

use base::TrunkId;

/// A cell on cache lines of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Cell(AtomicU32);

/// The gauges of all trunks, shared by all shards of a process.
#[derive(Debug)]
pub struct Gauges {
    cells: Vec<Cell>,
}

impl Gauges {
    /// Gauges for so many trunks over the life of the process.
    #[must_use]
    pub fn new(trunks_max: usize) -> Gauges {
        Gauges {
            cells: (0..trunks_max).map(|_| Cell::default()).collect(),
        }
    }

    /// Takes a channel, unless the trunk has `limit` of them in use. `None`: no limit.
    pub(crate) fn take(&self, trunk: TrunkId, limit: Option<u32>) -> bool {
        let Some(cell) = self.cells.get(trunk.0 as usize) else {
            return limit.is_none();
        };
        // Relaxed: the number is all that is shared; nothing is published through it.
        let before = cell.0.fetch_add(1, Ordering::Relaxed);
        if limit.is_some_and(|limit| before >= limit) {
            cell.0.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Gives a channel back.
    pub(crate) fn give(&self, trunk: TrunkId) {
        if let Some(cell) = self.cells.get(trunk.0 as usize) {
            cell.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many channels of a trunk are in use.
    #[must_use]
    pub fn in_use(&self, trunk: TrunkId) -> u32 {
        self.cells
            .get(trunk.0 as usize)
            .map_or(0, |cell| cell.0.load(Ordering::Relaxed))
    }
}
