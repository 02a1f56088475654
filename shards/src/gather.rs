//! Whether a shard with nothing to do lets messages gather for a moment before it looks again.
//!
//! A shard at half its load sleeps after every few messages and is woken by the next, and waking
//! costs as much as several messages. Where more are sure to come, a nap of fixed length serves many
//! of them in one turn, whose system calls and segments they then share. Under little load a nap would
//! only delay whoever comes alone, and under full load there is none: the next messages are there.

use base::Time;

/// Over how long messages are counted.
const WINDOW_US: u64 = 2_000;
/// How many messages must be expected within a nap for it to be worth one.
const EXPECTED_MIN: u64 = 4;
/// How many messages a second there must be for naps of any length: so many that waking for each
/// few of them takes a good part of the processor. With fewer, it has time to spare, and a longer nap
/// would only make more messages late.
const PER_SECOND_MIN: u64 = 40_000;

/// What a shard knows of how messages come.
#[derive(Debug)]
pub(crate) struct Gather {
    nap_us: u64,
    /// When counting began.
    began: Time,
    seen: u64,
    /// Whether enough of them come for naps, by the window before.
    is_worth_it: bool,
}

impl Gather {
    /// For naps of this length; 0 = none.
    pub(crate) fn new(nap_us: u32) -> Gather {
        Gather {
            nap_us: nap_us.into(),
            began: Time::ZERO,
            seen: 0,
            is_worth_it: false,
        }
    }

    /// So many messages came.
    #[inline]
    pub(crate) fn saw(&mut self, messages: u64) {
        self.seen += messages;
    }

    /// How long to nap, for a shard that has nothing to do at `now` and for `idle_us`. `None`: it
    /// should sleep until something comes.
    pub(crate) fn nap(&mut self, now: Time, idle_us: u64) -> Option<u64> {
        if self.nap_us == 0 {
            return None;
        }
        let window_us = now.micros_since(self.began);
        if window_us >= WINDOW_US {
            let within = |us: u64| self.seen.saturating_mul(us) / window_us;
            self.is_worth_it =
                within(self.nap_us) >= EXPECTED_MIN && within(1_000_000) >= PER_SECOND_MIN;
            self.seen = 0;
            self.began = now;
        }
        // A deadline is not slept over.
        (self.is_worth_it && idle_us >= self.nap_us).then_some(self.nap_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Messages at this rate for a tenth of a second, with something to do every 20 µs; how many of
    /// the times when there was nothing to do were naps, and the nap.
    fn naps(gather: &mut Gather, from: Time, per_second: u64) -> (usize, usize) {
        let length = gather.nap_us;
        let (mut asked, mut napped, mut due) = (0, 0, 0);
        for at in (0..100_000).step_by(20) {
            due += per_second * 20;
            gather.saw(due / 1_000_000);
            due %= 1_000_000;
            asked += 1;
            let nap = gather.nap(from + Duration::from_micros(at), 10_000);
            let is_asked_for = nap.is_none_or(|us| us == length);
            assert!(is_asked_for, "the length that was asked for");
            napped += usize::from(nap.is_some());
        }
        (napped, asked)
    }

    /// A shard that naps for so long does so from about this rate on.
    fn check_begins(nap_us: u32, rate: u64) {
        let mut gather = Gather::new(nap_us);
        let mut now = Time(1_000_000);
        for (per_mille, is_worth_it) in [(3, false), (950, false), (1_100, true)] {
            // The first window is of the rate before.
            let (napped, asked) = naps(&mut gather, now, rate * per_mille / 1_000);
            let share = napped as f64 / asked as f64;
            let missed = if is_worth_it { 1.0 - share } else { share };
            assert!(missed < 0.05, "{nap_us} us, {per_mille}: {share}");
            now = now.plus_millis(100);
        }
        // It was quiet for a second: nobody is kept waiting by what was before.
        assert_eq!(gather.nap(now.plus_millis(1_000), 10_000), None);
    }

    #[test]
    fn messages_gather_where_at_least_four_are_sure_to_come() {
        check_begins(50, 80_000);
        check_begins(100, 40_000);
    }

    #[test]
    fn longer_naps_do_not_begin_sooner() {
        check_begins(300, 40_000);
        check_begins(1_000, 40_000);
    }

    #[test]
    fn a_deadline_is_not_slept_over_and_nothing_asked_for_is_nothing_done() {
        let mut gather = Gather::new(100);
        let now = Time(5_000);
        gather.saw(5_000);
        assert_eq!(gather.nap(now, 99), None);
        assert_eq!(gather.nap(now, 100), Some(100));
        let mut none = Gather::new(0);
        none.saw(1_000_000);
        assert_eq!(none.nap(now, 10_000), None);
    }
}
