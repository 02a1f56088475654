//! A part of a core: whoever has the rest leaves it, for a tenth of a millisecond each time.
//!
//! ```text
//!   ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇░░▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇░░     ▇ held: 0.9 ms   ░ left: 0.1 ms
//! ```
//!
//! A quota of the kernel (CPU bandwidth of a control group) is not this even: it sees at the clock's
//! tick that it is used up, so that who has a tenth of a core runs for up to four milliseconds and is
//! stopped for forty. Delays would be those of the quota.

use std::io;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::gettid;

/// For how long the core is left each time.
const LEFT: Duration = Duration::from_micros(100);
/// The least share that can be left: the kernel lets nobody hold a core for longer (`sched_rt_runtime_us`).
const SHARE_MIN: f64 = 0.06;

/// Who holds a core and leaves a share of it to others. Lives on its thread, which goes before all
/// others there.
#[derive(Debug)]
pub(crate) struct Holder {
    /// How long it is held for each moment that it is left.
    ratio: f64,
    until: Instant,
}

impl Holder {
    /// This thread holds its core from now on, and leaves `share` of it.
    ///
    /// # Errors
    /// It is no share, or the thread may not go before others.
    pub(crate) fn new(share: f64) -> io::Result<Holder> {
        if !(SHARE_MIN..1.0).contains(&share) {
            let words = format!("a share of a core is {SHARE_MIN} to 1, not {share}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        go_first()?;
        Ok(Holder {
            ratio: (1.0 - share) / share,
            until: Instant::now(),
        })
    }

    /// Leaves the core if its time has come. How long that took says for how long it is held next; for
    /// what it was held too long, since there was so much to do, it is left for longer.
    pub(crate) fn pass(&mut self) {
        let now = Instant::now();
        let Some(over) = now.checked_duration_since(self.until) else {
            return;
        };
        thread::sleep(LEFT + over.div_f64(self.ratio));
        let left = now.elapsed();
        let held = left.mul_f64(self.ratio).saturating_sub(over);
        self.until = now + left + held;
    }

    /// Holds the core until it is to be left, and leaves it.
    pub(crate) fn hold(&mut self) {
        while Instant::now() < self.until {
            std::hint::spin_loop();
        }
        self.pass();
    }
}

/// This thread goes before all that have no such right.
fn go_first() -> io::Result<()> {
    let status = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &gettid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "a share of a core needs a thread that goes before all others (`chrt --fifo`): \
             run it as root, or with CAP_SYS_NICE",
        )),
    }
}
