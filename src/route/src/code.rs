//! A dial code in eight octets, so that a deck of ten million rows can be sorted in memory.

use std::fmt;

/// Up to sixteen digits: what one row of a deck is about. Sorts as its digits do as text.
///
/// Each digit is a nibble of its value and one, from the highest on, so what is not there sorts
/// before what is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u64);

impl Code {
    /// The most digits. E.164 has fifteen (ITU-T E.164, 6.2).
    pub const DIGITS_MAX: usize = 16;

    /// These digits. `None` if there are none or too many, or something else among them.
    #[must_use]
    pub fn new(digits: &[u8]) -> Option<Code> {
        if digits.is_empty() || digits.len() > Self::DIGITS_MAX {
            return None;
        }
        let mut packed = 0;
        for (place, octet) in digits.iter().enumerate() {
            if !octet.is_ascii_digit() {
                return None;
            }
            packed |= u64::from(octet - b'0' + 1) << (60 - 4 * place);
        }
        Some(Code(packed))
    }

    /// How many digits it has: never none.
    #[must_use]
    pub const fn digits_count(self) -> usize {
        Self::DIGITS_MAX - self.0.trailing_zeros() as usize / 4
    }

    /// The digit at this place.
    ///
    /// # Panics
    /// If it has fewer.
    #[must_use]
    pub const fn digit(self, place: usize) -> u8 {
        assert!(place < self.digits_count(), "a place of the code");
        (self.0 >> (60 - 4 * place) & 15) as u8 - 1
    }

    /// The code without its last digit, if one is left.
    #[must_use]
    pub const fn shorter(self) -> Option<Code> {
        let count = self.digits_count();
        if count == 1 {
            return None;
        }
        Some(Code(self.0 & !(15 << (60 - 4 * (count - 1)))))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; Self::DIGITS_MAX];
        let count = self.digits_count();
        for (place, octet) in text[..count].iter_mut().enumerate() {
            *octet += self.digit(place);
        }
        f.pad(std::str::from_utf8(&text[..count]).expect("digits are text"))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_digits_and_not_too_many() {
        for bad in ["", "4x", "+49", "12345678901234567", "٤"] {
            assert_eq!(Code::new(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Code::new(b"4").unwrap().shorter(), None);
        assert_eq!(Code::new(b"490").unwrap().shorter(), Code::new(b"49"));
    }

    proptest! {
        #[test]
        fn is_its_digits(text in "[0-9]{1,16}", other in "[0-9]{1,16}") {
            let (code, beside) = (Code::new(text.as_bytes()).unwrap(), Code::new(other.as_bytes()).unwrap());
            prop_assert_eq!(code.to_string(), text.clone());
            prop_assert_eq!(code.digits_count(), text.len());
            prop_assert_eq!(code.cmp(&beside), text.cmp(&other));
        }
    }
}
