//! What the cores of this machine do, as the kernel counts it.

use std::fs;

/// Ticks of one core since the machine started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CoreTimes {
    pub(crate) all: u64,
    pub(crate) idle: u64,
    pub(crate) steal: u64,
}

impl CoreTimes {
    /// The counts of a core now; none if the system does not tell.
    pub(crate) fn now(core: usize) -> Option<CoreTimes> {
        CoreTimes::read(&fs::read_to_string("/proc/stat").ok()?, core)
    }

    fn read(table: &str, core: usize) -> Option<CoreTimes> {
        let name = format!("cpu{core}");
        let is_it = |line: &&str| line.split_ascii_whitespace().next() == Some(&name);
        let line = table.lines().find(is_it)?;
        // user nice system idle iowait irq softirq steal; guests are within user.
        let mut ticks = [0_u64; 8];
        for (tick, word) in ticks.iter_mut().zip(line.split_ascii_whitespace().skip(1)) {
            *tick = word.parse().ok()?;
        }
        Some(CoreTimes {
            all: ticks.iter().sum(),
            idle: ticks[3] + ticks[4],
            steal: ticks[7],
        })
    }

    pub(crate) fn since(&self, before: &CoreTimes) -> CoreTimes {
        CoreTimes {
            all: self.all.saturating_sub(before.all),
            idle: self.idle.saturating_sub(before.idle),
            steal: self.steal.saturating_sub(before.steal),
        }
    }

    /// The share of time that somebody used the core, the hypervisor included.
    pub(crate) fn busy_share(&self) -> f64 {
        (self.all.saturating_sub(self.idle)) as f64 / self.all.max(1) as f64
    }

    /// The share of time that the hypervisor took.
    pub(crate) fn steal_share(&self) -> f64 {
        self.steal as f64 / self.all.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table =
            "cpu  1 1 1 1 1 1 1 1 0 0\ncpu1 1 2 3 4 5 6 7 8 1 0\ncpu10 9 9 9 9 9 9 9 9 0 0\n";
        let before = CoreTimes {
            all: 16,
            idle: 4,
            steal: 3,
        };
        let times = CoreTimes::read(table, 1).unwrap();
        assert_eq!(
            times,
            CoreTimes {
                all: 36,
                idle: 9,
                steal: 8
            }
        );
        let since = times.since(&before);
        assert!((since.busy_share() - 0.75).abs() < 1e-9);
        assert!((since.steal_share() - 0.25).abs() < 1e-9);
        assert_eq!(CoreTimes::read(table, 7), None);
    }
}
