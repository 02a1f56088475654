//! What a transaction wants done.

use base::PacketId;

use crate::Timer;

/// What one step of a transaction wants done: empty before, carried out at once after, by the
/// router, in the order of the fields. No step sends two packets or tells two things, so that this
/// is a handful of words that the machine writes and the router reads, and not a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actions {
    /// Send this packet over the slot's flow. The reference stays with the transaction.
    pub send: Option<PacketId>,
    /// The transaction gave up its references to these packets.
    pub releases: [Option<PacketId>; 2],
    /// What becomes of the timer that repeats a message.
    pub repeat: Change,
    /// What becomes of the timer that ends the state, or of the one by which a 100 is due.
    pub bound: Change,
    /// What the proxy core is told.
    pub tell: Option<Tell>,
    /// What comes after everything else.
    pub last: Option<Last>,
}

/// What becomes of a timer of the slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It goes on as it is.
    Keep,
    /// It is cancelled.
    Disarm,
    /// This one is armed and its id kept with the slot; one that runs in its place is moved.
    Arm {
        /// Which.
        timer: Timer,
        /// When it fires, from now.
        delay_ms: u32,
    },
}

/// What the proxy core is told of, or asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tell {
    /// Here is the event's message: a response, or an ACK in Accepted.
    Deliver,
    /// A non-INVITE request is unanswered for so long that a 100 is due (RFC 4320 §4.1): compose it
    /// and step [`crate::ServerEvent::Respond`].
    ComposeTrying,
    /// Timer C fired: it rang too long. The proxy core cancels the INVITE (RFC 3261 §16.8); the
    /// transaction waits for the outcome at most 64*T1 more.
    NoAnswer,
    /// Timer B or F, or C after a CANCEL: the proxy core takes it as a 408 of this branch. Timer H:
    /// nobody acknowledged the refusal.
    TimedOut,
    /// The transport could not send: for a client, the proxy core takes it as a 503 of this branch.
    Failed,
}

/// What comes last in a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// Derive the ACK for this refusal from the slot's request and step
    /// [`crate::ClientEvent::SendAck`]. Over a reliable transport that ends the slot.
    ComposeAck,
    /// The transaction is over: retire the slot.
    Terminated,
    /// The event has no row in this state; nothing was done about it.
    Ignored,
}

impl Actions {
    /// No actions.
    #[must_use]
    pub const fn new() -> Actions {
        Actions {
            send: None,
            releases: [None; 2],
            repeat: Change::Keep,
            bound: Change::Keep,
            tell: None,
            last: None,
        }
    }

    pub(crate) fn send(&mut self, packet: PacketId) {
        debug_assert!(self.send.is_none(), "a step sends one packet");
        self.send = Some(packet);
    }

    pub(crate) fn arm(&mut self, timer: Timer, delay_ms: u32) {
        *self.place(timer) = Change::Arm { timer, delay_ms };
    }

    /// Only where nothing is armed in its place.
    pub(crate) fn disarm(&mut self, timer: Timer) {
        *self.place(timer) = Change::Disarm;
    }

    fn place(&mut self, timer: Timer) -> &mut Change {
        match timer.repeats() {
            true => &mut self.repeat,
            false => &mut self.bound,
        }
    }

    /// Gives a reference back, if there is one.
    pub(crate) fn release(&mut self, packet: Option<PacketId>) {
        let [first, second] = &mut self.releases;
        match first {
            None => *first = packet,
            Some(_) => *second = packet,
        }
    }

    pub(crate) fn tell(&mut self, what: Tell) {
        self.tell = Some(what);
    }

    pub(crate) fn compose_ack(&mut self) {
        self.last = Some(Last::ComposeAck);
    }

    pub(crate) fn end(&mut self) {
        self.last = Some(Last::Terminated);
    }

    /// An event without a row: its packet, if it brought one, goes back unused.
    #[cold]
    pub(crate) fn ignore(&mut self, packet: Option<PacketId>) {
        self.release(packet);
        self.last = Some(Last::Ignored);
    }
}

impl Default for Actions {
    fn default() -> Actions {
        Actions::new()
    }
}
