//! A customer's switch: places calls at a fixed rate, holds them, hangs up.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{BATCH_MAX, DATAGRAM_BYTES_MAX, Deadlines, GIVE_UP_US, Port, T1_US, T2_US, sdp};
use crate::Figures;
use crate::figures::CallerCounts;
use crate::text::{self, Answer, Text, put_body, put_line};
use crate::truth::TruthLog;

/// A caller to be started.
#[derive(Clone, Debug)]
pub struct CallerSpec {
    /// The one address and port it calls from (UDP).
    pub bind: SocketAddr,
    /// Where it sends its calls.
    pub router: SocketAddr,
    /// Calls a second, kept up whatever the answers.
    pub rate: u32,
    /// Calls in all; it then waits for the last to end.
    pub calls_max: u64,
    /// Calls being set up or up at the same time; more are held back and counted.
    pub active_max: usize,
    /// From the 200 to the BYE.
    pub hold: Duration,
    /// How long a call may ring before it is cancelled.
    pub patience: Duration,
    /// The numbers it calls, in turn; `*` stands for seven digits that differ from call to call.
    pub numbers: Vec<String>,
    /// Where it writes what became of its calls (see [`crate::truth`]).
    pub truth: Option<PathBuf>,
}

impl CallerSpec {
    /// A caller of `rate` calls a second to one number without an end, 1 s each.
    #[must_use]
    pub fn new(bind: SocketAddr, router: SocketAddr, rate: u32) -> CallerSpec {
        CallerSpec {
            bind,
            router,
            rate,
            calls_max: u64::MAX,
            active_max: 100_000,
            hold: Duration::from_secs(1),
            patience: Duration::from_secs(60),
            numbers: vec!["+1555*".to_owned()],
            truth: None,
        }
    }
}

/// A running caller. Dropping it stops it at once.
#[derive(Debug)]
pub struct Caller {
    local: SocketAddr,
    /// When to be gone, in microseconds of the caller's clock; `u64::MAX` = not stopping.
    leave_us: Arc<AtomicU64>,
    is_stopping: Arc<AtomicBool>,
    opened: std::time::Instant,
    counts: Arc<CallerCounts>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Caller {
    /// Opens the socket and starts to call.
    ///
    /// # Errors
    /// The socket or the truth log cannot be opened, or there is no thread to be had.
    pub fn start(spec: CallerSpec) -> io::Result<Caller> {
        let port = Port::open(spec.bind)?;
        let (local, opened) = (port.local, port.opened);
        let truth = spec.truth.as_deref().map(TruthLog::create).transpose()?;
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(io::Error::other)?;
        let epoch_us = (epoch.as_micros() as u64).saturating_sub(port.now_us());
        let leave_us = Arc::new(AtomicU64::new(u64::MAX));
        let is_stopping = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(CallerCounts::default());
        let mut agent = Agent {
            sdp: sdp(local),
            salt: epoch_us,
            epoch_us,
            port,
            truth,
            counts: Arc::clone(&counts),
            calls: Vec::new(),
            free: Vec::new(),
            active: 0,
            placed: 0,
            deadlines: Deadlines::new(),
            out: Vec::with_capacity(2048),
            spec,
        };
        let (flag, leave) = (Arc::clone(&is_stopping), Arc::clone(&leave_us));
        let thread = std::thread::Builder::new()
            .name("caller".to_owned())
            .spawn(move || agent.run(&flag, &leave))?;
        Ok(Caller {
            local,
            leave_us,
            is_stopping,
            opened,
            counts,
            thread: Some(thread),
        })
    }

    /// Where it calls from.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What it has counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.counts.figures()
    }

    /// Whether all `calls_max` calls have come to an end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Places no more calls, hangs up those that are up, waits at most `grace` for their ends,
    /// and says what it counted.
    ///
    /// # Errors
    /// Its socket or its truth log failed while it ran.
    pub fn stop(mut self, grace: Duration) -> io::Result<Figures> {
        self.end(grace)?;
        Ok(self.counts.figures())
    }

    fn end(&mut self, grace: Duration) -> io::Result<()> {
        let leave = self.opened.elapsed().saturating_add(grace);
        self.leave_us
            .store(leave.as_micros() as u64, Ordering::Relaxed);
        self.is_stopping.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the caller's thread panicked")),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ended = self.end(Duration::ZERO);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// INVITE sent, nothing heard: it is repeated.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// CANCEL sent: it is repeated until the final response.
    Cancelling,
    /// Answered and acknowledged.
    Up,
    /// BYE sent: it is repeated.
    Leaving,
    /// Refused and acknowledged; kept for a while in case the response comes again.
    Failed,
}

#[derive(Debug)]
struct Call {
    serial: u64,
    state: State,
    number: String,
    sent_us: u64,
    /// When the request that is being repeated was first sent, and the interval by now.
    since_us: u64,
    interval_us: u64,
    /// The request that is repeated: INVITE, CANCEL or BYE.
    request: Vec<u8>,
    ack: Vec<u8>,
    bye: Vec<u8>,
    next_hop: SocketAddr,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Repeat(State8),
    Patience,
    HangUp,
    Forget,
}

/// The state for which a repetition was armed; a later state makes it void.
type State8 = u8;

type Key = (u32, u64, Due);

struct Agent {
    port: Port,
    spec: CallerSpec,
    sdp: Vec<u8>,
    /// Makes Call-IDs of one run differ from those of another.
    salt: u64,
    /// The wall clock at the port's time 0.
    epoch_us: u64,
    truth: Option<TruthLog>,
    counts: Arc<CallerCounts>,
    calls: Vec<Option<Call>>,
    free: Vec<u32>,
    active: usize,
    placed: u64,
    deadlines: Deadlines<Key>,
    out: Vec<u8>,
}

impl Agent {
    fn run(&mut self, is_stopping: &AtomicBool, leave_us: &AtomicU64) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut is_leaving = false;
        loop {
            let now_us = self.port.now_us();
            if is_stopping.load(Ordering::Relaxed) {
                if !is_leaving {
                    is_leaving = true;
                    self.leave_all(now_us)?;
                }
                if self.active == 0 || now_us >= leave_us.load(Ordering::Relaxed) {
                    break;
                }
            } else if self.placed >= self.spec.calls_max && self.active == 0 {
                break;
            }
            let due_us = if is_leaving {
                u64::MAX
            } else {
                self.place_due(now_us)?
            };
            let next_us = self.deadlines.next_us().unwrap_or(u64::MAX).min(due_us);
            self.port.wait(next_us)?;
            for _ in 0..BATCH_MAX {
                let Some((len, from)) = self.port.receive(&mut buffer) else {
                    break;
                };
                self.datagram(&buffer[..len], from)?;
            }
            let now_us = self.port.now_us();
            while let Some(key) = self.deadlines.due(now_us) {
                self.deadline(key, now_us)?;
            }
            self.counts.active.set(self.active as u64);
        }
        self.counts.active.set(self.active as u64);
        match &mut self.truth {
            Some(truth) => truth.flush(),
            None => Ok(()),
        }
    }

    /// Places the calls whose time has come, a batch at most; says when the next is due.
    fn place_due(&mut self, now_us: u64) -> io::Result<u64> {
        let rate = u64::from(self.spec.rate.max(1));
        for _ in 0..BATCH_MAX {
            let due_us = self.placed.saturating_mul(1_000_000) / rate;
            if self.placed >= self.spec.calls_max {
                return Ok(u64::MAX);
            }
            if due_us > now_us {
                return Ok(due_us);
            }
            self.place(now_us);
        }
        Ok(now_us)
    }

    fn place(&mut self, now_us: u64) {
        let serial = self.placed;
        self.placed += 1;
        if self.active >= self.spec.active_max {
            return self.counts.held_back.add(1);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            (self.calls.len() - 1) as u32
        });
        let template = &self.spec.numbers[serial as usize % self.spec.numbers.len().max(1)];
        let number = template.replace('*', &format!("{:07}", serial % 10_000_000));
        let mut request = Vec::with_capacity(1024);
        self.compose(&number, index, serial, "INVITE", b"", &mut request);
        self.port.send(&request, self.spec.router);
        self.calls[index as usize] = Some(Call {
            serial,
            state: State::Calling,
            number,
            sent_us: now_us,
            since_us: now_us,
            interval_us: T1_US,
            request,
            ack: Vec::new(),
            bye: Vec::new(),
            next_hop: self.spec.router,
        });
        self.active += 1;
        self.counts.placed.add(1);
        self.arm_repeat(now_us + T1_US, index, serial, State::Calling);
        let patience_us = self.spec.patience.as_micros() as u64;
        self.deadlines
            .arm(now_us + patience_us, (index, serial, Due::Patience));
    }

    fn datagram(&mut self, bytes: &[u8], from: SocketAddr) -> io::Result<()> {
        let Some(message) = Text::cut(bytes) else {
            return Ok(());
        };
        let (Some(call_id), Some(cseq)) = (message.value(text::CALL_ID), message.value(text::CSEQ))
        else {
            return Ok(());
        };
        let found = self.find(call_id);
        let Some(status) = message.status() else {
            return self.request(&message, found, from);
        };
        let Some(index) = found else {
            return Ok(());
        };
        match text::cseq_method(cseq) {
            b"INVITE" => self.invite_response(index, status, &message),
            b"BYE" if status >= 200 => self.bye_response(index),
            _ => Ok(()),
        }
    }

    fn invite_response(&mut self, index: u32, status: u16, message: &Text<'_>) -> io::Result<()> {
        let now_us = self.port.now_us();
        let call = self.calls[index as usize].as_mut().expect("it was found");
        match (status, call.state) {
            (100..200, State::Calling) => {
                call.state = State::Proceeding;
                Ok(())
            }
            (200..300, State::Calling | State::Proceeding | State::Cancelling) => {
                let is_cancelled = call.state == State::Cancelling;
                self.counts.answered.add(1);
                self.counts.setup.record(now_us - call.sent_us);
                let serial = call.serial;
                self.dialog(index, message);
                self.note(index, serial, now_us, "answered", status)?;
                let hold_us = self.spec.hold.as_micros() as u64;
                let due_us = now_us + if is_cancelled { 0 } else { hold_us };
                self.deadlines.arm(due_us, (index, serial, Due::HangUp));
                Ok(())
            }
            (200..300, State::Up | State::Leaving) => {
                self.counts.retransmissions.add(1);
                self.port.send(&call.ack, call.next_hop);
                Ok(())
            }
            (300..700, State::Calling | State::Proceeding | State::Cancelling) => {
                call.state = State::Failed;
                let serial = call.serial;
                let number = std::mem::take(&mut call.number);
                let to = message.value(text::TO).unwrap_or_default();
                let mut ack = Vec::with_capacity(512);
                self.compose(&number, index, serial, "ACK", to, &mut ack);
                self.port.send(&ack, self.spec.router);
                let call = self.calls[index as usize].as_mut().expect("it was found");
                call.ack = ack;
                call.request = Vec::new();
                self.counts.failed.add(1);
                self.active -= 1;
                self.deadlines
                    .arm(now_us + T2_US, (index, serial, Due::Forget));
                self.note(index, serial, now_us, "failed", status)
            }
            (300..700, State::Failed) => {
                self.counts.retransmissions.add(1);
                self.port.send(&call.ack, call.next_hop);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A 2xx makes a dialog: its route set, its ACK, and the BYE for later.
    fn dialog(&mut self, index: u32, message: &Text<'_>) {
        let routes = message.route_set();
        let target = text::uri_of(message.value(text::CONTACT).unwrap_or_default());
        let to = message.value(text::TO).unwrap_or_default();
        let first = routes.first().map_or(target, |route| text::uri_of(route));
        let next_hop = text::address_of(first).unwrap_or(self.spec.router);
        let call = self.calls[index as usize].as_mut().expect("it is answered");
        let serial = call.serial;
        let (mut ack, mut bye) = (Vec::with_capacity(512), Vec::with_capacity(512));
        for (method, out) in [("ACK", &mut ack), ("BYE", &mut bye)] {
            self.compose_in_dialog(index, serial, method, target, to, &routes, out);
        }
        self.port.send(&ack, next_hop);
        let call = self.calls[index as usize].as_mut().expect("it is answered");
        call.state = State::Up;
        call.request = Vec::new();
        call.next_hop = next_hop;
        call.ack = ack;
        call.bye = bye;
    }

    fn bye_response(&mut self, index: u32) -> io::Result<()> {
        let call = self.calls[index as usize].as_ref().expect("it was found");
        if call.state == State::Leaving {
            self.counts.completed.add(1);
            self.active -= 1;
            self.retire(index);
        }
        Ok(())
    }

    fn request(
        &mut self,
        message: &Text<'_>,
        found: Option<u32>,
        from: SocketAddr,
    ) -> io::Result<()> {
        let method = message.method();
        if method == b"ACK" {
            return Ok(());
        }
        let status = if found.is_some() || method == b"OPTIONS" {
            200
        } else {
            481
        };
        let answer = Answer {
            status,
            to_tag: b"c",
            contact: b"",
            body: b"",
        };
        message.respond(&answer, &mut self.out);
        self.port.send(&self.out, from);
        let (b"BYE", Some(index)) = (method, found) else {
            return Ok(());
        };
        let call = self.calls[index as usize].as_ref().expect("it was found");
        if call.state != State::Up {
            return Ok(());
        }
        let serial = call.serial;
        self.counts.completed.add(1);
        self.active -= 1;
        self.note(index, serial, self.port.now_us(), "ended", 200)?;
        self.retire(index);
        Ok(())
    }

    fn deadline(&mut self, (index, serial, due): Key, now_us: u64) -> io::Result<()> {
        let Some(call) = self.calls[index as usize].as_mut() else {
            return Ok(());
        };
        if call.serial != serial {
            return Ok(());
        }
        match (due, call.state) {
            (Due::Repeat(armed), state) if armed == state as u8 => self.repeat(index, now_us),
            (Due::Patience, State::Calling | State::Proceeding) => {
                self.cancel(index, now_us);
                Ok(())
            }
            (Due::HangUp, State::Up) => self.hang_up(index, now_us),
            (Due::Forget, State::Failed) => {
                self.retire(index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn repeat(&mut self, index: u32, now_us: u64) -> io::Result<()> {
        let call = self.calls[index as usize].as_mut().expect("it is repeated");
        let (serial, state) = (call.serial, call.state);
        if now_us < call.since_us + GIVE_UP_US {
            call.interval_us = match state {
                State::Calling => call.interval_us * 2,
                _ => (call.interval_us * 2).min(T2_US),
            };
            let next_us = now_us + call.interval_us;
            self.port.send(&call.request, call.next_hop);
            self.counts.retransmissions.add(1);
            self.arm_repeat(next_us, index, serial, state);
            return Ok(());
        }
        self.active -= 1;
        if state == State::Leaving {
            self.counts.bye_unanswered.add(1);
        } else {
            self.counts.failed.add(1);
            self.note(index, serial, now_us, "failed", 408)?;
        }
        self.retire(index);
        Ok(())
    }

    fn cancel(&mut self, index: u32, now_us: u64) {
        let call = self.calls[index as usize].as_mut().expect("it rings");
        let (serial, is_heard) = (call.serial, call.state == State::Proceeding);
        let number = call.number.clone();
        let mut request = Vec::with_capacity(512);
        self.compose(&number, index, serial, "CANCEL", b"", &mut request);
        if is_heard {
            self.port.send(&request, self.spec.router);
        }
        let call = self.calls[index as usize].as_mut().expect("it rings");
        call.state = State::Cancelling;
        call.request = request;
        call.since_us = now_us;
        call.interval_us = T1_US;
        self.arm_repeat(now_us + T1_US, index, serial, State::Cancelling);
    }

    fn hang_up(&mut self, index: u32, now_us: u64) -> io::Result<()> {
        let call = self.calls[index as usize].as_mut().expect("it is up");
        let serial = call.serial;
        call.state = State::Leaving;
        call.request = std::mem::take(&mut call.bye);
        call.since_us = now_us;
        call.interval_us = T1_US;
        self.port.send(&call.request, call.next_hop);
        self.arm_repeat(now_us + T1_US, index, serial, State::Leaving);
        self.note(index, serial, now_us, "ended", 200)
    }

    /// Hangs up or cancels all there is.
    fn leave_all(&mut self, now_us: u64) -> io::Result<()> {
        for index in 0..self.calls.len() as u32 {
            match self.calls[index as usize].as_ref().map(|call| call.state) {
                Some(State::Up) => self.hang_up(index, now_us)?,
                Some(State::Calling | State::Proceeding) => self.cancel(index, now_us),
                Some(State::Cancelling | State::Leaving | State::Failed) | None => {}
            }
        }
        Ok(())
    }

    fn retire(&mut self, index: u32) {
        self.calls[index as usize] = None;
        self.free.push(index);
    }

    fn arm_repeat(&mut self, at_us: u64, index: u32, serial: u64, state: State) {
        self.deadlines
            .arm(at_us, (index, serial, Due::Repeat(state as u8)));
    }

    fn note(
        &mut self,
        index: u32,
        serial: u64,
        at_us: u64,
        what: &str,
        status: u16,
    ) -> io::Result<()> {
        let Some(truth) = &mut self.truth else {
            return Ok(());
        };
        let wall_us = self.epoch_us + at_us;
        let (salt, host) = (self.salt, self.port.local.ip());
        truth.note(
            what,
            format_args!("{serial:x}.{index:x}.{salt:x}@{host}"),
            wall_us,
            status,
        )
    }

    /// The call of a Call-ID, which carries its slot and serial number.
    fn find(&self, call_id: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(call_id).ok()?;
        let mut parts = text.split(['.', '@']);
        let serial = u64::from_str_radix(parts.next()?, 16).ok()?;
        let index = u32::from_str_radix(parts.next()?, 16).ok()?;
        let salt = u64::from_str_radix(parts.next()?, 16).ok()?;
        let call = self.calls.get(index as usize)?.as_ref()?;
        (call.serial == serial && salt == self.salt).then_some(index)
    }

    /// INVITE, its CANCEL, or the ACK for a refusal (`to` is the response's): all have the
    /// INVITE's URI and branch (RFC 3261 §9.1, §17.1.1.3).
    fn compose(
        &self,
        number: &str,
        index: u32,
        serial: u64,
        method: &str,
        to: &[u8],
        out: &mut Vec<u8>,
    ) {
        let router = self.spec.router;
        self.put(
            out,
            format_args!("{method} sip:{number}@{router} SIP/2.0\r\n"),
        );
        self.put_common(index, serial, method, "i", 1, out);
        if to.is_empty() {
            self.put(out, format_args!("To: <sip:{number}@{router}>\r\n"));
        } else {
            put_line(b"To", &[to], out);
        }
        if method == "INVITE" {
            let local = self.port.local;
            self.put(out, format_args!("Contact: <sip:caller@{local}>\r\n"));
            put_body(&self.sdp, out);
        } else {
            put_body(b"", out);
        }
    }

    fn compose_in_dialog(
        &self,
        index: u32,
        serial: u64,
        method: &str,
        target: &[u8],
        to: &[u8],
        routes: &[&[u8]],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(target);
        out.extend_from_slice(b" SIP/2.0\r\n");
        let (mark, cseq) = if method == "ACK" { ("a", 1) } else { ("b", 2) };
        self.put_common(index, serial, method, mark, cseq, out);
        put_line(b"To", &[to], out);
        for route in routes {
            put_line(b"Route", &[route], out);
        }
        put_body(b"", out);
    }

    fn put_common(
        &self,
        index: u32,
        serial: u64,
        method: &str,
        mark: &str,
        cseq: u32,
        out: &mut Vec<u8>,
    ) {
        let (local, salt) = (self.port.local, self.salt);
        let host = local.ip();
        self.put(
            out,
            format_args!(
                "Via: SIP/2.0/UDP {local};branch=z9hG4bK{mark}{serial:x}.{index:x}.{salt:x};rport\r\n\
                 Max-Forwards: 70\r\n\
                 From: <sip:+15550100@{local}>;tag=c{serial:x}\r\n\
                 Call-ID: {serial:x}.{index:x}.{salt:x}@{host}\r\n\
                 CSeq: {cseq} {method}\r\n"
            ),
        );
    }

    fn put(&self, out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
        out.write_fmt(text)
            .expect("a Vec takes all that is written");
    }
}
