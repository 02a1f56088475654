//! The session establishment rate of RFC 7502 §4.10: the largest rate of attempts that a device
//! under test sustains without a single failure.
//!
//! The algorithm is a machine apart from what it drives: it says at which rate to try next, is told
//! whether all attempts succeeded, and says when it is done. What drives it is a run of load at
//! that rate, or in tests a device that fails beyond a limit.
//!
//! ```text
//!   all established:  r > old_r? old_r = r : count += 1      r += w*r
//!   one failed:       r -= d*r     d = max(0.10, d/2)        w = max(0.10, w/2)
//!   done when count = 10 (so many successes at or below the best)
//! ```

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::load::{Plan, Progress, Report, Transport, run};

/// Parameters of the procedure, by the RFC's names in brackets.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Procedure {
    /// Attempts in each run (N). Above 5,000 a second a run takes as many as a minute needs.
    pub attempts: u64,
    /// The first rate, in sessions a second (r).
    pub rate: f64,
    /// By which part the rate grows after a success (w).
    pub weight: f64,
    /// Successes at or below the best rate after which it is done.
    pub count_max: u32,
    /// The shortest time a run takes, in seconds: above that rate N grows.
    pub run_s_min: f64,
    /// Runs after which it ends in any case: a device that is noisy enough never settles.
    pub runs_max: u32,
}

impl Default for Procedure {
    fn default() -> Procedure {
        Procedure {
            attempts: 50_000,
            rate: 100.0,
            weight: 0.10,
            count_max: 10,
            run_s_min: 60.0,
            runs_max: 200,
        }
    }
}

/// One run of the procedure.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Sessions a second.
    pub rate: f64,
    /// Sessions attempted.
    pub attempts: u64,
    /// Of these, established.
    pub established: u64,
    /// Requests and final responses that were sent again: no failure, but told.
    pub retransmissions: u64,
    /// 99 of 100 set-up times, in microseconds.
    pub setup_p99_us: u64,
    /// Whether the generator may have been the limit.
    pub is_generator_limited: bool,
}

impl Step {
    /// Whether all sessions were established.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.attempts > 0 && self.established == self.attempts
    }
}

/// The algorithm: which rate is next, and whether it is done.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Search {
    rate: f64,
    best: f64,
    increase: f64,
    decrease: f64,
    count: u32,
    count_max: u32,
}

impl Search {
    /// Begins at the procedure's first rate.
    #[must_use]
    pub fn new(procedure: &Procedure) -> Search {
        Search {
            rate: procedure.rate,
            best: 0.0,
            increase: procedure.weight,
            decrease: f64::max(0.10, procedure.weight / 2.0),
            count: 0,
            count_max: procedure.count_max,
        }
    }

    /// The rate to try.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The best rate so far; 0 = none yet.
    #[must_use]
    pub fn best(&self) -> f64 {
        self.best
    }

    /// Takes the outcome of a run at [`Search::rate`]. `Some` = it is done, and this is the rate.
    pub fn step(&mut self, is_success: bool) -> Option<f64> {
        if is_success {
            if self.rate > self.best {
                self.best = self.rate;
            } else {
                self.count += 1;
                if self.count >= self.count_max {
                    return Some(f64::max(self.rate, self.best));
                }
            }
            self.rate = (self.rate + self.increase * self.rate).floor();
        } else {
            self.rate = (self.rate - self.decrease * self.rate).floor();
            self.decrease = f64::max(0.10, self.decrease / 2.0);
            self.increase = f64::max(0.10, self.increase / 2.0);
        }
        None
    }
}

/// What the procedure has found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Establishment {
    /// The parameters.
    pub procedure: Procedure,
    /// What each run looked like, but for its rate and its length.
    pub plan: Plan,
    /// The rate, in sessions a second; none = the first rates all failed, or it never settled.
    pub rate: Option<f64>,
    /// The best rate that was sustained, whether it settled or not.
    pub best: f64,
    /// All runs.
    pub trace: Vec<Step>,
}

/// Runs the procedure with sessions as `plan` says. `told` hears of each run, `progress` of what
/// goes on within.
///
/// # Errors
/// As [`run`]; or parameters outside their bounds.
pub fn establish(
    procedure: &Procedure,
    plan: &Plan,
    told: &mut dyn FnMut(&Step),
    progress: &mut dyn FnMut(Progress),
) -> io::Result<Establishment> {
    let drive = &mut |rate: f64| {
        let plan = plan_at(procedure, plan, rate);
        let report = run(&plan, progress)?;
        let step = step_of(rate, &report);
        told(&step);
        Ok(step)
    };
    let (rate, best, trace) = search(procedure, drive)?;
    Ok(Establishment {
        procedure: *procedure,
        plan: plan.clone(),
        rate,
        best,
        trace,
    })
}

/// The rate if it settled, the best one, and all runs.
type Found = (Option<f64>, f64, Vec<Step>);

fn search(
    procedure: &Procedure,
    drive: &mut dyn FnMut(f64) -> io::Result<Step>,
) -> io::Result<Found> {
    let weight = procedure.weight;
    if !(weight > 0.0 && weight <= 1.0 && procedure.rate >= 1.0 && procedure.attempts > 0) {
        let what = "the weight is above 0 and at most 1, the first rate and N at least 1";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut search = Search::new(procedure);
    let mut trace = Vec::new();
    for _ in 0..procedure.runs_max {
        if search.rate() < 1.0 {
            break;
        }
        let step = drive(search.rate())?;
        trace.push(step);
        if let Some(rate) = search.step(step.is_success()) {
            return Ok((Some(rate), search.best(), trace));
        }
    }
    Ok((None, search.best(), trace))
}

/// The plan of a run: N attempts at that rate, after a warm-up.
fn plan_at(procedure: &Procedure, plan: &Plan, rate: f64) -> Plan {
    let attempts = f64::max(procedure.attempts as f64, procedure.run_s_min * rate) as u64;
    // Twice as long as constant arrivals need: the count ends the run, not the clock.
    let duration_ms = (attempts as f64 / rate * 2_000.0) as u64 + 10_000;
    Plan {
        rate,
        attempts_max: Some(attempts),
        duration_ms,
        ..plan.clone()
    }
}

fn step_of(rate: f64, report: &Report) -> Step {
    let calls = &report.calls;
    Step {
        rate,
        // What the generator could not even attempt is no session established.
        attempts: calls.attempts + calls.held_back,
        established: calls.established,
        retransmissions: report.retransmissions_sent.total(),
        setup_p99_us: report.latency.setup.p99_us,
        is_generator_limited: report.generator.is_limit(),
    }
}

/// The report in the form of RFC 7502 §5.
impl fmt::Display for Establishment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.plan.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        };
        let connections = match self.plan.transport {
            Transport::Udp => "none",
            Transport::Tcp => "persistent, one from each source to each target",
        };
        let threshold_s = self.plan.timers.give_up_ms as f64 / 1000.0;
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<46}{value}");
        line("SIP Transport Protocol", &transport)?;
        line("Connections", &connections)?;
        line("Session Attempt Rate (initial, sps)", &self.procedure.rate)?;
        line("Session Duration", &self.plan.hold)?;
        line(
            "Total Sessions Attempted (each run)",
            &self.procedure.attempts,
        )?;
        line("Media Streams per Session", &0)?;
        line("Associated Media Protocol", &"none")?;
        line("Codec", &"none")?;
        line("Media Packet Size", &"none")?;
        line("Establishment Threshold Time (s)", &threshold_s)?;
        line("TLS ciphersuite used", &"none")?;
        line("IPsec profile used", &"none")?;
        line("Ringing", &self.plan.ring)?;
        match self.rate {
            Some(rate) => line("Session Establishment Rate (sps)", &rate)?,
            None => {
                let best = format!("not found; {} was sustained", self.best);
                line("Session Establishment Rate (sps)", &best)?;
            }
        }
        line("Is DUT acting as a media relay", &"no")?;
        let limited = self.trace.iter().filter(|step| step.is_generator_limited);
        line("Runs", &self.trace.len())?;
        line(
            "Runs in which the generator may be the limit",
            &limited.count(),
        )?;
        let mark = |step: &Step| {
            let sign = if step.is_success() { "" } else { "-" };
            format!("{sign}{}", step.rate)
        };
        let trace: Vec<String> = self.trace.iter().map(mark).collect();
        line("Trace (- = not all established)", &trace.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that fails beyond `capacity`.
    fn device(capacity: f64, weight: f64) -> Found {
        let procedure = Procedure {
            weight,
            ..Procedure::default()
        };
        let mut drive = |rate: f64| {
            Ok(Step {
                rate,
                attempts: 50_000,
                established: if rate > capacity { 49_999 } else { 50_000 },
                retransmissions: 0,
                setup_p99_us: 0,
                is_generator_limited: false,
            })
        };
        search(&procedure, &mut drive).unwrap()
    }

    fn trace(found: &Found) -> String {
        let establishment = Establishment {
            procedure: Procedure::default(),
            plan: Plan::default(),
            rate: found.0,
            best: found.1,
            trace: found.2.clone(),
        };
        let text = establishment.to_string();
        let line = text.lines().find(|line| line.starts_with("Trace"));
        line.unwrap()["Trace (- = not all established)".len()..]
            .trim()
            .to_owned()
    }

    /// The simulation in RFC 7502's own appendix.
    #[test]
    fn a_device_of_460_is_found_to_do_458() {
        let found = device(460.0, 0.10);
        assert_eq!((found.0, found.1), (Some(458.0), 458.0));
        assert_eq!(
            trace(&found),
            "100 110 121 133 146 160 176 193 212 233 256 281 309 339 372 409 449 -493 443 -487 438 \
             -481 432 -475 427 -469 422 -464 417 458 -503 452 -497 447 -491 441 -485 436"
        );
    }

    #[test]
    fn a_device_of_1000_is_found_to_do_996() {
        let slow = device(1000.0, 0.10);
        assert_eq!(slow.0, Some(996.0));
        assert!(trace(&slow).ends_with(
            "792 871 958 -1053 947 -1041 936 -1029 926 -1018 916 -1007 906 996 -1095 985 -1083 974 \
             -1071 963 -1059 953 -1048 943"
        ));
        let quick = device(1000.0, 1.0);
        assert_eq!(quick.0, Some(996.0));
        assert!(
            trace(&quick)
                .starts_with("100 200 400 800 -1600 800 -1200 900 -1125 984 -1107 996 -1095 985")
        );
    }

    #[test]
    fn a_device_that_never_works_and_one_that_never_settles_end() {
        let never = device(0.0, 0.10);
        assert_eq!((never.0, never.1), (None, 0.0));
        assert!(never.2.len() < 60);
        let boundless = device(f64::INFINITY, 1.0);
        assert_eq!((boundless.0, boundless.2.len()), (None, 200));
    }

    #[test]
    fn parameters_out_of_bounds_are_refused() {
        let cases: [fn(&mut Procedure); 4] = [
            |p| p.weight = 0.0,
            |p| p.weight = 1.1,
            |p| p.rate = 0.5,
            |p| p.attempts = 0,
        ];
        for spoil in cases {
            let mut procedure = Procedure::default();
            spoil(&mut procedure);
            assert!(search(&procedure, &mut |_| unreachable!("it is not begun")).is_err());
        }
    }

    #[test]
    fn a_run_takes_a_minute_at_least() {
        let procedure = Procedure::default();
        let plan = Plan::default();
        assert_eq!(plan_at(&procedure, &plan, 100.0).attempts_max, Some(50_000));
        let quick = plan_at(&procedure, &plan, 10_000.0);
        assert_eq!(quick.attempts_max, Some(600_000));
        assert!(quick.duration_ms > 60_000);
    }
}
