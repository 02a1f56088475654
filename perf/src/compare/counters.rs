//! Instructions for a call by the processor's own counters, user and kernel, where `perf stat` has
//! them: many virtual machines hide them.
//!
//! A run of its own: counting is switched on before the load begins, because that stops the
//! server's processes for a moment.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::entrant::{Entrant, Place};
use super::measure;
use super::results::{Counted, Options};
use super::server::{Server, signal};
use crate::load::{self, Moment};

const EVENTS: [&str; 2] = ["instructions:u", "instructions:k"];
/// How long `perf stat` may take to attach.
const ATTACH: Duration = Duration::from_millis(500);

/// One run at `rate`; instructions of all threads of the server over all its calls.
pub(crate) fn measure(
    entrant: Entrant,
    place: &Place,
    options: &Options,
    rate: f64,
) -> io::Result<Counted> {
    let mut server = Server::start(entrant, place)?;
    let mut plan = measure::plan(entrant, place, options, rate);
    plan.duration_ms += plan.warm_up_ms;
    plan.warm_up_ms = 0;
    let mut perf = None;
    let report = load::run(&plan, &mut |progress: load::Progress| {
        if progress.moment == Moment::Ready {
            perf = Some(attach(&server.processes()));
            std::thread::sleep(ATTACH);
        }
    })?;
    let perf = perf.ok_or_else(|| io::Error::other("the load never began"))??;
    let text = detach(perf)?;
    server.stop()?;
    let count = |event: &str| {
        let words = || io::Error::other(format!("perf stat has counted no {event}"));
        let count = counted(&text, event).ok_or_else(words)?;
        Ok::<f64, io::Error>(count as f64 / report.calls.completed.max(1) as f64)
    };
    Ok(Counted {
        user_per_call: count(EVENTS[0])?,
        kernel_per_call: count(EVENTS[1])?,
    })
}

fn attach(processes: &[u32]) -> io::Result<Child> {
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    Command::new("perf")
        .args([
            "stat",
            "-x",
            ",",
            "-e",
            &EVENTS.join(","),
            "-p",
            &ids.join(","),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// Ends the count; what it has to say.
fn detach(mut perf: Child) -> io::Result<String> {
    signal("INT", &[perf.id()]);
    let mut text = String::new();
    if let Some(mut output) = perf.stderr.take() {
        output.read_to_string(&mut text)?;
    }
    perf.wait()?;
    Ok(text)
}

/// The count of an event: `123456,,instructions:u,…`.
fn counted(text: &str, event: &str) -> Option<u64> {
    let line = text
        .lines()
        .find(|line| line.split(',').nth(2) == Some(event))?;
    line.split(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_their_absence_seen() {
        let text = "252000,,instructions:u,1000,100.00,,\n<not supported>,,instructions:k,0,,,\n";
        assert_eq!(counted(text, "instructions:u"), Some(252_000));
        assert_eq!(counted(text, "instructions:k"), None);
        assert_eq!(counted("", "instructions:u"), None);
    }
}
