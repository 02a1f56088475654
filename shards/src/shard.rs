//! One shard: the turn of its loop.
//!
//! ```text
//!   ┌─▶ commands ─▶ a batch from each socket ─▶ streams ─▶ inbox ─▶ due timers ─▶ failures ─▶ backlog
//!   │                                                                               │
//!   └── sleep until the next deadline ◀── housekeeping ◀── wake others ◀── one flush ┘
//! ```
//!
//! Each step has a budget, so that none starves the others; what is left over is first in the next
//! turn, which then does not sleep.
//!
//! Cost: under little load each datagram is a turn of its own, so a step that has nothing to do sees
//! that from a word or two. The clocks are read three times a turn: as it begins, when datagrams
//! have come, as it ends; and once more for each eight messages of a batch. Held by the cases
//! `turn/` of `benches/instructions`.

mod sleep;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Flow, ShardId, Time, Transport};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use crate::HOUSEKEEPING_MS;
use crate::backlog::FIRST_WAITS_US;
use crate::clock::{Anchor, Clock};
use crate::gather::Gather;
use crate::handler::{Brought, Handler, Inbound, Undelivered};
use crate::in_hand::InHand;
use crate::inbox::{Inbox, Parcel};
use crate::limits::Limits;
use crate::metric::{DELAY, Metric};
use crate::outbox::{Mail, Outbox, Outgoing};
use crate::runtime::{Command, Shared};
use crate::sys::{self, Events, Receiver, Sender};
use crate::tcp::{StreamListener, Streams};
use crate::train::Planner;
use crate::udp::UdpSocket;

/// The event that says that something is in the inbox.
pub(crate) const INBOX_TOKEN: Token = Token(usize::MAX);
/// How many events are taken at a time.
pub(crate) const EVENTS_MAX: usize = 1_024;
/// Events of UDP sockets count from here, by their place.
const UDP_TOKEN: usize = 1 << 40;
/// How long a stopping shard waits for its last records to be taken.
const LAST_RECORDS_MS: u64 = 10_000;
/// How many of what was put off go on in a turn that leaves nothing else to do: what comes next waits
/// for them, and each turn has its system calls.
const TAKEN_UP_A_TURN: usize = 4;
/// How many of them where they have waited for long.
const OVERDUE_A_TURN: usize = 16;
/// For how many messages one reading of the clock stands: a few dozen microseconds.
const MESSAGES_A_READING: usize = 8;

/// What a shard listens with.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: Vec<StreamListener>,
    /// Of all listeners, in the order of their ids.
    pub(crate) addresses: Vec<(Transport, std::net::SocketAddr)>,
}

/// Where the shard is between start and end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Serving,
    Draining { until: Time },
    Stopping { until: Time },
}

/// A shard with all that it owns. Lives on its thread.
pub(crate) struct Station<H: Handler> {
    id: ShardId,
    handler: H,
    out: Outbox<H>,
    udp: Vec<UdpSocket>,
    /// Which entry of `udp` a listener is.
    udp_of: Vec<Option<usize>>,
    streams: Streams,
    poll: Poll,
    clock: Clock,
    /// The clocks when datagrams came last.
    anchor: Anchor,
    /// How many messages were handled since the clock was read.
    unclocked: usize,
    limits: Limits,
    inboxes: Arc<[Inbox<H::Letter>]>,
    all: Arc<[Arc<Shared<H>>]>,
    receiver: Receiver,
    sender: Sender,
    planner: Planner,
    /// When the last turn ended, or the sleep after it.
    ended: Time,
    /// What the page says of the inbox.
    inbox_depth: u64,
    housekeeping: Time,
    phase: Phase,
    /// Whether the last turn left something undone.
    has_more: bool,
    /// How many turns went without asking for events.
    unasked: u32,
    gather: Gather,
}

/// Has the memory of all large tables there before the first message comes: a huge page that is
/// first used under load stops the shard for as long as it takes to write it with zeros.
pub(crate) fn populate<H: Handler>(handler: &H, out: &Outbox<H>) {
    let mut populated = 0;
    let mut populate = |at, bytes| {
        if sys::populate(at, bytes).is_ok() {
            populated += bytes as u64;
        }
    };
    handler.rooms(&mut populate);
    for (at, bytes) in out.rooms() {
        populate(at, bytes);
    }
    let stats = out.stats_runtime();
    stats.set(Metric::Populated as usize, populated);
}

impl<H: Handler> Station<H> {
    #[expect(clippy::too_many_arguments)] // once, at the start
    pub(crate) fn new(
        id: ShardId,
        handler: H,
        out: Outbox<H>,
        sockets: Sockets,
        poll: Poll,
        clock: Clock,
        limits: Limits,
        inboxes: Arc<[Inbox<H::Letter>]>,
        all: Arc<[Arc<Shared<H>>]>,
        pinned: bool,
    ) -> Station<H> {
        let mut udp_of = vec![None; sockets.addresses.len()];
        for (at, socket) in sockets.udp.iter().enumerate() {
            udp_of[usize::from(socket.listener.0)] = Some(at);
            // Not for writing: the kernel would say so after each datagram that has left it, and
            // every such event is a turn in which there is nothing to do. A socket that is blocked
            // is tried again in a moment.
            let token = Token(UDP_TOKEN + at);
            poll.registry()
                .register(&mut SourceFd(&socket.fd()), token, Interest::READABLE)
                .expect("a new socket can be registered with a new poll");
        }
        let streams = Streams::new(id, sockets.tcp, sockets.addresses, &limits, poll.registry());
        out.stats_runtime()
            .set(Metric::Pinned as usize, u64::from(pinned));
        Station {
            id,
            handler,
            out,
            udp: sockets.udp,
            udp_of,
            streams,
            poll,
            clock,
            anchor: Anchor::new(clock.now()),
            unclocked: 0,
            inboxes,
            all,
            receiver: Receiver::new(limits.batch.clamp(1, Limits::BATCH_MAX)),
            sender: Sender::new(limits.batch.clamp(1, Limits::BATCH_MAX)),
            planner: Planner::new(),
            gather: Gather::new(limits.gather_us),
            limits,
            ended: clock.now(),
            inbox_depth: 0,
            housekeeping: Time::ZERO,
            phase: Phase::Serving,
            has_more: true,
            unasked: 0,
        }
    }

    /// Turns until the end.
    pub(crate) fn run(mut self) {
        let mut events = Events::new(EVENTS_MAX);
        if self.limits.gather_us > 0 {
            sys::nap_exactly();
        }
        while !self.turn() {
            self.wait(&mut events);
        }
    }

    /// One turn. Returns whether it was the last.
    pub(crate) fn turn(&mut self) -> bool {
        let began = self.ended;
        self.clocked(began);
        self.has_more = false;
        self.commands();
        self.datagrams();
        if !self.streams.is_quiet() {
            self.streams_in();
        }
        self.parcels();
        self.timers();
        self.failures();
        if self.out.has_put_off() {
            self.backlog();
        }
        if self.has_output() {
            self.flush();
        }
        self.wake_others();
        let ended = self.housekeep();
        self.ended = self.clock.now();
        self.out.count(Metric::Turns, 1);
        let busy_us = self.ended.micros_since(began);
        self.out.count(Metric::BusyUs, busy_us);
        ended
    }

    /// The clock was read.
    fn clocked(&mut self, now: Time) {
        self.unclocked = 0;
        set_time(&mut self.out, &self.anchor, now);
    }

    /// A message is about to be handled: reads the clock if enough were since it was read last.
    fn note_message(&mut self) {
        self.unclocked += 1;
        if self.unclocked > MESSAGES_A_READING {
            self.clocked(self.clock.now());
            self.unclocked = 1;
        }
    }

    fn commands(&mut self) {
        let mine = usize::from(self.id.0);
        if self.all[mine].commands.is_empty() {
            return;
        }
        while let Some(command) = self.all[mine].commands.pop() {
            match command {
                Command::Snapshot(snapshot) => {
                    let old = self.handler.snapshot(snapshot, &mut self.out);
                    let shared = &self.all[mine];
                    shared.taken.fetch_add(1, Ordering::AcqRel);
                    // Full: control does not fetch them; then this one is freed here after all.
                    let _ = old.map(|old| shared.retired.push(old));
                }
                Command::Drain(within) => {
                    if self.phase == Phase::Serving {
                        let until = self.out.now() + within;
                        self.phase = Phase::Draining { until };
                        self.handler.drain(&mut self.out);
                    }
                }
                Command::Stop => self.begin_stop(),
            }
        }
    }

    fn begin_stop(&mut self) {
        if !matches!(self.phase, Phase::Stopping { .. }) {
            let until = self.out.now().plus_millis(LAST_RECORDS_MS);
            self.phase = Phase::Stopping { until };
            self.handler.stop(&mut self.out);
        }
    }

    /// A batch from each socket that may have something.
    fn datagrams(&mut self) {
        for at in 0..self.udp.len() {
            if !self.udp[at].is_ready {
                continue;
            }
            match self.receiver.receive(self.udp[at].fd()) {
                Ok(count) => {
                    self.udp[at].received(count, self.receiver.batch());
                    self.has_more |= self.udp[at].is_ready;
                    let now = self.clock.now();
                    self.anchor = Anchor::new(now);
                    self.clocked(now);
                    self.batch(at, count);
                }
                Err(error) => self.has_more |= self.udp[at].not_received(&error, &self.out),
            }
        }
    }

    /// The pieces that one call brought: each is a datagram, or several of one length.
    fn batch(&mut self, socket: usize, count: usize) {
        let Station {
            id,
            udp,
            receiver,
            clock,
            anchor,
            unclocked,
            handler,
            out,
            inboxes,
            gather,
            ..
        } = self;
        let (mut datagrams, mut bytes) = (0, 0);
        // What differs from one datagram to the next is written over.
        let mut inbound = Inbound {
            flow: udp[socket].flow(udp[socket].address),
            bytes: &[],
            received: anchor.received(None),
            brought: Brought::Straight,
            is_expected: false,
        };
        // Only of those that are handled here: whose the others are is asked first.
        let looks_ahead = inboxes.len() == 1 || udp[socket].brought == Brought::Steered;
        for at in 0..count {
            if at > 0 && at.is_multiple_of(MESSAGES_A_READING) {
                set_time(out, anchor, clock.now());
            }
            inbound.is_expected = looks_ahead && at > 0;
            if looks_ahead && at + 1 < count {
                expect(handler, receiver.bytes(at + 1));
            }
            let Some(piece) = receiver.get(at) else {
                out.count(Metric::ReceiveErrors, 1);
                continue;
            };
            if let Some(dropped) = piece.dropped {
                let more = udp[socket].note_dropped(dropped);
                out.count(Metric::KernelDrops, more);
            }
            bytes += piece.bytes.len();
            inbound.flow.peer = piece.peer;
            inbound.received = anchor.received(piece.stamp);
            udp[socket].put_local(piece.local, &mut inbound.flow);
            inbound.bytes = piece.bytes;
            if piece.segment < piece.bytes.len() {
                out.count(Metric::TrainsIn, 1);
                // They came here because the first of them belongs here.
                inbound.brought = Brought::Straight;
                inbound.is_expected = false;
                for datagram in piece.bytes.chunks(piece.segment) {
                    datagrams += 1;
                    inbound.bytes = datagram;
                    deliver(*id, handler, out, inboxes, &inbound);
                }
            } else {
                datagrams += 1;
                inbound.brought = udp[socket].brought;
                deliver(*id, handler, out, inboxes, &inbound);
            }
        }
        if looks_ahead && count > 1 {
            handler.expect_none();
        }
        *unclocked = datagrams as usize % MESSAGES_A_READING;
        gather.saw(datagrams);
        out.count(Metric::DatagramsIn, datagrams);
        out.count(Metric::DatagramBytesIn, bytes as u64);
    }

    fn streams_in(&mut self) {
        let mut budget = self.limits.turn_streams;
        let (handler, out, inboxes) = (&mut self.handler, &mut self.out, &self.inboxes);
        let (id, anchor, clock) = (self.id, self.anchor, self.clock);
        let registry = self.poll.registry();
        self.has_more |= self.streams.read(
            registry,
            &mut budget,
            handler,
            out,
            &mut |handler, out, inbound| {
                set_time(out, &anchor, clock.now());
                deliver(id, handler, out, inboxes, inbound);
            },
        );
    }

    fn parcels(&mut self) {
        let mine = usize::from(self.id.0);
        if self.inboxes[mine].is_empty() && self.inbox_depth == 0 {
            return;
        }
        self.inbox_depth = self.inboxes[mine].len() as u64;
        let page = self.out.stats_runtime();
        page.set(Metric::InboxDepth as usize, self.inbox_depth);
        page.raise(Metric::InboxDepthMax as usize, self.inbox_depth);
        // What comes meanwhile is for the next turn, which need not look whether this was all.
        for _ in 0..self.limits.turn_parcels.min(self.inbox_depth as usize) {
            let Some(parcel) = self.inboxes[mine].pop() else {
                break;
            };
            self.note_message();
            match parcel {
                Parcel::Message {
                    flow,
                    received,
                    bytes,
                    ..
                } => {
                    self.out.count(Metric::TakenOver, 1);
                    if received > self.out.now() {
                        // It came after the last reading: nothing is handled before it is received.
                        self.clocked(self.clock.now());
                    }
                    let inbound = Inbound {
                        flow,
                        bytes: bytes.bytes(),
                        received,
                        brought: Brought::HandedOver,
                        is_expected: false,
                    };
                    {
                        let _in_hand = InHand(inbound.bytes);
                        handle(&mut self.handler, &mut self.out, &inbound);
                    }
                    self.inboxes[mine].give_back(bytes);
                }
                Parcel::Send {
                    from,
                    flow,
                    token,
                    bytes,
                } => {
                    let why = self.send_for(from, &flow, token, bytes.bytes());
                    self.inboxes[mine].give_back(bytes);
                    if let Some(why) = why {
                        self.tell_undelivered(from, token, why);
                    }
                }
                Parcel::Close { conn } => self.streams.close(conn, &mut self.out),
                Parcel::Undelivered { token, why } => self.out.fail(token, why),
                Parcel::Letter { from, letter } => {
                    self.out.count(Metric::LettersIn, 1);
                    self.handler.letter(from, letter, &mut self.out);
                }
            }
        }
        self.has_more |= !self.inboxes[mine].is_empty();
    }

    /// Sends what another shard has for a connection of ours. `Some`: why it did not leave.
    fn send_for(
        &mut self,
        from: ShardId,
        flow: &Flow,
        token: u64,
        bytes: &[u8],
    ) -> Option<Undelivered> {
        let Some(packet) = self.out.packet(bytes.len()) else {
            return Some(Undelivered::Full);
        };
        self.out.buffer(packet)[..bytes.len()].copy_from_slice(bytes);
        self.out.set_len(packet, bytes.len());
        let registry = self.poll.registry();
        self.streams
            .send(registry, flow, packet, token, from, &mut self.out)
    }

    fn timers(&mut self) {
        let now = self.out.now();
        let mut work = self.limits.turn_timers;
        while let Some(token) = self.out.wheel.pop(now, &mut work) {
            self.out.count(Metric::TimersFired, 1);
            self.handler.deadline(token, &mut self.out);
        }
        self.has_more |= work == 0;
    }

    /// Takes up the first few of what was put off, and one also after a turn that leaves more to do: else
    /// it might never go on. No more: what is there already waits for it, and would then never be done
    /// where it is too much with these. But those of the first rank that have waited for long go on by
    /// some.
    #[cold]
    fn backlog(&mut self) {
        let at_once = if self.has_more { 1 } else { TAKEN_UP_A_TURN };
        for number in 0..OVERDUE_A_TURN {
            let out = &mut self.out;
            let overdue = Time(out.now().0.saturating_sub(FIRST_WAITS_US));
            let taken = match number {
                _ if number < at_once => out.backlog.take(&mut out.packets),
                _ => out.backlog.take_older(overdue, &mut out.packets),
            };
            let Some(taken) = taken else {
                return;
            };
            self.note_message();
            {
                let inbound = taken.inbound();
                let _in_hand = InHand(inbound.bytes);
                handle(&mut self.handler, &mut self.out, &inbound);
            }
            self.out.backlog.give_back(taken);
        }
    }

    /// Tells the handler what did not leave; what it does about it may fail again, next turn.
    fn failures(&mut self) {
        let count = self.out.failures.len();
        for _ in 0..count {
            let Some((token, why)) = self.out.failures.pop_front() else {
                return;
            };
            self.out.count(Metric::Undelivered, 1);
            self.handler.undelivered(token, why, &mut self.out);
        }
    }

    /// Whether [`Station::flush`] has anything to do.
    #[inline]
    fn has_output(&self) -> bool {
        !self.out.outgoing.is_empty()
            || self.streams.has_output()
            || self.udp.iter().any(UdpSocket::has_waiting)
    }

    /// Sends what was queued: datagrams in batches, packets for streams over their connections.
    fn flush(&mut self) {
        if !self.out.outgoing.is_empty() {
            self.empty_queue();
        }
        for socket in &mut self.udp {
            if socket.has_waiting() {
                let (sender, planner) = (&mut self.sender, &mut self.planner);
                socket.flush(sender, planner, &self.handler, &mut self.out);
            }
        }
        if self.streams.has_output() {
            self.streams.write(&mut self.out);
            for (to, token, why) in self.streams.take_failures() {
                self.tell_undelivered(to, token, why);
            }
        }
    }

    /// Sends each packet of the turn, or puts it where it waits for others or for its peer.
    fn empty_queue(&mut self) {
        let mut outgoing = std::mem::take(&mut self.out.outgoing);
        let is_straight = !self.handler.coalesces();
        let mut rest = &outgoing[..];
        while let Some((first, others)) = rest.split_first() {
            let left = match first {
                Outgoing::Send { flow, .. } if is_straight => self.send_straight(flow, rest),
                _ => 0,
            };
            if left > 0 {
                rest = &rest[left..];
            } else {
                self.send_one(first);
                rest = others;
            }
        }
        outgoing.clear();
        debug_assert!(
            self.out.outgoing.is_empty(),
            "nothing is sent while sending"
        );
        self.out.outgoing = outgoing;
    }

    /// Sends what is first in the queue without a copy of its place, if it is a datagram and others
    /// do not wait before it. Returns how many packets left.
    fn send_straight(&mut self, flow: &Flow, queue: &[Outgoing]) -> usize {
        match self.udp_of.get(usize::from(flow.listener.0)) {
            Some(&Some(at)) if flow.transport == Transport::Udp => {
                self.udp[at].send_straight(&mut self.sender, queue, &mut self.out)
            }
            _ => 0,
        }
    }

    fn send_one(&mut self, one: &Outgoing) {
        match *one {
            Outgoing::Send {
                ref flow,
                packet,
                token,
            } if flow.transport == Transport::Udp => self.queue(flow, packet, token),
            Outgoing::Send {
                flow,
                packet,
                token,
            } => self.send_stream(flow, packet, token),
            Outgoing::Close(conn) if conn.shard() == self.id => {
                self.streams.close(conn, &mut self.out);
            }
            Outgoing::Close(conn) => {
                let to = usize::from(conn.shard().0);
                let closed = |inbox: &Inbox<_>| inbox.push(Parcel::Close { conn });
                if !self.out.put(to, closed) {
                    self.out.count(Metric::InboxDrops, 1);
                }
            }
        }
    }

    fn queue(&mut self, flow: &Flow, packet: base::PacketId, token: u64) {
        let (metric, why) = match self.udp_of.get(usize::from(flow.listener.0)) {
            Some(&Some(at)) if self.udp[at].queue(flow, packet, token) => return,
            Some(Some(_)) => (Metric::SendQueueFull, Undelivered::Full),
            _ => (Metric::SendNoListener, Undelivered::NoListener),
        };
        self.out.count(metric, 1);
        self.out.release(packet);
        self.out.fail(token, why);
    }

    fn send_stream(&mut self, flow: Flow, packet: base::PacketId, token: u64) {
        let elsewhere = flow
            .conn
            .map(|conn| conn.shard())
            .filter(|&shard| shard != self.id);
        let why = match elsewhere {
            None => {
                let registry = self.poll.registry();
                self.streams
                    .send(registry, &flow, packet, token, self.id, &mut self.out)
            }
            Some(shard) => {
                let passed = self.out.pass(shard, &flow, packet, token);
                self.out.release(packet);
                if !passed {
                    self.out.count(Metric::InboxDrops, 1);
                }
                (!passed).then_some(Undelivered::Full)
            }
        };
        if let Some(why) = why {
            self.out.fail(token, why);
        }
    }

    fn tell_undelivered(&mut self, to: ShardId, token: u64, why: Undelivered) {
        if to == self.id {
            self.out.fail(token, why);
        } else if token != 0 {
            let told = |inbox: &Inbox<_>| inbox.push(Parcel::Undelivered { token, why });
            if !self.out.put(usize::from(to.0), told) {
                // Its own deadlines find out.
                self.out.count(Metric::InboxDrops, 1);
            }
        }
    }

    /// Wakes each shard that got something this turn, once, and only if it sleeps.
    fn wake_others(&mut self) {
        let mut woken = 0;
        if let Mail::Inboxes { all, touched } = &mut self.out.mail
            && touched.any()
        {
            touched.take(|shard| woken += u64::from(all[shard].wake()));
        }
        if woken > 0 {
            self.out.count(Metric::Wakes, woken);
        }
    }

    /// What is done every 100 ms. Returns whether the shard's end has come.
    fn housekeep(&mut self) -> bool {
        let now = self.out.now();
        if now < self.housekeeping {
            return false;
        }
        self.housekeeping = now.plus_millis(HOUSEKEEPING_MS);
        self.anchor = Anchor::new(now);
        self.handler.housekeeping(&mut self.out);
        self.streams.housekeeping(&mut self.out);
        self.out.set_gauges();
        // What housekeeping sent goes out now and not after a sleep.
        self.flush();
        self.wake_others();
        let mine = &self.all[usize::from(self.id.0)];
        match self.phase {
            Phase::Serving => {}
            Phase::Draining { until } => {
                mine.is_idle
                    .store(self.handler.is_idle(), Ordering::Release);
                let all_idle = self
                    .all
                    .iter()
                    .all(|shard| shard.is_idle.load(Ordering::Acquire));
                if all_idle || now >= until {
                    self.begin_stop();
                    self.flush();
                }
            }
            Phase::Stopping { until } => {
                mine.is_idle.store(true, Ordering::Release);
                let waits = self.udp.iter().any(UdpSocket::has_waiting);
                return (self.handler.is_idle() && !waits) || now >= until;
            }
        }
        // A shard that failed takes the process with it, in order: nobody owns its calls.
        let failed = self
            .all
            .iter()
            .any(|shard| shard.is_finished.load(Ordering::Acquire));
        if failed {
            self.begin_stop();
        }
        false
    }
}

/// Tells the handler of the message after the next.
#[inline]
fn expect<H: Handler>(handler: &mut H, bytes: &[u8]) {
    let _in_hand = InHand(bytes);
    handler.expect(bytes);
}

/// Gives a message to its owner: this shard's handler, or another shard's inbox.
fn deliver<H: Handler>(
    id: ShardId,
    handler: &mut H,
    out: &mut Outbox<H>,
    inboxes: &[Inbox<H::Letter>],
    inbound: &Inbound<'_>,
) {
    let _in_hand = InHand(inbound.bytes);
    if inbound.brought == Brought::Steered {
        match handler.steered(inbound, out) {
            Some(owner) => hand_over(owner, handler, out, inboxes, inbound),
            None => note_delay(out, inbound),
        }
        return;
    }
    match handler.owner(inbound.bytes) {
        Some(owner) if owner != id => hand_over(owner, handler, out, inboxes, inbound),
        _ => handle(handler, out, inbound),
    }
}

/// Puts a message into its owner's inbox, or has the handler say that there is no room.
fn hand_over<H: Handler>(
    owner: ShardId,
    handler: &mut H,
    out: &mut Outbox<H>,
    inboxes: &[Inbox<H::Letter>],
    inbound: &Inbound<'_>,
) {
    let (id, at) = (out.shard(), usize::from(owner.0));
    if inboxes[at].hand_over(id, &inbound.flow, inbound.received, inbound.bytes) {
        out.count(Metric::HandedOver, 1);
        if let Mail::Inboxes { touched, .. } = &mut out.mail {
            touched.note(at);
        }
    } else {
        out.count(Metric::InboxDrops, 1);
        handler.overflow(inbound, owner, out);
    }
}

/// A message that this shard owns; the caller has it in hand.
fn handle<H: Handler>(handler: &mut H, out: &mut Outbox<H>, inbound: &Inbound<'_>) {
    note_delay(out, inbound);
    handler.message(inbound, out);
}

fn note_delay<H: Handler>(out: &Outbox<H>, inbound: &Inbound<'_>) {
    let delay = out.now().micros_since(inbound.received);
    out.stats_runtime().histogram_record(DELAY, delay);
}

fn set_time<H: Handler>(out: &mut Outbox<H>, anchor: &Anchor, now: Time) {
    out.set_time(now, anchor.wall(now));
}
