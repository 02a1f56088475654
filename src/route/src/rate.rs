//! What a call costs: a price a minute, a fee, and the steps in which time is counted.

use std::fmt;
use std::num::NonZeroU16;

use base::Money;

/// A price of a deck. Many rows have the same one, so it is kept once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rate {
    /// The price of sixty seconds, in the currency of the deck.
    pub per_minute: Money,
    /// What an answered call costs besides.
    pub connect_fee: Money,
    /// The steps in which its time is counted.
    pub steps: Steps,
    /// Whether the deck says that these numbers are not to be had.
    pub is_blocked: bool,
}

impl Rate {
    /// A price a minute by the second, with no fee.
    #[must_use]
    pub const fn per_minute(per_minute: Money) -> Rate {
        Rate {
            per_minute,
            connect_fee: Money::ZERO,
            steps: Steps::SECONDS,
            is_blocked: false,
        }
    }

    /// What an answered call of this length costs, not yet rounded for the bill.
    ///
    /// `None` if no amount is that large.
    #[must_use]
    pub fn amount(&self, length_ms: u64) -> Option<Money> {
        let seconds = i64::try_from(self.steps.billed_seconds(length_ms)).ok()?;
        let time = self.per_minute.scaled(seconds, 60)?;
        time.checked_add(self.connect_fee)
    }
}

/// The three letters of a currency (ISO 4217).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Currency([u8; 3]);

impl Currency {
    /// `EUR`. `None` if it is not three capital letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Currency> {
        let letters = *text.as_bytes().as_array()?;
        letters
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Currency(letters))
    }

    /// Its letters.
    #[must_use]
    pub const fn letters(self) -> [u8; 3] {
        self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|&letter| write!(f, "{}", char::from(letter)))
    }
}

/// What one deck asks for one call, for its record: 24 octets, with or without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Price {
    /// The price of sixty seconds.
    pub per_minute: Money,
    /// What an answered call costs besides.
    pub connect_fee: Money,
    /// The steps in which its time is counted.
    pub steps: Steps,
    /// Of what.
    pub currency: Currency,
    /// How many digits of the number the row of the deck is about.
    pub digits_count: u8,
}

const _: () = assert!(size_of::<Option<Price>>() == 24);

impl Price {
    /// What an answered call of this length costs, not yet rounded for the bill.
    ///
    /// `None` if no amount is that large.
    #[must_use]
    pub fn amount(&self, length_ms: u64) -> Option<Money> {
        let rate = Rate {
            per_minute: self.per_minute,
            connect_fee: self.connect_fee,
            steps: self.steps,
            is_blocked: false,
        };
        rate.amount(length_ms)
    }
}

impl fmt::Display for Price {
    /// `0.0135 USD a minute, 60/6, and 0.05 a call`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Price {
            per_minute,
            connect_fee,
            steps,
            currency,
            ..
        } = self;
        write!(f, "{per_minute} {currency} a minute, {steps}")?;
        match *connect_fee {
            Money::ZERO => Ok(()),
            fee => write!(f, ", and {fee} a call"),
        }
    }
}

/// How the time of a call is counted: `60/6` is a minute at least, then steps of six seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Steps {
    first_seconds: u16,
    next_seconds: NonZeroU16,
}

impl Steps {
    /// By the second: `1/1`.
    pub const SECONDS: Steps = Steps {
        first_seconds: 1,
        next_seconds: NonZeroU16::MIN,
    };

    /// The least that is counted, which may be nothing, and the step after it.
    ///
    /// `None` if there is no step.
    #[must_use]
    pub const fn new(first_seconds: u16, next_seconds: u16) -> Option<Steps> {
        match NonZeroU16::new(next_seconds) {
            Some(next_seconds) => Some(Steps {
                first_seconds,
                next_seconds,
            }),
            None => None,
        }
    }

    /// The least that is counted, in seconds.
    #[must_use]
    pub const fn first_seconds(self) -> u16 {
        self.first_seconds
    }

    /// The step after it, in seconds.
    #[must_use]
    pub const fn next_seconds(self) -> u16 {
        self.next_seconds.get()
    }

    /// How many seconds are counted for an answered call of this length. A second that has begun
    /// is a second.
    #[must_use]
    pub const fn billed_seconds(self, length_ms: u64) -> u64 {
        let seconds = length_ms.div_ceil(1_000);
        let (first, next) = (self.first_seconds as u64, self.next_seconds.get() as u64);
        if seconds <= first {
            return first;
        }
        first.saturating_add((seconds - first).div_ceil(next).saturating_mul(next))
    }
}

impl fmt::Display for Steps {
    /// `60/6`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first_seconds, self.next_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steps_as_carriers_write_them() {
        for (first, next, table) in [
            (1, 1, [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)]),
            (
                60,
                60,
                [
                    (0, 60),
                    (1, 60),
                    (60_000, 60),
                    (60_001, 120),
                    (120_000, 120),
                ],
            ),
            (
                30,
                6,
                [
                    (1, 30),
                    (30_000, 30),
                    (30_001, 36),
                    (36_000, 36),
                    (36_001, 42),
                ],
            ),
            (0, 1, [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2)]),
        ] {
            let steps = Steps::new(first, next).unwrap();
            for (length_ms, want) in table {
                assert_eq!(
                    steps.billed_seconds(length_ms),
                    want,
                    "{first}/{next}: {length_ms} ms"
                );
            }
        }
        assert_eq!(Steps::new(60, 0), None);
    }

    #[test]
    fn amounts_to_the_last_part() {
        let rate = Rate {
            connect_fee: Money::parse("0.05").unwrap(),
            steps: Steps::new(30, 6).unwrap(),
            ..Rate::per_minute(Money::parse("0.0135").unwrap())
        };
        // 36 seconds: 0.0135 × 36 / 60 + 0.05.
        assert_eq!(rate.amount(31_000).unwrap().to_string(), "0.0581");
        let dear = Rate::per_minute(Money::from_parts(i64::MAX));
        assert_eq!(
            (dear.amount(60_000).is_some(), dear.amount(61_000)),
            (true, None)
        );
    }

    proptest! {
        #[test]
        fn no_second_is_lost_and_no_step_too_many(first in 0_u16..200, next in 1_u16..200, length_ms in 0_u64..10_000_000) {
            let billed = Steps::new(first, next).unwrap().billed_seconds(length_ms);
            let (first, next) = (u64::from(first), u64::from(next));
            prop_assert!(billed * 1_000 >= length_ms && billed >= first);
            prop_assert_eq!((billed - first) % next, 0);
            prop_assert!(billed == first || (billed - next) * 1_000 < length_ms);
        }
    }
}
