//! The only reader of time.

use base::{Time, Wall};

use crate::sys::{civil_us, monotonic_us};

const STAMP_AGE_MAX_US: i64 = 60_000_000;

/// The clock of all shards of a process: one origin, so that their times compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// On the kernel's monotonic clock.
    origin_us: i64,
}

impl Clock {
    /// A clock that begins now. A moment earlier, to be exact: time 0 is before every event.
    pub(crate) fn new() -> Clock {
        Clock {
            origin_us: monotonic_us(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time((monotonic_us() - self.origin_us) as u64)
    }
}

/// Both clocks at one moment, so that another moment costs one reading of one clock. The civil one
/// may be set at any time: an anchor is made anew before anything of the kernel's is compared with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    now: Time,
    wall: Wall,
}

impl Anchor {
    /// For `now`, which was read this moment.
    pub(crate) fn new(now: Time) -> Anchor {
        Anchor {
            now,
            wall: Wall(civil_us()),
        }
    }

    /// A later moment in civil time.
    pub(crate) fn wall(&self, now: Time) -> Wall {
        self.wall.plus_micros(now.micros_since(self.now))
    }

    /// When the kernel had what it stamped so, if it did.
    pub(crate) fn received(&self, stamp: Option<Wall>) -> Time {
        stamp.map_or(self.now, |stamp| stamped(stamp, self.now, self.wall))
    }
}

/// A kernel time stamp, which is civil time, on the monotonic axis: not after `now`. A stamp that
/// is more than a minute old is taken for a step of the civil clock, and for `now`.
fn stamped(stamp: Wall, now: Time, wall: Wall) -> Time {
    match wall.0.wrapping_sub(stamp.0) {
        age_us @ 0..=STAMP_AGE_MAX_US => Time(now.0.saturating_sub(age_us as u64)),
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_put_on_our_axis_and_impossible_ones_are_now() {
        let now = Time(10_000_500);
        let received = |stamp_us| stamped(Wall(stamp_us), now, Wall(1_000_000_500)).0;
        assert_eq!(received(1_000_000_400), 10_000_400);
        assert_eq!(received(1_000_000_501), 10_000_500, "from the future");
        assert_eq!(
            received(900_000_000),
            10_000_500,
            "before a step of the clock"
        );
        assert_eq!(received(970_000_000), 0, "before the process began");
    }

    #[test]
    fn the_clocks_go_forward_together() {
        let clock = Clock::new();
        let anchor = Anchor::new(clock.now());
        let now = clock.now();
        let wall = anchor.wall(now);
        assert_eq!(wall.0 - anchor.wall.0, (now.0 - anchor.now.0) as i64);
        assert!(wall > Wall(1_700_000_000_000_000));
    }
}
