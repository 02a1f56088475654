//! Times in log-linear buckets: constant memory, an error of at most 1/16 of the value.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A histogram of microseconds: one thread records, any thread reads.
///
/// Each power of two is cut into 16 buckets; values under 16 have a bucket of their own.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
}

const CUTS_BITS: u32 = 4;
const CUTS: u64 = 1 << CUTS_BITS;
const BUCKETS: usize = ((64 - CUTS_BITS as usize) + 1) * CUTS as usize;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&self, value_us: u64) {
        let cell = &self.buckets[bucket(value_us)];
        // One writer, so that load and store need no locked instruction; readers may lag.
        cell.store(cell.load(Relaxed) + 1, Relaxed);
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|cell| cell.load(Relaxed)).sum()
    }

    /// The value that `per_mille` of a thousand do not exceed, to within its bucket's upper edge;
    /// 0 when nothing was counted.
    #[must_use]
    pub fn quantile_us(&self, per_mille: u64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|cell| cell.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return 0;
        }
        let wanted = (total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_edge(index);
            }
        }
        unreachable!("all values together reach the total")
    }
}

fn bucket(value: u64) -> usize {
    if value < CUTS {
        return value as usize;
    }
    let octave = 63 - value.leading_zeros() - CUTS_BITS;
    let cut = (value >> octave) - CUTS;
    ((u64::from(octave) + 1) * CUTS + cut) as usize
}

fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < CUTS {
        return index;
    }
    let octave = index / CUTS - 1;
    let cut = index % CUTS;
    let first = (CUTS + cut) << octave;
    first + ((1 << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_near_its_edge() {
        for shift in 0..64 {
            for value in [
                1_u64 << shift,
                (1 << shift) | (1 << shift >> 1),
                u64::MAX >> shift,
            ] {
                let edge = upper_edge(bucket(value));
                assert!(edge >= value, "{value} ≤ {edge}");
                assert!(edge - value <= value / CUTS, "{value} close to {edge}");
            }
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_of_a_known_row() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(500), 0);
        for value in 1..=1000 {
            histogram.record(value);
        }
        assert_eq!(histogram.count(), 1000);
        for (per_mille, exact) in [(1, 1), (500, 500), (990, 990), (1000, 1000)] {
            let got = histogram.quantile_us(per_mille);
            assert!(
                got >= exact && got <= exact + exact / 16 + 1,
                "{per_mille}: {got}"
            );
        }
    }
}
