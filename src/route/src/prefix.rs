//! Longest prefix match over millions of digit strings.
//!
//! The strings lie in the frame of `trie.rs`; each has a number, 4 octets.

use crate::trie::Trie;

/// Digit strings with a number each, looked up by longest match.
#[derive(Debug, Default)]
pub struct Prefixes {
    trie: Trie,
    values: Box<[u32]>,
}

impl Prefixes {
    /// Builds the table from prefixes sorted by their bytes, each once, of ASCII digits only, none
    /// of them empty.
    ///
    /// # Panics
    /// If the input is not like that: the caller checks and reports what an operator wrote.
    #[must_use]
    pub fn build(sorted: &[(&[u8], u32)]) -> Prefixes {
        assert!(
            sorted
                .iter()
                .all(|(prefix, _)| !prefix.is_empty() && prefix.iter().all(u8::is_ascii_digit)),
            "prefixes are digits"
        );
        let (trie, order) = Trie::build(sorted.len(), |at| sorted[at].0);
        let values = order.iter().map(|&at| sorted[at as usize].1).collect();
        Prefixes { trie, values }
    }

    /// The value of the longest prefix of these digits, and how long that prefix is.
    ///
    /// Anything that is not a digit ends the search.
    #[must_use]
    #[inline]
    pub fn longest(&self, digits: &[u8]) -> Option<(u32, usize)> {
        let (place, length) = self.trie.longest(digits)?;
        Some((self.values[place as usize], length))
    }

    /// The value and the length of each prefix of these digits, from the shortest on.
    ///
    /// Anything that is not a digit ends the search.
    pub fn each(&self, digits: &[u8], mut found: impl FnMut(u32, usize)) {
        self.trie.each(digits, |place, length| {
            found(self.values[place as usize], length)
        });
    }

    /// How many prefixes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The memory of the table, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.trie.bytes() + size_of_val(&*self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn build(model: &BTreeMap<String, u32>) -> Prefixes {
        let sorted: Vec<(&[u8], u32)> = model
            .iter()
            .map(|(prefix, &value)| (prefix.as_bytes(), value))
            .collect();
        Prefixes::build(&sorted)
    }

    fn dullest(model: &BTreeMap<String, u32>, digits: &str) -> Option<(u32, usize)> {
        (1..=digits.len())
            .rev()
            .find_map(|length| model.get(&digits[..length]).map(|&value| (value, length)))
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let empty = Prefixes::build(&[]);
        assert_eq!((empty.longest(b"49"), empty.longest(b"")), (None, None));
        assert_eq!(Prefixes::default().longest(b"49"), None);
    }

    #[test]
    fn longest_of_many_lengths() {
        let model: BTreeMap<String, u32> = ["4", "49", "493", "49301", "4930", "0", "99999999"]
            .iter()
            .enumerate()
            .map(|(value, prefix)| ((*prefix).to_owned(), value as u32))
            .collect();
        let table = build(&model);
        for (digits, want) in [
            ("4930123", Some((3, 5))),
            ("493023", Some((4, 4))),
            ("4931", Some((2, 3))),
            ("491", Some((1, 2))),
            ("41", Some((0, 1))),
            ("4", Some((0, 1))),
            ("00", Some((5, 1))),
            ("9999999", None),
            ("999999999", Some((6, 8))),
            ("5", None),
            ("", None),
            ("4x", Some((0, 1))),
            ("x", None),
        ] {
            assert_eq!(table.longest(digits.as_bytes()), want, "{digits}");
        }
        assert_eq!(table.len(), 7);
    }

    #[test]
    #[should_panic(expected = "sorted")]
    fn unsorted_input_is_a_fault_of_ours() {
        let _ = Prefixes::build(&[(b"2", 0), (b"1", 1)]);
    }

    proptest! {
        /// Few digits, so that prefixes nest and share often.
        #[test]
        fn agrees_with_a_map(
            model in proptest::collection::btree_map("[0-3]{1,9}", any::<u32>(), 0..200),
            dialled in proptest::collection::vec("[0-3]{0,11}", 1..100),
        ) {
            let table = build(&model);
            for digits in &dialled {
                prop_assert_eq!(table.longest(digits.as_bytes()), dullest(&model, digits), "{}", digits);
            }
        }

        #[test]
        fn agrees_with_a_map_over_all_digits(
            model in proptest::collection::btree_map("[0-9]{1,6}", any::<u32>(), 0..400),
            dialled in proptest::collection::vec("[0-9]{0,8}", 1..100),
        ) {
            let table = build(&model);
            for digits in &dialled {
                let mut each = Vec::new();
                table.each(digits.as_bytes(), |value, length| each.push((value, length)));
                let all = (1..=digits.len()).filter_map(|length| Some((*model.get(&digits[..length])?, length)));
                prop_assert_eq!(each, all.collect::<Vec<_>>(), "{}", digits);
            }
            for digits in dialled.iter().chain(model.keys()) {
                prop_assert_eq!(table.longest(digits.as_bytes()), dullest(&model, digits), "{}", digits);
            }
        }
    }
}
