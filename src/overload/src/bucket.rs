//! The rate algorithm: a leaky bucket (RFC 7415 §3.5).

use base::Time;

/// Admits requests at no more than a rate, with some room for bursts.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The increment for one request: 1 / rate. Infinite for rate 0.
    t_us: f64,
    /// How full the bucket is, as of `last`.
    x_us: f64,
    last: Time,
    /// How full it may be for a request to be admitted: one without and one with priority.
    tau_us: [f64; 2],
}

impl Bucket {
    /// A bucket as RFC 7415 §3.5.1 has it: TAU is four increments, for everybody.
    #[must_use]
    pub fn new(rate: u32, now: Time) -> Bucket {
        Bucket::with_tau(rate, [4.0, 4.0], now)
    }

    /// A bucket that leaves room for priority (§3.5.2): five increments for those without, ten for
    /// those with.
    #[must_use]
    pub fn with_priority(rate: u32, now: Time) -> Bucket {
        Bucket::with_tau(rate, [5.0, 10.0], now)
    }

    fn with_tau(rate: u32, tau: [f64; 2], now: Time) -> Bucket {
        let t_us = 1_000_000.0 / f64::from(rate);
        Bucket {
            t_us,
            x_us: 0.0,
            last: now,
            tau_us: tau.map(|tau| tau * t_us),
        }
    }

    /// The same bucket at another rate: what it holds stays in proportion.
    pub fn set_rate(&mut self, rate: u32) {
        let t_us = 1_000_000.0 / f64::from(rate);
        if t_us.is_finite() && self.t_us.is_finite() {
            let factor = t_us / self.t_us;
            self.x_us *= factor;
            self.tau_us = self.tau_us.map(|tau| tau * factor);
            self.t_us = t_us;
        } else {
            *self = Bucket::with_priority(rate, self.last);
        }
    }

    /// Whether a request may be sent now. `dice` spreads the clients of one server, which would
    /// otherwise send in step (§3.5.3): used only if the bucket is empty.
    pub fn admit(&mut self, now: Time, has_priority: bool, dice: Option<u32>) -> bool {
        if !self.t_us.is_finite() {
            return false;
        }
        let left = self.x_us - now.micros_since(self.last) as f64;
        if left > self.tau_us[usize::from(has_priority)] {
            return false;
        }
        let spread = match dice {
            Some(dice) if left <= 0.0 => f64::from(dice) / f64::from(u32::MAX) - 0.5,
            _ => 0.0,
        };
        self.x_us = left.max(0.0) + self.t_us * (1.0 + spread);
        self.last = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_has_twice_the_room() {
        let mut bucket = Bucket::with_priority(100, Time::ZERO);
        let normal = (0..20)
            .filter(|_| bucket.admit(Time::ZERO, false, None))
            .count();
        let urgent = (0..20)
            .filter(|_| bucket.admit(Time::ZERO, true, None))
            .count();
        assert_eq!((normal, urgent), (6, 5));
    }

    #[test]
    fn rate_zero_sends_nothing_and_another_rate_begins_again() {
        let mut bucket = Bucket::with_priority(0, Time::ZERO);
        assert!(!bucket.admit(Time::from_millis(60_000), true, None));
        bucket.set_rate(10);
        assert!(bucket.admit(Time::from_millis(60_000), false, None));
    }

    #[test]
    fn the_spread_keeps_the_mean() {
        let mut bucket = Bucket::new(1_000, Time::ZERO);
        let mut dice = 1_u32;
        let admitted = (0..200_000_u64)
            .filter(|&at| {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bucket.admit(Time(at * 100), false, Some(dice))
            })
            .count();
        assert!((19_800..=20_200).contains(&admitted), "{admitted}");
    }
}
