//! The callers of a thread: what they send, what they make of the answers, and what they count.
//!
//! ```text
//!   Calling ──1xx──▶ Proceeding ──patience over──▶ Cancelling
//!      │                 │                             │
//!      ├──2xx────────────┴──2xx: ACK───────────────────┴──▶ Up ──hold over: BYE──▶ Ending ──▶ gone
//!      └──3xx-6xx: ACK──────▶ Absorbing ──5 s──▶ gone          (a final response to BYE)
//!
//!   Asking (OPTIONS, REGISTER) ──final──▶ gone
//! ```
//! Requests are sent again by timers A and E of RFC 3261 §17.1 on datagrams, until B or F. A 2xx
//! that comes again is acknowledged again. Messages that are sent again are written again: nothing
//! but the dialog is kept of a call.

mod attempt;
mod deadline;
mod over;
mod response;
mod seat;

use std::io;
use std::sync::Arc;

pub(crate) use seat::Seat;

use crate::load::ports::{Flow, Owner, Ports};
use crate::load::schedule::Random;
use crate::load::slab::{Blocks, Slab};
use crate::load::tally::{Clocks, Tally};
use crate::load::voice::{Line, Name, Run};
use crate::load::wheel::Wheel;
use crate::load::wire::{Kind, Method, Scan, Start, put};
use crate::load::{Again, Asked, Plan, Spread, Transport};
use crate::truth::TruthLog;

/// How long a refused call's slot stays to acknowledge the refusal again (T4).
const ABSORB_US: u64 = 5_000_000;
/// What a dialog takes: To, remote target and route set.
const DIALOG_BYTES_MAX: usize = 1024;
/// What is written down of a message that is read: larger than a block, so that too much shows.
const SCRATCH_BYTES: usize = 4096;

/// All calls that the sources of a thread have up.
pub(crate) struct Caller {
    rules: Rules,
    run: Run,
    pub(crate) seats: Vec<Seat>,
    calls: Slab<Call>,
    wheel: Wheel,
    dialogs: Blocks,
    active: u64,
    /// Whether calls that are answered from now on are hung up at once.
    is_hanging_up: bool,
    random: Random,
    next_target: usize,
    pub(crate) counts: Counts,
    truth: Option<TruthLog>,
    truth_error: Option<io::Error>,
    /// The wall clock when the thread's own clock began.
    wall_us: u64,
    scratch: Vec<u8>,
    tally: Arc<Tally>,
}

/// What of the plan a caller looks at while it runs.
#[derive(Debug)]
struct Rules {
    t1_us: u64,
    t2_us: u64,
    give_up_us: u64,
    ring_us_max: u64,
    is_retransmitting: bool,
    hold: Spread,
    mix: super::Mix,
    numbers: u64,
    targets: usize,
    refusals: Vec<u16>,
}

/// What callers count.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) options: Asked,
    pub(crate) registers: Asked,
    pub(crate) sent: Again,
    pub(crate) seen: Again,
    pub(crate) clocks: Clocks,
    pub(crate) strays: u64,
    pub(crate) ack_answered: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Calling,
    Proceeding,
    Cancelling,
    Up,
    Ending,
    Absorbing,
    Asking(Method),
}

#[derive(Clone, Copy, Debug)]
struct Call {
    state: State,
    seat: u16,
    line: Line,
    /// Where the INVITE goes.
    flow: Flow,
    /// Where the dialog's requests go.
    hop: Flow,
    dialog: Option<u32>,
    due_us: u64,
    sent_us: u64,
    bye_due_us: u64,
    interval_us: u64,
    give_up_us: u64,
    has_response: bool,
    has_rung: bool,
    /// Whether the CANCEL, if there is one, was answered.
    is_cancel_heard: bool,
}

/// Why a call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    NoResponse,
    NoFinal,
    NoAnswer,
    Status(u16),
    ByeNoResponse,
    ByeStatus(u16),
    BadAnswer,
    Broken,
}

impl Caller {
    pub(crate) fn new(
        plan: &Plan,
        run: Run,
        seats: Vec<Seat>,
        targets: usize,
        truth: Option<TruthLog>,
        tally: Arc<Tally>,
    ) -> Caller {
        let calls_max = if seats.is_empty() { 0 } else { plan.calls_max };
        let timers = plan.timers;
        let of_sinks = plan.sinks.iter().filter(|sink| sink.refuse_per_mille > 0);
        let of_sinks = of_sinks.map(|sink| sink.refuse_status);
        Caller {
            rules: Rules {
                t1_us: timers.t1_ms * 1000,
                t2_us: timers.t2_ms * 1000,
                give_up_us: timers.give_up_ms * 1000,
                ring_us_max: plan.ring_ms_max * 1000,
                is_retransmitting: timers.retransmits && plan.transport == Transport::Udp,
                hold: plan.hold,
                mix: plan.mix,
                numbers: plan.numbers.count,
                targets,
                refusals: plan.refusals.iter().copied().chain(of_sinks).collect(),
            },
            run,
            seats,
            calls: Slab::new(calls_max),
            wheel: Wheel::new(calls_max),
            dialogs: Blocks::new(calls_max, DIALOG_BYTES_MAX),
            active: 0,
            is_hanging_up: false,
            random: Random::new(plan.seed ^ u64::from(run)),
            next_target: 0,
            counts: Counts {
                options: Asked::default(),
                registers: Asked::default(),
                sent: Again::default(),
                seen: Again::default(),
                clocks: Clocks::new(),
                strays: 0,
                ack_answered: 0,
            },
            truth,
            truth_error: None,
            wall_us: 0,
            scratch: Vec::with_capacity(SCRATCH_BYTES),
            tally,
        }
    }

    /// Says what the wall clock was when the thread's clock began.
    pub(crate) fn set_wall(&mut self, wall_us: u64) {
        self.wall_us = wall_us;
    }

    /// Calls and requests that are not over.
    pub(crate) fn active(&self) -> u64 {
        self.active
    }

    /// When a deadline is due next.
    pub(crate) fn next_us(&self) -> Option<u64> {
        self.wheel.next_us()
    }

    /// Takes what came in for one of the sources.
    pub(crate) fn message(
        &mut self,
        seat: u16,
        flow: Flow,
        bytes: &[u8],
        now_us: u64,
        ports: &mut Ports,
    ) {
        let Some(scan) = Scan::of(bytes) else {
            self.counts.strays += 1;
            return;
        };
        ports.received(Kind::of(&scan), bytes.len());
        let Some(name) = Name::read(scan.call_id, self.run) else {
            return self.stranger(&scan, flow, ports);
        };
        match scan.start {
            Start::Response(status) => self.response(&scan, name, status, now_us, ports),
            Start::Request(method) => self.request(&scan, method, name, flow, now_us, ports),
        }
        debug_assert!(usize::from(seat) < self.seats.len());
    }

    /// A message of no call of ours: a router's own OPTIONS is answered, all else is a stray.
    fn stranger(&mut self, scan: &Scan<'_>, flow: Flow, ports: &mut Ports) {
        match scan.start {
            Start::Request(Method::Options) => answer_ok(scan, flow, ports),
            _ => self.counts.strays += 1,
        }
    }

    /// A request from the other side of a call: it may hang up.
    fn request(
        &mut self,
        scan: &Scan<'_>,
        method: Method,
        name: Name,
        flow: Flow,
        now_us: u64,
        ports: &mut Ports,
    ) {
        match method {
            Method::Bye => {
                answer_ok(scan, flow, ports);
                match self.calls.get_mut(name.key).map(|call| call.state) {
                    Some(State::Up) => {
                        self.note("ended", name.key, now_us, 200);
                        self.complete(name.key);
                    }
                    Some(_) => {}
                    None if name.is_counted => self.counts.seen.bye += 1,
                    None => {}
                }
            }
            Method::Options => answer_ok(scan, flow, ports),
            _ => self.counts.strays += 1,
        }
    }
}

/// Never 0, so that histograms tell "at once" from "nothing".
fn waited(from_us: u64, now_us: u64) -> u64 {
    now_us.saturating_sub(from_us).max(1)
}

fn answer_ok(scan: &Scan<'_>, flow: Flow, ports: &mut Ports) {
    ports.send(flow, Kind::answering(scan), |out| {
        out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
        scan.put_skeleton(b"", out);
        put(out, &[b"Content-Length: 0\r\n\r\n"]);
    });
}

/// Whose socket a seat's is.
pub(crate) fn owner(seat: usize) -> Owner {
    Owner::Source(seat as u16)
}
