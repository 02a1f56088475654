//! Numbers that may call or be called, and numbers that may not: by the million, exact or by what they
//! begin with.
//!
//! A list is asked with a number and says whether it names it, and how: an entry for the number itself
//! counts more than one for its beginning, a longer beginning more than a shorter one. Of an allowing
//! and a denying list that are asked together the allowing one wins, whatever it names the number by:
//! an operator who blocks a country and lets one customer's number through means that.
//!
//! Cost: the walk of `prefix.rs`; 4 octets an entry and what `prefix.rs` says. Built once, off the
//! shards; never changed.

use std::fmt;

use crate::Prefixes;

/// A list of numbers.
#[derive(Debug, Default)]
pub struct Numbers {
    prefixes: Prefixes,
    entries_count: usize,
}

/// What an entry is about. Both may be said of the same digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Named {
    /// All numbers that begin so, the digits themselves included.
    Beginning,
    /// The number itself.
    Exactly,
}

/// The entry of a list that a number fell under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// How it is named.
    pub named: Named,
    /// How many of its digits the entry has.
    pub digits_count: usize,
}

/// Bits of an entry's value.
const BEGINNING: u32 = 1;
const EXACTLY: u32 = 2;

/// Takes entries in any order.
#[derive(Clone, Debug, Default)]
pub struct NumbersBuilder {
    entries: Vec<(Box<[u8]>, u32)>,
}

/// An entry that names nothing: not digits only, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotANumber;

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry is digits, from the country code on")
    }
}

impl NumbersBuilder {
    /// No entries yet.
    #[must_use]
    pub fn new() -> NumbersBuilder {
        NumbersBuilder::default()
    }

    /// Adds an entry. The same one again changes nothing.
    ///
    /// # Errors
    /// If it is no number.
    pub fn add(&mut self, digits: &[u8], named: Named) -> Result<(), NotANumber> {
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(NotANumber);
        }
        let bit = match named {
            Named::Beginning => BEGINNING,
            Named::Exactly => EXACTLY,
        };
        self.entries.push((digits.into(), bit));
        Ok(())
    }

    /// The list.
    #[must_use]
    pub fn build(mut self) -> Numbers {
        self.entries.sort_unstable();
        self.entries.dedup();
        let entries_count = self.entries.len();
        // One place for the same digits, named in both ways.
        self.entries.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 |= if is_same { next.1 } else { 0 };
            is_same
        });
        let sorted: Vec<(&[u8], u32)> = self
            .entries
            .iter()
            .map(|(digits, bits)| (&**digits, *bits))
            .collect();
        Numbers {
            prefixes: Prefixes::build(&sorted),
            entries_count,
        }
    }
}

impl Numbers {
    /// The entry that a number falls under: the most exact one.
    #[must_use]
    pub fn find(&self, number: &[u8]) -> Option<Entry> {
        let mut best = None;
        self.prefixes.each(number, |bits, digits_count| {
            let is_whole = digits_count == number.len();
            let named = match (is_whole && bits & EXACTLY != 0, bits & BEGINNING != 0) {
                (true, _) => Named::Exactly,
                (false, true) => Named::Beginning,
                (false, false) => return,
            };
            best = Some(Entry {
                named,
                digits_count,
            });
        });
        best
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries_count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries_count == 0
    }

    /// The memory of the list, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.prefixes.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(entries: &[(&str, Named)]) -> Numbers {
        let mut builder = NumbersBuilder::new();
        for (digits, named) in entries {
            builder.add(digits.as_bytes(), *named).unwrap();
        }
        builder.build()
    }

    #[test]
    fn the_most_exact_entry_is_told() {
        use Named::{Beginning, Exactly};
        let list = list(&[
            ("49", Beginning),
            ("4930", Beginning),
            ("4930", Exactly),
            ("4930", Exactly),
            ("493012345", Exactly),
        ]);
        assert_eq!(list.len(), 4);
        let found = |number: &str| {
            list.find(number.as_bytes())
                .map(|it| (it.named, it.digits_count))
        };
        assert_eq!(found("493012345"), Some((Exactly, 9)));
        assert_eq!(found("4930123456"), Some((Beginning, 4)));
        assert_eq!(found("4930"), Some((Exactly, 4)));
        assert_eq!(found("49"), Some((Beginning, 2)));
        assert_eq!(found("4"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let mut builder = NumbersBuilder::new();
        for bad in ["", "+49", "49x", " 49"] {
            assert_eq!(
                builder.add(bad.as_bytes(), Named::Exactly),
                Err(NotANumber),
                "{bad:?}"
            );
        }
        assert!(builder.build().is_empty());
        assert_eq!(Numbers::default().find(b"49"), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_walk_over_all_entries(
            entries in proptest::collection::vec(("[0-2]{1,6}", any::<bool>()), 0..60),
            asked in proptest::collection::vec("[0-2]{0,8}", 1..60),
        ) {
            let named = |is_exact: bool| if is_exact { Named::Exactly } else { Named::Beginning };
            let entries: Vec<(&str, Named)> = entries.iter().map(|(digits, is_exact)| (digits.as_str(), named(*is_exact))).collect();
            let list = list(&entries);
            for number in &asked {
                let fits = entries.iter().filter(|(digits, named)| match named {
                    Named::Exactly => digits == number,
                    Named::Beginning => number.starts_with(digits),
                });
                let want = fits.map(|(digits, named)| (digits.len(), *named)).max();
                let found = list.find(number.as_bytes()).map(|it| (it.digits_count, it.named));
                prop_assert_eq!(found, want, "{}", number);
            }
        }
    }
}
