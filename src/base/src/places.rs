//! Which places of a table are free, the lowest first.

/// A set of places below a fixed number that gives out its lowest.
///
/// A stack would give out the place freed last. After a burst has come and gone such a stack lists
/// the places in whatever order the burst ended, and all later values lie strewn over the memory of
/// the burst; the lowest first lie side by side again.
///
/// ```text
///   words    1 bit a place                 1 = free
///   groups   1 bit a word,                 0 = no bit of the word is 1
///   regions  1 bit a word of groups,       0 = no bit of that is 1
/// ```
///
/// Cost: `put` and `take` change a word. The levels above are touched when a word other than the
/// lowest gets its first free place, and when the lowest has none any more; going on past regions
/// without a free place looks at one word for each 262,144 places. Never grows; zeroed memory,
/// resident where it was used.
#[derive(Debug)]
pub struct FreePlaces {
    words: Vec<u64>,
    groups: Vec<u64>,
    regions: Vec<u64>,
    /// No word below it has a free place; the number of words if none has. This one may have lost its
    /// last, and the levels above still name it: mostly a place comes back to it next.
    low: usize,
}

/// 64 of a level are one of the next.
const SHIFT: usize = u64::BITS.trailing_zeros() as usize;

const fn bit(at: usize) -> u64 {
    1 << (at & ((1 << SHIFT) - 1))
}

/// The lowest bit of a level's word.
const fn lowest(word: usize, bits: u64) -> usize {
    word << SHIFT | bits.trailing_zeros() as usize
}

impl FreePlaces {
    /// The empty set, for places below `count`.
    #[must_use]
    pub fn new(count: usize) -> FreePlaces {
        assert!(count <= u32::MAX as usize, "a place fits 32 bits");
        let words = count.div_ceil(1 << SHIFT);
        let groups = words.div_ceil(1 << SHIFT);
        FreePlaces {
            words: vec![0; words],
            groups: vec![0; groups],
            regions: vec![0; groups.div_ceil(1 << SHIFT)],
            low: words,
        }
    }

    /// Adds a place that is not in the set, and below the number given at the beginning.
    #[inline]
    pub fn put(&mut self, place: u32) {
        let word = place as usize >> SHIFT;
        let before = self.words[word];
        debug_assert!(before & bit(place as usize) == 0, "a place is freed once");
        self.words[word] = before | bit(place as usize);
        if before == 0 && word != self.low {
            let group = word >> SHIFT;
            self.groups[group] |= bit(word);
            self.regions[group >> SHIFT] |= bit(group);
            self.low = self.low.min(word);
        }
    }

    /// The place that is taken next, as far as that is known without looking further than one word.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<u32> {
        let word = *self.words.get(self.low)?;
        (word != 0).then(|| lowest(self.low, word) as u32)
    }

    /// Takes the lowest place out.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        let mut low = self.low;
        let mut word = *self.words.get(low)?;
        if word == 0 {
            low = self.next(low);
            self.low = low;
            word = *self.words.get(low)?;
        }
        self.words[low] = word & (word - 1);
        Some(lowest(low, word) as u32)
    }

    /// The first word with a free place after this one, which has none.
    #[cold]
    fn next(&mut self, mut word: usize) -> usize {
        loop {
            let group = word >> SHIFT;
            self.groups[group] &= !bit(word);
            let group = if self.groups[group] != 0 {
                group
            } else {
                let region = group >> SHIFT;
                self.regions[region] &= !bit(group);
                let mut above = self.regions[region..].iter().zip(region..);
                match above.find(|(bits, _)| **bits != 0) {
                    Some((&bits, region)) => lowest(region, bits),
                    None => return self.words.len(),
                }
            };
            word = lowest(group, self.groups[group]);
            if self.words[word] != 0 {
                return word;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Against an ordered set: clusters that fill and drain, so that words, groups and regions become
    /// empty and are passed over.
    #[test]
    fn gives_out_what_an_ordered_set_would() {
        const COUNT: u32 = 3 << (3 * SHIFT);
        let mut free = FreePlaces::new(COUNT as usize);
        let mut model: BTreeSet<u32> = BTreeSet::new();
        assert_eq!(free.take(), None, "it begins empty");
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |below: u32| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (((seed >> 32) * u64::from(below)) >> 32) as u32
        };
        for _ in 0..2_000 {
            let (start, spread) = (draw(COUNT), 1 << draw(20));
            for _ in 0..draw(100) {
                let place = (start + draw(spread)).min(COUNT - 1);
                if model.insert(place) {
                    free.put(place);
                }
            }
            for _ in 0..draw(120) {
                let seen = free.peek();
                assert!(seen.is_none() || seen.as_ref() == model.first());
                assert_eq!(free.take(), model.pop_first());
            }
        }
        while let Some(place) = model.pop_first() {
            assert_eq!(free.take(), Some(place));
        }
        assert_eq!((free.take(), free.take()), (None, None));
    }

    #[test]
    fn a_set_for_nothing_is_empty() {
        assert_eq!(FreePlaces::new(0).take(), None);
    }

    #[test]
    fn the_last_place_of_an_uneven_number_is_given_out() {
        let mut free = FreePlaces::new(65);
        free.put(64);
        free.put(3);
        assert_eq!(
            (free.take(), free.take(), free.take()),
            (Some(3), Some(64), None)
        );
    }
}
