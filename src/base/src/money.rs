//! Amounts in exact decimals: no float ever holds money.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Neg, Sub};

/// An amount of some currency, in hundred-millionths of its unit: from −92 to +92 thousand million.
///
/// Eight decimals hold every price that a deck can say (`0.00135`), and a second of it to a part
/// that no bill shows. What is worked out of prices is rounded where it is worked out, and there
/// only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);
    /// How many decimals there are.
    pub const DECIMALS: u32 = 8;
    /// How many parts a unit of the currency has.
    pub const UNIT: i64 = 10_i64.pow(Self::DECIMALS);

    /// So many hundred-millionths.
    #[must_use]
    pub const fn from_parts(parts: i64) -> Money {
        Money(parts)
    }

    /// In hundred-millionths.
    #[must_use]
    pub const fn parts(self) -> i64 {
        self.0
    }

    /// Reads digits with a point: `12`, `-0.5`, `.0135`. No sign but `-`, no exponent, no separators
    /// of thousands: those who write them are asked what they mean before it comes here.
    ///
    /// `None` if it is not like that, has more than eight decimals that are not zeros, or is too large.
    #[must_use]
    pub fn parse(text: &str) -> Option<Money> {
        let (digits, is_negative) = match text.strip_prefix('-') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut parts: i64 = 0;
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > Self::DECIMALS as usize {
            return None;
        }
        let filler = Self::DECIMALS as usize - fraction.len();
        let octets = whole.bytes().chain(fraction.bytes());
        for octet in octets.chain(std::iter::repeat_n(b'0', filler)) {
            if !octet.is_ascii_digit() {
                return None;
            }
            parts = parts
                .checked_mul(10)?
                .checked_add(i64::from(octet - b'0'))?;
        }
        Some(Money(if is_negative { -parts } else { parts }))
    }

    /// The sum, if it can be written.
    #[must_use]
    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.0.checked_add(other.0).map(Money)
    }

    /// The difference, if it can be written.
    #[must_use]
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.0.checked_sub(other.0).map(Money)
    }

    /// This times `numerator / denominator`, rounded half away from zero; `None` if it is too large.
    ///
    /// # Panics
    /// If the denominator is 0.
    #[must_use]
    pub fn scaled(self, numerator: i64, denominator: i64) -> Option<Money> {
        assert!(denominator != 0, "a share is of something");
        if let Some(product) = self.0.checked_mul(numerator)
            && product >= 0
            && denominator > 0
            && let Some(rounded) = product.checked_add(denominator / 2)
        {
            // Nearly always, and far cheaper than the same in twice as many bits.
            return Some(Money(rounded / denominator));
        }
        let product = i128::from(self.0) * i128::from(numerator);
        i64::try_from(divided(product, i128::from(denominator)))
            .ok()
            .map(Money)
    }

    /// Rounded half away from zero to so many decimals.
    #[must_use]
    pub fn rounded(self, decimals: u32) -> Money {
        if decimals >= Self::DECIMALS {
            return self;
        }
        let step = i128::from(10_i64.pow(Self::DECIMALS - decimals));
        let parts = divided(i128::from(self.0), step) * step;
        Money(i64::try_from(parts).unwrap_or(self.0))
    }
}

/// Half away from zero, as bills are rounded.
fn divided(numerator: i128, denominator: i128) -> i128 {
    let (numerator, denominator) = match denominator < 0 {
        true => (-numerator, -denominator),
        false => (numerator, denominator),
    };
    let half = denominator / 2;
    match numerator < 0 {
        true => -((-numerator + half) / denominator),
        false => (numerator + half) / denominator,
    }
}

impl Add for Money {
    type Output = Money;

    /// # Panics
    /// If the sum is too large, in every build: a bill is right or there is none.
    fn add(self, other: Money) -> Money {
        self.checked_add(other).expect("an amount of money fits")
    }
}

impl Sub for Money {
    type Output = Money;

    /// # Panics
    /// If the difference is too large, in every build.
    fn sub(self, other: Money) -> Money {
        self.checked_sub(other).expect("an amount of money fits")
    }
}

impl Neg for Money {
    type Output = Money;

    fn neg(self) -> Money {
        Money(self.0.checked_neg().expect("an amount of money fits"))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

/// At least two decimals, and as many as there are: `0.0135`, `12.00`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.unsigned_abs();
        let unit = Self::UNIT.unsigned_abs();
        let digits = format!("{:08}", parts % unit);
        let fraction = &digits[..digits.trim_end_matches('0').len().max(2)];
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{fraction}", parts / unit))
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_decks_write() {
        for (text, parts) in [
            ("0", Some(0)),
            ("12", Some(12 * Money::UNIT)),
            ("0.0135", Some(1_350_000)),
            (".5", Some(50_000_000)),
            ("5.", Some(500_000_000)),
            ("-0.00000001", Some(-1)),
            ("0.1000000000000", Some(10_000_000)),
            ("92233720368.54775807", Some(i64::MAX)),
            ("92233720368.54775808", None),
            ("0.000000001", None),
            ("", None),
            (".", None),
            ("-", None),
            ("--1", None),
            ("+1", None),
            ("1e3", None),
            ("1,5", None),
            ("1.2.3", None),
            (" 1", None),
            ("١", None),
        ] {
            assert_eq!(Money::parse(text).map(Money::parts), parts, "{text:?}");
        }
    }

    #[test]
    fn is_rounded_half_away_from_zero() {
        let money = |text| Money::parse(text).unwrap();
        for (text, decimals, want) in [
            ("0.005", 2, "0.01"),
            ("0.00499999", 2, "0.00"),
            ("-0.005", 2, "-0.01"),
            ("1.5", 0, "2.00"),
            ("1.23456789", 8, "1.23456789"),
        ] {
            assert_eq!(money(text).rounded(decimals).to_string(), want, "{text}");
        }
        // A minute's price for 7 seconds, and for none.
        assert_eq!(
            money("0.0135").scaled(7, 60).unwrap().to_string(),
            "0.001575"
        );
        assert_eq!(
            money("0.01").scaled(1, 3).unwrap().to_string(),
            "0.00333333"
        );
        assert_eq!(
            money("-0.01").scaled(2, 3).unwrap().to_string(),
            "-0.00666667"
        );
        assert_eq!(money("92233720368").scaled(2, 1), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(parts in any::<i64>().prop_filter("has a negative", |&it| it != i64::MIN)) {
            let money = Money::from_parts(parts);
            prop_assert_eq!(Money::parse(&money.to_string()), Some(money));
        }

        #[test]
        fn a_share_is_never_off_by_more_than_half_a_part(
            parts in -1_000_000_000_000_i64..1_000_000_000_000,
            numerator in 0_i64..100_000,
            denominator in 1_i64..100_000,
        ) {
            let share = Money::from_parts(parts).scaled(numerator, denominator).unwrap();
            let exact = i128::from(parts) * i128::from(numerator);
            let off = (i128::from(share.parts()) * i128::from(denominator) - exact).abs();
            prop_assert!(off * 2 <= i128::from(denominator));
        }
    }
}
