//! How many cache lines a call touches that are its own.
//!
//! Instructions say nothing of memory: with a hundred thousand calls up, what a message needs of its
//! call lies in no cache, and each line of it costs as much as some hundred instructions. So
//! callgrind simulates a last cache of [`CACHE_BYTES`], and far more calls than fit go through the
//! router side by side, a receive batch at a time. What misses is what one message touches of its
//! call, its transactions, their names, deadlines and packets. The peers' own buffers are brought
//! into the cache before, as the kernel's copy of a datagram does.

use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};

use crate::measured;
use crate::peers::script::{Script, Step};

/// The simulated last cache: a core's share of a large one, and a fraction of what the calls need.
const CACHE_BYTES: usize = 1 << 20;
/// Calls side by side.
const CALLS: usize = 2_048;
/// Messages that come together.
const BATCH: usize = 32;
/// The prefix of a child's case.
pub(crate) const CASE: &str = "lines/";

/// The steps of a call, as a table and a child's case name them.
const STEPS: &[(&str, Step)] = &[
    ("invite", Step::Invite),
    ("trying", Step::Trying),
    ("ringing", Step::Ringing),
    ("answer", Step::Answer),
    ("ack", Step::Ack),
    ("bye", Step::Bye),
    ("bye_ok", Step::ByeOk),
];

/// Prints the table.
pub(crate) fn show() -> ExitCode {
    println!("cache lines fetched from memory for one message, {CALLS} calls side by side");
    println!("{:<12} {:>8} {:>8}", "message", "read", "written");
    let (mut all_read, mut all_written) = (0.0, 0.0);
    for (name, _) in STEPS {
        let [read, written] = count(name);
        println!("{name:<12} {read:>8.1} {written:>8.1}");
        all_read += read;
        all_written += written;
    }
    println!("{:<12} {all_read:>8.1} {all_written:>8.1}", "a call");
    ExitCode::SUCCESS
}

/// One step, in the process that callgrind watches.
pub(crate) fn child(name: &str) -> Option<()> {
    let &(_, wanted) = STEPS.iter().find(|(known, _)| *known == name)?;
    let mut script = Script::new(CALLS);
    // The first round makes everything that is made once.
    for counts in [false, true] {
        script.begin();
        for &step in Step::CALL {
            for first in (0..CALLS).step_by(BATCH) {
                let batch = first..first + BATCH;
                script.compose_some(step, batch.clone());
                black_box(script.touch(batch.clone()));
                if counts && step == wanted {
                    measured(&mut || script.deliver_some(step, batch.clone()));
                } else {
                    script.deliver_some(step, batch);
                }
            }
        }
        script.pause();
    }
    Some(())
}

/// Lines read and written that were not in the cache, for one message.
fn count(name: &str) -> [f64; 2] {
    let file = std::env::temp_dir().join(format!("lines-{name}-{}.out", std::process::id()));
    let program = std::env::current_exe().expect("a program knows where it is");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=yes"])
        .arg(format!("--LL={CACHE_BYTES},16,64"))
        .arg("--toggle-collect=*instructions::measured*")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(["--case", &format!("{CASE}{name}")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("valgrind starts: scripts/setup.sh installs it");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name} fails: {said}");
    let text = std::fs::read_to_string(&file).expect("callgrind writes its file");
    let _ = std::fs::remove_file(&file);
    let words = |head: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(head));
        let line = line.unwrap_or_else(|| panic!("callgrind wrote no {head}"));
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    let (events, totals) = (words("events:"), words("totals:"));
    ["DLmr", "DLmw"].map(|event| {
        let at = events.iter().position(|known| known == event);
        let total = at.and_then(|at| totals.get(at)?.parse::<f64>().ok());
        total.expect("callgrind counts the misses of the last cache") / CALLS as f64
    })
}
