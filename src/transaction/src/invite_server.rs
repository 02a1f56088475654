//! The transaction that answers an INVITE.

use base::{PacketId, Transport};

use crate::timer::Delivery;
use crate::{Actions, ServerEvent, Tell, Timer, Timing};

/// INVITE server transaction: RFC 3261 §17.2.1 with figure 7 of RFC 6026.
///
/// ```text
///   Proceeding ──2xx──▶ Accepted ──L──▶ Terminated
///       │ 3xx-6xx
///       ▼
///   Completed ──ACK──▶ Confirmed ──I──▶ Terminated
///       └──────────────H──────────────▶ Terminated (the proxy core is told)
/// ```
///
/// Lives on one shard. Holds the last response while it may have to repeat it: a provisional one in
/// Proceeding, the refusal in Completed, nothing later. The 100 within 200 ms is the proxy core's.
/// A transport error changes no state (RFC 6026 §7.1): repeats of the request must still be known.
#[derive(Clone, Copy, Debug)]
pub struct InviteServer {
    state: State,
    delivery: Delivery,
    /// How often Timer G has fired.
    repeats: u8,
    status: u16,
    response: Option<PacketId>,
}

/// Where an INVITE server transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No final response yet.
    Proceeding,
    /// Refused; the ACK is awaited.
    Completed,
    /// Refused and acknowledged; repeated ACKs are absorbed.
    Confirmed,
    /// Answered with 2xx; repeats of the INVITE are absorbed, ACKs and further 2xx pass.
    Accepted,
    /// Over.
    Terminated,
}

use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};

impl InviteServer {
    /// A transaction whose INVITE came by this transport.
    #[must_use]
    pub const fn new(transport: Transport) -> InviteServer {
        InviteServer {
            state: Proceeding,
            delivery: Delivery::of(transport),
            repeats: 0,
            status: 0,
            response: None,
        }
    }

    /// Takes one event and appends to `actions` what must be done about it.
    #[rustfmt::skip] // a table: one row for each arrow of the figure
    pub fn step(&mut self, event: ServerEvent, timing: &Timing, actions: &mut Actions) {
        use ServerEvent::{Abandon, Ack, Request, Respond, Start, TransportError};
        self.state = match (self.state, event) {
            (Proceeding, Start)                                       => Proceeding,
            (Proceeding, Request)                                     => { self.repeat(actions); Proceeding }
            (Proceeding, Respond { packet, status: s @ ..=199 })      => { self.keep(packet, s, actions); Proceeding }
            (Proceeding, Respond { packet, status: s @ 200..=299 })   => { self.pass(packet, s, actions); self.accept(timing, actions) }
            (Proceeding, Respond { packet, status })                  => { self.keep(packet, status, actions); self.complete(timing, actions) }
            (Proceeding, Abandon)                                     => end(actions),
            (Proceeding, TransportError)                              => { actions.tell(Tell::Failed); Proceeding }

            (Accepted, Request)                                       => Accepted, // absorbed: whoever sent the 2xx repeats it
            (Accepted, Ack)                                           => { actions.tell(Tell::Deliver); Accepted }
            (Accepted, Respond { packet, status: s @ 200..=299 })     => { self.pass(packet, s, actions); Accepted }
            (Accepted, TransportError)                                => { actions.tell(Tell::Failed); Accepted }
            (Accepted, ServerEvent::Timer(Timer::L))                  => end(actions),

            (Completed, Request)                                      => { self.repeat(actions); Completed }
            (Completed, ServerEvent::Timer(Timer::G))                 => { self.repeat_later(timing, actions); Completed }
            (Completed, Ack)                                          => self.confirm(timing, actions),
            (Completed, TransportError)                               => { actions.tell(Tell::Failed); Completed }
            (Completed, ServerEvent::Timer(Timer::H))                 => { actions.tell(Tell::TimedOut); end(actions) }

            (Confirmed, Request | Ack)                                => Confirmed, // absorbed
            (Confirmed, ServerEvent::Timer(Timer::I))                 => end(actions),

            (state, event)                                            => { actions.ignore(event.packet()); state }
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
            Proceeding | Terminated => None,
            Completed => Some(Timer::H),
            Confirmed => Some(Timer::I),
            Accepted => Some(Timer::L),
        }
    }

    /// Sends a response and holds it in place of the one before.
    fn keep(&mut self, packet: PacketId, status: u16, actions: &mut Actions) {
        self.status = status;
        actions.send(packet);
        actions.release(self.response.replace(packet));
    }

    /// Sends a 2xx, which is not ours to repeat.
    fn pass(&mut self, packet: PacketId, status: u16, actions: &mut Actions) {
        self.status = status;
        actions.send(packet);
        actions.release(Some(packet));
    }

    /// Sends what is held once more.
    fn repeat(&self, actions: &mut Actions) {
        if let Some(packet) = self.response {
            actions.send(packet);
        }
    }

    fn accept(&mut self, timing: &Timing, actions: &mut Actions) -> State {
        actions.release(self.response.take());
        actions.arm(Timer::L, timing.give_up_ms());
        Accepted
    }

    fn complete(&mut self, timing: &Timing, actions: &mut Actions) -> State {
        if self.delivery == Delivery::Unreliable {
            actions.arm(Timer::G, timing.capped_ms(0));
        }
        actions.arm(Timer::H, timing.give_up_ms());
        Completed
    }

    fn repeat_later(&mut self, timing: &Timing, actions: &mut Actions) {
        self.repeats = self.repeats.saturating_add(1);
        self.repeat(actions);
        actions.arm(Timer::G, timing.capped_ms(self.repeats));
    }

    fn confirm(&mut self, timing: &Timing, actions: &mut Actions) -> State {
        if self.delivery == Delivery::Reliable {
            return end(actions);
        }
        actions.disarm(Timer::G);
        actions.release(self.response.take());
        actions.arm(Timer::I, timing.t4_ms);
        Confirmed
    }
}

fn end(actions: &mut Actions) -> State {
    actions.end();
    Terminated
}
