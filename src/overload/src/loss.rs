//! The loss algorithm: which share of which category is dropped (RFC 7339 §7.2).

use base::Time;

/// The chances of being dropped, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cuts {
    /// Of a request that may be dropped: category 1.
    pub plain: u32,
    /// Of one that is protected: category 2.
    pub protected: u32,
}

const MILLION: u32 = 1_000_000;

impl Cuts {
    /// How `oc` per cent of all requests are taken from the categories, when `plain_percent` of all
    /// are of category 1.
    #[must_use]
    pub fn of(oc: u32, plain_percent: u32) -> Cuts {
        let (oc, plain) = (oc.min(100), plain_percent.min(100));
        if oc <= plain {
            return Cuts {
                plain: (oc * MILLION).checked_div(plain).unwrap_or(0),
                protected: 0,
            };
        }
        Cuts {
            plain: MILLION,
            protected: (oc - plain) * MILLION / (100 - plain),
        }
    }

    /// Whether this one is dropped; `dice` is any number, all equally likely.
    #[must_use]
    pub fn drops(&self, is_protected: bool, dice: u32) -> bool {
        let share = if is_protected {
            self.protected
        } else {
            self.plain
        };
        (u64::from(dice) * u64::from(MILLION)) >> 32 < u64::from(share)
    }
}

/// What a server is sent: the shares of the two categories over the last five to ten seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    since: Time,
    /// Category 1 and category 2, now and in the window before.
    now: [u32; 2],
    before: [u32; 2],
}

/// §7.2 asks for five to ten seconds: the window is between one and two of these.
const WINDOW_MS: u64 = 5_000;
/// Without any count four fifths are taken to be of category 1 (§7.2).
const PLAIN_DEFAULT: u32 = 80;

impl Mix {
    /// Counts a request, sent or dropped.
    pub fn count(&mut self, now: Time, is_protected: bool) {
        let windows = now.micros_since(self.since) / (WINDOW_MS * 1_000);
        if windows > 0 {
            self.before = if windows == 1 { self.now } else { [0; 2] };
            self.now = [0; 2];
            self.since = now;
        }
        let slot = &mut self.now[usize::from(is_protected)];
        *slot = slot.saturating_add(1);
    }

    /// How many of a hundred requests are of category 1.
    #[must_use]
    pub fn plain_percent(&self) -> u32 {
        let sum = |at: usize| u64::from(self.now[at]) + u64::from(self.before[at]);
        let (plain, all) = (sum(0), sum(0) + sum(1));
        match all {
            0 => PLAIN_DEFAULT,
            _ => (plain * 100 / all) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_slides() {
        let mut mix = Mix::default();
        assert_eq!(mix.plain_percent(), 80);
        for at in 0..500 {
            mix.count(Time::from_millis(at), at % 10 == 0);
        }
        assert_eq!(mix.plain_percent(), 90);
        mix.count(Time::from_millis(6_000), true);
        assert_eq!(mix.plain_percent(), 89, "one window back counts");
        mix.count(Time::from_millis(30_000), true);
        assert_eq!(mix.plain_percent(), 0, "older ones do not");
    }

    proptest! {
        /// Whatever the shares, `oc` per cent of all requests go.
        #[test]
        fn what_is_cut_is_what_was_asked(oc in 0_u32..=100, plain in 0_u32..=100) {
            let cuts = Cuts::of(oc, plain);
            let cut = u64::from(cuts.plain) * u64::from(plain)
                + u64::from(cuts.protected) * u64::from(100 - plain);
            let asked = u64::from(oc) * u64::from(MILLION);
            prop_assert!(cut.abs_diff(asked) <= 200, "{cuts:?} for {oc} of {plain}");
            prop_assert!(cuts.protected == 0 || cuts.plain == MILLION);
        }

        #[test]
        fn the_dice_decide_by_share(share in 0_u32..=MILLION) {
            let cuts = Cuts { plain: share, protected: 0 };
            let dropped = (0..4_096_u32).filter(|at| cuts.drops(false, at << 20)).count();
            let want = (u64::from(share) * 4_096 / u64::from(MILLION)) as usize;
            prop_assert!(dropped.abs_diff(want) <= 1);
        }
    }
}
