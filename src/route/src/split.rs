//! Exact shares: who is owed most is next.
//!
//! Chance keeps shares only on average: of 100,000 calls that are to be halved, one side gets 500
//! more in a third of all days. Here each call adds to everybody what he is due of it and takes it
//! from whoever gets it. What is owed never exceeds one call for each of the others, so the shares
//! are exact to a few calls, however many there are, and a vendor that could not be tried is owed
//! what he missed until a bound: he gets it back, but not all at once.
//!
//! Each shard keeps its own, so over all shards the error is a few calls for each.

/// What each of a plan's vendors is owed, in parts of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Split {
    owed: Box<[i64]>,
}

/// A call, in parts.
const CALL: i64 = 1 << 32;
/// The most calls that anybody is owed, or owes.
const OWED_CALLS_MAX: i64 = 64;

impl Split {
    /// Nobody is owed anything by so many.
    #[must_use]
    pub(crate) fn new(count: usize) -> Split {
        Split {
            owed: vec![0; count].into(),
        }
    }

    /// Gives a call to whoever is owed most, and says to whom; to nobody if nobody may get it.
    ///
    /// Each of those that may is due his share of the call. What those who may not would be due is
    /// divided among the others, so it is not owed by anybody. `share` gives the weight of each
    /// place, at most [`crate::limits::WEIGHT_MAX`], and 0 to those that may not get it.
    pub(crate) fn give(&mut self, share: impl Fn(usize) -> u32) -> Option<usize> {
        let share = |place| i64::from(share(place));
        let total: i64 = (0..self.owed.len()).map(share).sum();
        let mut first: Option<(i64, usize)> = None;
        for (place, owed) in self.owed.iter_mut().enumerate() {
            let share = share(place);
            if share > 0 {
                *owed = (*owed + CALL * share / total).min(OWED_CALLS_MAX * CALL);
                if first.is_none_or(|(most, _)| *owed > most) {
                    first = Some((*owed, place));
                }
            }
        }
        let (_, place) = first?;
        let owed = &mut self.owed[place];
        *owed = (*owed - CALL).max(-OWED_CALLS_MAX * CALL);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Plays calls, each of which only those may get that `may` says; returns how many each got.
    fn play(shares: &[u32], calls: usize, may: impl Fn(usize, usize) -> bool) -> Vec<usize> {
        let mut split = Split::new(shares.len());
        let mut got = vec![0; shares.len()];
        for call in 0..calls {
            let share = |place: usize| if may(call, place) { shares[place] } else { 0 };
            if let Some(next) = split.give(share) {
                got[next] += 1;
            }
        }
        got
    }

    #[test]
    fn shares_are_exact_to_a_call() {
        assert_eq!(
            play(&[50, 30, 20], 100_000, |_, _| true),
            [50_000, 30_000, 20_000]
        );
        assert_eq!(
            play(&[1, 1, 1], 100_000, |_, _| true),
            [33_334, 33_333, 33_333]
        );
        assert_eq!(play(&[999, 1], 100_000, |_, _| true), [99_900, 100]);
        assert_eq!(play(&[7, 0], 10, |_, _| true), [10, 0]);
        assert_eq!(play(&[0, 0], 10, |_, _| true), [0, 0]);
    }

    #[test]
    fn who_was_away_is_not_given_all_at_once() {
        // The second is away for half of the time; then both get their halves again.
        let got = play(&[50, 50], 20_000, |call, place| {
            place == 0 || call >= 10_000
        });
        assert!(got[1].abs_diff(5_000) <= OWED_CALLS_MAX as usize, "{got:?}");
    }

    proptest! {
        #[test]
        fn nobody_is_off_by_more_than_a_call_for_each(
            shares in proptest::collection::vec(0_u32..1_000, 1..8),
            calls in 1_usize..5_000,
        ) {
            let total: u32 = shares.iter().sum();
            prop_assume!(total > 0);
            let got = play(&shares, calls, |_, _| true);
            for (share, got) in shares.iter().zip(&got) {
                let exact = f64::from(*share) / f64::from(total) * calls as f64;
                let off = (*got as f64 - exact).abs();
                prop_assert!(off <= shares.len() as f64, "{got} and not {exact}");
            }
        }
    }
}
