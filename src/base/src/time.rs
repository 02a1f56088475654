//! Two clocks that must not be mixed: one to measure with, one to write on bills.

use std::ops::Add;
use std::time::Duration;

/// A moment of the shard's monotonic clock, in microseconds since the process (or the simulated
/// world) began. All timers and durations are made of it; it never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// The moment at which the clock began.
    pub const ZERO: Time = Time(0);

    /// A moment so many milliseconds after the beginning.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    /// Whole milliseconds since the beginning.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// How long after `earlier` this is, in microseconds; 0 if it is not after it.
    #[must_use]
    pub const fn micros_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and so many milliseconds.
    #[must_use]
    pub const fn plus_millis(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms.saturating_mul(1_000)))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, d: Duration) -> Time {
        Time(
            self.0
                .saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// A moment of civil time: microseconds since 1970-01-01T00:00:00 UTC, leap seconds not counted.
///
/// Only records for people and bills carry it; nothing is ever decided by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Wall(pub i64);

impl Wall {
    /// This moment and so many microseconds.
    #[must_use]
    pub const fn plus_micros(self, us: u64) -> Wall {
        Wall(self.0.saturating_add_unsigned(us))
    }

    /// This moment less so many microseconds.
    #[must_use]
    pub const fn minus_micros(self, us: u64) -> Wall {
        Wall(self.0.saturating_sub_unsigned(us))
    }
}
