//! Where millions of digit strings lie: the frame of all tables by prefix.
//!
//! Two digits are one step. A node says in 212 bits which one- and two-digit strings end below it
//! and which two-digit strings go on; where they lie follows from counting bits, so there are no
//! pointers, and a string without longer ones below it costs nothing here: only its value, which its
//! owner keeps at the *place* of the string, in the order that the frame gives.
//!
//! ```text
//!   node (40 bytes): │ places: 10 + 100 bits │ children: 100 bits │ first place │ first child │
//!   "49" at "4930…":   bit 10 + 49 of the root's places           its child 49 → next two digits
//! ```
//!
//! Cost: one node for each two digits of the longest match: a six-digit match in a deck of a million
//! touches three or four cache lines, the first of which are always warm. The bench `prefix` holds it. Built once, from sorted input, level by level; never changed.

use crate::Code;

/// Digit strings, each with a place from 0 on.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    nodes: Box<[Node]>,
    count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Bits 0 to 9: one more digit ends here. Bits 10 to 109: two more do.
    places: Bits,
    /// Bits 0 to 99: strings go on after these two digits.
    children: Bits,
    first_place: u32,
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

/// What a frame can be built from: digit strings that know their order.
pub(crate) trait Key: Ord {
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

impl Trie {
    /// The frame of sorted keys, each of them once, and which key lies at each place.
    ///
    /// # Panics
    /// If they are not sorted, or one is there twice.
    pub(crate) fn build<K: Key>(count: usize, key: impl Fn(usize) -> K) -> (Trie, Vec<u32>) {
        assert!(
            (1..count).all(|place| key(place - 1) < key(place)),
            "prefixes come sorted and once each"
        );
        let mut nodes: Vec<Node> = Vec::new();
        let mut order: Vec<u32> = Vec::with_capacity(count);
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
                    first_place: order.len() as u32,
                    first_child: (first_of_next_level + next.len()) as u32,
                    ..Node::default()
                };
                fill(&mut node, &key, stretch, &mut order, &mut next);
                nodes.push(node);
            }
            level.clear();
            std::mem::swap(&mut level, &mut next);
        }
        let nodes = nodes.into();
        (Trie { nodes, count }, order)
    }

    /// The place of the longest prefix of these digits, and how long that prefix is.
    ///
    /// Anything that is not a digit ends the search.
    pub(crate) fn longest(&self, digits: &[u8]) -> Option<(u32, usize)> {
        let mut best: Option<(u32, usize)> = None;
        let mut node = self.nodes.first()?;
        let mut depth = 0;
        while let Some(high) = digit(digits, depth) {
            let low = digit(digits, depth + 1);
            if let Some(low) = low
                && node.places.has(10 + high * 10 + low)
            {
                best = Some((
                    node.first_place + node.places.rank(10 + high * 10 + low),
                    depth + 2,
                ));
            } else if node.places.has(high) {
                best = Some((node.first_place + node.places.rank(high), depth + 1));
            }
            let Some(low) = low else { break };
            let pair = high * 10 + low;
            if !node.children.has(pair) {
                break;
            }
            node = &self.nodes[(node.first_child + node.children.rank(pair)) as usize];
            depth += 2;
        }
        best
    }

    /// The place and the length of each prefix of these digits, from the shortest on.
    ///
    /// Anything that is not a digit ends the search.
    pub(crate) fn each(&self, digits: &[u8], mut found: impl FnMut(u32, usize)) {
        let Some(mut node) = self.nodes.first() else {
            return;
        };
        let mut depth = 0;
        let mut tell = |node: &Node, bit: usize, length: usize| {
            if node.places.has(bit) {
                found(node.first_place + node.places.rank(bit), length);
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

    /// Tells every string and its place, in the order of the strings.
    pub(crate) fn walk(&self, mut tell: impl FnMut(&[u8], u32)) {
        if !self.nodes.is_empty() {
            self.walk_below(0, &mut Vec::new(), &mut tell);
        }
    }

    /// The strings of a node, which begin with these digits. It goes as deep as half a string is long.
    fn walk_below(&self, at: usize, digits: &mut Vec<u8>, tell: &mut impl FnMut(&[u8], u32)) {
        let node = &self.nodes[at];
        for high in 0..10 {
            digits.push(b'0' + high as u8);
            if node.places.has(high) {
                tell(digits, node.first_place + node.places.rank(high));
            }
            for low in 0..10 {
                let pair = high * 10 + low;
                digits.push(b'0' + low as u8);
                if node.places.has(10 + pair) {
                    tell(digits, node.first_place + node.places.rank(10 + pair));
                }
                if node.children.has(pair) {
                    let child = node.first_child + node.children.rank(pair);
                    self.walk_below(child as usize, digits, tell);
                }
                digits.pop();
            }
            digits.pop();
        }
    }

    /// How many strings there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The memory of the frame, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes)
    }
}

/// Sorts one stretch of the input into a node: what ends within two digits, what goes on.
fn fill<K: Key>(
    node: &mut Node,
    key: &impl Fn(usize) -> K,
    stretch: Stretch,
    order: &mut Vec<u32>,
    next: &mut Vec<Stretch>,
) {
    let rest = |key: &K| key.count() - stretch.depth;
    for place in stretch.start..stretch.end {
        let key = key(place);
        if rest(&key) == 1 {
            node.places.set(key.at(stretch.depth));
            order.push(place as u32);
        }
    }
    for place in stretch.start..stretch.end {
        let key = key(place);
        if rest(&key) < 2 {
            continue;
        }
        let pair = key.at(stretch.depth) * 10 + key.at(stretch.depth + 1);
        if rest(&key) == 2 {
            node.places.set(10 + pair);
            order.push(place as u32);
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

    proptest! {
        /// What was built from sorted strings is told in their order, each at its place.
        #[test]
        fn a_walk_tells_all_in_order(strings in proptest::collection::btree_set("[0-9]{1,7}", 0..300)) {
            let sorted: Vec<&[u8]> = strings.iter().map(|it| it.as_bytes()).collect();
            let (trie, order) = Trie::build(sorted.len(), |at| sorted[at]);
            let mut told = Vec::new();
            trie.walk(|digits, place| told.push((digits.to_vec(), order[place as usize])));
            let want = sorted.iter().zip(0..).map(|(digits, at)| (digits.to_vec(), at));
            prop_assert_eq!(told, want.collect::<Vec<_>>());
        }
    }
}
