//! Seeds: each draws a plan, a network, carriers with habits, and accidents; then everything that
//! must hold is held against what happened.
//!
//! Swarm testing: a seed switches whole features on or off, so that rare combinations come up that
//! an even mixture would drown.

mod customer;
mod draw;
mod vendor;

pub use draw::{Accident, CallerHabits, Draw, VendorHabits, draw};

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base::Time;

use crate::dice::Dice;
use crate::ledger::{Circumstances, Ledger};
use crate::machine::{AttemptRecord, Record};
use crate::network::{Happening, Network};
use crate::plan::{self, Order, Plan};

use customer::Customer;
use vendor::Vendor;

/// The vendors' names in the network begin here; before them come the customers.
const VENDORS: usize = 8;
/// The name of what the world itself wants to be woken for.
const ACCIDENTS: usize = usize::MAX;
/// 64*T1 several times over: what is left then is left for ever.
const AFTERMATH_US: u64 = 260_000_000;

/// What a world came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Calls placed.
    pub calls: usize,
    /// Of these, answered.
    pub answered: usize,
    /// Call records.
    pub records: usize,
    /// Datagrams sent by anybody.
    pub datagrams: u64,
    /// Messages handed over between shards.
    pub hand_overs: u64,
    /// Final responses of server transactions.
    pub finals: usize,
    /// INVITEs that vendors got, repeats aside.
    pub invites: usize,
    /// The canary's calls that were answered.
    pub canaries_answered: usize,
    /// The longest that an answered call took from its INVITE to its answer, of the canary's.
    pub canary_setup_us_max: u64,
    /// Calls that were answered by another gateway than the first tried.
    pub failed_over: usize,
    /// Calls refused with 503.
    pub overloaded: usize,
}

/// Why a world failed, and what is needed to understand it.
#[derive(Debug)]
pub struct Failure {
    /// The broken rule.
    pub error: String,
    /// What happened, if it was told.
    pub tale: Vec<String>,
}

/// The seeds that found something once: `seeds.txt` says what.
#[must_use]
pub fn kept_seeds() -> Vec<u64> {
    let lines = include_str!("../../seeds.txt").lines();
    let numbers = lines.filter_map(|line| line.split_whitespace().next());
    numbers.filter_map(|word| word.parse().ok()).collect()
}

/// Runs the world of a seed.
///
/// # Errors
/// The first thing that should have held and did not.
pub fn run_seed(seed: u64, tells: bool) -> Result<Outcome, Box<Failure>> {
    run(&draw(seed), tells)
}

/// Runs a world that was drawn, or made by hand.
///
/// # Errors
/// The first thing that should have held and did not.
pub fn run(draw: &Draw, tells: bool) -> Result<Outcome, Box<Failure>> {
    let mut swarm = Swarm::new(draw, tells);
    // A broken assertion is a failure like any other: it must name its seed and tell its tale.
    let played = catch_unwind(AssertUnwindSafe(|| swarm.play(draw)));
    match played.unwrap_or_else(|_| Err("an assertion is broken, see above".to_owned())) {
        Ok(outcome) => Ok(outcome),
        Err(error) => Err(Box::new(Failure {
            error,
            tale: swarm.network.tale.take().unwrap_or_default(),
        })),
    }
}

struct Swarm {
    network: Network,
    ledger: Ledger,
    customers: Vec<Customer>,
    vendors: Vec<Vendor>,
    accidents: Vec<Accident>,
    restarts: usize,
    was_cut: bool,
    /// What a forger replays from elsewhere.
    overheard: Vec<Vec<u8>>,
    forger: Dice,
    forgeries: u32,
}

impl Swarm {
    fn new(draw: &Draw, tells: bool) -> Swarm {
        let mut network = Network::new(&draw.plan, draw.link);
        network.tale = tells.then(Vec::new);
        let mut dice = Dice::new(draw.plan.seed ^ 0x7377_6172_6d00);
        let mut customers = vec![Customer::new(
            plan::CUSTOMER,
            draw.caller.clone(),
            draw.calls,
            0,
            dice.fork(),
        )];
        let mut vendors: Vec<Vendor> = (0..draw.plan.vendors)
            .map(|n| {
                let habits = draw.vendors[n % draw.vendors.len()].clone();
                Vendor::new(plan::vendor(n), habits, VENDORS + n, dice.fork())
            })
            .collect();
        if draw.plan.has_canary {
            let habits = CallerHabits {
                talk_us_max: 1_000_000,
                ..CallerHabits::default()
            };
            customers.push(Customer::new(
                plan::CANARY,
                habits,
                draw.canaries,
                1,
                dice.fork(),
            ));
            let (address, actor) = (plan::vendor(plan::CANARY_VENDOR), VENDORS + vendors.len());
            vendors.push(Vendor::new(
                address,
                VendorHabits::AT_ONCE,
                actor,
                dice.fork(),
            ));
        }
        Swarm {
            network,
            ledger: Ledger::default(),
            customers,
            vendors,
            accidents: draw.accidents.clone(),
            restarts: 0,
            was_cut: false,
            overheard: Vec::new(),
            forger: dice.fork(),
            forgeries: draw.forgeries,
        }
    }

    fn play(&mut self, draw: &Draw) -> Result<Outcome, String> {
        for customer in &mut self.customers {
            customer.open(draw.span_us, &mut self.network);
        }
        for (n, accident) in self.accidents.iter().enumerate() {
            self.network.wake(accident.at(), ACCIDENTS, n as u64);
        }
        let longest = u64::from(draw.plan.max_call_seconds) * 1_000_000;
        let end = Time(draw.span_us + longest + AFTERMATH_US);
        while let Some(happening) = self.network.next(end)? {
            match happening {
                Happening::Arrived {
                    at,
                    from,
                    to,
                    bytes,
                } => {
                    self.forge(at, &bytes);
                    let (network, ledger) = (&mut self.network, &mut self.ledger);
                    if let Some(c) = self.customers.iter_mut().find(|c| c.address() == to) {
                        c.arrive(at, from, &bytes, network, ledger);
                    } else if let Some(v) = self.vendors.iter_mut().find(|v| v.address() == to) {
                        v.arrive(at, from, &bytes, network, ledger);
                    } else if to.ip() != plan::STRANGER.ip() {
                        return Err(format!("a message went to {to}, where nobody is"));
                    }
                }
                Happening::Woken {
                    actor: ACCIDENTS,
                    token,
                    ..
                } => self.accident(token as usize),
                Happening::Woken { at, actor, token } => {
                    let (network, ledger) = (&mut self.network, &mut self.ledger);
                    match actor.checked_sub(VENDORS) {
                        Some(n) => self.vendors[n].woken(at, token, network, ledger),
                        None => self.customers[actor].woken(at, token, network, ledger),
                    }
                }
            }
        }
        self.judge(draw)
    }

    fn judge(&mut self, draw: &Draw) -> Result<Outcome, String> {
        let records = self.network.records(0);
        self.network.audit_end().map_err(|error| {
            format!(
                "{error}\n  calls without a record: {:?}",
                self.ledger.unrecorded(&records)
            )
        })?;
        let circumstances = Circumstances {
            restarts: self.restarts,
            is_lossy: draw.link.loss > 0 || self.was_cut,
            delay_us_max: draw.link.delay_us_max + 1_000,
        };
        self.ledger.judge(&records, &draw.plan, circumstances)?;
        if self.restarts == 0 {
            judge_quality(&records, self.network.measured(0), &draw.plan)?;
        }
        Ok(self.outcome(&records))
    }

    fn outcome(&self, records: &[Record]) -> Outcome {
        let mut outcome = Outcome {
            calls: self.ledger.len(),
            answered: self.ledger.answered(),
            records: records.len(),
            datagrams: self.network.datagrams,
            hand_overs: self.network.counter(0, "handed_over"),
            finals: self.network.watch.finals,
            ..Outcome::default()
        };
        let canary = format!("@{}", plan::CANARY.ip());
        for (call_id, story) in self.ledger.stories() {
            outcome.invites += story.invites;
            outcome.overloaded += usize::from(story.refusals.contains(&503));
            let seen = story.answers_seen.values().min();
            if let Some(seen) = seen.filter(|_| call_id.ends_with(&canary)) {
                let took = seen.micros_since(story.placed);
                outcome.canaries_answered += 1;
                outcome.canary_setup_us_max = outcome.canary_setup_us_max.max(took);
            }
        }
        let failed_over = |r: &&Record| r.answered.is_some() && r.attempts.len() > 1;
        outcome.failed_over = records.iter().filter(failed_over).count();
        outcome
    }

    fn accident(&mut self, number: usize) {
        match self.accidents[number] {
            Accident::Restart { shard, .. } => {
                self.restarts += 1;
                self.network.restart(0, shard);
            }
            Accident::Reload { .. } => self.network.reload(),
            Accident::CutOff { vendor, .. } => {
                self.was_cut = true;
                self.network.cut_off(plan::vendor(vendor), true);
            }
            Accident::Join { vendor, .. } => self.network.cut_off(plan::vendor(vendor), false),
        }
    }

    /// A forger replays what it overheard, more or less changed, from an address that is nobody's.
    fn forge(&mut self, at: Time, bytes: &[u8]) {
        if self.forgeries == 0 {
            return;
        }
        if self.overheard.len() < 64 {
            self.overheard.push(bytes.to_vec());
        }
        if !self.forger.chance(self.forgeries) {
            return;
        }
        let mut copy =
            self.overheard[self.forger.below(self.overheard.len() as u64) as usize].clone();
        for _ in 0..self.forger.below(3) {
            let place = self.forger.below(copy.len() as u64) as usize;
            copy[place] = self.forger.throw() as u8;
        }
        self.network.send(at, plan::STRANGER, plan::ROUTER, &copy);
    }
}

/// What was counted of vendors' quality is what the records say.
fn judge_quality(records: &[Record], counted: [u64; 3], plan: &Plan) -> Result<(), String> {
    if plan.quality.is_none() {
        return match counted {
            [0, 0, 0] => Ok(()),
            counted => Err(format!("{counted:?} attempts measured, and nobody asked")),
        };
    }
    let mut seen = BTreeSet::new();
    if plan.order == Order::Parallel || !records.iter().all(|it| seen.insert(&it.call_id)) {
        // Who loses a race is not counted, and a call that was answered twice tells its attempts twice.
        return Ok(());
    }
    let is_verdict = |status: u16| !matches!(status, 300..=399 | 401 | 407);
    // Who was called off because a vendor that had been given up answered after all did nothing wrong.
    let is_called_off = |call: &Record, it: &AttemptRecord| {
        call.answered.is_some() && matches!(&*it.cause, "cancelled" | "answered_elsewhere")
    };
    let concluded = records.iter().flat_map(|call| {
        let attempts = call.attempts.iter();
        attempts.filter(move |it| is_verdict(it.status) && !is_called_off(call, it))
    });
    let concluded = concluded.count() as u64;
    let answered = records.iter().filter(|it| it.answered.is_some()).count() as u64;
    if counted[0] != concluded {
        return Err(format!(
            "{counted:?} measured, {concluded} attempts on record"
        ));
    }
    // A late answer to an attempt that had been given up is none of that vendor's.
    if counted[1] > answered || counted[2] != counted[1] {
        return Err(format!("{counted:?} measured, {answered} calls on record"));
    }
    Ok(())
}
