//! The transaction that sends any request but INVITE and ACK.

use base::{PacketId, Transport};

use crate::timer::Delivery;
use crate::{Actions, ClientEvent, Tell, Timer, Timing};

/// Non-INVITE client transaction: RFC 3261 §17.1.2, figure 6.
///
/// ```text
///   Unsent ──Start──▶ Trying ──1xx──▶ Proceeding ──F──▶ Terminated (timed out, from both)
///                        │ 2xx-6xx        │ 2xx-6xx
///                        └───────┬────────┘
///                                ▼
///                            Completed ──K──▶ Terminated
/// ```
///
/// Lives on one shard. Holds the request while it repeats it, up to the final response.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    state: State,
    delivery: Delivery,
    /// How often Timer E has fired.
    repeats: u8,
    status: u16,
    request: Option<PacketId>,
}

/// Where a non-INVITE client transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The slot is taken, so that the branch can name it; nothing is sent yet.
    Unsent,
    /// Sent; no response yet.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// Answered; repeated responses are absorbed.
    Completed,
    /// Over.
    Terminated,
}

use State::{Completed, Proceeding, Terminated, Trying, Unsent};

impl Client {
    /// A transaction whose request will leave by this transport.
    #[must_use]
    pub const fn new(transport: Transport) -> Client {
        Client {
            state: Unsent,
            delivery: Delivery::of(transport),
            repeats: 0,
            status: 0,
            request: None,
        }
    }

    /// Takes one event and appends to `actions` what must be done about it.
    #[rustfmt::skip] // a table: one row for each arrow of the figure
    pub fn step(&mut self, event: ClientEvent, timing: &Timing, actions: &mut Actions) {
        use ClientEvent::{Response, Start, TransportError};
        self.state = match (self.state, event) {
            (Unsent, Start { packet })                   => self.start(packet, timing, actions),

            (Trying, ClientEvent::Timer(Timer::E))       => { self.repeat_doubled(timing, actions); Trying }
            (Trying, Response { status: s @ ..=199 })    => { self.hear(s, actions); Proceeding }

            (Proceeding, ClientEvent::Timer(Timer::E))   => { self.repeat_after(timing.t2_ms, actions); Proceeding }
            (Proceeding, Response { status: s @ ..=199 }) => { self.hear(s, actions); Proceeding }

            (Trying | Proceeding, Response { status })   => { self.hear(status, actions); self.complete(timing, actions) }
            (Trying | Proceeding, ClientEvent::Timer(Timer::F))
                                                         => { actions.tell(Tell::TimedOut); end(actions) }
            (Trying | Proceeding, TransportError)        => { actions.tell(Tell::Failed); end(actions) }

            (Completed, Response { status: 200.. })      => Completed, // absorbed
            (Completed, ClientEvent::Timer(Timer::K))    => end(actions),

            (state, event)                               => { actions.ignore(event.packet()); state }
        };
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The status of the last response that moved it; 0 before the first.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The request as it was sent, until it is no longer needed.
    #[must_use]
    pub const fn request(&self) -> Option<PacketId> {
        self.request
    }

    /// The timer that ends this state whatever happens; `None` where the proxy core must decide.
    #[must_use]
    pub const fn bound(&self) -> Option<Timer> {
        match self.state {
            Unsent | Terminated => None,
            Trying | Proceeding => Some(Timer::F),
            Completed => Some(Timer::K),
        }
    }

    fn start(&mut self, packet: PacketId, timing: &Timing, actions: &mut Actions) -> State {
        self.request = Some(packet);
        actions.send(packet);
        if self.delivery == Delivery::Unreliable {
            actions.arm(Timer::E, timing.capped_ms(0));
        }
        actions.arm(Timer::F, timing.give_up_ms());
        Trying
    }

    fn repeat_doubled(&mut self, timing: &Timing, actions: &mut Actions) {
        self.repeats = self.repeats.saturating_add(1);
        self.repeat_after(timing.capped_ms(self.repeats), actions);
    }

    fn repeat_after(&self, delay_ms: u32, actions: &mut Actions) {
        if let Some(packet) = self.request {
            actions.send(packet);
        }
        actions.arm(Timer::E, delay_ms);
    }

    fn hear(&mut self, status: u16, actions: &mut Actions) {
        self.status = status;
        actions.tell(Tell::Deliver);
    }

    fn complete(&mut self, timing: &Timing, actions: &mut Actions) -> State {
        if self.delivery == Delivery::Reliable {
            return end(actions);
        }
        actions.disarm(Timer::E);
        actions.release(self.request.take());
        actions.arm(Timer::K, timing.t4_ms);
        Completed
    }
}

fn end(actions: &mut Actions) -> State {
    actions.end();
    Terminated
}
