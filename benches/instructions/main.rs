//! What the hot paths cost in instructions, and the budget of each.
//!
//! Time on a shared machine is noise; the instructions of one build hardly move. Each case runs in
//! a process of its own under callgrind, which counts only what lies within [`measured`]. The count
//! of one operation is compared with `benches/budgets.txt`: more than [`TOLERANCE_PERCENT`] above
//! the line fails, and so does a case without a line.
//!
//! ```text
//! make budgets                    # all cases against their budgets
//! make budgets ARGS="call/"       # the cases whose names contain this
//! make budgets ARGS="--bless"     # write the counts down as the new budgets
//! make budgets ARGS="--profile call/invite"   # the functions of one case, dearest first
//! make budgets ARGS="--lines"     # the cache lines that a call touches, for people
//! ```

mod cases;
mod lines;
#[path = "../../shards/tests/bench/mirror.rs"]
mod mirror;
#[path = "../../src/router/tests/bench/mod.rs"]
mod peers;
mod turn;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use cases::{CASES, Case};

/// How far a count may lie above its budget.
const TOLERANCE_PERCENT: f64 = 3.0;
/// Rounds before the counting begins: caches of our own are filled and buffers have grown.
const WARM_UP: u32 = 3;
/// Rounds that are counted.
const ROUNDS: u32 = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value_of = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(name) = value_of("--case") {
        return child(name);
    }
    if arguments.iter().any(|it| it == "--lines") {
        return lines::show();
    }
    // What cargo itself gives to every bench.
    let arguments: Vec<String> = arguments
        .iter()
        .filter(|it| *it != "--bench")
        .cloned()
        .collect();
    if let Some(name) = value_of("--profile") {
        return profile(name);
    }
    let filter = arguments.iter().find(|it| !it.starts_with("--"));
    let chosen = CASES
        .iter()
        .filter(|case| filter.is_none_or(|part| case.name.contains(part.as_str())));
    let counts: Vec<(&Case, u64)> = chosen.map(|case| (case, count(case, None))).collect();
    if arguments.iter().any(|it| it == "--bless") {
        return bless(&counts);
    }
    judge(&counts)
}

/// One case, in the process that callgrind watches.
fn child(name: &str) -> ExitCode {
    if let Some(step) = name.strip_prefix(lines::CASE) {
        lines::child(step).expect("the parent names a step that there is");
        return ExitCode::SUCCESS;
    }
    let case = CASES
        .iter()
        .find(|case| case.name == name)
        .expect("the parent names a case that there is");
    (case.run)(&mut Meter { round: 0 });
    ExitCode::SUCCESS
}

/// Says which rounds count.
pub(crate) struct Meter {
    round: u32,
}

impl Meter {
    /// Calls `round` for the warm-up and for each counted round. What is to be counted is what it
    /// gives to the function that it gets.
    pub(crate) fn rounds(&mut self, mut round: impl FnMut(&mut dyn FnMut(&mut dyn FnMut()))) {
        while self.round < WARM_UP + ROUNDS {
            let counts = self.round >= WARM_UP;
            round(&mut |work| if counts { measured(work) } else { work() });
            self.round += 1;
        }
    }
}

/// Callgrind counts only while this function runs.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    // Not a tail call: the function is left only when the work is done.
    std::hint::black_box(());
}

fn out_file(case: &Case) -> PathBuf {
    let name = case.name.replace('/', "-");
    std::env::temp_dir().join(format!("instructions-{name}-{}.out", std::process::id()))
}

/// Runs a case under callgrind; returns the instructions of one operation.
fn count(case: &Case, keep: Option<&Path>) -> u64 {
    let file = keep.map_or_else(|| out_file(case), Path::to_path_buf);
    let program = std::env::current_exe().expect("a program knows where it is");
    let run = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*instructions::measured*",
        ])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(["--case", case.name])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    let run = run.unwrap_or_else(|error| {
        panic!("valgrind does not start ({error}): scripts/setup.sh installs it")
    });
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{} fails: {said}", case.name);
    let text = std::fs::read_to_string(&file).expect("callgrind writes its file");
    if keep.is_none() {
        let _ = std::fs::remove_file(&file);
    }
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|total| total.trim().parse::<u64>().ok())
        .unwrap_or_else(|| panic!("callgrind gave no total for {}: {said}", case.name));
    assert!(total > 0, "nothing was counted in {}", case.name);
    total / (u64::from(ROUNDS) * case.operations)
}

/// The functions of one case, by what they and all that they call cost one operation.
fn profile(name: &str) -> ExitCode {
    let Some(case) = CASES.iter().find(|case| case.name == name) else {
        eprintln!("there is no case {name}; the cases are:");
        for case in CASES {
            eprintln!("  {}", case.name);
        }
        return ExitCode::FAILURE;
    };
    let file = out_file(case);
    println!("{name}: {} instructions", count(case, Some(&file)));
    let operations = u64::from(ROUNDS) * case.operations;
    let with_callees = functions(&file, true);
    let own = functions(&file, false);
    let _ = std::fs::remove_file(&file);
    let mut all: Vec<(&String, u64)> = with_callees
        .iter()
        .map(|(name, &cost)| (name, cost))
        .collect();
    all.sort_by_key(|&(_, cost)| std::cmp::Reverse(cost));
    println!("{:>9} {:>9}  function", "with all", "itself");
    for (function, cost) in all {
        let own = own.get(function).copied().unwrap_or(0);
        if cost / operations >= 20 {
            println!(
                "{:>9} {:>9}  {function}",
                cost / operations,
                own / operations
            );
        }
    }
    ExitCode::SUCCESS
}

/// What callgrind_annotate says of each function, its files added up.
fn functions(file: &Path, inclusive: bool) -> BTreeMap<String, u64> {
    let shown = Command::new("callgrind_annotate")
        .args(["--auto=no", "--threshold=100"])
        .arg(format!(
            "--inclusive={}",
            if inclusive { "yes" } else { "no" }
        ))
        .arg(file)
        .output()
        .expect("callgrind_annotate comes with valgrind");
    let mut functions = BTreeMap::new();
    for line in String::from_utf8_lossy(&shown.stdout).lines() {
        let Some((number, rest)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.replace(',', "").parse::<u64>() else {
            continue;
        };
        let rest = rest
            .rsplit_once(" [")
            .map_or(rest, |(function, _)| function);
        let Some((_, function)) = rest.split_once(".rs:").or_else(|| rest.split_once(".S:")) else {
            continue;
        };
        let entry = functions.entry(function.to_owned()).or_insert(0);
        // Of one function in several files the whole is said once for each.
        *entry = if inclusive {
            number.max(*entry)
        } else {
            *entry + number
        };
    }
    functions
}

fn budgets_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("budgets.txt")
}

fn budgets() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(budgets_file()).unwrap_or_default();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, number) = line.split_once(char::is_whitespace)?;
            Some((
                name.to_owned(),
                number.trim().replace('_', "").parse().ok()?,
            ))
        })
        .collect()
}

fn judge(counts: &[(&Case, u64)]) -> ExitCode {
    let budgets = budgets();
    let mut too_dear = Vec::new();
    println!(
        "{:<28} {:>10} {:>10} {:>8}",
        "case", "counted", "budget", "change"
    );
    for &(case, counted) in counts {
        let Some(&budget) = budgets.get(case.name) else {
            println!("{:<28} {counted:>10} {:>10}", case.name, "none");
            too_dear.push(format!("{} has no line in benches/budgets.txt", case.name));
            continue;
        };
        let change = (counted as f64 / budget as f64 - 1.0) * 100.0;
        println!(
            "{:<28} {counted:>10} {budget:>10} {change:>+7.1}%",
            case.name
        );
        if change > TOLERANCE_PERCENT {
            too_dear.push(format!(
                "{} takes {counted} instructions, {change:.1} % over its budget of {budget}",
                case.name
            ));
        } else if change < -TOLERANCE_PERCENT {
            println!(
                "{:<28} is cheaper now: make budgets ARGS=--bless keeps it so",
                ""
            );
        }
    }
    if too_dear.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("\nover budget (the limit is +{TOLERANCE_PERCENT} %):");
    for line in &too_dear {
        eprintln!("  {line}");
    }
    eprintln!(
        "make budgets ARGS=\"--profile CASE\" shows where it goes; a cost that is worth it is\n\
         written down by make budgets ARGS=--bless, and its reason in the commit."
    );
    ExitCode::FAILURE
}

fn bless(counts: &[(&Case, u64)]) -> ExitCode {
    let mut budgets = budgets();
    for &(case, counted) in counts {
        budgets.insert(case.name.to_owned(), counted);
    }
    budgets.retain(|name, _| CASES.iter().any(|case| case.name == name));
    let mut text = String::from(
        "# Instructions of one operation in user space (release build, x86-64 with AVX2).\n\
         # `make budgets` holds each within 3 %; `make budgets ARGS=--bless` writes them anew.\n",
    );
    for (name, number) in &budgets {
        let _ = writeln!(text, "{name:<28} {number}");
    }
    std::fs::write(budgets_file(), text).expect("the budgets can be written");
    println!("{} budgets written", counts.len());
    ExitCode::SUCCESS
}
