//! A keyed hash of what peers choose: the names of dialogs, the keys of transactions.
//!
//! NH, the inner hash of UMAC (RFC 4418 §5.2.2), over words of 64 bits, and a final mix:
//!
//! ```text
//!   pairs    (v, w) … of 8 octets each, little-endian
//!   lane     Σ (vᵢ + k₂ᵢ mod 2⁶⁴) · (wᵢ + k₂ᵢ₊₁ mod 2⁶⁴)     mod 2¹²⁸
//!   hash     mix(lane), 64 bits for each lane; the second lane's keys lie two further on
//! ```
//!
//! For a key drawn at random any two lists of pairs have the same sum in one lane with a chance of at
//! most 2⁻⁶⁴, in two with 2⁻¹²⁸, whoever chose them: that is a theorem. It wants that nothing of the
//! sums is ever seen, so this is for tables and comparisons inside the process. What leaves the
//! process must go through a hash that hides its key.
//!
//! Cost: a multiplication and a few additions for 16 octets and lane; nothing is copied. SipHash-1-3
//! takes three times as many instructions.

/// Pairs of one block; what is longer is hashed block by block, each with the mix of the one before.
const PAIRS: usize = 16;
/// Pairs of key for the pairs of two lanes.
const KEY_PAIRS: usize = PAIRS + 1;

/// The keyed hash. Its key is a secret.
#[derive(Clone, Copy)]
pub struct Digest {
    keys: [[u64; 2]; KEY_PAIRS],
    mix: [u64; 2],
}

impl Digest {
    /// How many words of key there are.
    pub const KEY_WORDS: usize = 2 * KEY_PAIRS + 2;

    /// The hash of the key whose words `key` gives for 0 to [`Digest::KEY_WORDS`]. They must look
    /// random to others.
    #[must_use]
    pub fn new(key: impl Fn(usize) -> u64) -> Digest {
        Digest {
            keys: std::array::from_fn(|at| [key(2 * at), key(2 * at + 1)]),
            mix: [key(2 * KEY_PAIRS), key(2 * KEY_PAIRS + 1)],
        }
    }

    /// The hash of one text.
    #[must_use]
    #[inline]
    pub fn text(&self, text: &[u8]) -> u64 {
        let mut running = self.begin::<1>();
        // A text may be another's beginning, or end in what is read twice: their lengths differ.
        running.sums[0] = text.len() as u128;
        running.text(text);
        let [hash] = running.finish();
        hash
    }

    /// Begins a hash of several values, in one lane or two.
    #[must_use]
    #[inline]
    pub fn begin<const LANES: usize>(&self) -> Running<'_, LANES> {
        const { assert!(0 < LANES && LANES <= 2, "there are keys for two lanes") };
        Running {
            digest: self,
            at: 0,
            sums: [0; LANES],
        }
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

/// The hash of the values so far. Two lists of values must differ in some value or in where texts
/// end: the lengths of texts are values too, for the caller to put.
#[derive(Clone, Copy)]
pub struct Running<'k, const LANES: usize> {
    digest: &'k Digest,
    /// Pairs that were taken in this block.
    at: usize,
    sums: [u128; LANES],
}

impl<const LANES: usize> Running<'_, LANES> {
    /// Takes two values.
    #[inline(always)]
    pub fn pair(&mut self, first: u64, second: u64) {
        if self.at == PAIRS {
            // By value: the sums are never in memory then.
            *self = self.next_block();
        }
        // The remainder says to the compiler what is so.
        let at = self.at % PAIRS;
        for (lane, sum) in self.sums.iter_mut().enumerate() {
            let [low, high] = self.digest.keys[at + lane];
            let first = u128::from(first.wrapping_add(low));
            let second = u128::from(second.wrapping_add(high));
            *sum = sum.wrapping_add(first * second);
        }
        self.at = at + 1;
    }

    /// Takes the octets of a text, but not its length.
    #[inline]
    pub fn text(&mut self, text: &[u8]) {
        self.octets::<0>(text);
    }

    /// As [`Running::text`]; letters count the same in either case. For names made of letters, digits,
    /// `-`, `.`, `_` and `:`, of which no two others become one.
    #[inline]
    pub fn text_in_any_case(&mut self, text: &[u8]) {
        self.octets::<0x2020_2020_2020_2020>(text);
    }

    #[inline(always)]
    fn octets<const SET: u64>(&mut self, text: &[u8]) {
        let Some(last) = text.last_chunk::<16>() else {
            let (first, second) = short(text);
            return self.pair(first | SET, second | SET);
        };
        // The last pair may overlap the one before it: the length tells how far.
        let (pairs, rest) = text.as_chunks::<16>();
        for pair in pairs {
            let (first, second) = words(pair);
            self.pair(first | SET, second | SET);
        }
        if !rest.is_empty() {
            let (first, second) = words(last);
            self.pair(first | SET, second | SET);
        }
    }

    /// The hash, a word for each lane.
    #[must_use]
    #[inline]
    pub fn finish(&self) -> [u64; LANES] {
        self.sums.map(|sum| self.mixed(sum))
    }

    /// Folds a sum: every bit of it moves every bit of the hash.
    #[inline]
    fn mixed(&self, sum: u128) -> u64 {
        let [low, high] = self.digest.mix;
        let wide = u128::from(sum as u64 ^ low) * u128::from((sum >> 64) as u64 ^ high);
        wide as u64 ^ (wide >> 64) as u64
    }

    #[cold]
    fn next_block(self) -> Self {
        let before = self.finish();
        let mut next = self.digest.begin();
        next.pair(before[0], before[LANES - 1]);
        next
    }
}

#[inline]
fn words(pair: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_le_bytes(*pair);
    (whole as u64, (whole >> 64) as u64)
}

/// Fewer than 16 octets as two words, of which some octets may be in both.
#[inline]
fn short(text: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return (first.into(), last.into());
    }
    match *text {
        [] => (0, 0),
        [only] => (only.into(), 0),
        [first, second] => (first.into(), second.into()),
        [first, second, third, ..] => (u64::from(first) << 8 | u64::from(second), third.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn digest(seed: u64) -> Digest {
        // Any good mixer will do for a test's key.
        Digest::new(|at| {
            let word = (seed << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
        })
    }

    #[test]
    fn texts_that_differ_in_little_have_other_hashes() {
        let digest = digest(1);
        let mut seen = BTreeSet::new();
        let mut texts = 0;
        // All lengths up to past two blocks: of one octet repeated, and with each octet changed.
        for len in 0..600 {
            let text = vec![b'a'; len];
            texts += 1;
            seen.insert(digest.text(&text));
            for at in 0..len {
                let mut other = text.clone();
                other[at] = b'b';
                texts += 1;
                seen.insert(digest.text(&other));
            }
        }
        assert_eq!(seen.len(), texts);
    }

    #[test]
    fn hashes_of_texts_that_count_fill_a_table_evenly() {
        for seed in 1..5 {
            let digest = digest(seed);
            let hash = |at| digest.text(format!("{at}-4711@192.0.2.1").as_bytes());
            for shift in [0, 51] {
                let heads: BTreeSet<u64> = (0..4_096).map(|at| hash(at) >> shift & 8_191).collect();
                // Thrown at random, 4,096 keys hit about 3,224 of 8,192 heads.
                assert!((3_100..3_350).contains(&heads.len()), "{}", heads.len());
            }
        }
    }

    #[test]
    fn the_key_decides_and_the_lanes_differ() {
        let hash = |seed| {
            let digest = digest(seed);
            let mut running = digest.begin::<2>();
            running.pair(1, 2);
            running.text(b"z9hG4bK776asdhds");
            running.finish()
        };
        let ([a, b], [c, d]) = (hash(1), hash(2));
        assert_eq!(BTreeSet::from([a, b, c, d]).len(), 4);
        assert_eq!(hash(1), [a, b]);
    }

    #[test]
    fn only_letters_lose_their_case() {
        let digest = digest(3);
        let hash = |text: &str| {
            let mut running = digest.begin::<2>();
            running.text_in_any_case(text.as_bytes());
            running.finish()
        };
        let names = [
            "a.example",
            "PC33.atlanta.Example.com",
            "2001:DB8::a_b-c",
            "Z",
        ];
        for name in names {
            assert_eq!(hash(name), hash(&name.to_lowercase()));
            assert_eq!(hash(name), hash(&name.to_uppercase()));
        }
        let others: BTreeSet<[u64; 2]> = "abcxyz0123456789-._:"
            .chars()
            .map(|octet| hash(&format!("example{octet}")))
            .collect();
        assert_eq!(others.len(), 20);
    }
}
