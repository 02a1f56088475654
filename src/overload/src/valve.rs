//! How much of a source's requests the kernel lets through, where it can drop the rest.
//!
//! ```text
//!   arrivals a second    … over 2.5 levels, or for long over 1.25: down to 1.12
//!                        … between: as it is
//!                        … for long under 1.03: up to 1.12
//! ```
//!
//! A refusal tells its caller at once to go elsewhere, so a source gets some; but each costs a seventh
//! of a call, so it does not get many more than one for ten calls. That is 2 % of the processor,
//! however much is offered. The rest is dropped before it is received.
//!
//! What was dropped stays dropped for as long as its caller repeats it, wherever the valve stands by
//! then: so what passes is new. But it comes again, with growing distances, and what a full buffer lost
//! comes again, too, and is served: a moment shows more, or less, than is so. So the valve moves rarely,
//! and who is taken within what it lets through is for the admission to say, by 503. It is closed further
//! only for who asks for too much over a while: what a source sent during a stall comes at once after it,
//! and what of that was dropped would stay dropped for half a minute.

use base::Time;

/// A source's valve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Valve {
    /// The share that passes.
    pub(crate) share: f32,
    /// What arrived since the last look, in calls.
    arrived: f32,
    /// The level, without its swings.
    level: f32,
    /// How many looks in a row found too much, or too little.
    high: u8,
    low: u8,
    /// Whether its source asks for too much over a while, and not only at this moment.
    pub(crate) is_lasting: bool,
    /// Whether the share was changed and nobody was told.
    pub(crate) is_news: bool,
}

/// When the valves of a shard are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    since: Time,
}

/// Between two looks, and how long after a valve was closed further what was in the socket's buffer
/// may still come.
const LOOK_US: u64 = 250_000;
const SETTLE_US: u64 = 150_000;
/// Arrivals in levels: what is aimed at, and beyond what something is done, at once or after so many
/// looks.
const AIM: f32 = 1.12;
const FAR_TOO_MUCH: f32 = 2.5;
pub(crate) const TOO_MUCH: f32 = 1.25;
const TOO_MUCH_LOOKS: u8 = 3;
const TOO_LITTLE: f32 = 1.03;
const TOO_LITTLE_LOOKS: u8 = 2;
const STEP_UP_MAX: f32 = 2.0;
/// A valve never closes wholly: what passes says that there is still too much.
const SHARE_MIN: f32 = 0.002;
/// Over how long the level is taken.
const LEVEL_SECONDS: f32 = 1.0;

impl Valve {
    pub(crate) const OPEN: Valve = Valve {
        share: 1.0,
        arrived: 0.0,
        level: 0.0,
        high: 0,
        low: 0,
        is_lasting: false,
        is_news: false,
    };

    pub(crate) fn is_open(&self) -> bool {
        self.share >= 1.0
    }

    /// How much of a new level is taken over after a period of `seconds`: the same for all valves.
    pub(crate) fn trust(seconds: f32) -> f32 {
        1.0 - (-seconds / LEVEL_SECONDS).exp()
    }

    /// A period is over, in which so many calls' worth of requests arrived.
    pub(crate) fn note(&mut self, arrived: f32, level: f32, trust: f32) {
        self.arrived += arrived;
        self.level = if self.level > 0.0 {
            self.level + (level - self.level) * trust
        } else {
            level
        };
    }

    /// Turns it by what arrived in so many seconds. True: it was closed further.
    fn turn(&mut self, seconds: f32) -> bool {
        let arrivals = (self.arrived / seconds).max(f32::MIN_POSITIVE);
        let level = self.level.max(1.0);
        let before = self.share;
        let count = |it: u8, is: bool| if is { it.saturating_add(1) } else { 0 };
        self.high = count(self.high, arrivals > TOO_MUCH * level);
        self.low = count(self.low, arrivals < TOO_LITTLE * level);
        let is_high = self.high >= TOO_MUCH_LOOKS || arrivals > FAR_TOO_MUCH * level;
        if is_high && self.is_lasting {
            self.share = (before * AIM * level / arrivals).max(SHARE_MIN);
        } else if self.low >= TOO_LITTLE_LOOKS {
            self.share = before * (AIM * level / arrivals).min(STEP_UP_MAX);
        }
        if self.share != before {
            (self.high, self.low) = (0, 0);
        }
        self.share = self.share.min(1.0);
        self.arrived = 0.0;
        self.is_news |= self.share != before;
        self.share < before
    }

    /// Opens it.
    pub(crate) fn open(&mut self) {
        self.is_news |= !self.is_open();
        *self = Valve {
            is_news: self.is_news,
            ..Valve::OPEN
        };
    }

    /// The bound for lots of 32 bits; none if all pass.
    pub(crate) fn bound(&self) -> Option<u32> {
        (!self.is_open()).then(|| (f64::from(self.share) * f64::from(u32::MAX)) as u32)
    }
}

impl Rhythm {
    pub(crate) const BEGIN: Rhythm = Rhythm { since: Time::ZERO };

    /// Turns all valves if it is time. True: one was turned.
    pub(crate) fn turn<'v>(
        &mut self,
        now: Time,
        valves: impl Iterator<Item = &'v mut Valve>,
    ) -> bool {
        if now < self.since {
            // The rest of what came before they were closed.
            valves.for_each(|valve| valve.arrived = 0.0);
            return false;
        }
        let micros = now.micros_since(self.since);
        if micros < LOOK_US {
            return false;
        }
        let seconds = micros as f32 / 1e6;
        let (mut is_closed, mut is_news) = (false, false);
        for valve in valves {
            is_closed |= valve.turn(seconds);
            is_news |= valve.is_news;
        }
        let settle_us = if is_closed { SETTLE_US } else { 0 };
        self.since = Time(now.0 + settle_us);
        is_news
    }

    /// Begins to count now.
    pub(crate) fn restart(&mut self, now: Time) {
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share after so many looks that found these arrivals at a level of 100.
    fn after(looks: usize, arrivals: f32, share: f32) -> f32 {
        let mut valve = Valve {
            share,
            is_lasting: true,
            ..Valve::OPEN
        };
        for _ in 0..looks {
            valve.note(arrivals, 100.0, Valve::trust(0.05));
            valve.turn(1.0);
        }
        valve.share
    }

    #[test]
    fn it_moves_only_when_much_is_off_for_long() {
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} and not {b}");
        near(after(1, 1_000.0, 1.0), 0.112);
        near(after(2, 140.0, 0.5), 0.5);
        near(after(3, 140.0, 0.5), 0.5 * 112.0 / 140.0);
        near(after(100, 120.0, 0.5), 0.5);
        near(after(100, 105.0, 0.5), 0.5);
        near(after(1, 100.0, 0.5), 0.5);
        near(after(2, 100.0, 0.5), 0.56);
        near(after(1, 0.0, 0.1), 0.1);
        near(after(2, 0.0, 0.1), 0.2);
        near(after(2, 10.0, 0.9), 1.0);
        near(after(1, 1e9, 1.0), SHARE_MIN);
    }

    #[test]
    fn a_burst_alone_closes_nothing() {
        let mut valve = Valve {
            share: 0.5,
            ..Valve::OPEN
        };
        for _ in 0..10 {
            valve.note(1e6, 100.0, Valve::trust(0.05));
            assert!(!valve.turn(1.0));
        }
        assert_eq!(valve.share, 0.5);
        for _ in 0..2 {
            valve.note(10.0, 100.0, Valve::trust(0.05));
            valve.turn(1.0);
        }
        assert!(valve.is_open());
    }

    #[test]
    fn what_was_on_its_way_when_it_closed_does_not_count() {
        let mut valves = [Valve {
            is_lasting: true,
            ..Valve::OPEN
        }];
        let mut rhythm = Rhythm::BEGIN;
        rhythm.restart(Time::from_millis(1_000));
        valves[0].note(1_000.0, 100.0, Valve::trust(0.05));
        assert!(!rhythm.turn(Time::from_millis(1_100), valves.iter_mut()));
        assert!(rhythm.turn(Time::from_millis(1_250), valves.iter_mut()));
        let share = valves[0].share;
        assert!(share < 0.1);
        valves[0].is_news = false;
        valves[0].note(500.0, 100.0, Valve::trust(0.05));
        assert!(!rhythm.turn(Time::from_millis(1_350), valves.iter_mut()));
        valves[0].note(35.0, 100.0, Valve::trust(0.05));
        assert!(!rhythm.turn(Time::from_millis(1_650), valves.iter_mut()));
        assert_eq!(valves[0].share, share);
        valves[0].open();
        assert!(valves[0].is_open() && valves[0].is_news);
        assert_eq!(valves[0].bound(), None);
    }
}
