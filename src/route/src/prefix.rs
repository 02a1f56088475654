//! Longest prefix match over millions of digit strings.
//!
//! Two digits are one step. A node says in 212 bits which one- and two-digit strings end below it
//! and which two-digit strings go on; where they lie follows from counting bits, so there are no
//! pointers and a prefix without longer ones below it costs the 4 bytes of its value.
//!
//! ```text
//!   node (40 bytes): │ values: 10 + 100 bits │ children: 100 bits │ first value │ first child │
//!   "49" at "4930…":   bit 10 + 49 of the root's values           its child 49 → next two digits
//! ```
//!
//! Cost: one node for each two digits of the longest match, and one value: a six-digit match in a
//! deck of a million touches three or four cache lines, the first of which are always warm. The
//! bench `prefix` holds it. Built once, from sorted input, level by level; never changed.

use crate::Code;

/// Digit strings with a number each, looked up by longest match.
#[derive(Debug, Default)]
pub struct Prefixes {
    nodes: Box<[Node]>,
    values: Box<[u32]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Bits 0 to 9: one more digit ends here. Bits 10 to 109: two more do.
    values: Bits,
    /// Bits 0 to 99: strings go on after these two digits.
    children: Bits,
    first_value: u32,
    first_child: u32,
}

/// 128 bits that can count how many are set below a place. Not a `u128`, which would pad the node.
#[derive(Clone, Copy, Debug, Default)]
struct Bits([u64; 2]);

impl Bits {
    fn set(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn has(&self, bit: usize) -> bool {
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// How many bits below `bit` are set.
    fn rank(&self, bit: usize) -> u32 {
        let below = |word: u64, bits: usize| (word & ((1 << bits) - 1)).count_ones();
        if bit < 64 {
            below(self.0[0], bit)
        } else {
            self.0[0].count_ones() + below(self.0[1], bit - 64)
        }
    }
}

/// A stretch of the sorted input that shares its first `depth` digits.
#[derive(Clone, Copy)]
struct Stretch {
    start: usize,
    end: usize,
    depth: usize,
}

/// What a table can be built from: digit strings that know their order.
trait Key: Ord {
    /// How many digits.
    fn count(&self) -> usize;
    /// The value of one of them.
    fn at(&self, place: usize) -> usize;
}

impl Key for &[u8] {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, place: usize) -> usize {
        usize::from(self[place] - b'0')
    }
}

impl Key for Code {
    fn count(&self) -> usize {
        self.digits_count()
    }

    fn at(&self, place: usize) -> usize {
        usize::from(self.digit(place))
    }
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
        build_of(
            sorted.len(),
            |place| sorted[place].0,
            |place| sorted[place].1,
        )
    }

    /// Builds the table from sorted codes, each once. The value of each is its place.
    ///
    /// # Panics
    /// If they are not sorted, or one is there twice.
    #[must_use]
    pub fn of_codes(sorted: &[Code]) -> Prefixes {
        build_of(sorted.len(), |place| sorted[place], |place| place as u32)
    }

    /// The value of the longest prefix of these digits, and how long that prefix is.
    ///
    /// Anything that is not a digit ends the search.
    #[must_use]
    pub fn longest(&self, digits: &[u8]) -> Option<(u32, usize)> {
        let mut best: Option<(u32, usize)> = None;
        let mut node = self.nodes.first()?;
        let mut depth = 0;
        while let Some(high) = digit(digits, depth) {
            let low = digit(digits, depth + 1);
            if let Some(low) = low
                && node.values.has(10 + high * 10 + low)
            {
                best = Some((
                    node.first_value + node.values.rank(10 + high * 10 + low),
                    depth + 2,
                ));
            } else if node.values.has(high) {
                best = Some((node.first_value + node.values.rank(high), depth + 1));
            }
            let Some(low) = low else { break };
            let pair = high * 10 + low;
            if !node.children.has(pair) {
                break;
            }
            node = &self.nodes[(node.first_child + node.children.rank(pair)) as usize];
            depth += 2;
        }
        best.map(|(at, length)| (self.values[at as usize], length))
    }

    /// The value and the length of each prefix of these digits, from the shortest on.
    ///
    /// Anything that is not a digit ends the search.
    pub fn each(&self, digits: &[u8], mut found: impl FnMut(u32, usize)) {
        let Some(mut node) = self.nodes.first() else {
            return;
        };
        let mut depth = 0;
        let mut tell = |node: &Node, bit: usize, length: usize| {
            if node.values.has(bit) {
                let at = node.first_value + node.values.rank(bit);
                found(self.values[at as usize], length);
            }
        };
        while let Some(high) = digit(digits, depth) {
            tell(node, high, depth + 1);
            let Some(low) = digit(digits, depth + 1) else {
                return;
            };
            let pair = high * 10 + low;
            tell(node, 10 + pair, depth + 2);
            if !node.children.has(pair) {
                return;
            }
            node = &self.nodes[(node.first_child + node.children.rank(pair)) as usize];
            depth += 2;
        }
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
        size_of_val(&*self.nodes) + size_of_val(&*self.values)
    }
}

/// The table of `count` keys, level by level.
fn build_of<K: Key>(
    count: usize,
    key: impl Fn(usize) -> K,
    value: impl Fn(usize) -> u32,
) -> Prefixes {
    assert!(
        (1..count).all(|place| key(place - 1) < key(place)),
        "prefixes come sorted and once each"
    );
    let mut nodes: Vec<Node> = Vec::new();
    let mut values: Vec<u32> = Vec::with_capacity(count);
    // Level by level: the children of a node are appended together, so they lie together.
    let mut level = vec![Stretch {
        start: 0,
        end: count,
        depth: 0,
    }];
    let mut next: Vec<Stretch> = Vec::new();
    while !level.is_empty() {
        let first_of_next_level = nodes.len() + level.len();
        for &stretch in &level {
            let mut node = Node {
                first_value: values.len() as u32,
                first_child: (first_of_next_level + next.len()) as u32,
                ..Node::default()
            };
            fill(&mut node, &key, &value, stretch, &mut values, &mut next);
            nodes.push(node);
        }
        level.clear();
        std::mem::swap(&mut level, &mut next);
    }
    Prefixes {
        nodes: nodes.into(),
        values: values.into(),
    }
}

/// Sorts one stretch of the input into a node: what ends within two digits, what goes on.
fn fill<K: Key>(
    node: &mut Node,
    key: &impl Fn(usize) -> K,
    value: &impl Fn(usize) -> u32,
    stretch: Stretch,
    values: &mut Vec<u32>,
    next: &mut Vec<Stretch>,
) {
    let rest = |key: &K| key.count() - stretch.depth;
    for place in stretch.start..stretch.end {
        let key = key(place);
        if rest(&key) == 1 {
            node.values.set(key.at(stretch.depth));
            values.push(value(place));
        }
    }
    for place in stretch.start..stretch.end {
        let key = key(place);
        if rest(&key) < 2 {
            continue;
        }
        let pair = key.at(stretch.depth) * 10 + key.at(stretch.depth + 1);
        if rest(&key) == 2 {
            node.values.set(10 + pair);
            values.push(value(place));
            continue;
        }
        match next.last_mut() {
            // Sorted input: strings that go on after the same two digits stand side by side.
            Some(last) if node.children.has(pair) => last.end = place + 1,
            _ => {
                node.children.set(pair);
                next.push(Stretch {
                    start: place,
                    end: place + 1,
                    depth: stretch.depth + 2,
                });
            }
        }
    }
}

fn digit(digits: &[u8], at: usize) -> Option<usize> {
    digits
        .get(at)
        .filter(|octet| octet.is_ascii_digit())
        .map(|octet| usize::from(octet - b'0'))
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
