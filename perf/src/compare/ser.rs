//! The session establishment rate of servers that are started for it: [`crate::ser`] with a fresh
//! server for each run.

use std::io;
use std::time::Instant;

use super::entrant::{Entrant, Place};
use super::measure;
use super::results::{Options, Sitting};
use super::server::Server;
use super::sitting::{self, Agenda};
use crate::load::{Moment, Plan, Progress, Sink};
use crate::ser::{self, Establishment, Procedure, Step};

/// Measures the session establishment rate of every entrant.
#[must_use]
pub fn hold(
    options: &Options,
    agenda: &Agenda,
    procedure: &Procedure,
    tell: &mut dyn FnMut(&str),
) -> Sitting {
    let started = Instant::now();
    let mut sitting = sitting::open("ser", options, agenda);
    for (entrant, subject) in agenda.entrants.iter().zip(&mut sitting.subjects) {
        match establish(*entrant, &agenda.place, options, procedure, tell) {
            Ok(establishment) => subject.establishment = Some(establishment),
            Err(error) => subject.troubles.push(error.to_string()),
        }
    }
    sitting.seconds = started.elapsed().as_secs();
    sitting
}

fn establish(
    entrant: Entrant,
    place: &Place,
    options: &Options,
    procedure: &Procedure,
    tell: &mut dyn FnMut(&str),
) -> io::Result<Establishment> {
    let key = entrant.key();
    let mut told = |step: &Step| {
        let Step {
            rate,
            attempts,
            established,
            ..
        } = step;
        tell(&format!(
            "{key}: {rate:.0} sps: {established} of {attempts}"
        ));
    };
    let mut server: Option<io::Result<Server>> = None;
    let mut progress = |progress: Progress| {
        if progress.moment == Moment::Ready {
            // The old one gives its address free before the new one takes it.
            server = None;
            server = Some(Server::start(entrant, place));
        }
    };
    let plan = plan(entrant, place, options);
    let found = ser::establish(procedure, &plan, &mut told, &mut progress);
    match server {
        // Without a server every run fails: that is its trouble and no rate.
        Some(Err(error)) => Err(error),
        _ => found,
    }
}

/// As all entrants get it, but that nobody refuses and that every call has its time to end.
fn plan(entrant: Entrant, place: &Place, options: &Options) -> Plan {
    let mut plan = measure::plan(entrant, place, options, 1.0);
    plan.warm_up_ms = 0;
    plan.drain_ms = options.hold_ms + plan.timers.give_up_ms;
    plan.sinks = plan
        .sinks
        .iter()
        .map(|sink| Sink::new(sink.address))
        .collect();
    plan
}
