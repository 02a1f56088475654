//! How long a sitting takes, told before it begins and after each round: it may be hours.

use super::held;
use super::results::Options;
use super::sitting::{Agenda, ROLES};

/// How many runs a search mostly takes.
const SEARCH_RUNS: f64 = 9.0;
/// The same of one that begins where the highest rate was last.
const SEARCH_AGAIN_RUNS: f64 = 4.0;
/// How long a server takes to start and to end, and the load to ebb.
const BETWEEN_SECONDS: f64 = 1.5;
/// How long callgrind takes for each.
const CALLGRIND_SECONDS: f64 = 60.0;

/// About how many minutes are left when so many rounds are.
pub(crate) fn minutes(options: &Options, agenda: &Agenda, rounds: usize, searches: bool) -> f64 {
    let run = |seconds: f64| options.warm_up_seconds + seconds + BETWEEN_SECONDS;
    // Without a highest rate there is the common one only.
    let points = if agenda.with_search { ROLES.len() } else { 1 } as f64;
    let mut seconds = rounds as f64 * points * run(options.point_seconds);
    if agenda.with_search && searches {
        seconds += SEARCH_RUNS * run(options.search_seconds);
    }
    if agenda.with_callgrind {
        seconds += CALLGRIND_SECONDS;
    }
    seconds *= agenda.entrants.len() as f64;
    if agenda.held_calls.is_some() {
        let holding = agenda
            .entrants
            .iter()
            .filter(|entrant| entrant.holds_calls());
        seconds += holding.count() as f64 * (held::SECONDS as f64 + BETWEEN_SECONDS);
    }
    seconds / 60.0
}

/// The same of `overload`: a round has so many `stretches` of `seconds` and `drain_seconds`; before `searches` of
/// them the highest rate is looked for again from where it was last. None: it is given.
pub(crate) fn overload_minutes(
    options: &Options,
    agenda: &Agenda,
    stretches: usize,
    (seconds, drain_seconds): (f64, f64),
    searches: Option<usize>,
) -> f64 {
    let run = |seconds: f64| options.warm_up_seconds + seconds + BETWEEN_SECONDS;
    let rounds = options.rounds as f64;
    let mut each = rounds * stretches as f64 * (run(seconds) + drain_seconds);
    if let Some(searches) = searches {
        let runs = SEARCH_RUNS + rounds * searches as f64 * SEARCH_AGAIN_RUNS;
        each += runs * run(options.search_seconds);
    }
    each * agenda.entrants.len() as f64 / 60.0
}

/// That in words.
pub(crate) fn in_words(minutes: f64) -> String {
    match minutes {
        ..=0.0 => "nothing".to_owned(),
        ..1.5 => "about a minute".to_owned(),
        ..90.0 => format!("about {minutes:.0} minutes"),
        _ => format!("about {:.1} hours", minutes / 60.0),
    }
}

/// So many of them, in words.
pub(crate) fn plural(count: usize, what: &str) -> String {
    match count {
        1 => format!("one {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::entrant::{Entrant, Profile};
    use crate::compare::measure;

    #[test]
    fn hours_are_told_as_hours_and_each_part_counts() {
        let options = Options {
            warm_up_seconds: 33.0,
            point_seconds: 5.0,
            search_seconds: 10.0,
            ..Options::default()
        };
        let mut agenda = Agenda {
            entrants: vec![Entrant::Trunkline; 2],
            place: measure::place(&options, "trunkline".into()).expect("loopback has free ports"),
            with_search: false,
            held_calls: None,
            with_callgrind: false,
        };
        // 2 entrants, 6 points of 39.5 s.
        assert!((minutes(&options, &agenda, 6, true) - 7.9).abs() < 1e-9);
        agenda.with_search = true;
        assert!((minutes(&options, &agenda, 6, false) - 23.7).abs() < 1e-9);
        assert!((minutes(&options, &agenda, 6, true) - 37.05).abs() < 1e-9);
        agenda.with_callgrind = true;
        assert!((minutes(&options, &agenda, 0, false) - 2.0).abs() < 1e-9);
        // One of the two keeps something of calls.
        agenda.held_calls = Some(100_000);
        agenda.entrants[0] = Entrant::Kamailio(Profile::Relay, 2);
        assert!((minutes(&options, &agenda, 0, false) - 2.0 - 101.5 / 60.0).abs() < 1e-9);

        // 3 rounds of 2 stretches of 134.5 s; a run of a search is 44.5 s, 9 and 3 times 4 of them.
        let options = Options {
            rounds: 3,
            ..options
        };
        let overload =
            |searches| overload_minutes(&options, &agenda, 2, (60.0, 40.0), searches) * 60.0 / 2.0;
        assert!((overload(None) - 6.0 * 134.5).abs() < 1e-9);
        assert!((overload(Some(1)) - 6.0 * 134.5 - 21.0 * 44.5).abs() < 1e-9);

        assert_eq!(in_words(0.0), "nothing");
        assert_eq!(in_words(0.2), "about a minute");
        assert_eq!(in_words(37.05), "about 37 minutes");
        assert_eq!(in_words(150.0), "about 2.5 hours");
    }
}
