//! What the kernel knows about a server: all processes of its session, their time and memory.
//!
//! A server is started in a session of its own, so that its processes are found by the session's
//! number, however they came to be. The scheduler's run time (`schedstat`) is exact; the split
//! into user and system is the kernel's division of that time by its clock ticks.

use std::fs;
use std::path::{Path, PathBuf};

/// The kernel's clock ticks a second, as it tells them to user space: fixed for every
/// architecture that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Times of all threads of a server since they were started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) run_us: f64,
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) wake_ups: u64,
}

impl Times {
    /// What was added since `earlier`.
    pub(crate) fn since(self, earlier: Times) -> Times {
        Times {
            run_us: self.run_us - earlier.run_us,
            user_us: self.user_us - earlier.user_us,
            system_us: self.system_us - earlier.system_us,
            wake_ups: self.wake_ups.saturating_sub(earlier.wake_ups),
        }
    }
}

/// The processes whose session is `session`.
pub(crate) fn of_session(session: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| session_of(*id) == Some(session));
    ids.collect()
}

fn session_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // state, parent, group, session
    after_name(&stat)?.nth(3)?.parse().ok()
}

/// The fields of a `stat` file behind the name, which may itself hold blanks and parentheses.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat[stat.rfind(')')? + 1..].split_ascii_whitespace())
}

/// The times of all threads of these processes; what has gone meanwhile counts nothing.
pub(crate) fn times(processes: &[u32]) -> Times {
    let mut sum = Times::default();
    for task in processes.iter().flat_map(|process| tasks(*process)) {
        if let Some(run_ns) = first_number(&task.join("schedstat")) {
            sum.run_us += run_ns as f64 / 1e3;
        }
        let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
        if let Some((user, system)) = user_and_system(&stat) {
            sum.user_us += user as f64 / TICKS_PER_SECOND * 1e6;
            sum.system_us += system as f64 / TICKS_PER_SECOND * 1e6;
        }
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        sum.wake_ups += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
    }
    sum
}

fn tasks(process: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn first_number(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn user_and_system(stat: &str) -> Option<(u64, u64)> {
    let mut fields = after_name(stat)?.skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The number behind `name` on a line of its own.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Resident memory of these processes, what they share counted once (PSS).
pub(crate) fn pss_bytes(processes: &[u32]) -> u64 {
    let kib = processes.iter().filter_map(|process| {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        field(&rollup, "Pss:")
    });
    kib.sum::<u64>() * 1024
}

/// The most resident memory that a process ever had.
pub(crate) fn peak_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    field(&status, "VmHWM:").unwrap_or(0) * 1024
}

/// Asks the scheduler to prefer the session that `process` belongs to, if the caller may ask.
/// Where sessions share a core by groups (autogroup), niceness within a group does not help.
pub(crate) fn prefer(process: u32) -> Preferred {
    let file = format!("/proc/{process}/autogroup");
    let before = fs::read_to_string(&file)
        .ok()
        .and_then(|text| niceness(&text));
    let _without_the_right = fs::write(&file, "-20");
    Preferred { file, before }
}

/// A session that is preferred; dropping this makes it what it was, if it is still there.
#[must_use]
pub(crate) struct Preferred {
    file: String,
    before: Option<i32>,
}

impl Drop for Preferred {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ended_already = fs::write(&self.file, before.to_string());
        }
    }
}

/// `/autogroup-148 nice 0`
fn niceness(text: &str) -> Option<i32> {
    text.trim().rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 2 33 4 5 6 7 8 9 10 11 12 13 14";
        assert_eq!(after_name(stat).expect("a name").nth(3), Some("33"));
        assert_eq!(user_and_system(stat), Some((11, 12)));
    }

    #[test]
    fn the_niceness_of_a_session() {
        assert_eq!(niceness("/autogroup-148 nice -20\n"), Some(-20));
        assert_eq!(niceness(""), None);
    }

    #[test]
    fn this_process_has_run_and_takes_memory() {
        let me = std::process::id();
        let session = session_of(me).expect("it has one");
        assert!(of_session(session).contains(&me));
        assert!(times(&[me]).run_us > 0.0);
        assert!(pss_bytes(&[me]) > 100 * 1024);
        assert_eq!(pss_bytes(&[]), 0);
    }
}
