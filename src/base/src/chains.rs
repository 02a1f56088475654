//! A hash index over the places of a slab.

/// Which places may hold a key, by its hash. The keys themselves stay in their slab: whoever looks
/// something up compares them there, and changes this index together with the slab.
///
/// ```text
///   heads[hash & mask] ──▶ place ──next[place]──▶ place ──▶ (none)
/// ```
///
/// Cost: a head and, for each key that falls to it, one link; the heads are twice the places at
/// most used, so a look-up that finds nothing seldom goes further than the head. 12 bytes an entry
/// at the limit, never moved, never grown. Nothing of it is resident before it is used: both arrays
/// are zeroed memory that the kernel has not been asked to back. Hashes of what peers choose must be
/// keyed, or they can make one chain of everything.
#[derive(Debug)]
pub struct Chains {
    /// The first place of each chain and one; 0 = none.
    heads: Vec<u32>,
    /// For each place the next one of its chain and one; 0 = none.
    next: Vec<u32>,
    len: usize,
}

impl Chains {
    /// An empty index for so many places.
    #[must_use]
    pub fn new(places: usize) -> Chains {
        assert!(places < u32::MAX as usize, "a place and one fits 32 bits");
        Chains {
            heads: vec![0; places.saturating_mul(2).next_power_of_two()],
            next: vec![0; places],
            len: 0,
        }
    }

    /// Adds a place that is not in the index. It must be below the number given at the beginning.
    #[inline]
    pub fn insert(&mut self, hash: u64, place: u32) {
        let head = self.head(hash);
        self.next[place as usize] = self.heads[head];
        self.heads[head] = place + 1;
        self.len += 1;
    }

    /// Takes a place out. `false`: it was not there under this hash.
    #[inline]
    pub fn remove(&mut self, hash: u64, place: u32) -> bool {
        let head = self.head(hash);
        let link = place + 1;
        let after = self.next[place as usize];
        if self.heads[head] == link {
            self.heads[head] = after;
            self.len -= 1;
            return true;
        }
        let mut at = self.heads[head];
        while at != 0 {
            let before = at as usize - 1;
            at = self.next[before];
            if at == link {
                self.next[before] = after;
                self.len -= 1;
                return true;
            }
        }
        false
    }

    /// The places that may hold the key with this hash.
    #[inline]
    pub fn find(&self, hash: u64) -> impl Iterator<Item = u32> {
        let mut at = self.heads[self.head(hash)];
        std::iter::from_fn(move || {
            let place = at.checked_sub(1)?;
            at = self.next[place as usize];
            Some(place)
        })
    }

    /// How many places are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn head(&self, hash: u64) -> usize {
        hash as usize & (self.heads.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_map_over_a_long_run_of_random_work() {
        let mut chains = Chains::new(40);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut seed = 1_u64;
        for _ in 0..50_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let place = (seed >> 33) as u32 % 40;
            // Few hashes, so that chains are long.
            let hash = seed >> 50 & 7;
            match model.remove(&place) {
                Some(old) => {
                    assert!(!chains.remove(old + 1, place), "it is in another chain");
                    assert!(chains.remove(old, place));
                }
                None => {
                    chains.insert(hash, place);
                    model.insert(place, hash);
                }
            }
            let mut found: Vec<u32> = chains.find(hash).collect();
            found.sort_unstable();
            let want: Vec<u32> = (model.iter().filter(|(_, h)| **h == hash))
                .map(|(&place, _)| place)
                .collect();
            assert_eq!((found, chains.len()), (want, model.len()));
        }
    }
}
