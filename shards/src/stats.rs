//! Numbers that a shard writes and everybody may read: counters, gauges and histograms on a page.
//!
//! Cost: an update is one relaxed load and one relaxed store of a word that only the shard's own
//! core writes; no locked instruction. A page starts at its own cache line pair, so that two
//! shards never write to one line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a number on a [`Page`] is called and means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterDef {
    /// The name, in the words of the metrics: lower case, underscores, unit last.
    pub name: &'static str,
    /// One sentence for the operator.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: CounterKind,
}

/// How a number moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CounterKind {
    /// Only up, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
}

/// What a histogram on a [`Page`] is called and means. Its values are microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistogramDef {
    /// The name, unit last.
    pub name: &'static str,
    /// One sentence for the operator.
    pub help: &'static str,
}

/// Numbers with one writer, the shard, and any number of readers.
///
/// ```text
///   ┌──────┬───────────┬───────────────────────────────────┬───────────────┬──────┐
///   │ edge │ counters  │ histograms: sum, buckets of each  │ dynamic cells │ edge │
///   └──────┴───────────┴───────────────────────────────────┴───────────────┴──────┘
/// ```
///
/// Every access is relaxed: each word stands for itself, and a reader that sees one update need not
/// see the one before it.
#[derive(Debug)]
pub struct Page {
    counters: &'static [CounterDef],
    histograms: &'static [HistogramDef],
    dynamic: usize,
    cells: Box<[AtomicU64]>,
}

/// Unused cells before and after the others: two cache lines, which is what one core's prefetcher
/// fetches and another's write takes away.
const EDGE: usize = 16;

impl Page {
    /// A page of zeros: the counters and histograms of the two tables, and `dynamic` cells for what
    /// the configuration names.
    #[must_use]
    pub fn new(
        counters: &'static [CounterDef],
        histograms: &'static [HistogramDef],
        dynamic: usize,
    ) -> Page {
        let used = counters.len() + histograms.len() * HISTOGRAM_CELLS + dynamic;
        let cells = (0..EDGE + used + EDGE).map(|_| AtomicU64::new(0));
        Page {
            counters,
            histograms,
            dynamic,
            cells: cells.collect(),
        }
    }

    /// Adds to a counter. Only the page's shard may.
    pub fn add(&self, index: usize, n: u64) {
        self.grow(self.counter_cell(index), n);
    }

    /// Sets a gauge. Only the page's shard may.
    pub fn set(&self, index: usize, value: u64) {
        self.cell(self.counter_cell(index)).store(value, Relaxed);
    }

    /// Raises a gauge that keeps the highest value seen. Only the page's shard may.
    pub fn raise(&self, index: usize, value: u64) {
        let cell = self.cell(self.counter_cell(index));
        if value > cell.load(Relaxed) {
            cell.store(value, Relaxed);
        }
    }

    /// A counter's or gauge's value.
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.cell(self.counter_cell(index)).load(Relaxed)
    }

    /// Adds a value to a histogram. Only the page's shard may.
    pub fn histogram_record(&self, index: usize, value_us: u64) {
        let start = self.histogram_cell(index);
        self.grow(start, value_us);
        self.grow(start + 1 + bucket_of(value_us), 1);
    }

    /// A histogram as it is now.
    #[must_use]
    pub fn histogram(&self, index: usize) -> Histogram {
        let start = self.histogram_cell(index);
        let read = |cell: usize| self.cell(start + cell).load(Relaxed);
        let buckets: Vec<u64> = (0..BUCKETS).map(|bucket| read(1 + bucket)).collect();
        Histogram {
            count: buckets.iter().sum(),
            sum_us: read(0),
            buckets,
        }
    }

    /// Sets a dynamic cell. Only the page's shard may. Cells beyond the page are ignored.
    pub fn dynamic_set(&self, index: usize, value: u64) {
        if index < self.dynamic {
            self.cell(self.dynamic_cell(index)).store(value, Relaxed);
        }
    }

    /// Adds to a dynamic cell. Only the page's shard may. Cells beyond the page are ignored.
    pub fn dynamic_add(&self, index: usize, n: u64) {
        if index < self.dynamic {
            self.grow(self.dynamic_cell(index), n);
        }
    }

    /// A dynamic cell's value; 0 beyond the page.
    #[must_use]
    pub fn dynamic(&self, index: usize) -> u64 {
        if index < self.dynamic {
            self.cell(self.dynamic_cell(index)).load(Relaxed)
        } else {
            0
        }
    }

    /// All of it, for a reader.
    #[must_use]
    pub fn snapshot(&self) -> PageSnapshot {
        PageSnapshot {
            counters: (self.counters.iter().enumerate())
                .map(|(index, &def)| (def, self.get(index)))
                .collect(),
            histograms: (self.histograms.iter().enumerate())
                .map(|(index, &def)| (def, self.histogram(index)))
                .collect(),
            dynamic: (0..self.dynamic).map(|index| self.dynamic(index)).collect(),
        }
    }

    fn counter_cell(&self, index: usize) -> usize {
        assert!(
            index < self.counters.len(),
            "a counter is in its page's table"
        );
        index
    }

    fn histogram_cell(&self, index: usize) -> usize {
        assert!(
            index < self.histograms.len(),
            "a histogram is in its page's table"
        );
        self.counters.len() + index * HISTOGRAM_CELLS
    }

    fn dynamic_cell(&self, index: usize) -> usize {
        self.counters.len() + self.histograms.len() * HISTOGRAM_CELLS + index
    }

    fn cell(&self, cell: usize) -> &AtomicU64 {
        &self.cells[EDGE + cell]
    }

    fn grow(&self, cell: usize, n: u64) {
        let cell = self.cell(cell);
        cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

/// What a [`Page`] said at one moment, each number for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageSnapshot {
    /// Counters and gauges in the order of their table.
    pub counters: Vec<(CounterDef, u64)>,
    /// Histograms in the order of their table.
    pub histograms: Vec<(HistogramDef, Histogram)>,
    /// The dynamic cells.
    pub dynamic: Vec<u64>,
}

impl PageSnapshot {
    /// A counter's value by its name.
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<u64> {
        let found = self.counters.iter().find(|(def, _)| def.name == name);
        found.map(|&(_, value)| value)
    }

    /// Adds another shard's page of the same tables, for a sum over all shards.
    pub fn merge(&mut self, other: &PageSnapshot) {
        for (mine, theirs) in self.counters.iter_mut().zip(&other.counters) {
            mine.1 = mine.1.wrapping_add(theirs.1);
        }
        for (mine, theirs) in self.histograms.iter_mut().zip(&other.histograms) {
            mine.1.merge(&theirs.1);
        }
        for (mine, theirs) in self.dynamic.iter_mut().zip(&other.dynamic) {
            *mine = mine.wrapping_add(*theirs);
        }
    }
}

/// A log-linear histogram: 16 buckets for each doubling, so a bucket is at most 1/16 wide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum_us: u64,
    /// How many in each bucket.
    pub buckets: Vec<u64>,
}

impl Histogram {
    /// The least bound that a share of `q` (0 to 1) of the values does not pass; 0 if there are none.
    #[must_use]
    pub fn quantile_us(&self, q: f64) -> u64 {
        let total: u64 = self.buckets.iter().sum();
        if total == 0 {
            return 0;
        }
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return bucket_max(bucket);
            }
        }
        unreachable!("the rank is within the total")
    }

    /// The largest value that a bucket counts.
    #[must_use]
    pub fn bucket_max_us(bucket: usize) -> u64 {
        bucket_max(bucket)
    }

    /// Adds another histogram's values.
    pub fn merge(&mut self, other: &Histogram) {
        self.count = self.count.wrapping_add(other.count);
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine = mine.wrapping_add(*theirs);
        }
    }
}

const LINEAR_BITS: u32 = 4;
const LINEAR: u64 = 1 << LINEAR_BITS;
/// Values from 2^32 µs (71 minutes) on share the last bucket.
const VALUE_MAX: u64 = (1 << 32) - 1;
const BUCKETS: usize = (LINEAR as usize) * (32 - LINEAR_BITS as usize + 1);
const HISTOGRAM_CELLS: usize = BUCKETS + 1;

fn bucket_of(value: u64) -> usize {
    let value = value.min(VALUE_MAX);
    if value < LINEAR {
        return value as usize;
    }
    let shift = value.ilog2() - LINEAR_BITS;
    let row = u64::from(shift) + 1;
    (row * LINEAR + ((value >> shift) - LINEAR)) as usize
}

fn bucket_max(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < LINEAR {
        return bucket;
    }
    let shift = bucket / LINEAR - 1;
    ((bucket % LINEAR + LINEAR + 1) << shift) - 1
}

/// The two pages of one shard: the runtime's, after [`crate::COUNTERS`], and the handler's.
#[derive(Debug)]
pub struct ShardStats {
    /// What the runtime counts.
    pub runtime: Page,
    /// What the handler counts, after the tables it supplied.
    pub handler: Page,
}

impl ShardStats {
    pub(crate) fn new(tables: &Tables) -> Arc<ShardStats> {
        Arc::new(ShardStats {
            runtime: Page::new(&crate::COUNTERS, &crate::HISTOGRAMS, 0),
            handler: Page::new(tables.counters, tables.histograms, tables.dynamic),
        })
    }
}

/// The handler's part of the stats: its tables, and how many cells for what the configuration names.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tables {
    /// Counters and gauges.
    pub counters: &'static [CounterDef],
    /// Histograms.
    pub histograms: &'static [HistogramDef],
    /// Cells without a name of their own.
    pub dynamic: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    static DEFS: [CounterDef; 2] = [
        CounterDef {
            name: "a",
            help: "A.",
            kind: CounterKind::Counter,
        },
        CounterDef {
            name: "b",
            help: "B.",
            kind: CounterKind::Gauge,
        },
    ];
    static TIMES: [HistogramDef; 2] = [
        HistogramDef {
            name: "t_us",
            help: "T.",
        },
        HistogramDef {
            name: "u_us",
            help: "U.",
        },
    ];

    #[test]
    fn buckets_cover_all_values_in_order_without_gaps() {
        let mut last = None;
        for bucket in 0..BUCKETS {
            let max = bucket_max(bucket);
            assert_eq!(bucket_of(max), bucket);
            let min = last.map_or(0, |last: u64| last + 1);
            assert_eq!(bucket_of(min), bucket);
            assert!((max - min) * LINEAR <= max, "a bucket is at most 1/16 wide");
            last = Some(max);
        }
        assert_eq!(last, Some(VALUE_MAX));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_page_keeps_its_numbers_apart() {
        let page = Page::new(&DEFS, &TIMES, 3);
        page.add(0, 2);
        page.add(0, 3);
        page.set(1, 9);
        page.raise(1, 7);
        page.dynamic_add(2, 4);
        page.dynamic_set(99, 1);
        for us in 1..=1_000 {
            page.histogram_record(1, us);
        }
        let mut seen = page.snapshot();
        assert_eq!((seen.counter("a"), seen.counter("b")), (Some(5), Some(9)));
        assert_eq!((seen.dynamic.clone(), page.dynamic(99)), (vec![0, 0, 4], 0));
        assert_eq!(seen.histograms[0].1.count, 0);
        let times = &seen.histograms[1].1;
        assert_eq!((times.count, times.sum_us), (1_000, 500_500));
        assert!((500..=531).contains(&times.quantile_us(0.5)));
        assert!((1_000..=1_062).contains(&times.quantile_us(1.0)));
        seen.merge(&page.snapshot());
        assert_eq!(seen.counter("a"), Some(10));
        assert_eq!(seen.histograms[1].1.count, 2_000);
    }

    #[test]
    fn pages_of_two_shards_share_no_line() {
        let page = Page::new(&DEFS, &TIMES, 3);
        let line = |cell| std::ptr::from_ref(page.cell(cell)).addr() / 128;
        let memory = page.cells.as_ptr_range();
        let (before, behind) = (memory.start.addr() - 1, memory.end.addr());
        assert!(before / 128 < line(page.counter_cell(0)));
        assert!(line(page.dynamic_cell(2)) < behind / 128);
    }
}
