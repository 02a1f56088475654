//! What a call takes in resident memory: while its INVITE is in Accepted, and held after that.
//!
//! Nothing is allocated per call and nothing is given back, so the heap says little: tables reserve
//! address space, and a page becomes resident when its first slot is used. What counts is how much
//! more the process holds with so many calls than without. Each row is a process of its own.
//!
//! ```text
//! cargo bench --locked -p benches --bench memory                 # 100,000 calls
//! cargo bench --locked -p benches --bench memory -- 1000000
//! ```

#[path = "../src/router/tests/bench/mod.rs"]
mod peers;

use std::process::{Command, ExitCode};

use peers::script::{Script, Step};

/// An answered call, up to the ACK.
const ANSWERED: &[Step] = &[
    Step::Invite,
    Step::Trying,
    Step::Ringing,
    Step::Answer,
    Step::Ack,
];
/// The same after a first gateway that refused.
const AFTER_A_REFUSAL: &[Step] = &[
    Step::Invite,
    Step::Trying,
    Step::Unavailable,
    Step::Ringing,
    Step::Answer,
    Step::Ack,
];
/// How many calls are in Accepted at a time where calls are held.
const AT_A_TIME: usize = 1_000;
/// What a held call may take, all told.
const HELD_BYTES_MAX: f64 = 700.0;
/// What the transactions of an answered INVITE may take together, and all that hangs on them.
const ACCEPTED_BYTES_MAX: f64 = 2.0 * 256.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let calls = (arguments.iter()).find_map(|it| it.parse::<usize>().ok());
    let calls = calls.unwrap_or(100_000);
    let is_named = |name: &str| arguments.iter().any(|it| it == name);
    for (name, fill) in ROWS {
        if is_named(name) {
            println!("{}", fill(calls));
            return ExitCode::SUCCESS;
        }
    }
    let of = |name| row(name, calls);
    let (held, both) = (of("held"), of("accepted"));
    let (refused, ended) = (of("held-after-a-refusal"), of("ended"));
    let accepted = both - held;
    println!("{calls} calls, resident bytes of each");
    println!(
        "  held (answered, INVITE transaction gone)        {held:8.0}   (<= {HELD_BYTES_MAX})"
    );
    println!("  held, at the second gateway                     {refused:8.0}");
    println!(
        "  in Accepted: server, client, all that hangs on  {accepted:8.0}   (<= {ACCEPTED_BYTES_MAX})"
    );
    println!("  ended less than 32 s ago                        {ended:8.0}");
    if held <= HELD_BYTES_MAX && accepted <= ACCEPTED_BYTES_MAX {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A row's name, and what fills the tables; it returns the bytes of a call.
type Row = (&'static str, fn(usize) -> f64);

const ROWS: &[Row] = &[
    ("held", |calls| held(calls, ANSWERED)),
    ("held-after-a-refusal", |calls| held(calls, AFTER_A_REFUSAL)),
    ("accepted", |calls| at_once(calls, ANSWERED)),
    ("ended", |calls| at_once(calls, Step::CALL)),
];

fn row(name: &str, calls: usize) -> f64 {
    let program = std::env::current_exe().expect("a program knows where it is");
    let run = Command::new(program)
        .args([name, &calls.to_string()])
        .output()
        .expect("this program runs");
    let said = String::from_utf8_lossy(&run.stdout);
    said.trim().parse().unwrap_or_else(|_| {
        let error = String::from_utf8_lossy(&run.stderr);
        panic!("{name} says {said:?}, {error}")
    })
}

/// All calls without a pause: every transaction lives.
fn at_once(calls: usize, steps: &[Step]) -> f64 {
    let mut script = Script::with_room(calls, calls);
    warm_up(&mut script, steps);
    let before = resident_bytes();
    for _ in 0..calls {
        say(&mut script, steps);
        script.drain_records();
    }
    (resident_bytes() - before) / calls as f64
}

/// Few at a time: what is resident at the end is what the calls themselves hold.
fn held(calls: usize, steps: &[Step]) -> f64 {
    let mut script = Script::with_room(calls, 2 * AT_A_TIME);
    warm_up(&mut script, steps);
    let before = resident_bytes();
    for at in 0..calls {
        say(&mut script, steps);
        if at % AT_A_TIME == AT_A_TIME - 1 {
            script.forget();
        }
    }
    (resident_bytes() - before) / calls as f64
}

/// What all calls share becomes resident before the counting begins.
fn warm_up(script: &mut Script, steps: &[Step]) {
    for _ in 0..AT_A_TIME {
        say(script, steps);
    }
    script.forget();
}

fn say(script: &mut Script, steps: &[Step]) {
    script.begin();
    for &step in steps {
        script.compose(step);
        script.deliver(step);
    }
}

fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux tells");
    let line = text.lines().find(|line| line.starts_with("Rss:"));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    let kibibytes: f64 = word.and_then(|word| word.parse().ok()).expect("a number");
    kibibytes * 1_024.0
}
