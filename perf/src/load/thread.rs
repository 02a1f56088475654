//! One thread of the generator: its core, its clock, its turn.
//!
//! ```text
//!   attempts that are due ─▶ deadlines ─▶ send a batch ─▶ wait ─▶ take a batch ─▶ send a batch
//! ```
//! Each step has a budget, so that none starves the others. The thread shares nothing but its
//! [`Tally`], which it alone writes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::batch::Receiver;
use super::callee::{Callee, SinkSeat};
use super::caller::{Caller, Seat, owner};
use super::part::Holder;
use super::ports::{Listen, Owner, Ports};
use super::schedule::{Schedule, mixed};
use super::tally::{Outcome, SourceCounts, Tally};
use super::voice::{Run, Voice};
use super::{Calls, CoreReport, Plan, Transport, Wait};
use crate::latency::histogram;
use crate::truth::TruthLog;

/// What is done of one kind before the next is looked at.
const ATTEMPTS_MAX: usize = 64;
const DEADLINES_MAX: usize = 256;
/// The longest sleep, so that the end is seen in time.
const SLEEP_US_MAX: u64 = 20_000;
/// How often the CPU time is told.
const HOUSEKEEPING_US: u64 = 50_000;

/// What falls to one thread.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Which thread this is.
    pub(crate) number: usize,
    pub(crate) core: Option<usize>,
    /// Places in the plan.
    pub(crate) sources: Vec<usize>,
    pub(crate) sinks: Vec<usize>,
    /// Its share of the rate.
    pub(crate) rate: f64,
    /// Where in the first interval it begins.
    pub(crate) phase: f64,
    pub(crate) attempts_max: Option<u64>,
    pub(crate) run: Run,
}

/// A thread with its sinks open, and then with its sources.
pub(crate) struct Thread {
    plan: Arc<Plan>,
    part: Part,
    ports: Ports,
    side: Side,
    schedule: Option<Schedule>,
    tally: Arc<Tally>,
    counted_left: u64,
    holder: Option<Holder>,
}

/// Callers and callees, as the ports see them.
struct Side {
    caller: Caller,
    callee: Callee,
    started: Instant,
}

impl Thread {
    /// Pins the thread and opens its sinks. Returns where they listen.
    pub(crate) fn open(
        plan: Arc<Plan>,
        part: Part,
        tally: Arc<Tally>,
    ) -> io::Result<(Thread, Vec<SocketAddr>)> {
        if let Some(core) = part.core {
            pin(core)?;
        }
        // Finer than the default of 50 us; a system that does not allow it only wakes us later.
        let _coarser = nix::sys::prctl::set_timerslack(1);
        let mut ports = Ports::new(plan.buffer_bytes, plan.takes_trains);
        let mut addresses = Vec::new();
        let mut seats = Vec::new();
        for (at, &place) in part.sinks.iter().enumerate() {
            let owner = Owner::Sink(at as u16);
            let wanted = plan.sinks[place].address;
            let local = match plan.transport {
                Transport::Udp => ports.open(owner, wanted)?.1,
                Transport::Tcp => ports.listen(owner, wanted)?,
            };
            addresses.push(local);
            seats.push(SinkSeat::new(&plan, place, local));
        }
        let thread = Thread {
            side: Side {
                caller: Caller::new(&plan, part.run, Vec::new(), 0, None, tally.clone()),
                callee: Callee::new(&plan, part.run, seats, tally.clone()),
                started: Instant::now(),
            },
            plan,
            part,
            ports,
            schedule: None,
            tally,
            counted_left: 0,
            holder: None,
        };
        Ok((thread, addresses))
    }

    /// Opens the sources, now that everybody listens. Returns where they send from.
    pub(crate) fn call_from(&mut self, targets: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        let plan = self.plan.clone();
        let mut seats = Vec::new();
        for (at, place) in self.part.sources.clone().into_iter().enumerate() {
            seats.push(self.seat(at, place, targets)?);
        }
        let addresses = seats.iter().map(|seat| seat.address).collect();
        if seats.is_empty() {
            self.tally.end_attempts();
            return Ok(addresses);
        }
        let truth = match &plan.truth {
            Some(path) => Some(TruthLog::create(&truth_path(path, self.part.number))?),
            None => None,
        };
        let (run, tally) = (self.part.run, self.tally.clone());
        self.side.caller = Caller::new(&plan, run, seats, targets.len(), truth, tally);
        self.schedule = Some(Schedule::new(
            plan.arrivals,
            self.part.rate,
            self.part.phase,
            plan.offered_ms() * 1000,
            plan.seed ^ mixed(u64::from(run)),
        ));
        self.counted_left = self.part.attempts_max.unwrap_or(u64::MAX);
        Ok(addresses)
    }

    fn seat(&mut self, at: usize, place: usize, targets: &[SocketAddr]) -> io::Result<Seat> {
        let source = self.plan.sources[place];
        let (port, address) = match self.plan.transport {
            Transport::Udp => self.ports.open(owner(at), source.address)?,
            Transport::Tcp => {
                let mut first = None;
                for &target in targets {
                    let made = self.ports.connect(owner(at), source.address, target)?;
                    first = first.or(Some(made));
                }
                first.ok_or_else(|| io::Error::other("no target to connect to"))?
            }
        };
        Ok(Seat {
            place,
            address,
            voice: Voice::new(&self.plan, address, targets, self.part.run),
            calls: Calls::default(),
            setup: histogram(),
            owner: owner(at),
            transport: self.plan.transport,
            port,
            targets: targets.to_vec(),
            weight: i64::from(source.weight),
            credit: 0,
            connect_again_us: 0,
        })
    }

    /// Plays its part until it is told to stop.
    pub(crate) fn play(
        mut self,
        started: Instant,
        wall_us: u64,
        stop: &AtomicBool,
    ) -> io::Result<Outcome> {
        if let Wait::Hold(left) = self.plan.wait {
            self.holder = Some(Holder::new(f64::from(left) / 1e3)?);
        }
        self.side.started = started;
        self.side.caller.set_wall(wall_us);
        let mut receiver = match self.plan.takes_trains {
            true => Receiver::of_trains(),
            false => Receiver::new(),
        };
        let mut watch = CoreWatch::new(&self.plan, self.part.core);
        let mut is_ending = false;
        while !stop.load(Relaxed) {
            let now_us = self.side.now_us();
            watch.look(now_us, self.tally.has_ended_attempts(), &self.tally);
            self.attempts(now_us);
            if !is_ending && self.tally.has_ended_attempts() {
                is_ending = true;
                self.end_calls(now_us);
            }
            self.side
                .caller
                .timers(now_us, DEADLINES_MAX, &mut self.ports);
            self.side
                .callee
                .timers(now_us, DEADLINES_MAX, &mut self.ports);
            self.ports.flush();
            self.tell();
            self.wait()?;
            self.ports.take(&mut receiver, &mut self.side);
            self.ports.flush();
        }
        Ok(self.finish(watch))
    }

    /// Makes the attempts that are due.
    fn attempts(&mut self, now_us: u64) {
        let Some(schedule) = &mut self.schedule else {
            return;
        };
        let warm_us = self.plan.warm_up_ms * 1000;
        for _ in 0..ATTEMPTS_MAX {
            let Some(due_us) = schedule.due(now_us) else {
                break;
            };
            let is_counted = due_us >= warm_us;
            if is_counted {
                if self.counted_left == 0 {
                    schedule.stop();
                    break;
                }
                self.counted_left -= 1;
            }
            let now_us = self.side.now_us();
            self.side
                .caller
                .attempt(due_us, now_us, is_counted, &mut self.ports);
        }
        if schedule.next_us().is_none() || self.counted_left == 0 {
            schedule.stop();
            self.tally.end_attempts();
        }
    }

    fn end_calls(&mut self, now_us: u64) {
        if self.plan.hang_up {
            let interval_us = (1e6 / self.part.rate) as u64;
            self.side.caller.hang_up(now_us, interval_us);
        }
    }

    fn tell(&mut self) {
        self.tally.received.set(self.ports.traffic.received);
        self.tally.sent.set(self.ports.traffic.sent);
        self.tally.active.set(match self.plan.sources.is_empty() {
            true => self.side.callee.active(),
            false => self.side.caller.active(),
        });
    }

    fn wait(&mut self) -> io::Result<()> {
        if let Some(holder) = &mut self.holder {
            holder.pass();
        }
        if self.plan.wait != Wait::Sleep {
            self.ports.presume_ready();
            return Ok(());
        }
        let deadlines = [
            self.schedule.as_ref().and_then(Schedule::next_us),
            self.side.caller.next_us(),
            self.side.callee.next_us(),
        ];
        let now_us = self.side.now_us();
        let next_us = deadlines.into_iter().flatten().min();
        let sleep_us = next_us.map_or(SLEEP_US_MAX, |at_us| at_us.saturating_sub(now_us));
        self.ports
            .wait(Duration::from_micros(sleep_us.min(SLEEP_US_MAX)))
    }

    fn finish(mut self, watch: CoreWatch) -> Outcome {
        let truth = self.side.caller.close();
        let dropped = dropped(&self.ports.datagram_addresses());
        let Side { caller, callee, .. } = self.side;
        let mut sent_again = caller.counts.sent;
        super::tally::add_again(&mut sent_again, &callee.sent);
        let mut seen_again = caller.counts.seen;
        super::tally::add_again(&mut seen_again, &callee.seen);
        let of_seat = |seat: Seat| SourceCounts {
            place: seat.place,
            address: seat.address,
            calls: seat.calls,
            setup: seat.setup,
        };
        Outcome {
            sinks: callee
                .seats
                .into_iter()
                .map(|seat| (seat.place, seat.report))
                .collect(),
            options: caller.counts.options,
            registers: caller.counts.registers,
            sent_again,
            seen_again,
            clocks: caller.counts.clocks,
            strays: caller.counts.strays + callee.strays,
            ack_answered: caller.counts.ack_answered,
            traffic: self.ports.traffic,
            dropped,
            core: watch.report,
            truth,
            sources: caller.seats.into_iter().map(of_seat).collect(),
        }
    }
}

impl Side {
    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

impl Listen for Side {
    fn message(&mut self, owner: Owner, flow: super::ports::Flow, bytes: &[u8], ports: &mut Ports) {
        let now_us = self.now_us();
        match owner {
            Owner::Source(seat) => self.caller.message(seat, flow, bytes, now_us, ports),
            Owner::Sink(seat) => self.callee.message(seat, flow, bytes, now_us, ports),
        }
    }

    fn broken(&mut self, owner: Owner, port: u16) {
        if let Owner::Source(_) = owner {
            let now_us = self.now_us();
            self.caller.broken(port, now_us);
        }
    }
}

/// The truth log of a thread.
pub(crate) fn truth_path(path: &std::path::Path, number: usize) -> std::path::PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Keeps the thread on one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = nix::sched::CpuSet::new();
    let told = |error: nix::errno::Errno| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("cannot run on core {core}: {error}"))
    };
    set.set(core).map_err(told)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).map_err(told)
}

/// The CPU time that this thread has taken.
pub(crate) fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .unwrap_or_default()
}

/// Watches what the thread costs in the counting time.
struct CoreWatch {
    opens_us: u64,
    closes_us: u64,
    told_us: u64,
    open: Option<(u64, Duration)>,
    is_closed: bool,
    report: CoreReport,
}

impl CoreWatch {
    fn new(plan: &Plan, core: Option<usize>) -> CoreWatch {
        CoreWatch {
            opens_us: plan.warm_up_ms * 1000,
            closes_us: plan.offered_ms() * 1000,
            told_us: 0,
            open: None,
            is_closed: false,
            report: CoreReport {
                core,
                ..CoreReport::default()
            },
        }
    }

    fn look(&mut self, now_us: u64, is_over: bool, tally: &Tally) {
        if now_us >= self.told_us + HOUSEKEEPING_US {
            self.told_us = now_us;
            tally.cpu_us.set(cpu().as_micros() as u64);
        }
        if self.is_closed || now_us < self.opens_us {
            return;
        }
        let Some((opened_us, before)) = self.open else {
            self.open = Some((now_us, cpu()));
            return;
        };
        // A thread without callers has no attempts to be over with.
        let has_ended = is_over && now_us > opened_us && self.closes_us != u64::MAX;
        if now_us >= self.closes_us || (has_ended && tally.attempts.get() > 0) {
            self.is_closed = true;
            let wall = (now_us - opened_us).max(1) as f64;
            self.report.own_share = (cpu() - before).as_micros() as f64 / wall;
        }
    }
}

/// How many datagrams the kernel has dropped at sockets of these addresses.
fn dropped(addresses: &[SocketAddr]) -> u64 {
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|table| dropped_in(&table, addresses))
        .sum()
}

/// The last column of each line that has one of our addresses in its second.
fn dropped_in(table: &str, addresses: &[SocketAddr]) -> u64 {
    let names: Vec<String> = addresses
        .iter()
        .map(|&address| kernel_name(address))
        .collect();
    let count = |line: &str| {
        let local = line.split_ascii_whitespace().nth(1)?;
        let is_ours = names.iter().any(|name| name == local);
        is_ours.then(|| {
            line.split_ascii_whitespace()
                .next_back()?
                .parse::<u64>()
                .ok()
        })?
    };
    table.lines().filter_map(count).sum()
}

/// An address as the kernel's tables write it: each 32 bits as the machine keeps them.
fn kernel_name(address: SocketAddr) -> String {
    let words: Vec<u8> = match address {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    };
    let host: String = words
        .chunks_exact(4)
        .map(|four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
        .map(|word| format!("{word:08X}"))
        .collect();
    format!("{host}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_from_the_kernels_table() {
        let ours: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        let v6: SocketAddr = "[::1]:5060".parse().unwrap();
        assert_eq!(kernel_name(v6), "00000000000000000000000001000000:13C4");
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  10: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0000 17
  11: 0100007F:13C5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0000 4
";
        assert_eq!(dropped_in(table, &[ours, v6]), 17);
    }

    #[test]
    fn each_thread_has_a_truth_of_its_own() {
        let path = std::path::Path::new("a/truth.log");
        assert_eq!(truth_path(path, 0), path);
        assert_eq!(truth_path(path, 2), std::path::Path::new("a/truth.log.2"));
    }
}
