//! A hash index over the places of a slab.

/// Which places may hold a key, by its hash. The keys themselves stay in their slab: whoever looks
/// something up compares them there, and changes this index together with the slab.
///
/// ```text
///   heads[hash & mask] ──▶ place ──next[place]──▶ place ──▶ (none)
/// ```
///
/// Cost: a head; the heads are twice the places at most used, so a look-up that finds nothing seldom
/// goes further. A link holds besides its place whether another link follows, and as much of the hash
/// as there is room for in 32 bits (9 bits with two million places): so the end of a chain and a key of
/// another hash are seen where the way to them is, while they themselves may be in main memory.
/// 12 bytes an entry at the limit, never moved, never grown. Nothing of it is resident before it is
/// used: both arrays are zeroed memory that the kernel has not been asked to back. Hashes of what
/// peers choose must be keyed, or they can make one chain of everything.
#[derive(Debug)]
pub struct Chains {
    /// The first link of each chain; 0 = none.
    heads: Vec<u32>,
    /// For each place the link to the next one of its chain; 0 = none.
    next: Vec<u32>,
    /// The bits of a link that hold its place and one.
    place_mask: u32,
    len: usize,
}

/// In a link: another may follow it. One that does not say so is the last of its chain; behind one that
/// does there may be none left.
const FOLLOWED: u32 = 1 << 31;

impl Chains {
    /// An empty index for so many places, 2^31 - 2 at most.
    #[must_use]
    pub fn new(places: usize) -> Chains {
        assert!(
            places < FOLLOWED as usize - 1,
            "a place and one leave a bit of 32"
        );
        Chains {
            heads: vec![0; places.saturating_mul(2).next_power_of_two()],
            next: vec![0; places],
            place_mask: (places + 1).next_power_of_two() as u32 - 1,
            len: 0,
        }
    }

    /// Adds a place that is not in the index. It must be below the number given at the beginning.
    #[inline]
    pub fn insert(&mut self, hash: u64, place: u32) {
        let head = self.head(hash);
        let after = self.heads[head];
        self.next[place as usize] = after;
        let followed = if after == 0 { 0 } else { FOLLOWED };
        self.heads[head] = followed | self.tag(hash) | (place + 1);
        self.len += 1;
    }

    /// Takes a place out. `false`: it was not there under this hash.
    #[inline]
    pub fn remove(&mut self, hash: u64, place: u32) -> bool {
        let head = self.head(hash);
        let wanted = self.tag(hash) | (place + 1);
        let mut link = self.heads[head];
        if link & !FOLLOWED == wanted {
            self.heads[head] = self.after(link);
            self.len -= 1;
            return true;
        }
        while link != 0 {
            let before = self.place(link);
            link = self.after(link);
            if link & !FOLLOWED == wanted {
                self.next[before as usize] = self.after(link);
                self.len -= 1;
                return true;
            }
        }
        false
    }

    /// The places that may hold the key with this hash.
    #[inline]
    pub fn find(&self, hash: u64) -> impl Iterator<Item = u32> {
        let tag = self.tag(hash);
        let mut link = self.heads[self.head(hash)];
        std::iter::from_fn(move || {
            while link != 0 {
                let this = link;
                link = self.after(this);
                if this & !FOLLOWED & !self.place_mask == tag {
                    return Some(self.place(this));
                }
            }
            None
        })
    }

    /// Where the first link of the chain for this hash is kept, and how many octets that takes: memory
    /// to be asked for before it is needed.
    #[must_use]
    #[inline]
    pub fn whereabouts(&self, hash: u64) -> (*const u8, usize) {
        let head = &raw const self.heads[self.head(hash)];
        (head.cast(), size_of::<u32>())
    }

    /// Where the links lie, and how many octets they take, as [`crate::Slab::room`].
    #[must_use]
    pub fn rooms(&self) -> [(*const u8, usize); 2] {
        [&self.heads, &self.next].map(|it| (it.as_ptr().cast(), it.capacity() * size_of::<u32>()))
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

    /// What a link says of a hash: of its upper half, since the lower one says which chain it is in.
    #[inline]
    fn tag(&self, hash: u64) -> u32 {
        (hash >> 32) as u32 & !FOLLOWED & !self.place_mask
    }

    #[inline]
    fn place(&self, link: u32) -> u32 {
        (link & self.place_mask) - 1
    }

    /// The link behind this one; 0 = none.
    #[inline]
    fn after(&self, link: u32) -> u32 {
        match link & FOLLOWED {
            0 => 0,
            _ => self.next[self.place(link) as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_map_over_a_long_run_of_random_work() {
        // All in few chains and of the same tag; in few chains and told apart; in many.
        for tagged in [0, 7 << 60, u64::MAX] {
            agrees_with_a_map(tagged);
        }
    }

    /// `tagged`: which bits of the hashes differ besides three of the lowest.
    fn agrees_with_a_map(tagged: u64) {
        let mut chains = Chains::new(40);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut seed = 1_u64;
        for _ in 0..50_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let place = (seed >> 33) as u32 % 40;
            // Few hashes, so that chains are long.
            let hash = (seed >> 50 & 7) | (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) & tagged & !7);
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
