//! The sitting: who is measured when, so that what drifts on the machine hits all alike.
//!
//! ```text
//!   search      each entrant's highest rate; a server that failed is started again
//!   rounds      round 1: half rate: A B C …;  nine tenths: A B C …;  common rate: A B C …;  floor
//!               round 2: the same, and so on: medians are over rounds
//!   held        resident memory while calls pile up
//!   callgrind   instructions, if asked for
//! ```
//! Every point has a fresh server: it begins with no leftovers of the one before, and no other
//! server is there to take time from the core.

use std::io;
use std::time::{Duration, Instant};

use super::entrant::{Entrant, Place};
use super::floor_of_a_call;
use super::measure::{self, Measured};
use super::results::{Highest, Options, Role, Sitting, Subject};
use super::search::Search;
use super::server::Server;
use super::{callgrind, counters, held, left, machine};
use crate::floor::CallSizes;

/// What a sitting is to hold beyond its options.
#[derive(Clone, Debug)]
pub struct Agenda {
    /// Who takes part.
    pub entrants: Vec<Entrant>,
    /// Where the servers are; see [`super::place`].
    pub place: Place,
    /// Whether highest rates are searched for. Without, only the common rate is measured.
    pub with_search: bool,
    /// How many calls are held to measure memory; none to leave it out.
    pub held_calls: Option<u64>,
    /// Whether instructions are counted by callgrind.
    pub with_callgrind: bool,
}

/// How long a server is left alone before its idle memory is read.
pub(crate) const SETTLE: Duration = Duration::from_millis(700);
/// What is measured of each entrant in a round.
pub(crate) const ROLES: [Role; 3] = [Role::Half, Role::NineTenths, Role::Common];
/// The search: its first rate for a whole core, its last, its growth, and how close it comes.
const SEARCH_START: f64 = 4_100.0;
const SEARCH_MOST: f64 = 60_000.0;
const SEARCH_GROWTH: f64 = 1.35;
const SEARCH_CLOSE: f64 = 0.06;
const SEARCH_AGAIN_STEP: f64 = 1.06;

/// Holds a sitting. `tell` gets a line for people now and then, `keep` all there is so far: a
/// sitting may take hours, and somebody may end it.
///
/// # Errors
/// The generator or the floor could not run at all. What goes wrong with one entrant is told in
/// its `troubles`, and the others go on.
pub fn hold(
    name: &str,
    options: &Options,
    agenda: &Agenda,
    tell: &mut dyn FnMut(&str),
    keep: &mut dyn FnMut(&Sitting),
) -> io::Result<Sitting> {
    let started = Instant::now();
    let mut sitting = open(name, options, agenda);
    let mut keep = |sitting: &mut Sitting| {
        sitting.seconds = started.elapsed().as_secs();
        keep(sitting);
    };
    announce(options, agenda, tell);
    idle_bench(&mut sitting, agenda);
    for (entrant, subject) in agenda.entrants.iter().zip(&mut sitting.subjects) {
        if agenda.with_search {
            search(*entrant, subject, options, &agenda.place, tell);
        }
    }
    keep(&mut sitting);
    let mut sizes = CallSizes::default();
    for round in 1..=options.rounds {
        for role in ROLES {
            for (entrant, subject) in agenda.entrants.iter().zip(&mut sitting.subjects) {
                let Some(rate) = rate_of(role, subject, options) else {
                    continue;
                };
                let run = (role, rate);
                let measured = point(*entrant, subject, options, &agenda.place, run, tell);
                // The floor is that of trunkline's datagrams, where it takes part.
                if let Some(measured) = measured.filter(|_| subject.key == "trunkline") {
                    sizes = measured.sizes;
                }
            }
        }
        if sitting.machine.counts_instructions {
            count(&mut sitting.subjects, options, agenda, tell);
        }
        let floor = floor_of_a_call(options, &sizes)?;
        let (us, receive_us, send_us) = (floor.cpu_us_per_call, floor.receive_us, floor.send_us);
        let rounds_left = options.rounds - round;
        let left = left::in_words(left::minutes(options, agenda, rounds_left, false));
        tell(&format!(
            "round {round} of {}: floor {us:.1} us a call, {receive_us:.2} a receive, {send_us:.2} a send; \
             {left} to go",
            options.rounds
        ));
        sitting.floor.push(floor);
        keep(&mut sitting);
    }
    for (place, entrant) in agenda.entrants.iter().enumerate() {
        let subject = &mut sitting.subjects[place];
        if let Some(calls) = agenda.held_calls {
            hold_calls(*entrant, subject, options, &agenda.place, calls, tell);
        }
        if agenda.with_callgrind {
            match callgrind::measure(*entrant, &agenda.place, options, tell) {
                Ok(instructions) => subject.instructions = Some(instructions),
                Err(error) => trouble(subject, "instructions by callgrind", &error, tell),
            }
        }
        keep(&mut sitting);
    }
    Ok(sitting)
}

/// Tells what is to come, and how long it takes.
fn announce(options: &Options, agenda: &Agenda, tell: &mut dyn FnMut(&str)) {
    let takes = left::in_words(left::minutes(options, agenda, options.rounds, true));
    let entrants = left::plural(agenda.entrants.len(), "entrant");
    let rounds = left::plural(options.rounds, "round");
    tell(&format!("{entrants}, {rounds}: {takes}"));
}

/// Counts instructions of each entrant at the common rate, by the processor's counters.
fn count(subjects: &mut [Subject], options: &Options, agenda: &Agenda, tell: &mut dyn FnMut(&str)) {
    for (entrant, subject) in agenda.entrants.iter().zip(subjects) {
        let Some(rate) = rate_of(Role::Common, subject, options) else {
            continue;
        };
        match counters::measure(*entrant, &agenda.place, options, rate) {
            Ok(counted) => subject.counted.push(counted),
            Err(error) => trouble(subject, "instructions by perf stat", &error, tell),
        }
    }
}

/// What trunkline takes when idle as its bench configuration sets it up.
pub(crate) fn idle_bench(sitting: &mut Sitting, agenda: &Agenda) {
    let trunkline = sitting
        .subjects
        .iter_mut()
        .find(|subject| subject.key == "trunkline");
    if let Some(subject) = trunkline {
        let started = Server::start(Entrant::TrunklineBench, &agenda.place);
        subject.idle_bench_pss_bytes = started.ok().map(|server| {
            std::thread::sleep(SETTLE);
            server.pss_bytes()
        });
    }
}

/// Measures what held calls take, if the entrant keeps anything of them.
pub(crate) fn hold_calls(
    entrant: Entrant,
    subject: &mut Subject,
    options: &Options,
    place: &Place,
    calls: u64,
    tell: &mut dyn FnMut(&str),
) {
    if !entrant.holds_calls() {
        return;
    }
    match held::measure(entrant, place, options, calls, tell) {
        Ok((held, idle_pss_bytes)) => {
            subject.held = Some(held);
            subject.idle_pss_bytes.push(idle_pss_bytes);
        }
        Err(error) => trouble(subject, "memory of held calls", &error, tell),
    }
}

/// A sitting with nothing measured yet.
pub(crate) fn open(name: &str, options: &Options, agenda: &Agenda) -> Sitting {
    let subject = |entrant: &Entrant| Subject {
        key: entrant.key(),
        title: entrant.title(),
        ..Subject::default()
    };
    Sitting {
        name: name.to_owned(),
        began: machine::now(),
        machine: machine::facts(versions(&agenda.place)),
        options: options.clone(),
        subjects: agenda.entrants.iter().map(subject).collect(),
        ..Sitting::default()
    }
}

/// The first line of what the programs say about their version.
fn versions(place: &Place) -> Vec<String> {
    let trunkline = place.trunkline.display().to_string();
    let commands = [[trunkline.as_str(), "--version"], ["kamailio", "-v"]];
    let lines = commands.iter().filter_map(|[program, option]| {
        let text = super::server::output_of(program, &[option])?;
        Some(
            text.lines()
                .next()?
                .trim()
                .trim_start_matches("version: ")
                .to_owned(),
        )
    });
    lines.collect()
}

fn trouble(subject: &mut Subject, what: &str, error: &io::Error, tell: &mut dyn FnMut(&str)) {
    let words = format!("{what}: {error}");
    tell(&format!("{}: {words}", subject.key));
    subject.troubles.push(words);
}

/// At which rate `subject` is measured for this role.
fn rate_of(role: Role, subject: &Subject, options: &Options) -> Option<f64> {
    let highest = subject.highest.as_ref().map(|highest| highest.rate);
    match role {
        Role::Half => highest.map(|rate| (rate / 2.0).round()),
        Role::NineTenths => highest.map(|rate| (rate * 0.9).round()),
        // What it does not carry shows nothing but that.
        Role::Common => Some(options.common_rate)
            .filter(|common| highest.is_none_or(|highest| highest >= *common)),
        Role::Search | Role::Overload => None,
    }
}

/// Searches the highest rate of an entrant.
pub(crate) fn search(
    entrant: Entrant,
    subject: &mut Subject,
    options: &Options,
    place: &Place,
    tell: &mut dyn FnMut(&str),
) {
    // A server with a part of a core begins with its part: more may leave it beyond recovery.
    let part = options.server_share.unwrap_or(1.0);
    let start = SEARCH_START.min(options.common_rate) * part;
    let search = Search::new(start, SEARCH_MOST, SEARCH_GROWTH, SEARCH_CLOSE);
    subject.highest = found_by(search, entrant, subject, options, place, tell);
}

/// The highest rate of an entrant now, where it was `last` some minutes ago.
pub(crate) fn search_again(
    last: f64,
    entrant: Entrant,
    subject: &mut Subject,
    options: &Options,
    place: &Place,
    tell: &mut dyn FnMut(&str),
) -> Option<Highest> {
    let search = Search::around(last, SEARCH_MOST, SEARCH_AGAIN_STEP);
    found_by(search, entrant, subject, options, place, tell)
}

fn found_by(
    mut search: Search,
    entrant: Entrant,
    subject: &mut Subject,
    options: &Options,
    place: &Place,
    tell: &mut dyn FnMut(&str),
) -> Option<Highest> {
    let mut long = options.clone();
    long.point_seconds = options.search_seconds;
    let part = options.server_share.unwrap_or(1.0);
    let mut fault = None;
    let mut limited_by_generator = false;
    while let Some(rate) = search.next() {
        let run = (Role::Search, rate);
        let measured = point(entrant, subject, &long, place, run, tell)?;
        let found = measured.fault();
        search.tell(rate, found.is_none());
        if found.is_some() {
            // Who was at its end? The generator says when it may have been; but where the server's
            // core had no idle time left, whoever took it, the server was.
            let point = &measured.point;
            let busy = point.server.share / part + point.foreign_share + point.steal_share;
            limited_by_generator = !measured.limits.is_empty() && busy < CORE_FULL_SHARE;
            fault = found;
        }
    }
    search.highest().map(|rate| Highest {
        rate,
        limited_by_generator,
        failed_at: search.failed().zip(fault),
    })
}

/// A core that was busy for so much of the time had no more to give.
const CORE_FULL_SHARE: f64 = 0.93;

/// Measures one point with a fresh server and keeps it; none if that was not possible.
pub(crate) fn point(
    entrant: Entrant,
    subject: &mut Subject,
    options: &Options,
    place: &Place,
    (role, rate): (Role, f64),
    tell: &mut dyn FnMut(&str),
) -> Option<Measured> {
    let plan = measure::plan(entrant, place, options, rate);
    let outcome = Server::start(entrant, place).and_then(|mut server| {
        std::thread::sleep(SETTLE);
        subject.idle_pss_bytes.push(server.pss_bytes());
        let mut measured = measure::measure(&server, place, &plan, role)?;
        let ended = server.stop();
        measured.point.records = server.records();
        Ok((measured, ended))
    });
    match outcome {
        Ok((measured, ended)) => {
            tell(&line(&subject.key, &measured));
            // It had to be killed: that is told, and what was measured before stays.
            if let Err(error) = ended {
                trouble(subject, &format!("after {rate} calls/s"), &error, tell);
            }
            subject.datagrams_per_call = Some(measured.datagrams_per_call);
            subject.points.push(measured.point.clone());
            Some(measured)
        }
        Err(error) => {
            trouble(subject, &format!("at {rate} calls/s"), &error, tell);
            None
        }
    }
}

/// A point on one line.
pub(crate) fn line(key: &str, measured: &Measured) -> String {
    let point = &measured.point;
    let fault = measured.fault().unwrap_or_else(|| "passed".to_owned());
    format!(
        "{key} at {:.0}/s: {:.1} us a call ({:.1} user), set-up p50 {} p99 {} us, server {:.0} %, \
         generator {:.0} %, others {:.0} %, lag {} us: {fault}",
        point.rate,
        point.server.cpu_us_per_call,
        point.server.user_us_per_call,
        point.setup.p50_us,
        point.setup.p99_us,
        point.server.share * 100.0,
        point.generator_share * 100.0,
        point.foreign_share * 100.0,
        point.generator_lag_us,
    )
}
