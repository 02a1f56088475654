//! The only reader of time.

#![allow(
    clippy::disallowed_methods,
    reason = "this is where the runtime takes its time from; everything else is told"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::{Time, Wall};

/// The clock that all shards of a process share: its [`Time::ZERO`] is the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

/// Receive stamps older than this are taken for a step of the civil clock.
const STAMP_AGE_MAX_US: i64 = 60_000_000;

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock {
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// Both clocks at one moment.
    pub(crate) fn anchor(&self) -> Anchor {
        let now = self.now();
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        };
        Anchor {
            now,
            wall: Wall(wall),
        }
    }
}

/// A moment on both clocks, to translate between them for the length of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    pub(crate) now: Time,
    wall: Wall,
}

impl Anchor {
    /// The civil time at `now`, which is not before the anchor.
    pub(crate) fn wall_at(&self, now: Time) -> Wall {
        self.wall.plus_micros(now.micros_since(self.now))
    }

    /// The kernel stamps datagrams by the civil clock: when was that, on ours? A stamp that the
    /// civil clock's steps make impossible counts as `now`.
    pub(crate) fn received_at(&self, stamp: Wall, now: Time) -> Time {
        let age = self.wall_at(now).0.saturating_sub(stamp.0);
        match age {
            0..=STAMP_AGE_MAX_US => Time(now.0.saturating_sub(age as u64)),
            _ => now,
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_put_on_our_axis_and_impossible_ones_are_now() {
        let anchor = Anchor {
            now: Time(10_000_000),
            wall: Wall(1_000_000_000),
        };
        let now = Time(10_000_500);
        let received = |stamp| anchor.received_at(Wall(stamp), now).0;
        assert_eq!(anchor.wall_at(now), Wall(1_000_000_500));
        assert_eq!(received(1_000_000_400), 10_000_400);
        assert_eq!(received(999_999_500), 9_999_500, "before the anchor");
        assert_eq!(received(1_000_000_501), 10_000_500, "from the future");
        assert_eq!(received(900_000_000), 10_000_500, "before a step");
        assert_eq!(received(970_000_000), 0, "before the process began");
    }

    #[test]
    fn the_clock_goes_forward_and_knows_the_year() {
        let clock = Clock::start();
        let anchor = clock.anchor();
        assert!(clock.now() >= anchor.now);
        assert!(anchor.wall_at(clock.now()) > Wall(1_700_000_000_000_000));
    }
}
