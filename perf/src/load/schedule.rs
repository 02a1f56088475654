//! When attempts are due: drawn ahead of what happens, so that a slow router cannot slow the clock.

use super::Arrivals;
use super::spread::unit;

/// A small generator of random numbers (SplitMix64): the same seed, the same run.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(mixed(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }
}

/// A number that looks random and is the same for the same one: what a call does is drawn from its
/// name, so that both sides of it agree without a word.
pub(crate) fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The times at which attempts are due, in microseconds from the start.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    arrivals: Arrivals,
    interval_us: f64,
    next_us: f64,
    end_us: f64,
    random: Random,
}

impl Schedule {
    /// Attempts at `rate` a second until `end_us`. `phase` (0 to 1) shifts the first of them within
    /// the first interval, so that several threads do not fire together.
    pub(crate) fn new(
        arrivals: Arrivals,
        rate: f64,
        phase: f64,
        end_us: u64,
        seed: u64,
    ) -> Schedule {
        let mut schedule = Schedule {
            arrivals,
            interval_us: 1e6 / rate,
            next_us: 0.0,
            end_us: end_us as f64,
            random: Random::new(seed),
        };
        schedule.next_us = match arrivals {
            Arrivals::Constant => phase * schedule.interval_us,
            Arrivals::Poisson => schedule.distance_us(),
        };
        schedule
    }

    /// When the next attempt is due; none = there is none any more.
    pub(crate) fn next_us(&self) -> Option<u64> {
        (self.next_us < self.end_us).then_some(self.next_us as u64)
    }

    /// Takes the next attempt if it is due.
    pub(crate) fn due(&mut self, now_us: u64) -> Option<u64> {
        let at_us = self.next_us().filter(|&at_us| at_us <= now_us)?;
        self.next_us += self.distance_us();
        Some(at_us)
    }

    /// No further attempts.
    pub(crate) fn stop(&mut self) {
        self.end_us = 0.0;
    }

    fn distance_us(&mut self) -> f64 {
        match self.arrivals {
            Arrivals::Constant => self.interval_us,
            Arrivals::Poisson => -unit(self.random.next()).ln() * self.interval_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(arrivals: Arrivals, rate: f64, phase: f64, end_us: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, rate, phase, end_us, 3);
        std::iter::from_fn(|| schedule.due(u64::MAX)).collect()
    }

    #[test]
    fn constant_arrivals_keep_their_distance() {
        assert_eq!(
            all(Arrivals::Constant, 1000.0, 0.5, 3000),
            [500, 1500, 2500]
        );
        // An interval of no whole microseconds does not drift.
        assert_eq!(all(Arrivals::Constant, 3000.0, 0.0, 1_000_000).len(), 3000);
    }

    #[test]
    fn poisson_arrivals_have_their_rate_and_their_variance() {
        let times = all(Arrivals::Poisson, 1000.0, 0.0, 100_000_000);
        let count = times.len() as f64;
        assert!((count - 100_000.0).abs() < 1500.0, "{count}");
        let distances: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = distances.iter().sum::<f64>() / count;
        let variance = distances.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count;
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.05,
            "as wide as its mean"
        );
    }

    #[test]
    fn what_is_late_is_not_skipped() {
        let mut schedule = Schedule::new(Arrivals::Constant, 1000.0, 0.0, 10_000, 1);
        assert_eq!(schedule.due(0), Some(0));
        assert_eq!(schedule.due(900), None);
        // A stall of three intervals: each attempt keeps the time when it was due.
        assert_eq!(
            [(); 4].map(|()| schedule.due(3500)),
            [Some(1000), Some(2000), Some(3000), None]
        );
        schedule.stop();
        assert_eq!(schedule.next_us(), None);
    }
}
