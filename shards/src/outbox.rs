//! What a handler may do: send, remember deadlines, write to others. All of it is preallocated.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{ConnId, Flow, PacketId, ShardId, Time, TimerId, Wall};
use crossbeam_queue::ArrayQueue;

use crate::backlog::Backlog;
use crate::handler::{Handler, Inbound, Rank, Undelivered};
use crate::inbox::{Inbox, Parcel};
use crate::limits::Limits;
use crate::metric::Metric;
use crate::packet::Packets;
use crate::random::Random;
use crate::ring::RecordRing;
use crate::stats::{Page, ShardStats};
use crate::steer::Gate;
use crate::wheel::Wheel;

/// A handler's hands: one per shard, given to it with every call.
///
/// Owns the shard's packets, deadlines and random numbers, and the queue of what it sends, which
/// the runtime (or the [`crate::World`]) empties after the turn. Time stands still during a call.
pub struct Outbox<H: Handler> {
    shard: ShardId,
    shards: u16,
    now: Time,
    now_ms: u64,
    wall: Wall,
    random: Random,
    pub(crate) packets: Packets,
    pub(crate) wheel: Wheel,
    /// What was put off.
    pub(crate) backlog: Backlog,
    /// What was sent since the last flush, in order.
    pub(crate) outgoing: Vec<Outgoing>,
    sends_max: usize,
    /// Failures whose handler is to be told.
    pub(crate) failures: VecDeque<(u64, Undelivered)>,
    pub(crate) mail: Mail<H::Letter>,
    pub(crate) notices: Arc<ArrayQueue<H::Notice>>,
    pub(crate) records: Arc<RecordRing>,
    pub(crate) stats: Arc<ShardStats>,
    gate: Option<Gate>,
}

/// One thing to do at the end of the turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outgoing {
    /// Its reference to the packet is the queue's own.
    Send {
        flow: Flow,
        packet: PacketId,
        token: u64,
    },
    Close(ConnId),
}

/// Where letters go.
pub(crate) enum Mail<L> {
    /// Into the other shards' inboxes at once; who got some is woken after the turn.
    Inboxes {
        all: Arc<[Inbox<L>]>,
        touched: Touched,
    },
    /// Kept until the world takes them; `room` says how many each shard would still take.
    Staged {
        letters: Vec<(ShardId, L)>,
        room: Vec<usize>,
    },
}

/// Which shards got something this turn.
#[derive(Debug)]
pub(crate) struct Touched {
    shards: Vec<bool>,
    any: bool,
}

impl Touched {
    pub(crate) fn new(shards: usize) -> Touched {
        Touched {
            shards: vec![false; shards],
            any: false,
        }
    }

    pub(crate) fn note(&mut self, shard: usize) {
        self.shards[shard] = true;
        self.any = true;
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Says which they were, and forgets them.
    pub(crate) fn take(&mut self, mut shard: impl FnMut(usize)) {
        self.any = false;
        for (at, touched) in self.shards.iter_mut().enumerate() {
            if std::mem::take(touched) {
                shard(at);
            }
        }
    }
}

/// What an outbox is made of besides memory.
pub(crate) struct Links<H: Handler> {
    pub(crate) shard: ShardId,
    pub(crate) shards: u16,
    pub(crate) seed: u64,
    pub(crate) mail: Mail<H::Letter>,
    pub(crate) notices: Arc<ArrayQueue<H::Notice>>,
    pub(crate) records: Arc<RecordRing>,
    pub(crate) stats: Arc<ShardStats>,
}

impl<H: Handler> std::fmt::Debug for Outbox<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("shard", &self.shard)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Outbox<H> {
    pub(crate) fn new(limits: &Limits, links: Links<H>) -> Outbox<H> {
        let packets = Packets::new(limits.packets);
        Outbox {
            shard: links.shard,
            shards: links.shards,
            now: Time::ZERO,
            now_ms: 0,
            wall: Wall::default(),
            random: Random::new(links.seed, u64::from(links.shard.0)),
            packets,
            wheel: Wheel::with_lanes(limits.timers, limits.usual_delays_ms),
            backlog: Backlog::new(limits.backlog),
            outgoing: Vec::with_capacity(limits.sends),
            sends_max: limits.sends,
            failures: VecDeque::with_capacity(limits.sends),
            mail: links.mail,
            notices: links.notices,
            records: links.records,
            stats: links.stats,
            gate: None,
        }
    }

    /// From now on the kernel can be told what to drop.
    pub(crate) fn set_gate(&mut self, gate: Option<Gate>) {
        self.gate = gate;
    }

    /// Where packets and deadlines lie, and how many octets they take.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (*const u8, usize)> {
        let packets = self.packets.rooms().into_iter();
        packets.chain([self.wheel.room()])
    }

    /// The moment of this call, on the monotonic clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The millisecond of this call, rounded up: what is due then is never early.
    #[must_use]
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The moment of this call in civil time, for records.
    #[must_use]
    pub fn wall(&self) -> Wall {
        self.wall
    }

    /// Which shard this is.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// By what the kernel is told what to drop, where it can.
    pub fn gate(&mut self) -> Option<&mut Gate> {
        self.gate.as_mut()
    }

    /// 64 pseudo-random bits, from a sequence of this shard's own. Not for secrets.
    pub fn random(&mut self) -> u64 {
        self.random.draw()
    }

    /// A packet for at least `capacity` octets, with one reference and length 0. `None` = the pool
    /// is used up, which is counted.
    pub fn packet(&mut self, capacity: usize) -> Option<PacketId> {
        let packet = self.packets.take(capacity);
        if packet.is_none() {
            self.count(Metric::PacketsFull, 1);
        }
        packet
    }

    /// A packet's octets.
    #[must_use]
    pub fn bytes(&self, packet: PacketId) -> &[u8] {
        self.packets.bytes(packet)
    }

    /// A packet's whole capacity, to compose into. It must have no second reference.
    pub fn buffer(&mut self, packet: PacketId) -> &mut [u8] {
        self.packets.buffer(packet)
    }

    /// Says how many octets of its buffer a packet has.
    pub fn set_len(&mut self, packet: PacketId, len: usize) {
        self.packets.set_len(packet, len);
    }

    /// Keeps a word with a packet for [`Handler::fellow`], at most [`crate::NOTE_MAX`].
    pub fn set_note(&mut self, packet: PacketId, note: u32) {
        self.packets.set_note(packet, note);
    }

    /// One more reference to a packet.
    pub fn retain(&mut self, packet: PacketId) {
        self.packets.retain(packet);
    }

    /// One reference to a packet less; the last one frees it.
    pub fn release(&mut self, packet: PacketId) {
        self.packets.release(packet);
    }

    /// Puts a message off: the handler gets it again ([`crate::Brought::PutOff`]) when the shard has
    /// nothing else to do, some in a turn, or one if it always has, and a few more of the first rank when
    /// they have waited for long; by rank, and those of one rank in their order. `false` = too many are,
    /// which is counted: it is to be handled now.
    #[must_use]
    pub fn put_off(&mut self, inbound: &Inbound<'_>, rank: Rank) -> bool {
        let is_put_off = self.backlog.put(inbound, rank, &mut self.packets);
        let metric = match is_put_off {
            true => Metric::PutOff,
            false => Metric::BacklogFull,
        };
        self.count(metric, 1);
        is_put_off
    }

    /// Whether any message waits that was put off.
    #[must_use]
    #[inline]
    pub fn has_put_off(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Queues a packet to be sent at the end of the turn, with a reference of its own.
    ///
    /// Datagrams leave from this shard's socket of `flow.listener`, with `flow.local` as source if
    /// that listener is a wildcard. On a stream with a connection the packet leaves over it, on
    /// whichever shard it lives; without one, over the connection that this shard opened to
    /// `flow.peer`, or over a new one, where it waits until that is open. If it cannot leave,
    /// [`Handler::undelivered`] is told `token`; 0 = nobody wants to hear of it.
    pub fn send(&mut self, flow: &Flow, packet: PacketId, token: u64) {
        if self.outgoing.len() == self.sends_max {
            self.count(Metric::SendQueueFull, 1);
            self.fail(token, Undelivered::Full);
            return;
        }
        self.packets.retain(packet);
        self.outgoing.push(Outgoing::Send {
            flow: *flow,
            packet,
            token,
        });
    }

    /// Closes a connection at the end of the turn, after what was sent over it before.
    pub fn close(&mut self, conn: ConnId) {
        if self.outgoing.len() == self.sends_max {
            self.count(Metric::SendQueueFull, 1);
            return;
        }
        self.outgoing.push(Outgoing::Close(conn));
    }

    /// Remembers to call [`Handler::deadline`] with `token` after `delay_us`. `None` = the wheel is
    /// full, which is counted.
    pub fn arm(&mut self, delay_us: u64, token: u64) -> Option<TimerId> {
        let deadline = self.now.0.saturating_add(delay_us);
        self.arm_at(deadline.div_ceil(1_000), token)
    }

    /// As [`Outbox::arm`], at a millisecond of this shard's clock, which may have passed.
    #[inline]
    pub fn arm_at(&mut self, at_ms: u64, token: u64) -> Option<TimerId> {
        let timer = self.wheel.insert_at(at_ms, token);
        let metric = match timer {
            Some(_) => Metric::TimersArmed,
            None => Metric::TimersFull,
        };
        self.count(metric, 1);
        timer
    }

    /// Moves a deadline to a millisecond of this shard's clock, and has it call with `token` from now
    /// on; one that has fired or was cancelled is armed anew. Returns its id, as [`Outbox::arm_at`]
    /// does.
    pub fn rearm(&mut self, timer: TimerId, at_ms: u64, token: u64) -> Option<TimerId> {
        if self.wheel.rearm_at(timer, at_ms, token) {
            return Some(timer);
        }
        self.arm_at(at_ms, token)
    }

    /// Whether a deadline that is put off to this moment may as well stay where it is: it fires
    /// before, and so late that it is mostly moved again until then.
    #[must_use]
    #[inline]
    pub fn fires_by(&self, timer: TimerId, at_ms: u64) -> bool {
        self.wheel.fires_by(timer, at_ms)
    }

    /// Forgets a deadline; one that has fired or was cancelled is left alone.
    pub fn cancel(&mut self, timer: TimerId) {
        if self.wheel.cancel(timer) {
            self.count(Metric::TimersCancelled, 1);
        }
    }

    /// Sends a letter to the handler of a shard, this one's own included. `false` = its inbox is
    /// full, which is counted.
    pub fn post(&mut self, to: ShardId, letter: H::Letter) -> bool {
        let index = usize::from(to.0);
        let posted = match &mut self.mail {
            Mail::Inboxes { all, touched } => {
                let from = self.shard;
                let posted = all[index].push(Parcel::Letter { from, letter });
                if posted {
                    touched.note(index);
                }
                posted
            }
            Mail::Staged { letters, room } => {
                let posted = room[index] > 0;
                if posted {
                    room[index] -= 1;
                    letters.push((to, letter));
                }
                posted
            }
        };
        let metric = if posted {
            Metric::LettersOut
        } else {
            Metric::InboxDrops
        };
        self.count(metric, 1);
        posted
    }

    /// Tells the control plane something. `false` = it has not read the earlier ones, which is
    /// counted.
    pub fn notice(&mut self, notice: H::Notice) -> bool {
        let told = self.notices.push(notice).is_ok();
        if !told {
            self.count(Metric::NoticesFull, 1);
        }
        told
    }

    /// Puts one record out: `fill` writes up to `len_max` octets into the buffer it is given and
    /// returns how many. `false` = the ring is full or records are never so long, which is counted;
    /// nothing was written.
    pub fn record(&mut self, len_max: usize, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> bool {
        let put = self.records.put(len_max, fill);
        let metric = if put {
            Metric::RecordsOut
        } else {
            Metric::RecordsFull
        };
        self.count(metric, 1);
        put
    }

    /// How many records can be put out before one is read.
    #[must_use]
    pub fn records_free(&self) -> usize {
        self.records.free()
    }

    /// The handler's own page of numbers.
    #[must_use]
    pub fn stats(&self) -> &Page {
        &self.stats.handler
    }

    /// Adds a value to a histogram of the handler's page.
    pub fn histogram_record(&self, index: usize, value_us: u64) {
        self.stats.handler.histogram_record(index, value_us);
    }

    /// How many packets are in use.
    #[must_use]
    pub fn packets_live(&self) -> usize {
        self.packets.live()
    }

    /// How many deadlines are armed.
    #[must_use]
    pub fn timers_armed(&self) -> usize {
        self.wheel.len()
    }

    pub(crate) fn set_time(&mut self, now: Time, wall: Wall) {
        self.now = now;
        self.now_ms = now.0.div_ceil(1_000);
        self.wall = wall;
    }

    /// The runtime's own page.
    pub(crate) fn stats_runtime(&self) -> &Page {
        &self.stats.runtime
    }

    pub(crate) fn count(&self, metric: Metric, n: u64) {
        self.stats.runtime.add(metric as usize, n);
    }

    /// Puts something into another shard's inbox; it is woken after the turn. `false` = it is full,
    /// or there is no such shard.
    pub(crate) fn put(&mut self, to: usize, put: impl FnOnce(&Inbox<H::Letter>) -> bool) -> bool {
        let Mail::Inboxes { all, touched } = &mut self.mail else {
            unreachable!("a shard on a thread has inboxes around it")
        };
        let fits = all.get(to).is_some_and(put);
        if fits {
            touched.note(to);
        }
        fits
    }

    /// Passes a packet to the shard of its connection. `false` = its inbox is full.
    pub(crate) fn pass(&mut self, to: ShardId, flow: &Flow, packet: PacketId, token: u64) -> bool {
        let Mail::Inboxes { all, touched } = &mut self.mail else {
            unreachable!("a shard on a thread has inboxes around it")
        };
        let to = usize::from(to.0);
        let bytes = self.packets.bytes(packet);
        let passed = (all.get(to)).is_some_and(|inbox| inbox.pass(self.shard, flow, token, bytes));
        if passed {
            touched.note(to);
        }
        passed
    }

    /// Remembers that the handler is to be told of a packet that did not leave.
    pub(crate) fn fail(&mut self, token: u64, why: Undelivered) {
        if token != 0 {
            self.failures.push_back((token, why));
        }
    }

    /// Sets the gauges that only housekeeping needs to.
    pub(crate) fn set_gauges(&self) {
        let page = &self.stats.runtime;
        page.set(Metric::TimersLive as usize, self.wheel.len() as u64);
        page.set(Metric::BacklogDepth as usize, self.backlog.len() as u64);
        for class in 0..crate::packet::PACKET_SIZES.len() {
            let live = self.packets.live_of(class) as u64;
            page.set(Metric::PacketsLive512 as usize + class, live);
        }
    }
}
