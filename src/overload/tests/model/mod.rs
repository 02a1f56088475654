//! A model of a router and its callers: one queue, one processor, messages with prices.
//!
//! Two and a half times slower than a real one, which is quick enough for a test: a call costs 125 us,
//! the peak is 8,000 calls a second.

use std::collections::{BinaryHeap, VecDeque};

use base::Time;
use overload::{
    Admission, Advice, Algorithm, Class, Decision, Kind, Params, Rules, SourceId, Throttle,
};

/// What each kind of message costs, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) name: &'static str,
    /// A 503: received, refused, sent; and the ACK that comes back.
    refuse: u64,
    refuse_ack: u64,
    /// Received and thrown away.
    drop: u64,
}

const INVITE_US: u64 = 38;
const RINGING_US: u64 = 15;
const ANSWER_US: u64 = 20;
const ACK_US: u64 = 10;
const BYE_US: u64 = 22;
/// The call's record is written.
const BYE_ANSWER_US: u64 = 20;
const REPLAY_US: u64 = 15;
/// Received, looked at, and copied to where it waits.
const PUT_OFF_US: u64 = 1;
/// What one costs besides that comes alone, and not in a batch with others.
const WAKE_US: u64 = 15;

impl Costs {
    /// As measured with plain sends: 0.9 us a receive, 4.7 us a send.
    pub(crate) fn plain() -> Costs {
        Costs {
            name: "plain",
            refuse: 15,
            refuse_ack: 3,
            drop: 3,
        }
    }

    /// With sends that leave eight at a time.
    pub(crate) fn coalesced() -> Costs {
        Costs {
            name: "coalesced",
            refuse: 6,
            ..Costs::plain()
        }
    }

    /// As if the kernel, or another machine, did it.
    pub(crate) fn free() -> Costs {
        Costs {
            name: "free",
            refuse: 1,
            refuse_ack: 0,
            drop: 1,
        }
    }

    pub(crate) fn refusal(&self) -> f64 {
        (self.refuse + self.refuse_ack) as f64
    }

    pub(crate) fn call(&self) -> f64 {
        PRICE_US as f64
    }
}

const PRICE_US: u64 = INVITE_US + RINGING_US + ANSWER_US + ACK_US + BYE_US + BYE_ANSWER_US;
/// The peak, in calls a second.
pub(crate) const PEAK: f64 = 1e6 / PRICE_US as f64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbour {
    /// Offered, of the peak.
    load: f64,
    /// Whether it follows RFC 7339.
    pub(crate) obeys: bool,
}

impl Neighbour {
    pub(crate) fn new(load: f64) -> Neighbour {
        Neighbour { load, obeys: false }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) costs: Costs,
    pub(crate) rules: Rules,
    pub(crate) neighbours: Vec<Neighbour>,
    /// From, until, and how many times the load; or 0.
    pub(crate) bursts: Vec<(u64, u64, f64)>,
    /// The processor is ours for so many of so many microseconds.
    pub(crate) starved: Option<(u64, u64)>,
    /// From and until: nothing is served at all.
    pub(crate) stalled: Option<(u64, u64)>,
    /// Until when, and how far apart: requests that are no calls, and that nobody repeats.
    pub(crate) pings: Option<(u64, u64)>,
    /// Whether the kernel drops what it is told to, at no cost of the processor's.
    pub(crate) has_kernel: bool,
    /// How many messages the socket's buffer holds.
    pub(crate) buffer: usize,
    /// From the answer to the BYE.
    pub(crate) hold_us: u64,
    pub(crate) until_us: u64,
}

impl Plan {
    pub(crate) fn one(load: f64, costs: Costs) -> Plan {
        Plan {
            costs,
            rules: Rules::default(),
            neighbours: vec![Neighbour::new(load)],
            bursts: Vec::new(),
            starved: None,
            stalled: None,
            pings: None,
            has_kernel: false,
            // 16 MiB of 2.3 kB each, less for the slower pace.
            buffer: 2_800,
            hold_us: 500_000,
            until_us: 12_000_000,
        }
    }
}

/// What came of it; the second half of the time.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) offered: u64,
    pub(crate) refused: u64,
    pub(crate) dropped: u64,
    /// Refused or dropped in the second half.
    pub(crate) refused_late: u64,
    /// Messages of calls that the full buffer lost.
    pub(crate) session_lost: u64,
    seconds: f64,
    setups_us: Vec<u64>,
    by_source: Vec<(u64, u64)>,
    setups_by_source: Vec<Vec<u64>>,
    /// How many calls were taken in each window of the second half.
    taken: Vec<u32>,
}

impl Report {
    /// Answered calls, of the peak.
    pub(crate) fn goodput(&self) -> f64 {
        self.setups_us.len() as f64 / self.seconds / PEAK
    }

    /// How far what is taken in a window is off its mean, as a share of it: its standard deviation.
    pub(crate) fn swing(&self) -> f64 {
        let count = self.taken.len() as f64;
        let mean = self.taken.iter().map(|&it| f64::from(it)).sum::<f64>() / count;
        let squares = self.taken.iter().map(|&it| (f64::from(it) - mean).powi(2));
        (squares.sum::<f64>() / count).sqrt() / mean
    }

    /// From the first INVITE to its 200, without the ringing.
    pub(crate) fn setup_p99_us(&self) -> u64 {
        self.setup_us(99)
    }

    /// The same of so many per cent of the calls.
    pub(crate) fn setup_us(&self, percent: usize) -> u64 {
        let mut all = self.setups_us.clone();
        all.sort_unstable();
        all.get(all.len() * percent / 100).copied().unwrap_or(0)
    }

    /// The 99th percentile of one source's calls.
    pub(crate) fn setup_p99_of_us(&self, source: usize) -> u64 {
        let mut all = self.setups_by_source[source].clone();
        all.sort_unstable();
        all[all.len() * 99 / 100]
    }

    /// Which share of a source's calls was answered.
    pub(crate) fn success(&self, source: usize) -> f64 {
        let (offered, answered) = self.by_source[source];
        answered as f64 / offered.max(1) as f64
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum What {
    /// A caller of this source wants to call.
    Wish(u32),
    /// A request that is no call.
    Ping,
    Invite,
    RefusalAck,
    Ringing,
    Answer,
    Ack,
    Bye,
    ByeAnswer,
    /// The processor is free.
    Free,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Taken,
    Ended,
}

struct Call {
    source: u32,
    began_us: u64,
    state: State,
    coin: u64,
    copies: u32,
    /// The kernel dropped it, and so does with its copies.
    is_shed: bool,
}

const RING_US: u64 = 20_000;
/// What is taken is looked at by so much time.
const WINDOW_US: u64 = 250_000;
const WIRE_US: u64 = 200;
const T1_US: u64 = 500_000;

struct Model<'p> {
    plan: &'p Plan,
    now_us: u64,
    /// Soonest first: negated times.
    events: BinaryHeap<(std::cmp::Reverse<u64>, std::cmp::Reverse<u64>, What, u32)>,
    number: u64,
    queue: VecDeque<(u64, What, u32)>,
    /// INVITEs that wait for all else, since they came.
    later: VecDeque<(u64, u32)>,
    is_busy: bool,
    admission: Admission,
    throttles: Vec<Throttle>,
    bounds: Vec<Option<u32>>,
    calls: Vec<Call>,
    dice: u64,
    report: Report,
}

/// Plays a plan.
pub(crate) fn run(plan: &Plan) -> Report {
    let mut model = Model {
        plan,
        now_us: 0,
        events: BinaryHeap::new(),
        number: 0,
        queue: VecDeque::new(),
        later: VecDeque::new(),
        is_busy: false,
        admission: Admission::new(plan.rules, plan.neighbours.len()),
        throttles: vec![Throttle::new(); plan.neighbours.len()],
        bounds: vec![None; plan.neighbours.len() + 1],
        calls: Vec::new(),
        dice: 0x5eed,
        report: Report {
            by_source: vec![(0, 0); plan.neighbours.len()],
            setups_by_source: vec![Vec::new(); plan.neighbours.len()],
            taken: vec![0; (plan.until_us / 2 / WINDOW_US) as usize],
            seconds: plan.until_us as f64 / 2.0 / 1e6,
            ..Report::default()
        },
    };
    if plan.has_kernel {
        model.admission.use_kernel();
    }
    for (source, neighbour) in plan.neighbours.iter().enumerate() {
        if neighbour.obeys {
            model.admission.advise(SourceId(source as u32));
        }
        model.post(0, What::Wish(source as u32), 0);
    }
    let (until_us, every_us) = plan.pings.unwrap_or((0, 1));
    for at_us in (0..until_us).step_by(every_us as usize) {
        model.post(at_us, What::Ping, 0);
    }
    while let Some((at, _, what, call)) = model.events.pop() {
        if at.0 > plan.until_us {
            break;
        }
        model.now_us = at.0;
        model.happen(what, call);
    }
    model.report
}

impl Model<'_> {
    fn post(&mut self, delay_us: u64, what: What, call: u32) {
        self.number += 1;
        let at = std::cmp::Reverse(self.now_us + delay_us);
        self.events
            .push((at, std::cmp::Reverse(self.number), what, call));
    }

    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether this moment counts: callers that were here from the start have settled.
    fn is_counted(&self, at_us: u64) -> bool {
        at_us >= self.plan.until_us / 2
    }

    fn happen(&mut self, what: What, call: u32) {
        match what {
            What::Wish(source) => self.wish(source),
            What::Free => {
                self.is_busy = false;
                self.serve();
            }
            What::Invite if self.calls[call as usize].state == State::Ended => {}
            _ => self.arrive(what, call),
        }
    }

    fn note_taken(&mut self) {
        let from_us = self.plan.until_us / 2;
        if let Some(past_us) = self.now_us.checked_sub(from_us)
            && let Some(count) = self.report.taken.get_mut((past_us / WINDOW_US) as usize)
        {
            *count += 1;
        }
    }

    /// A caller calls, and the next one is drawn: Poisson arrivals.
    fn wish(&mut self, source: u32) {
        let neighbour = self.plan.neighbours[source as usize];
        let mut rate = neighbour.load * PEAK;
        let now_us = self.now_us;
        let mut bursts = self.plan.bursts.iter();
        let burst = bursts.find(|(from, until, _)| (*from..*until).contains(&now_us));
        if let Some(&(_, until, times)) = burst {
            if times == 0.0 {
                self.post(until - now_us, What::Wish(source), 0);
                return;
            }
            rate *= times;
        }
        let uniform = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        let gap = -(1.0 - uniform).ln() / rate * 1e6;
        self.post(gap as u64, What::Wish(source), 0);
        if self.is_counted(self.now_us) {
            self.report.offered += 1;
            self.report.by_source[source as usize].0 += 1;
        }
        let coin = self.roll();
        if neighbour.obeys {
            let dice = self.roll() as u32;
            let throttle = &mut self.throttles[source as usize];
            if !throttle.admit(Time(self.now_us), Kind::New, dice) {
                return;
            }
        }
        self.calls.push(Call {
            source,
            began_us: self.now_us,
            state: State::Waiting,
            coin,
            copies: 0,
            is_shed: false,
        });
        self.send_invite(self.calls.len() as u32 - 1);
    }

    fn send_invite(&mut self, call: u32) {
        self.arrive(What::Invite, call);
    }

    /// A datagram meets the socket's buffer.
    fn arrive(&mut self, what: What, call: u32) {
        if what == What::Invite {
            let entry = &mut self.calls[call as usize];
            if entry.state == State::Taken || entry.copies == 7 {
                return;
            }
            // Timer A: the next copy, unless something comes back.
            let wait = T1_US << entry.copies;
            entry.copies += 1;
            self.post(wait, What::Invite, call);
            let Call { source, coin, .. } = self.calls[call as usize];
            // Another hash than the one that decides about admission.
            let lot = (coin.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
            let entry = &mut self.calls[call as usize];
            entry.is_shed |= self.bounds[source as usize].is_some_and(|bound| lot >= bound);
            if entry.is_shed {
                self.report.dropped += u64::from(self.is_counted(self.now_us));
                return;
            }
        }
        if self.queue.len() < self.plan.buffer {
            self.queue.push_back((self.now_us, what, call));
            return self.serve();
        }
        if what != What::Invite && what != What::RefusalAck {
            self.report.session_lost += u64::from(self.is_counted(self.now_us));
            self.post(T1_US, what, call);
        }
    }

    fn serve(&mut self) {
        if self.is_busy {
            return;
        }
        if let Some((ours, of)) = self.plan.starved
            && self.now_us % of >= ours
        {
            self.is_busy = true;
            return self.post(of - self.now_us % of, What::Free, 0);
        }
        if let Some((from, until)) = self.plan.stalled
            && (from..until).contains(&self.now_us)
        {
            self.is_busy = true;
            return self.post(until - self.now_us, What::Free, 0);
        }
        let Some((came_us, what, call)) = self.queue.pop_front() else {
            return self.serve_later();
        };
        let delay_us = self.now_us - came_us;
        self.admission.observe(Time(self.now_us), delay_us);
        let bounds = &mut self.bounds;
        self.admission
            .tell_bounds(|place, bound| bounds[place] = bound);
        let wake_us = if delay_us == 0 { WAKE_US } else { 0 };
        let cost = wake_us + self.process(what, call, delay_us);
        self.is_busy = true;
        self.post(cost, What::Free, 0);
    }

    /// Nothing else is there.
    fn serve_later(&mut self) {
        let Some((came_us, call)) = self.later.pop_front() else {
            return;
        };
        let (now, delay_us) = (Time(self.now_us), self.now_us - came_us);
        self.admission.observe_later(now, Class::Call, delay_us);
        let cost = match self.calls[call as usize].state {
            State::Waiting if self.admission.is_late(delay_us) => self.refuse(call),
            State::Waiting => self.take(call),
            State::Taken => REPLAY_US,
            State::Ended => self.plan.costs.refuse,
        };
        self.is_busy = true;
        self.post(cost, What::Free, 0);
    }

    fn take(&mut self, call: u32) -> u64 {
        self.calls[call as usize].state = State::Taken;
        self.note_taken();
        self.post(INVITE_US + WIRE_US, What::Ringing, call);
        self.post(INVITE_US + RING_US, What::Answer, call);
        INVITE_US
    }

    fn refuse(&mut self, call: u32) -> u64 {
        let costs = self.plan.costs;
        self.calls[call as usize].state = State::Ended;
        self.report.refused += u64::from(self.is_counted(self.now_us));
        self.advise(call);
        self.post(costs.refuse + WIRE_US, What::RefusalAck, call);
        costs.refuse
    }

    /// The router's work on one message; returns what it cost.
    fn process(&mut self, what: What, call: u32, delay_us: u64) -> u64 {
        match what {
            What::Ping => {
                let (source, coin) = (SourceId(0), self.roll());
                self.admission.decide(source, Class::Other, delay_us, coin);
                self.plan.costs.refuse
            }
            What::Invite => self.invite(call, delay_us),
            What::RefusalAck => self.plan.costs.refuse_ack,
            What::Ringing => RINGING_US,
            What::Answer => {
                self.answered(call);
                ANSWER_US
            }
            What::Ack => ACK_US,
            What::Bye => {
                self.count_in_dialog(call);
                self.post(BYE_US + WIRE_US, What::ByeAnswer, call);
                BYE_US
            }
            What::ByeAnswer => {
                self.advise(call);
                BYE_ANSWER_US
            }
            What::Wish(_) | What::Free => unreachable!("these are no messages"),
        }
    }

    fn invite(&mut self, call: u32, delay_us: u64) -> u64 {
        let Call {
            source,
            state,
            coin,
            ..
        } = self.calls[call as usize];
        match state {
            State::Taken => return REPLAY_US,
            State::Ended => return self.plan.costs.refuse,
            State::Waiting => {}
        }
        let decision = self
            .admission
            .decide(SourceId(source), Class::Call, delay_us, coin);
        let is_taken = matches!(decision, Decision::Admit | Decision::Later);
        self.report.refused_late += u64::from(!is_taken && self.is_counted(self.now_us));
        match decision {
            Decision::Admit => self.take(call),
            Decision::Later => {
                self.later.push_back((self.now_us - delay_us, call));
                PUT_OFF_US
            }
            Decision::Refuse => self.refuse(call),
            Decision::Drop => {
                self.report.dropped += u64::from(self.is_counted(self.now_us));
                self.plan.costs.drop
            }
        }
    }

    fn answered(&mut self, call: u32) {
        let entry = &self.calls[call as usize];
        let (source, setup_us) = (entry.source, self.now_us - entry.began_us - RING_US);
        if self.is_counted(entry.began_us) {
            self.report.by_source[source as usize].1 += 1;
        }
        if self.is_counted(self.now_us) {
            self.report.setups_us.push(setup_us);
            self.report.setups_by_source[source as usize].push(setup_us);
        }
        self.advise(call);
        self.count_in_dialog(call);
        self.post(ANSWER_US + WIRE_US, What::Ack, call);
        self.post(self.plan.hold_us, What::Bye, call);
    }

    /// The caller's ACK and BYE are requests too.
    fn count_in_dialog(&mut self, call: u32) {
        let source = self.calls[call as usize].source as usize;
        if self.plan.neighbours[source].obeys {
            let _ = self.throttles[source].admit(Time(self.now_us), Kind::InDialog, 0);
        }
    }

    /// A response goes back: with what the neighbour is told, through the wire's own form.
    fn advise(&mut self, call: u32) {
        let source = self.calls[call as usize].source;
        if !self.plan.neighbours[source as usize].obeys {
            return;
        }
        let offer = Params::read(b"SIP/2.0/UDP a;oc;oc-algo=\"loss,rate\"").unwrap();
        let algorithm: Algorithm = offer.choose(self.admission.algorithm());
        let advice = self
            .admission
            .advice(SourceId(source), algorithm, 1, 1_700_000_000_000_000);
        let mut text = [0; Advice::BYTES_MAX];
        let len = advice.write(&mut text);
        let via = [b"SIP/2.0/UDP a;branch=z9hG4bK1", &text[..len]].concat();
        let params = Params::read(&via).unwrap();
        self.throttles[source as usize].hear(Time(self.now_us), &params);
    }
}
