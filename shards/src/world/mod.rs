//! Shards without threads, sockets or a clock: the whole runtime as one deterministic value.
//!
//! A world runs N handlers on the caller's thread in virtual time. What would be a system call is
//! an event here: datagrams and stream octets come in by [`World::datagram`] and
//! [`World::stream_bytes`], what the handlers send goes out through the callback of
//! [`World::step`]. A hand-over between shards is an event of its own with a seeded delay, so a
//! seed repeats a run to the last event.
//!
//! Not modelled: the time that handling takes, the slow-sender and idle limits of connections, and
//! full kernel buffers; the tests of the real runtime cover those.

mod stream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base::{ConnId, Flow, ListenerId, ShardId, Slab, Time, Transport, Wall};
use crossbeam_queue::ArrayQueue;

use crate::config::{ListenerSpec, WorldConfig};
use crate::handler::{Brought, Handler, Inbound, Undelivered};
use crate::limits::Limits;
use crate::metric::{DELAY, Metric};
use crate::outbox::{Links, Mail, Outbox, Outgoing};
use crate::random::Random;
use crate::ring::RecordRing;
use crate::stats::ShardStats;
use crate::{HOUSEKEEPING_MS, Letter};

use stream::Stream;
pub use stream::StreamId;

/// N handlers and their outboxes in virtual time.
pub struct World<H: Handler> {
    seed: u64,
    limits: Limits,
    listeners: Vec<ListenerSpec>,
    hand_over_us: RangeInclusive<u64>,
    /// Who brings datagrams.
    brought: Brought,
    wall_epoch: Wall,
    now: Time,
    random: Random,
    nodes: Vec<Node<H>>,
    /// What is to come, in order; the serial keeps events of one moment in the order they were made.
    events: BTreeMap<(Time, u64), Event<H>>,
    serial: u64,
    /// How many datagrams came, for what depends on how they come together.
    arrived: u64,
    streams: Vec<Stream>,
}

/// One shard of the world.
struct Node<H: Handler> {
    handler: H,
    out: Outbox<H>,
    conns: Slab<StreamId>,
    /// Parcels on their way to it.
    in_flight: usize,
    /// When the last of them arrives: an inbox keeps its order.
    last_arrival: Time,
    restarts: u64,
    /// Whether a moment is set at which it takes up what was put off.
    takes_up: bool,
}

/// How long a shard may be busy before it takes up what was put off.
const PUT_OFF_US: u64 = 50_000;

enum Event<H: Handler> {
    Datagram {
        shard: usize,
        flow: Flow,
        bytes: Vec<u8>,
    },
    HandOver {
        shard: usize,
        flow: Flow,
        received: Time,
        bytes: Vec<u8>,
    },
    Letter {
        shard: usize,
        from: ShardId,
        letter: Letter<H>,
    },
    /// A packet for a connection that lives on `shard`.
    Pass {
        shard: usize,
        from: usize,
        flow: Flow,
        token: u64,
        bytes: Vec<u8>,
    },
    Close {
        shard: usize,
        conn: ConnId,
    },
    Undelivered {
        shard: usize,
        restarts: u64,
        token: u64,
        why: Undelivered,
    },
    StreamOpen(StreamId),
    StreamBytes(StreamId, Vec<u8>),
    StreamClose(StreamId),
    StreamRefuse(StreamId),
    /// A connection that a restart cut off: told to the outside.
    StreamCut(StreamId, Flow),
    Snapshot(usize, Arc<H::Snapshot>),
    Drain(usize),
    Housekeeping(usize),
    /// A shard has nothing else to do.
    TakeUp(usize),
}

/// What left a shard of the world.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// When.
    pub at: Time,
    /// From which shard.
    pub shard: ShardId,
    /// Over which path. On a stream `conn` is set.
    pub flow: Flow,
    /// The octets; none if this is a connection being closed.
    pub bytes: &'a [u8],
    /// The handler's name for it, for [`World::undelivered`]; 0 = it does not want to hear.
    pub token: u64,
    /// The stream, if it is one.
    pub stream: Option<StreamId>,
    /// These are the first octets of a connection that the shard opens with them.
    pub connect: bool,
    /// The shard closes the connection.
    pub close: bool,
}

/// Takes what the shards send.
pub type SentTo<'a> = &'a mut dyn FnMut(Sent<'_>);

impl<H: Handler> std::fmt::Debug for World<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<H: Handler> World<H> {
    /// A world at time 0 in which nothing has happened.
    pub fn new(config: WorldConfig, mut make: impl FnMut(ShardId) -> H) -> World<H> {
        assert!(config.shards > 0, "a world has a shard");
        let nodes = (0..config.shards)
            .map(|shard| {
                let notices = Arc::new(ArrayQueue::new(config.limits.notices.max(1)));
                let records = RecordRing::new(config.limits.records, config.limits.record_bytes);
                let out = Outbox::new(
                    &config.limits,
                    Links {
                        shard: ShardId(shard),
                        shards: config.shards,
                        seed: config.seed,
                        mail: staged(config.shards),
                        notices,
                        records: Arc::new(records),
                        stats: ShardStats::new(&config.tables()),
                    },
                );
                Node {
                    handler: make(ShardId(shard)),
                    out,
                    conns: Slab::new(ShardId(shard), config.limits.connections),
                    in_flight: 0,
                    last_arrival: Time::ZERO,
                    restarts: 0,
                    takes_up: false,
                }
            })
            .collect();
        let mut world = World {
            seed: config.seed,
            limits: config.limits,
            listeners: config.listeners,
            hand_over_us: config.hand_over_us,
            brought: match config.is_steered {
                true => Brought::Steered,
                false => Brought::Straight,
            },
            wall_epoch: config.wall_epoch,
            now: Time::ZERO,
            random: Random::new(config.seed, u64::MAX),
            nodes,
            events: BTreeMap::new(),
            serial: 0,
            arrived: 0,
            streams: Vec::new(),
        };
        for shard in 0..world.nodes.len() {
            let first = Time::from_millis(HOUSEKEEPING_MS);
            world.schedule(first, Event::Housekeeping(shard));
        }
        world
    }

    /// The moment of the last event.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// A datagram arrives from outside at a listener. Which shard's socket gets it depends on the
    /// addresses only, as in the kernel.
    pub fn datagram(&mut self, at: Time, listener: ListenerId, peer: SocketAddr, bytes: &[u8]) {
        let flow = Flow {
            transport: Transport::Udp,
            listener,
            local: self.listeners[usize::from(listener.0)].address,
            peer,
            conn: None,
        };
        let shard = self.landing(listener, peer);
        let bytes = bytes.to_vec();
        self.schedule(at, Event::Datagram { shard, flow, bytes });
    }

    /// Tells a shard that what it sent with this token did not reach its peer.
    pub fn undelivered(&mut self, at: Time, shard: ShardId, token: u64, why: Undelivered) {
        if token == 0 {
            return;
        }
        let shard = usize::from(shard.0);
        let restarts = self.nodes[shard].restarts;
        self.schedule(
            at,
            Event::Undelivered {
                shard,
                restarts,
                token,
                why,
            },
        );
    }

    /// Runs the next event that is due at `until` or before; `false` if there is none, and then the
    /// time is `until`. What the handlers sent is handed to `sent`.
    pub fn step(&mut self, until: Time, sent: SentTo<'_>) -> bool {
        loop {
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let timer = (self.nodes.iter().enumerate())
                .filter_map(|(shard, node)| Some((node.out.wheel.next()?, shard)))
                .min();
            let next = event.into_iter().chain(timer.map(|(at, _)| at)).min();
            let at = match next {
                Some(at) if at <= until => at.max(self.now),
                _ => {
                    self.now = self.now.max(until);
                    return false;
                }
            };
            self.now = at;
            match (event, timer) {
                (Some(event), timer) if timer.is_none_or(|(timer, _)| event <= timer) => {
                    let (_, event) = self.events.pop_first().expect("it was looked at");
                    self.run(event, sent);
                    return true;
                }
                (_, Some((_, shard))) => {
                    let mut work = self.limits.turn_timers;
                    let due = self.nodes[shard].out.wheel.pop(at, &mut work);
                    if let Some(token) = due {
                        self.nodes[shard].out.count(Metric::TimersFired, 1);
                        self.call(shard, sent, |handler, out| handler.deadline(token, out));
                        return true;
                    }
                    // The wheel only moved timers down; the next deadline is later than it said.
                }
                _ => unreachable!("something is next"),
            }
        }
    }

    /// Runs everything that is due at `until` or before.
    pub fn run_until(&mut self, until: Time, sent: SentTo<'_>) {
        while self.step(until, sent) {}
    }

    /// A new snapshot for every shard, each at a moment of its own.
    pub fn publish(&mut self, snapshot: Arc<H::Snapshot>) {
        for shard in 0..self.nodes.len() {
            let at = self.now + self.hop();
            self.schedule(at, Event::Snapshot(shard, snapshot.clone()));
        }
    }

    /// No new calls from now on, on every shard.
    pub fn drain(&mut self) {
        for shard in 0..self.nodes.len() {
            self.schedule(self.now, Event::Drain(shard));
        }
    }

    /// Whether no handler has anything in progress.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.nodes.iter().all(|node| node.handler.is_idle())
    }

    /// Ends all shards in order.
    pub fn stop(&mut self, sent: SentTo<'_>) {
        for shard in 0..self.nodes.len() {
            self.call(shard, sent, |handler, out| handler.stop(out));
        }
    }

    /// A shard fails and begins anew: its state, deadlines, packets and connections are lost, what
    /// is on its way to it is not.
    pub fn restart(&mut self, shard: ShardId, handler: H) {
        let index = usize::from(shard.0);
        let lost: Vec<StreamId> = (self.nodes[index].conns.iter())
            .map(|(_, &stream)| stream)
            .collect();
        for stream in lost {
            let flow = self.streams[stream.0].flow;
            self.streams[stream.0].open = false;
            self.schedule(self.now, Event::StreamCut(stream, flow));
        }
        let shards = self.nodes.len() as u16;
        let node = &mut self.nodes[index];
        node.restarts += 1;
        node.handler = handler;
        node.conns = Slab::new(shard, self.limits.connections);
        node.out = Outbox::new(
            &self.limits,
            Links {
                shard,
                shards,
                seed: self.seed ^ node.restarts.rotate_left(32),
                mail: staged(shards),
                notices: node.out.notices.clone(),
                records: node.out.records.clone(),
                stats: node.out.stats.clone(),
            },
        );
    }

    /// A shard's handler.
    #[must_use]
    pub fn handler(&self, shard: ShardId) -> &H {
        &self.nodes[usize::from(shard.0)].handler
    }

    /// A shard's handler, for tests that reach into it.
    pub fn handler_mut(&mut self, shard: ShardId) -> &mut H {
        &mut self.nodes[usize::from(shard.0)].handler
    }

    /// The records put out since the last look, shard by shard.
    pub fn records(&mut self) -> Vec<(ShardId, Vec<u8>)> {
        let mut all = Vec::new();
        for (shard, node) in self.nodes.iter().enumerate() {
            let mut read = |bytes: &[u8]| all.push((ShardId(shard as u16), bytes.to_vec()));
            while node.out.records.pop(&mut read) {}
        }
        all
    }

    /// The notices given since the last look, shard by shard.
    pub fn notices(&mut self) -> Vec<(ShardId, H::Notice)> {
        let mut all = Vec::new();
        for (shard, node) in self.nodes.iter().enumerate() {
            while let Some(notice) = node.out.notices.pop() {
                all.push((ShardId(shard as u16), notice));
            }
        }
        all
    }

    /// How many deadlines a shard has armed.
    #[must_use]
    pub fn armed_timers(&self, shard: ShardId) -> usize {
        self.nodes[usize::from(shard.0)].out.timers_armed()
    }

    /// How many packets a shard has in use.
    #[must_use]
    pub fn live_packets(&self, shard: ShardId) -> usize {
        self.nodes[usize::from(shard.0)].out.packets_live()
    }

    /// How many connections a shard has open.
    #[must_use]
    pub fn open_connections(&self, shard: ShardId) -> usize {
        self.nodes[usize::from(shard.0)].conns.len()
    }

    /// A shard's numbers. They outlive its restart.
    #[must_use]
    pub fn stats(&self, shard: ShardId) -> &ShardStats {
        &self.nodes[usize::from(shard.0)].out.stats
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.nodes.len() as u16
    }

    fn schedule(&mut self, at: Time, event: Event<H>) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), event);
    }

    fn run(&mut self, event: Event<H>, sent: SentTo<'_>) {
        match event {
            Event::Datagram { shard, flow, bytes } => {
                let out = &self.nodes[shard].out;
                out.count(Metric::DatagramsIn, 1);
                out.count(Metric::DatagramBytesIn, bytes.len() as u64);
                self.arrive(shard, &flow, &bytes, self.brought, sent);
            }
            Event::HandOver {
                shard,
                flow,
                received,
                bytes,
            } => {
                let inbound = Inbound {
                    flow,
                    bytes: &bytes,
                    received,
                    brought: Brought::HandedOver,
                    is_expected: false,
                };
                self.take_over(shard, &inbound, sent);
            }
            Event::Letter {
                shard,
                from,
                letter,
            } => {
                self.nodes[shard].in_flight -= 1;
                self.nodes[shard].out.count(Metric::LettersIn, 1);
                self.call(shard, sent, |handler, out| {
                    handler.letter(from, letter, out);
                });
            }
            Event::Pass {
                shard,
                from,
                flow,
                token,
                bytes,
            } => {
                self.nodes[shard].in_flight -= 1;
                self.pass(shard, from, flow, token, &bytes, sent);
            }
            Event::Close { shard, conn } => {
                self.nodes[shard].in_flight -= 1;
                self.close(shard, conn, sent);
            }
            Event::Snapshot(..)
            | Event::Drain(_)
            | Event::Housekeeping(_)
            | Event::Undelivered { .. }
            | Event::TakeUp(_) => self.run_own(event, sent),
            Event::StreamOpen(_)
            | Event::StreamBytes(..)
            | Event::StreamClose(_)
            | Event::StreamRefuse(_)
            | Event::StreamCut(..) => self.run_stream(event, sent),
        }
    }

    /// What comes from the control plane, and what a shard does or learns by itself.
    fn run_own(&mut self, event: Event<H>, sent: SentTo<'_>) {
        match event {
            Event::Snapshot(shard, snapshot) => self.call(shard, sent, |handler, out| {
                drop(handler.snapshot(snapshot, out));
            }),
            Event::Drain(shard) => self.call(shard, sent, |handler, out| handler.drain(out)),
            Event::Housekeeping(shard) => {
                self.schedule(
                    self.now.plus_millis(HOUSEKEEPING_MS),
                    Event::Housekeeping(shard),
                );
                self.nodes[shard].out.set_gauges();
                self.call(shard, sent, |handler, out| handler.housekeeping(out));
            }
            Event::Undelivered {
                shard,
                restarts,
                token,
                why,
            } => {
                if self.nodes[shard].restarts == restarts {
                    self.nodes[shard].out.count(Metric::Undelivered, 1);
                    self.call(shard, sent, |handler, out| {
                        handler.undelivered(token, why, out);
                    });
                }
            }
            Event::TakeUp(shard) => self.take_up(shard, sent),
            _ => unreachable!("`run` sends only these here"),
        }
    }

    /// A message stands at a shard's door: to its owner, or to the handler.
    fn arrive(&mut self, shard: usize, flow: &Flow, bytes: &[u8], from: Brought, sent: SentTo<'_>) {
        // Every other one as a shard that finds several at once does it.
        self.arrived = self.arrived.wrapping_add(1);
        let is_expected = self.arrived.is_multiple_of(2);
        let inbound = Inbound {
            flow: *flow,
            bytes,
            received: self.now,
            brought: from,
            is_expected,
        };
        if is_expected {
            self.nodes[shard].handler.expect(bytes);
        }
        let owner = match from {
            Brought::Steered => {
                let owner = self.call(shard, sent, |handler, out| handler.steered(&inbound, out));
                if owner.is_none() {
                    self.note_delay(shard, self.now);
                }
                owner
            }
            _ => {
                let owner = self.nodes[shard].handler.owner(bytes);
                let owner = owner.filter(|owner| usize::from(owner.0) != shard);
                if owner.is_none() {
                    self.message(shard, &inbound, sent);
                }
                owner
            }
        };
        if is_expected {
            self.nodes[shard].handler.expect_none();
        }
        if let Some(owner) = owner {
            self.hand_over(shard, owner, &inbound, sent);
        }
    }

    fn hand_over(&mut self, shard: usize, owner: ShardId, inbound: &Inbound<'_>, sent: SentTo<'_>) {
        let to = usize::from(owner.0);
        if self.nodes[to].in_flight >= self.limits.inbox {
            self.nodes[shard].out.count(Metric::InboxDrops, 1);
            self.call(shard, sent, |handler, out| {
                handler.overflow(inbound, owner, out);
            });
            return;
        }
        self.nodes[shard].out.count(Metric::HandedOver, 1);
        let event = Event::HandOver {
            shard: to,
            flow: inbound.flow,
            received: inbound.received,
            bytes: inbound.bytes.to_vec(),
        };
        self.post(to, event);
    }

    fn take_over(&mut self, shard: usize, inbound: &Inbound<'_>, sent: SentTo<'_>) {
        self.nodes[shard].in_flight -= 1;
        self.nodes[shard].out.count(Metric::TakenOver, 1);
        self.message(shard, inbound, sent);
    }

    /// All that was put off, in its order.
    fn take_up(&mut self, shard: usize, sent: SentTo<'_>) {
        self.nodes[shard].takes_up = false;
        loop {
            let out = &mut self.nodes[shard].out;
            let Some(taken) = out.backlog.take(&mut out.packets) else {
                return;
            };
            self.message(shard, &taken.inbound(), sent);
            self.nodes[shard].out.backlog.give_back(taken);
        }
    }

    fn message(&mut self, shard: usize, inbound: &Inbound<'_>, sent: SentTo<'_>) {
        self.note_delay(shard, inbound.received);
        self.call(shard, sent, |handler, out| handler.message(inbound, out));
    }

    fn note_delay(&self, shard: usize, received: Time) {
        let delay = self.now.micros_since(received);
        let stats = &self.nodes[shard].out.stats;
        stats.runtime.histogram_record(DELAY, delay);
    }

    /// Calls a handler at the present moment, then carries out what it wrote.
    fn call<R>(
        &mut self,
        shard: usize,
        sent: SentTo<'_>,
        call: impl FnOnce(&mut H, &mut Outbox<H>) -> R,
    ) -> R {
        let inbox = self.limits.inbox;
        let rooms: Vec<usize> = (self.nodes.iter())
            .map(|node| inbox.saturating_sub(node.in_flight))
            .collect();
        let node = &mut self.nodes[shard];
        if let Mail::Staged { room, .. } = &mut node.out.mail {
            room.copy_from_slice(&rooms);
        }
        node.out
            .set_time(self.now, self.wall_epoch.plus_micros(self.now.0));
        let result = call(&mut node.handler, &mut node.out);
        if node.out.has_put_off() && !node.takes_up {
            node.takes_up = true;
            let wait = std::time::Duration::from_micros(self.random.below(PUT_OFF_US));
            self.schedule(self.now + wait, Event::TakeUp(shard));
        }
        self.flush(shard, sent);
        result
    }

    fn flush(&mut self, shard: usize, sent: SentTo<'_>) {
        let from = ShardId(shard as u16);
        if let Mail::Staged { letters, .. } = &mut self.nodes[shard].out.mail {
            for (to, letter) in std::mem::take(letters) {
                let shard = usize::from(to.0);
                let event = Event::Letter {
                    shard,
                    from,
                    letter,
                };
                self.post(shard, event);
            }
        }
        let mut outgoing = std::mem::take(&mut self.nodes[shard].out.outgoing);
        for one in outgoing.drain(..) {
            match one {
                Outgoing::Send {
                    flow,
                    packet,
                    token,
                } => {
                    let bytes = self.nodes[shard].out.bytes(packet).to_vec();
                    self.nodes[shard].out.release(packet);
                    self.send(shard, flow, &bytes, token, sent);
                }
                Outgoing::Close(conn) if conn.shard() == from => self.close(shard, conn, sent),
                Outgoing::Close(conn) => {
                    let shard = usize::from(conn.shard().0);
                    self.post(shard, Event::Close { shard, conn });
                }
            }
        }
        self.nodes[shard].out.outgoing = outgoing;
        while let Some((token, why)) = self.nodes[shard].out.failures.pop_front() {
            self.undelivered(self.now, from, token, why);
        }
    }

    fn send(&mut self, shard: usize, flow: Flow, bytes: &[u8], token: u64, sent: SentTo<'_>) {
        let spec = self.listeners.get(usize::from(flow.listener.0));
        if spec.is_none_or(|spec| spec.transport != flow.transport) {
            self.nodes[shard].out.count(Metric::SendNoListener, 1);
            self.nodes[shard].out.fail(token, Undelivered::NoListener);
            return;
        }
        match flow.transport {
            Transport::Udp => {
                let out = &self.nodes[shard].out;
                out.count(Metric::DatagramsOut, 1);
                out.count(Metric::DatagramBytesOut, bytes.len() as u64);
                sent(Sent {
                    at: self.now,
                    shard: ShardId(shard as u16),
                    flow,
                    bytes,
                    token,
                    stream: None,
                    connect: false,
                    close: false,
                });
            }
            Transport::Tcp => self.send_stream(shard, flow, bytes, token, sent),
        }
    }

    /// Puts something into a shard's inbox; it arrives after a seeded delay, in order.
    fn post(&mut self, to: usize, event: Event<H>) {
        let arrival = (self.now + self.hop()).max(self.nodes[to].last_arrival);
        self.nodes[to].last_arrival = arrival;
        self.nodes[to].in_flight += 1;
        self.schedule(arrival, event);
    }

    fn hop(&mut self) -> std::time::Duration {
        let (start, end) = (*self.hand_over_us.start(), *self.hand_over_us.end());
        let us = start + self.random.below(end.saturating_sub(start) + 1);
        std::time::Duration::from_micros(us)
    }

    /// The shard whose socket gets what comes from `peer`.
    fn landing(&self, listener: ListenerId, peer: SocketAddr) -> usize {
        let ip = match peer.ip() {
            std::net::IpAddr::V4(ip) => u128::from(u32::from(ip)),
            std::net::IpAddr::V6(ip) => u128::from(ip),
        };
        let ends = u64::from(peer.port()) << 8 | u64::from(listener.0);
        let mut mix = Random::new(self.seed ^ ip as u64 ^ (ip >> 64) as u64, ends);
        mix.below(self.nodes.len() as u64) as usize
    }
}

fn staged<L>(shards: u16) -> Mail<L> {
    Mail::Staged {
        letters: Vec::new(),
        room: vec![0; usize::from(shards)],
    }
}
