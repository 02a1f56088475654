//! The one source of chance in a simulated world: the same seed always throws the same numbers.

/// A small generator (SplitMix64). Good enough to choose faults, useless for secrets.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that are determined by a seed.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed ^ 0x6a09_e667_f3bc_c908)
    }

    /// Dice of their own for one part of the world, so that a change in one part does not shift
    /// the throws of another.
    #[must_use]
    pub fn fork(&mut self) -> Dice {
        Dice::new(self.throw())
    }

    /// The next 64 bits.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        assert!(limit > 0, "a throw needs at least one side");
        self.throw() % limit
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// One of several by weight. The weights must not all be 0.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut left = self.below(total);
        for (weight, choice) in choices {
            if left < u64::from(*weight) {
                return *choice;
            }
            left -= u64::from(*weight);
        }
        unreachable!("the throw is below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn the_same_seed_throws_the_same_and_weights_hold() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            (0..50).map(|_| dice.throw()).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
        let mut dice = Dice::new(3);
        let often = (0..10_000)
            .filter(|_| dice.weighted(&[(1, false), (3, true)]))
            .count();
        assert!((7_300..7_700).contains(&often), "{often}");
        let hits = (0..10_000).filter(|_| dice.chance(50)).count();
        assert!((400..600).contains(&hits), "{hits}");
    }
}
