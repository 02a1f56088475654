//! What more shards cost: user instructions of a call with one shard, with two that the kernel
//! steers, and with two that hand over.
//!
//! Two shards get twice the calls of one and do the same work for each. What is added is to find out
//! whose a message is, and to bring it there: the latter only where the kernel does not. All calls
//! come from one address and port and go to one, so that without the kernel about half of the messages
//! cross. Counted by callgrind (see `callgrind`), one run after the other: nothing here is a time.

use std::fmt::Write as _;
use std::time::Instant;

use super::callgrind;
use super::entrant::{Entrant, Steering};
use super::median::Median;
use super::results::{Instructions, Options, Sitting, Subject};
use super::sitting::{Agenda, open};

/// Who takes part: the first is what the others are held against.
pub const ENTRANTS: [Entrant; 3] = [
    Entrant::Trunkline,
    Entrant::TrunklineTwo(Steering::Kernel),
    Entrant::TrunklineTwo(Steering::Software),
];
/// The most that each may take more than the first, in per cent.
const GOALS: [Option<f64>; 3] = [None, Some(3.0), Some(15.0)];

/// Counts for each of the agenda's entrants. What goes wrong with one is told in its `troubles`.
pub fn hold(options: &Options, agenda: &Agenda, tell: &mut dyn FnMut(&str)) -> Sitting {
    let started = Instant::now();
    let mut sitting = open("scale", options, agenda);
    for (entrant, subject) in agenda.entrants.iter().zip(&mut sitting.subjects) {
        match callgrind::measure(*entrant, &agenda.place, options, tell) {
            Ok(instructions) => subject.instructions = Some(instructions),
            Err(error) => {
                tell(&format!("{}: {error}", subject.key));
                subject.troubles.push(error.to_string());
            }
        }
    }
    sitting.seconds = started.elapsed().as_secs();
    sitting
}

/// The table: what a call takes, how much more that is than with one shard, how many turns it had
/// and what crossed.
#[must_use]
pub fn table(sitting: &Sitting) -> String {
    let mut text = format!(
        "{:<44}{:>14}{:>10}{:>8}{:>8}{:>14}\n",
        "a call", "instructions", "more", "goal", "turns", "handed over"
    );
    let alone = sitting.subjects.first().and_then(per_call);
    for (at, subject) in sitting.subjects.iter().enumerate() {
        let mine = per_call(subject);
        let more = mine
            .zip(alone)
            .map(|(mine, alone)| (mine / alone - 1.0) * 100.0);
        let goal = GOALS.get(at).copied().flatten();
        let _infallible = writeln!(
            text,
            "{:<44}{:>14}{:>10}{:>8}{:>8}{:>14}",
            subject.title,
            mine.map_or("?".to_owned(), |mine| format!("{mine:.0}")),
            more.filter(|_| at > 0)
                .map_or_else(String::new, |more| format!("{more:+.1} %")),
            goal.map_or_else(String::new, |goal| format!("{goal:.0} %")),
            words(subject, |counted| &counted.turns_per_call),
            words(subject, |counted| &counted.handed_over_per_call),
        );
    }
    text
}

fn per_call(subject: &Subject) -> Option<f64> {
    median(subject, |counted| &counted.user_per_call)
}

fn words(subject: &Subject, pick: fn(&Instructions) -> &Vec<f64>) -> String {
    median(subject, pick).map_or_else(String::new, |value| format!("{value:.2}"))
}

fn median(subject: &Subject, pick: fn(&Instructions) -> &Vec<f64>) -> Option<f64> {
    let values = pick(subject.instructions.as_ref()?);
    Some(Median::of(values.iter().copied())?.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_each_against_one_shard() {
        let subject = |title: &str, user_per_call: &[f64], handed_over: &[f64]| Subject {
            title: title.to_owned(),
            instructions: Some(Instructions {
                user_per_call: user_per_call.to_vec(),
                runs: Vec::new(),
                turns_per_call: vec![5.5],
                handed_over_per_call: handed_over.to_vec(),
            }),
            ..Subject::default()
        };
        let sitting = Sitting {
            subjects: vec![
                subject("one", &[50_000.0], &[]),
                subject("steered", &[50_400.0, 50_500.0, 50_700.0], &[0.0]),
                Subject {
                    title: "failed".to_owned(),
                    ..Subject::default()
                },
            ],
            ..Sitting::default()
        };
        let table = table(&sitting);
        let words = |title: &str| -> Vec<String> {
            let line = table.lines().find(|line| line.starts_with(title));
            let line = line.unwrap_or_else(|| panic!("{title} in {table}"));
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("one"), ["one", "50000", "5.50"]);
        let want = ["steered", "50500", "+1.0", "%", "3", "%", "5.50", "0.00"];
        assert_eq!(words("steered"), want);
        assert_eq!(words("failed"), ["failed", "?", "15", "%"]);
    }

    #[test]
    fn each_has_its_goal_and_is_no_other() {
        assert_eq!(ENTRANTS.len(), GOALS.len());
        let keys = ENTRANTS.map(Entrant::key);
        assert_eq!(
            keys,
            ["trunkline", "trunkline-2-kernel", "trunkline-2-software"]
        );
    }
}
