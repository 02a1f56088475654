//! What a transaction wants done.

use base::PacketId;

use crate::Timer;

/// One thing to do for a transaction. They are carried out at once, in order, by the router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send this packet over the slot's flow. The reference stays with the transaction.
    Send {
        /// What to send.
        packet: PacketId,
    },
    /// Arm a timer and store it with the slot.
    Arm {
        /// Which.
        timer: Timer,
        /// When it fires, from now.
        delay_ms: u32,
    },
    /// Cancel a timer of the slot.
    Disarm {
        /// Which.
        timer: Timer,
    },
    /// The transaction gave up its reference to this packet.
    Release {
        /// Which.
        packet: PacketId,
    },
    /// Hand the event's message (a response, or an ACK in Accepted) to the proxy core.
    Deliver,
    /// Derive the ACK for this refusal from the slot's request and step
    /// [`crate::ClientEvent::SendAck`]. The last action of its step, because over a reliable transport
    /// that ends the slot.
    ComposeAck,
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
    /// The transaction is over: retire the slot. Always the last action of a step.
    Terminated,
    /// The event has no row in this state; nothing else was done about it.
    Ignored,
}

/// The actions of one step, in order: empty before, carried out after. Never allocates.
///
/// A value may be taken out whole (`std::mem::take`) before it is carried out, so that what the
/// proxy core does about a [`Action::Deliver`] can use the place again.
#[derive(Clone, Copy, Debug)]
pub struct Actions {
    list: [Action; Actions::STEP_MAX],
    count: u8,
}

impl Actions {
    /// The most actions of one step; no machine reaches it, which the table tests show.
    pub const STEP_MAX: usize = 8;

    /// No actions.
    #[must_use]
    pub const fn new() -> Actions {
        Actions {
            list: [Action::Ignored; Actions::STEP_MAX],
            count: 0,
        }
    }

    /// Appends one.
    pub fn push(&mut self, action: Action) {
        let place = self.list.get_mut(usize::from(self.count)).expect(
            "a step has at most STEP_MAX actions and each list is carried out before the next step",
        );
        *place = action;
        self.count += 1;
    }

    /// The actions so far.
    #[must_use]
    pub fn as_slice(&self) -> &[Action] {
        &self.list[..usize::from(self.count)]
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Takes all of them out, in order; the place is empty at once.
    pub fn drain(&mut self) -> impl Iterator<Item = Action> + use<> {
        std::mem::take(self).into_iter()
    }

    pub(crate) fn send(&mut self, packet: PacketId) {
        self.push(Action::Send { packet });
    }

    pub(crate) fn arm(&mut self, timer: Timer, delay_ms: u32) {
        self.push(Action::Arm { timer, delay_ms });
    }

    pub(crate) fn disarm(&mut self, timer: Timer) {
        self.push(Action::Disarm { timer });
    }

    /// Gives a reference back, if there is one.
    pub(crate) fn release(&mut self, packet: Option<PacketId>) {
        if let Some(packet) = packet {
            self.push(Action::Release { packet });
        }
    }

    /// An event without a row: its packet, if it brought one, goes back unused.
    #[cold]
    pub(crate) fn ignore(&mut self, packet: Option<PacketId>) {
        self.release(packet);
        self.push(Action::Ignored);
    }
}

impl Default for Actions {
    fn default() -> Actions {
        Actions::new()
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::iter::Take<std::array::IntoIter<Action, { Actions::STEP_MAX }>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter().take(usize::from(self.count))
    }
}
