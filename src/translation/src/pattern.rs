//! How a number begins: a class of signs for each place.

use std::ops::RangeInclusive;

use crate::SIGNS_MAX;

/// The beginning of a number. Each place is a sign (a digit, `+`, `*`, `#`) or a class: `X` is any
/// digit, `Z` is 1 to 9, `N` is 2 to 9, `[13-5]` is one of those.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pattern {
    /// For each place the signs that may stand there, a bit each.
    places: Box<[u16]>,
}

impl Pattern {
    /// Reads a beginning. `None`: it is none, or longer than a number can be.
    #[must_use]
    pub fn parse(text: &str) -> Option<Pattern> {
        let mut places = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, behind @ ..] = rest {
            rest = behind;
            places.push(match first {
                b'X' => digits(b'0'..=b'9')?,
                b'Z' => digits(b'1'..=b'9')?,
                b'N' => digits(b'2'..=b'9')?,
                b'[' => {
                    let end = rest.iter().position(|&octet| octet == b']')?;
                    let set = class(&rest[..end])?;
                    rest = &rest[end + 1..];
                    set
                }
                sign => bit(*sign)?,
            });
        }
        (places.len() <= SIGNS_MAX).then(|| Pattern {
            places: places.into(),
        })
    }

    /// How many signs it is about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it is about none: then every number begins so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a number begins so.
    #[must_use]
    pub fn begins(&self, number: &[u8]) -> bool {
        let fits = |(place, sign): (&u16, &u8)| bit(*sign).is_some_and(|bit| place & bit != 0);
        self.places.len() <= number.len() && self.places.iter().zip(number).all(fits)
    }
}

/// The bit of a sign.
const fn bit(sign: u8) -> Option<u16> {
    match sign {
        b'0'..=b'9' => Some(1 << (sign - b'0')),
        b'+' => Some(1 << 10),
        b'*' => Some(1 << 11),
        b'#' => Some(1 << 12),
        _ => None,
    }
}

/// A run of digits; `None` if there is none in it.
fn digits(range: RangeInclusive<u8>) -> Option<u16> {
    let is_run = range.start().is_ascii_digit() && range.end().is_ascii_digit();
    let bits = range.filter_map(bit).fold(0, |bits, bit| bits | bit);
    (is_run && bits != 0).then_some(bits)
}

/// What stands between brackets: signs and runs of digits.
fn class(mut set: &[u8]) -> Option<u16> {
    let mut bits = 0;
    loop {
        set = match set {
            [] => break,
            [from, b'-', to, rest @ ..] => {
                bits |= digits(*from..=*to)?;
                rest
            }
            [sign, rest @ ..] => {
                bits |= bit(*sign)?;
                rest
            }
        };
    }
    (bits != 0).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_begins_as_its_classes_say() {
        for (pattern, number, want) in [
            ("", "1", true),
            ("00", "0049", true),
            ("00", "0", false),
            ("0Z", "049", true),
            ("0Z", "0049", false),
            ("+49", "+4930", true),
            ("1NXXNXX", "12125550100", true),
            ("1NXXNXX", "11125550100", false),
            ("1[28]0", "180", true),
            ("1[28]0", "190", false),
            ("[+1-3]4", "+4", true),
            ("[+1-3]4", "24", true),
            ("[+1-3]4", "44", false),
            ("*#", "*#1", true),
            ("X", "+1", false),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.begins(number.as_bytes()), want, "{pattern} {number}");
            assert_eq!(parsed.is_empty(), pattern.is_empty());
        }
        assert_eq!(Pattern::parse("0[1-9]X").map(|it| it.len()), Some(3));
    }

    #[test]
    fn what_is_no_beginning_is_refused() {
        let long = "1".repeat(SIGNS_MAX + 1);
        for text in [
            "a", "0 ", "[", "[]", "[1", "]", "[3-1]", "[1-]", "[+-2]", "x", &long,
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
