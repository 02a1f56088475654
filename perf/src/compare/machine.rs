//! The machine: what it is, and who else uses its cores while something is measured.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use super::results::Machine;

/// The facts that matter to figures. Nothing that names the host.
#[must_use]
pub fn facts(versions: Vec<String>) -> Machine {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = processors.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    Machine {
        processor: value("model name").unwrap_or_else(|| "unknown".to_owned()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: kernel_release(),
        is_virtual: value("flags").is_some_and(|flags| flags.contains(" hypervisor")),
        memory_bytes: memory_bytes(),
        receive_buffer_bytes_max: fs::read_to_string("/proc/sys/net/core/rmem_max")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        counts_instructions: counts_instructions(),
        versions,
    }
}

/// The memory there is; 0 where the system does not say.
pub(crate) fn memory_bytes() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Digits and dots only: what follows them may be a name that somebody gave to the build.
fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    release.chars().take_while(|c| digits(*c)).collect()
}

/// Whether `perf stat` exists and the processor's counters are there: in many guests they are not.
#[must_use]
pub fn counts_instructions() -> bool {
    let output = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "instructions:u", "true"])
        .stdin(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stderr);
        text.split(',').next().is_some_and(|count| {
            let count = count.trim();
            !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

/// Time of one core since the start of the machine, in clock ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CoreTicks {
    busy: u64,
    steal: u64,
    all: u64,
}

impl CoreTicks {
    pub(crate) fn now(core: usize) -> CoreTicks {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        CoreTicks::parse(&stat, core)
    }

    fn parse(stat: &str, core: usize) -> CoreTicks {
        let name = format!("cpu{core}");
        let line = stat.lines().find(|line| {
            let mut words = line.split_ascii_whitespace();
            words.next() == Some(name.as_str())
        });
        let numbers = line.unwrap_or_default().split_ascii_whitespace().skip(1);
        let ticks: Vec<u64> = numbers.filter_map(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else {
            return CoreTicks::default();
        };
        let busy = user + nice + system + irq + softirq;
        CoreTicks {
            busy,
            steal,
            all: busy + idle + iowait + steal,
        }
    }

    /// Shares of the time since `earlier`: (busy, stolen).
    pub(crate) fn shares_since(self, earlier: CoreTicks) -> (f64, f64) {
        let all = (self.all.saturating_sub(earlier.all)).max(1) as f64;
        let busy = self.busy.saturating_sub(earlier.busy) as f64 / all;
        let steal = self.steal.saturating_sub(earlier.steal) as f64 / all;
        (busy, steal)
    }
}

/// Now, as `YYYY-MM-DD HH:MM UTC`.
#[must_use]
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    civil(since.map_or(0, |since| since.as_secs()))
}

/// Days to a date in the proleptic Gregorian calendar, by years that begin in March: so the
/// leap day is a year's last, and months from then on have lengths in a pattern.
fn civil(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (unix_seconds / 3600 % 24, unix_seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |seconds, want: &str| assert_eq!(civil(seconds), want);
        check(0, "1970-01-01 00:00 UTC");
        check(951_782_399, "2000-02-28 23:59 UTC");
        check(951_782_400, "2000-02-29 00:00 UTC");
        check(1_709_251_200, "2024-03-01 00:00 UTC");
        check(4_102_444_799, "2099-12-31 23:59 UTC");
    }

    #[test]
    fn shares_of_a_core() {
        let first = "cpu  9 9 9 9\ncpu1 10 0 10 70 10 0 0 0 0 0\ncpu11 1 1 1 1 1 1 1 1 1 1\n";
        let then = "cpu1 50 0 20 120 10 0 0 0 0 0\n";
        let first = CoreTicks::parse(first, 1);
        assert_eq!(CoreTicks::parse(then, 1).shares_since(first), (0.5, 0.0));
        assert_eq!(CoreTicks::parse(then, 7).all, 0, "no such core");
    }

    #[test]
    fn facts_of_this_machine_hold_no_build_name() {
        let facts = facts(vec![]);
        assert!(facts.cores >= 1 && facts.memory_bytes > 0);
        assert!(facts.kernel.chars().all(|c| c.is_ascii_digit() || c == '.'));
    }
}
