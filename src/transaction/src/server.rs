//! The transaction that answers any request but INVITE and ACK.

use base::{PacketId, Transport};

use crate::timer::Delivery;
use crate::{Actions, ServerEvent, Tell, Timer, Timing};

/// Non-INVITE server transaction: RFC 3261 §17.2.2 as RFC 4320 §4 and RFC 6026 §8.8 change it.
///
/// ```text
///   Trying ──a 100 is due──▶ Proceeding
///      │ 2xx-6xx, or abandoned  │ the same
///      └──────────┬─────────────┘
///                 ▼
///             Completed ──J──▶ Terminated
/// ```
///
/// RFC 4320: no provisional response but 100, no 100 over an unreliable transport before it is due,
/// one when it is due, and never a 408. A 408 from the proxy core abandons the request: the slot
/// absorbs repeats for the time of Timer J without a word, so that none is taken for a new request.
/// A transport error changes no state (RFC 6026 §8.8). Lives on one shard; holds the last response.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    state: State,
    delivery: Delivery,
    status: u16,
    response: Option<PacketId>,
}

/// Where a non-INVITE server transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing sent, and no 100 due.
    Trying,
    /// A 100 was sent, or is due.
    Proceeding,
    /// Answered or abandoned; repeats get the same again, or nothing.
    Completed,
    /// Over.
    Terminated,
}

use State::{Completed, Proceeding, Terminated, Trying};

impl Server {
    /// A transaction whose request came by this transport.
    #[must_use]
    pub const fn new(transport: Transport) -> Server {
        Server {
            state: Trying,
            delivery: Delivery::of(transport),
            status: 0,
            response: None,
        }
    }

    /// Takes one event and appends to `actions` what must be done about it.
    #[rustfmt::skip] // a table: one row for each arrow of the figure
    pub fn step(&mut self, event: ServerEvent, timing: &Timing, actions: &mut Actions) {
        use ServerEvent::{Abandon, Request, Respond, Start, TransportError};
        self.state = match (self.state, event) {
            (Trying, Start)                                  => { actions.arm(Timer::Trying, timing.trying_ms()); Trying }
            (Trying, Request)                                => Trying, // absorbed
            (Trying, ServerEvent::Timer(Timer::Trying))      => { actions.tell(Tell::ComposeTrying); Proceeding }
            (Trying, Respond { packet, status: 100 }) if self.delivery == Delivery::Reliable
                                                             => { self.disarm(actions); self.keep(packet, 100, actions); Proceeding }

            (Proceeding, Request)                            => { self.repeat(actions); Proceeding }
            (Proceeding, Respond { packet, status: 100 })    => { self.keep(packet, 100, actions); Proceeding }
            (Proceeding, TransportError)                     => { actions.tell(Tell::Failed); Proceeding }

            (Trying | Proceeding, Respond { packet, status: 408 })
                                                             => { actions.release(Some(packet)); self.abandon(timing, actions) }
            (Trying | Proceeding, Respond { packet, status: s @ 200.. })
                                                             => { self.disarm(actions); self.keep(packet, s, actions); self.complete(timing, actions) }
            (Trying | Proceeding, Abandon)                   => self.abandon(timing, actions),

            (Completed, Request)                             => { self.repeat(actions); Completed }
            (Completed, TransportError)                      => { actions.tell(Tell::Failed); Completed }
            (Completed, ServerEvent::Timer(Timer::J))        => end(actions),

            (state, event)                                   => { actions.ignore(event.packet()); state }
        };
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The status of the last response that was sent; 0 before the first.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The response it holds to repeat.
    #[must_use]
    pub const fn response(&self) -> Option<PacketId> {
        self.response
    }

    /// The timer that ends this state whatever happens; `None` where the proxy core must decide.
    #[must_use]
    pub const fn bound(&self) -> Option<Timer> {
        match self.state {
            Trying | Proceeding | Terminated => None,
            Completed => Some(Timer::J),
        }
    }

    /// Sends a response and holds it in place of the one before.
    fn keep(&mut self, packet: PacketId, status: u16, actions: &mut Actions) {
        self.status = status;
        actions.send(packet);
        actions.release(self.response.replace(packet));
    }

    /// Sends what is held once more.
    fn repeat(&self, actions: &mut Actions) {
        if let Some(packet) = self.response {
            actions.send(packet);
        }
    }

    fn disarm(&self, actions: &mut Actions) {
        if self.state == Trying {
            actions.disarm(Timer::Trying);
        }
    }

    fn complete(&self, timing: &Timing, actions: &mut Actions) -> State {
        match self.delivery {
            Delivery::Unreliable => {
                actions.arm(Timer::J, timing.give_up_ms());
                Completed
            }
            Delivery::Reliable => end(actions),
        }
    }

    fn abandon(&mut self, timing: &Timing, actions: &mut Actions) -> State {
        self.disarm(actions);
        actions.release(self.response.take());
        self.complete(timing, actions)
    }
}

fn end(actions: &mut Actions) -> State {
    actions.end();
    Terminated
}
