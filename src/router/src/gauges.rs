//! How many calls each trunk, each gateway and each cell of a cap has up, and how fast new ones come:
//! what all shards count together.
//!
//! One padded cell for each, two operations a call and two an attempt; no lock. What a shard holds of
//! a cell it notes in a row of its own, so that a shard that begins anew gives back what the one
//! before it held.
//!
//! A rate is kept by the next moment at which a call would be in step (the generic cell rate
//! algorithm): a tenth of a second's calls may come at once, so in no second more than a tenth above
//! the limit get through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::{GatewayId, ShardId, Time, TrunkId};
use route::{CallLimits, CapId, Quality, Windows};

/// What is counted besides trunks and gateways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Cells of caps over the life of the process.
    pub caps: usize,
    /// Rows of quality.
    pub quality_rows: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            caps: 512,
            quality_rows: 4_096,
        }
    }
}

/// A cell on cache lines of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Cell {
    calls: AtomicU32,
    /// When the next call is due at the limit's rate, in nanoseconds.
    next_ns: AtomicU64,
}

/// Whose calls are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limited {
    /// Those that came from a trunk.
    Trunk(TrunkId),
    /// Those that went to a gateway.
    Gateway(GatewayId),
    /// Those that a cell of a cap counts.
    Cap(CapId),
}

/// Which limit a call would break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// That on calls at a time.
    Calls,
    /// That on new calls in a second.
    Rate,
    /// That on what is used up in a window.
    Window,
}

/// The gauges of all trunks and gateways, shared by all shards of a process.
#[derive(Debug)]
pub struct Gauges {
    /// The trunks, then the cells of caps, then the gateways.
    cells: Box<[Cell]>,
    trunks_max: usize,
    caps_max: usize,
    windows: Arc<Windows>,
    /// By shard, what it holds of each cell. Written by that shard only.
    held: Box<[Box<[AtomicU32]>]>,
    quality: Arc<Quality>,
}

impl Gauges {
    /// Gauges for so many trunks and gateways over the life of the process.
    #[must_use]
    pub fn new(shards: u16, trunks_max: usize, gateways_max: usize) -> Gauges {
        Gauges::with_room(shards, trunks_max, gateways_max, Room::default())
    }

    /// The same, with room for so much else.
    #[must_use]
    pub fn with_room(shards: u16, trunks_max: usize, gateways_max: usize, room: Room) -> Gauges {
        let count = trunks_max + room.caps + gateways_max;
        let row = |_| (0..count).map(|_| AtomicU32::new(0)).collect();
        Gauges {
            cells: (0..count).map(|_| Cell::default()).collect(),
            trunks_max,
            caps_max: room.caps,
            windows: Arc::new(Windows::new(shards, room.caps)),
            held: (0..shards).map(row).collect(),
            quality: Arc::new(Quality::new(shards, room.quality_rows)),
        }
    }

    /// How good vendors are.
    #[must_use]
    pub fn quality(&self) -> &Arc<Quality> {
        &self.quality
    }

    /// What capped calls use up of their windows.
    #[must_use]
    pub fn windows(&self) -> &Arc<Windows> {
        &self.windows
    }

    /// A shard begins: what one before it held is given back.
    pub(crate) fn begin(&self, shard: ShardId) {
        for (cell, held) in self.cells.iter().zip(&self.held[usize::from(shard.0)]) {
            let left = held.swap(0, Ordering::Relaxed);
            cell.calls.fetch_sub(left, Ordering::Relaxed);
        }
        self.windows.begin(shard);
    }

    /// Takes a channel, unless a limit forbids it. Whoever has no cell has no limit either.
    pub(crate) fn take(
        &self,
        shard: ShardId,
        whose: Limited,
        limits: CallLimits,
        now: Time,
    ) -> Result<(), Full> {
        let Some((cell, held)) = self.cell(shard, whose) else {
            return Ok(());
        };
        // Relaxed: the numbers are all that is shared; nothing is published through them.
        let before = cell.calls.fetch_add(1, Ordering::Relaxed);
        let full = match (limits.calls, limits.per_second) {
            (Some(most), _) if before >= most => Some(Full::Calls),
            (_, Some(rate)) if !cell.is_in_step(rate, now) => Some(Full::Rate),
            _ => None,
        };
        if let Some(full) = full {
            cell.calls.fetch_sub(1, Ordering::Relaxed);
            return Err(full);
        }
        held.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Gives a channel back.
    pub(crate) fn give(&self, shard: ShardId, whose: Limited) {
        if let Some((cell, held)) = self.cell(shard, whose) {
            cell.calls.fetch_sub(1, Ordering::Relaxed);
            held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a call now is in step with so many a second; then it is counted as one.
    pub(crate) fn is_in_step(&self, whose: Limited, per_second: u32, now: Time) -> bool {
        let cell = self.place(whose).and_then(|place| self.cells.get(place));
        cell.is_none_or(|cell| cell.is_in_step(per_second, now))
    }

    /// How many channels are in use.
    #[must_use]
    pub fn in_use(&self, whose: Limited) -> u32 {
        let cell = self.place(whose).and_then(|place| self.cells.get(place));
        cell.map_or(0, |cell| cell.calls.load(Ordering::Relaxed))
    }

    fn cell(&self, shard: ShardId, whose: Limited) -> Option<(&Cell, &AtomicU32)> {
        let place = self.place(whose)?;
        let held = self.held.get(usize::from(shard.0))?.get(place)?;
        Some((self.cells.get(place)?, held))
    }

    fn place(&self, whose: Limited) -> Option<usize> {
        match whose {
            Limited::Trunk(id) => Some(id.0 as usize).filter(|&at| at < self.trunks_max),
            Limited::Cap(id) => Some(usize::from(id.0))
                .filter(|&at| at < self.caps_max)
                .map(|at| self.trunks_max + at),
            Limited::Gateway(id) => Some(self.trunks_max + self.caps_max + id.0 as usize),
        }
    }
}

impl Cell {
    /// Whether a call now is in step with so many a second; then the next is due a step later.
    fn is_in_step(&self, per_second: u32, now: Time) -> bool {
        const SECOND_NS: u64 = 1_000_000_000;
        let step = SECOND_NS / u64::from(per_second.max(1));
        let slack = SECOND_NS / 10;
        let now = now.0.saturating_mul(1_000);
        let taken = self
            .next_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (next <= now + slack).then(|| next.max(now) + step)
            });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(0);
    const TRUNK: Limited = Limited::Trunk(TrunkId(1));

    fn limits(calls: Option<u32>, per_second: Option<u32>) -> CallLimits {
        CallLimits { calls, per_second }
    }

    #[test]
    fn channels_up_to_the_limit() {
        let gauges = Gauges::new(2, 4, 4);
        let two = limits(Some(2), None);
        let take = |shard| gauges.take(ShardId(shard), TRUNK, two, Time::ZERO);
        assert_eq!(
            [take(0), take(1), take(0)],
            [Ok(()), Ok(()), Err(Full::Calls)]
        );
        assert_eq!(gauges.in_use(TRUNK), 2);
        gauges.give(ShardId(1), TRUNK);
        assert_eq!([take(1), take(1)], [Ok(()), Err(Full::Calls)]);
        // Others have channels of their own.
        let gateway = Limited::Gateway(GatewayId(1));
        assert_eq!(gauges.take(SHARD, gateway, two, Time::ZERO), Ok(()));
        assert_eq!((gauges.in_use(TRUNK), gauges.in_use(gateway)), (2, 1));
    }

    #[test]
    fn a_shard_that_begins_anew_holds_nothing() {
        let gauges = Gauges::new(2, 4, 4);
        for shard in [0, 0, 1] {
            let taken = gauges.take(ShardId(shard), TRUNK, limits(None, None), Time::ZERO);
            assert_eq!(taken, Ok(()));
        }
        gauges.begin(SHARD);
        assert_eq!(gauges.in_use(TRUNK), 1);
        gauges.begin(SHARD);
        assert_eq!(gauges.in_use(TRUNK), 1);
    }

    #[test]
    fn who_has_no_cell_has_no_limit() {
        let gauges = Gauges::new(1, 1, 1);
        let none = limits(Some(0), Some(1));
        assert_eq!(gauges.take(SHARD, TRUNK, none, Time::ZERO), Ok(()));
        gauges.give(SHARD, TRUNK);
        assert_eq!(gauges.in_use(TRUNK), 0);
    }

    #[test]
    fn a_rate_is_kept_in_every_second() {
        for per_second in [1, 3, 10, 50, 1_000] {
            let gauges = Gauges::new(1, 4, 4);
            let rate = limits(None, Some(per_second));
            // Ten times as many as may come, for ten seconds.
            let mut taken: Vec<u64> = Vec::new();
            for at in 0..u64::from(per_second) * 100 {
                let now = Time(5_000_000 + at * 100_000 / u64::from(per_second));
                if gauges.take(SHARD, TRUNK, rate, now).is_ok() {
                    taken.push(now.0);
                }
            }
            let most = u64::from(per_second) + u64::from(per_second).div_ceil(10) + 1;
            for (place, from) in taken.iter().enumerate() {
                let within = taken[place..]
                    .iter()
                    .take_while(|it| **it < from + 1_000_000);
                assert!(within.count() as u64 <= most, "{per_second} a second");
            }
            let all = taken.len() as u64;
            let want = u64::from(per_second) * 10;
            assert!((want..=want + most).contains(&all), "{all} of {want}");
            // What a rate refuses holds no channel.
            assert_eq!(u64::from(gauges.in_use(TRUNK)), all);
        }
    }
}
