//! The only reader of time.

#![expect(clippy::disallowed_methods)] // so that nobody else needs to

use std::time::{Duration, Instant, SystemTime};

use base::{Time, Wall};

/// The clock of all shards of a process: one origin, so that their times compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins now. A moment earlier, to be exact: time 0 is before every event.
    pub(crate) fn new() -> Clock {
        Clock {
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn wall(&self) -> Wall {
        Wall(i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX))
    }

    /// A kernel time stamp, which is civil time, on the monotonic axis. Whatever the civil clock
    /// did in between, it is not after `now`, and at most a minute before.
    pub(crate) fn stamped(&self, stamp: Duration, now: Time, wall: Wall) -> Time {
        let stamp_us = i64::try_from(stamp.as_micros()).unwrap_or(i64::MAX);
        let age_us = wall.0.saturating_sub(stamp_us).clamp(0, 60_000_000) as u64;
        Time(now.0.saturating_sub(age_us))
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
