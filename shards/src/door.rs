//! The handler of a shard and what stands around it: its outbox, the clock, the other shards.

use std::sync::{Arc, OnceLock};

use base::{Flow, ShardId, Time, Wall};

use crate::clock::{Anchor, Clock};
use crate::handler::{Handler, Inbound, Undelivered};
use crate::inbox::{Inbox, Parcel};
use crate::metric::{DELAY, Metric};
use crate::outbox::{Mail, Outbox};

/// Where messages reach the handler, or are handed over to the shard that owns them.
///
/// Apart from the sockets, so that octets in their buffers can be shown to the handler as they are.
pub(crate) struct Door<H: Handler> {
    pub(crate) handler: H,
    pub(crate) out: Outbox<H>,
    clock: Clock,
    anchor: Anchor,
    /// The message that was being handled when the handler panicked.
    offending: Arc<OnceLock<Vec<u8>>>,
}

impl<H: Handler> Door<H> {
    pub(crate) fn new(
        handler: H,
        out: Outbox<H>,
        clock: Clock,
        offending: Arc<OnceLock<Vec<u8>>>,
    ) -> Door<H> {
        Door {
            handler,
            out,
            clock,
            anchor: clock.anchor(),
            offending,
        }
    }

    /// A turn begins: reads both clocks.
    pub(crate) fn begin(&mut self) -> Time {
        self.anchor = self.clock.anchor();
        let now = self.anchor.now;
        self.out.set_time(now, self.anchor.wall_at(now));
        now
    }

    /// Reads the clock again, so that each message is handled at its own moment.
    pub(crate) fn stamp(&mut self) -> Time {
        let now = self.clock.now();
        self.out.set_time(now, self.anchor.wall_at(now));
        now
    }

    /// When the kernel received what it stamped so.
    pub(crate) fn received_at(&self, stamp: Option<Wall>) -> Time {
        let now = self.out.now();
        stamp.map_or(now, |stamp| self.anchor.received_at(stamp, now))
    }

    /// A message has been received: to its owner, or to the handler.
    pub(crate) fn arrive(&mut self, flow: &Flow, bytes: &[u8], received: Time) {
        let owner = {
            let _in_hand = InHand::new(bytes, &self.offending);
            self.handler.owner(bytes)
        };
        match owner {
            Some(owner) if owner != self.out.shard() => {
                self.hand_over(owner, flow, bytes, received);
            }
            _ => self.message(flow, bytes, received, false),
        }
    }

    /// A message that this shard owns.
    pub(crate) fn message(&mut self, flow: &Flow, bytes: &[u8], received: Time, handed_over: bool) {
        let now = self.stamp();
        let page = &self.out.stats.runtime;
        page.histogram_record(DELAY, now.micros_since(received));
        let inbound = Inbound {
            flow: *flow,
            bytes,
            received: received.min(now),
            handed_over,
        };
        let _in_hand = InHand::new(bytes, &self.offending);
        self.handler.message(&inbound, &mut self.out);
    }

    /// Octets of a stream that are no message.
    #[cold]
    pub(crate) fn unframed(&mut self, flow: &Flow, bytes: &[u8], reason: u8) {
        let received = self.stamp();
        let inbound = Inbound {
            flow: *flow,
            bytes,
            received,
            handed_over: false,
        };
        let _in_hand = InHand::new(bytes, &self.offending);
        self.handler.unframed(&inbound, reason, &mut self.out);
    }

    /// Tells the shard that sent a packet that it did not leave.
    pub(crate) fn fail(&mut self, sender: ShardId, token: u64, why: Undelivered) {
        if sender == self.out.shard() {
            self.out.fail(token, why);
        } else if token != 0 {
            // If its inbox is full, that shard's own deadlines find out.
            self.put(sender, |inbox| inbox.push(Parcel::Undelivered { token, why }));
        }
    }

    /// Puts something into another shard's inbox; it is woken after the turn. `false` = it is full,
    /// which is counted.
    pub(crate) fn put(
        &mut self,
        to: ShardId,
        put: impl FnOnce(&Inbox<H::Letter>) -> bool,
    ) -> bool {
        let index = usize::from(to.0);
        let Mail::Inboxes { all, touched } = &mut self.out.mail else {
            unreachable!("a shard with a door has inboxes around it")
        };
        let fits = all.get(index).is_some_and(put);
        if fits {
            touched[index] = true;
        } else {
            self.out.count(Metric::InboxDrops, 1);
        }
        fits
    }

    /// The turn ends: wakes those who got something, each at most once.
    pub(crate) fn wake_others(&mut self) {
        let Mail::Inboxes { all, touched } = &mut self.out.mail else {
            unreachable!("a shard with a door has inboxes around it")
        };
        let mut woken = 0;
        for (inbox, touched) in all.iter().zip(touched) {
            if std::mem::take(touched) && inbox.wake() {
                woken += 1;
            }
        }
        if woken > 0 {
            self.out.count(Metric::Wakes, woken);
        }
    }

    fn hand_over(&mut self, owner: ShardId, flow: &Flow, bytes: &[u8], received: Time) {
        let from = self.out.shard();
        if self.put(owner, |inbox| inbox.hand_over(from, flow, received, bytes)) {
            self.out.count(Metric::HandedOver, 1);
            return;
        }
        self.stamp();
        let inbound = Inbound {
            flow: *flow,
            bytes,
            received,
            handed_over: false,
        };
        self.handler.overflow(&inbound, owner, &mut self.out);
    }
}

/// Keeps the message that is being handled if the handler panics on it. Costs nothing otherwise.
struct InHand<'a> {
    bytes: &'a [u8],
    keep: Arc<OnceLock<Vec<u8>>>,
}

impl<'a> InHand<'a> {
    fn new(bytes: &'a [u8], keep: &Arc<OnceLock<Vec<u8>>>) -> InHand<'a> {
        InHand {
            bytes,
            keep: keep.clone(),
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.keep.set(self.bytes.to_vec());
        }
    }
}
