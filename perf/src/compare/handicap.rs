//! A smaller core for the server, so that one generator core can offer many times what it carries.
//!
//! The kernel lets the server's processes run for a millisecond in each period (CPU bandwidth of a
//! control group, version 1 or 2) and stops them for the rest. Figures of CPU time stay what they
//! are; rates shrink by the share. Delays do not: the kernel sees at its clock's tick that a quota is used
//! up, and stops the server for tens of milliseconds ([`super::rest`] is for those).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A control group with a bound on its processor time. It goes with the value; its processes must
/// have ended by then.
pub(crate) struct Handicap {
    folder: PathBuf,
}

/// Where the groups of both versions are.
const GROUPS_V1: &str = "/sys/fs/cgroup/cpu";
const GROUPS_V2: &str = "/sys/fs/cgroup";
/// The shortest time that the kernel takes for a quota.
const QUOTA_US: f64 = 1000.0;
const SHARE_MIN: f64 = 0.01;
/// What it may have it gets before all others on the core: the greatest that the kernel takes.
const SHARES_V1: &str = "262144";
const WEIGHT_V2: &str = "10000";

impl Handicap {
    /// A group whose processes get `share` of one core.
    ///
    /// # Errors
    /// The share is none, or groups are not there or not for this user.
    pub(crate) fn new(share: f64) -> io::Result<Handicap> {
        if !(SHARE_MIN..1.0).contains(&share) {
            let words = format!("a server's share of its core is {SHARE_MIN} to 1, not {share}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("perf-{}-{number}", std::process::id());
        let is_v1 = Path::new(GROUPS_V1).join("cpu.cfs_quota_us").exists()
            || Path::new(GROUPS_V1).join("tasks").exists();
        let folder = Path::new(if is_v1 { GROUPS_V1 } else { GROUPS_V2 }).join(name);
        fs::create_dir(&folder)?;
        let handicap = Handicap { folder };
        let period_us = (QUOTA_US / share).round();
        if is_v1 {
            handicap.set("cpu.cfs_period_us", &period_us.to_string())?;
            handicap.set("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
            handicap.set("cpu.shares", SHARES_V1)?;
        } else {
            handicap.set("cpu.max", &format!("{QUOTA_US} {period_us}"))?;
            handicap.set("cpu.weight", WEIGHT_V2)?;
        }
        Ok(handicap)
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, value)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Lets the group have all of the core: for whoever only has to end, and has a backlog.
    pub(crate) fn lift(&self) {
        let is_v1 = self.folder.join("cpu.cfs_quota_us").exists();
        let _as_it_was = match is_v1 {
            true => self.set("cpu.cfs_quota_us", "-1"),
            false => self.set("cpu.max", "max"),
        };
    }

    /// Words in front of a command that make it and all its children members of the group.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let join = format!(
            "echo $$ >{}/cgroup.procs && exec \"$@\"",
            self.folder.display()
        );
        ["sh", "-c", &join, "sh"].map(str::to_owned).to_vec()
    }
}

impl Drop for Handicap {
    fn drop(&mut self) {
        let _still_in_use = fs::remove_dir(&self.folder);
    }
}
