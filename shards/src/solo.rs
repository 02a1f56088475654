//! One handler with its outbox and nothing else: for benches, and for tests that count what a
//! message costs.
//!
//! A [`crate::World`] keeps its events in a map and so allocates; the real runtime makes system
//! calls. This does neither: a call of the handler, then what it sent, in the caller's own time.

use std::sync::Arc;

use base::{Flow, ShardId, Time};
use crossbeam_queue::ArrayQueue;

use crate::config::WorldConfig;
use crate::handler::{Brought, Handler, Inbound};
use crate::outbox::{Links, Mail, Outbox, Outgoing};
use crate::ring::RecordRing;
use crate::stats::ShardStats;

/// Takes what the handler sends: the path and the octets.
pub type SoloSent<'a> = &'a mut dyn FnMut(&Flow, &[u8]);

/// One shard, driven by hand. Of its config the seed, the limits, the tables and the epoch count.
pub struct Solo<H: Handler> {
    handler: H,
    out: Outbox<H>,
    config: WorldConfig,
    is_busy: bool,
}

impl<H: Handler> std::fmt::Debug for Solo<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Solo").finish_non_exhaustive()
    }
}

impl<H: Handler> Solo<H> {
    /// A shard at time 0.
    #[must_use]
    pub fn new(config: WorldConfig, handler: H) -> Solo<H> {
        let limits = &config.limits;
        let links = Links {
            shard: ShardId(0),
            shards: 1,
            seed: config.seed,
            mail: Mail::Staged {
                letters: Vec::new(),
                room: vec![0; 1],
            },
            notices: Arc::new(ArrayQueue::new(limits.notices.max(1))),
            records: Arc::new(RecordRing::new(limits.records, limits.record_bytes)),
            stats: ShardStats::new(&config.tables()),
        };
        let out = Outbox::new(limits, links);
        Solo {
            handler,
            out,
            config,
            is_busy: false,
        }
    }

    /// A message arrives and is handled at once.
    pub fn message(&mut self, at: Time, flow: &Flow, bytes: &[u8], sent: SoloSent<'_>) {
        self.late_message(at, at, flow, bytes, sent);
    }

    /// A message that arrived at `received` is handled at `at`.
    pub fn late_message(
        &mut self,
        received: Time,
        at: Time,
        flow: &Flow,
        bytes: &[u8],
        sent: SoloSent<'_>,
    ) {
        let inbound = Inbound {
            flow: *flow,
            bytes,
            received,
            brought: Brought::Straight,
            is_expected: false,
        };
        self.call(at, sent, |handler, out| handler.message(&inbound, out));
    }

    /// As [`Solo::late_message`], of one that the kernel brought. `Some`: it is another shard's.
    pub fn steered(
        &mut self,
        received: Time,
        at: Time,
        flow: &Flow,
        bytes: &[u8],
        sent: SoloSent<'_>,
    ) -> Option<ShardId> {
        let inbound = Inbound {
            flow: *flow,
            bytes,
            received,
            brought: Brought::Steered,
            is_expected: false,
        };
        self.call(at, sent, |handler, out| handler.steered(&inbound, out))
    }

    /// Every deadline up to `at` fires, all at that moment.
    pub fn deadlines(&mut self, at: Time, sent: SoloSent<'_>) {
        loop {
            let mut work = self.config.limits.turn_timers;
            match self.out.wheel.pop(at, &mut work) {
                Some(token) => self.call(at, sent, |handler, out| handler.deadline(token, out)),
                None if work == 0 => {} // only moved deadlines down
                None => return,
            }
        }
    }

    /// Whether there is always something else to do, so that what is put off waits. If not, it is taken
    /// up after the next call.
    pub fn set_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    /// What a shard does every [`crate::HOUSEKEEPING_MS`].
    pub fn housekeeping(&mut self, at: Time, sent: SoloSent<'_>) {
        self.out.set_gauges();
        self.call(at, sent, |handler, out| handler.housekeeping(out));
    }

    /// Takes the records out; returns how many there were.
    pub fn records(&mut self) -> usize {
        let mut count = 0;
        while self.out.records.pop(&mut |_| count += 1) {}
        count
    }

    /// The handler.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Its outbox, to look at.
    #[must_use]
    pub fn out(&self) -> &Outbox<H> {
        &self.out
    }

    fn call<R>(
        &mut self,
        at: Time,
        sent: SoloSent<'_>,
        call: impl FnOnce(&mut H, &mut Outbox<H>) -> R,
    ) -> R {
        let wall = self.config.wall_epoch.plus_micros(at.0);
        self.out.set_time(at, wall);
        let result = call(&mut self.handler, &mut self.out);
        while !self.is_busy
            && let Some(taken) = self.out.backlog.take(&mut self.out.packets)
        {
            self.handler.message(&taken.inbound(), &mut self.out);
            self.out.backlog.give_back(taken);
        }
        let mut outgoing = std::mem::take(&mut self.out.outgoing);
        for one in &outgoing {
            if let Outgoing::Send { flow, packet, .. } = one {
                sent(flow, self.out.bytes(*packet));
                self.out.release(*packet);
            }
        }
        outgoing.clear();
        self.out.outgoing = outgoing;
        // Nobody carries letters or failures here.
        if let Mail::Staged { letters, .. } = &mut self.out.mail {
            letters.clear();
        }
        self.out.failures.clear();
        result
    }
}
