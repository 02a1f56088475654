//! The transaction that sends an INVITE.

use base::{PacketId, Transport};

use crate::timer::Delivery;
use crate::{Actions, ClientEvent, Tell, Timer, Timing};

/// INVITE client transaction: RFC 3261 §17.1.1 with figure 5 of RFC 6026, and Timer C of §16.6.
///
/// ```text
///   Unsent ──Start──▶ Calling ──B──▶ Terminated (timed out)
///                        │ 1xx
///                        ▼
///                    Proceeding ──C or our CANCEL──▶ Cancelling ──C──▶ Terminated (timed out)
///   any of the three ──2xx──────▶ Accepted  ──M──▶ Terminated
///   any of the three ──3xx-6xx──▶ Completed ──D──▶ Terminated
/// ```
///
/// Cancelling is Proceeding with another bound: RFC 3261 §9.1 gives the final response 64*T1 after
/// the CANCEL, and no provisional one prolongs that. Lives on one shard. Holds the request up to
/// the final response, since the CANCEL and the ACK of a refusal are derived from it; then the ACK
/// in Completed, and nothing in Accepted.
#[derive(Clone, Copy, Debug)]
pub struct InviteClient {
    state: State,
    delivery: Delivery,
    /// How often Timer A has fired.
    repeats: u8,
    status: u16,
    /// Whether what is held is the ACK of a refusal, and not the request any more.
    is_acknowledged: bool,
    held: Option<PacketId>,
}

/// Where an INVITE client transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The slot is taken, so that the branch can name it; nothing is sent yet.
    Unsent,
    /// Sent; no response yet.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// As Proceeding, after our CANCEL or Timer C.
    Cancelling,
    /// Refused; repeated refusals are answered with the ACK.
    Completed,
    /// A 2xx came; further ones pass.
    Accepted,
    /// Over.
    Terminated,
}

use State::{Accepted, Calling, Cancelling, Completed, Proceeding, Terminated, Unsent};

impl InviteClient {
    /// A transaction whose INVITE will leave by this transport.
    #[must_use]
    pub const fn new(transport: Transport) -> InviteClient {
        InviteClient {
            state: Unsent,
            delivery: Delivery::of(transport),
            repeats: 0,
            status: 0,
            is_acknowledged: false,
            held: None,
        }
    }

    /// Takes one event and appends to `actions` what must be done about it.
    #[rustfmt::skip] // a table: one row for each arrow of the figure
    pub fn step(&mut self, event: ClientEvent, timing: &Timing, actions: &mut Actions) {
        use ClientEvent::{Cancel, Response, SendAck, Start, TransportError};
        self.state = match (self.state, event) {
            (Unsent, Start { packet })                    => self.start(packet, timing, actions),

            (Calling, ClientEvent::Timer(Timer::A))       => { self.repeat_later(timing, actions); Calling }
            (Calling, ClientEvent::Timer(Timer::B))       => { actions.tell(Tell::TimedOut); end(actions) }
            (Calling, TransportError)                     => { actions.tell(Tell::Failed); end(actions) }
            (Calling, Response { status: s @ ..=199 })    => { self.hear(s); self.disarm(actions); self.proceed(timing, actions) }

            (Proceeding, Response { status: s @ ..=100 }) => { self.hear(s); actions.tell(Tell::Deliver); Proceeding }
            (Proceeding, Response { status: s @ ..=199 }) => { self.hear(s); self.proceed(timing, actions) }
            (Proceeding, Cancel)                          => cancel(timing, actions),
            (Proceeding, ClientEvent::Timer(Timer::C))    => { actions.tell(Tell::NoAnswer); cancel(timing, actions) }

            (Cancelling, Response { status: s @ ..=199 }) => { self.hear(s); actions.tell(Tell::Deliver); Cancelling }
            (Cancelling, ClientEvent::Timer(Timer::C))    => { actions.tell(Tell::TimedOut); end(actions) }

            (Calling | Proceeding | Cancelling, Response { status: s @ ..=299 })
                                                          => { self.hear(s); self.disarm(actions); self.accept(timing, actions) }
            (Calling | Proceeding | Cancelling, Response { status: s })
                                                          => { self.hear(s); self.disarm(actions); self.complete(timing, actions) }

            (Completed, SendAck { packet }) if !self.is_acknowledged
                                                          => self.acknowledge(packet, actions),
            (Completed, Response { status: 300.. })       => { self.acknowledge_again(actions); Completed }
            (Completed, TransportError)                   => { actions.tell(Tell::Failed); end(actions) }
            (Completed, ClientEvent::Timer(Timer::D))     => end(actions),

            (Accepted, Response { status: 200..=299 })    => { actions.tell(Tell::Deliver); Accepted }
            (Accepted, ClientEvent::Timer(Timer::M))      => end(actions),

            (state, event)                                => { actions.ignore(event.packet()); state }
        };
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The status of the last response that moved it, 0 before the first.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The INVITE as it was sent, until it is no longer needed.
    #[must_use]
    pub const fn request(&self) -> Option<PacketId> {
        match self.is_acknowledged {
            false => self.held,
            true => None,
        }
    }

    /// The ACK that answers a repeated refusal.
    #[must_use]
    pub const fn ack(&self) -> Option<PacketId> {
        match self.is_acknowledged {
            true => self.held,
            false => None,
        }
    }

    /// The one message that it holds: request or ACK.
    pub(crate) const fn held(&self) -> Option<PacketId> {
        self.held
    }

    /// The timer that ends this state whatever happens; `None` where the proxy core must decide.
    #[must_use]
    pub const fn bound(&self) -> Option<Timer> {
        match self.state {
            Unsent | Terminated => None,
            Calling => Some(Timer::B),
            Proceeding | Cancelling => Some(Timer::C),
            Completed => Some(Timer::D),
            Accepted => Some(Timer::M),
        }
    }

    fn start(&mut self, packet: PacketId, timing: &Timing, actions: &mut Actions) -> State {
        self.held = Some(packet);
        actions.send(packet);
        if self.delivery == Delivery::Unreliable {
            actions.arm(Timer::A, timing.doubled_ms(0));
        }
        actions.arm(Timer::B, timing.give_up_ms());
        Calling
    }

    fn repeat_later(&mut self, timing: &Timing, actions: &mut Actions) {
        self.repeats = self.repeats.saturating_add(1);
        if let Some(packet) = self.held {
            actions.send(packet);
        }
        actions.arm(Timer::A, timing.doubled_ms(self.repeats));
    }

    fn hear(&mut self, status: u16) {
        self.status = status;
    }

    /// Stops the repeats. The other timer is replaced by the next state's.
    fn disarm(&self, actions: &mut Actions) {
        if self.state == Calling && self.delivery == Delivery::Unreliable {
            actions.disarm(Timer::A);
        }
    }

    fn proceed(&self, timing: &Timing, actions: &mut Actions) -> State {
        actions.arm(Timer::C, timing.c_ms);
        actions.tell(Tell::Deliver);
        Proceeding
    }

    fn accept(&mut self, timing: &Timing, actions: &mut Actions) -> State {
        actions.release(self.held.take());
        actions.arm(Timer::M, timing.give_up_ms());
        actions.tell(Tell::Deliver);
        Accepted
    }

    /// The ACK comes last: over a reliable transport it ends the slot, which the proxy core may want
    /// to look at when it gets the response.
    fn complete(&mut self, timing: &Timing, actions: &mut Actions) -> State {
        // Zero on reliable transports, but armed all the same: if no ACK can be composed, this is
        // what ends the slot. With one, it ends as soon as that is sent.
        let d_ms = match self.delivery {
            Delivery::Unreliable => timing.d_ms(),
            Delivery::Reliable => 0,
        };
        actions.arm(Timer::D, d_ms);
        actions.tell(Tell::Deliver);
        actions.compose_ack();
        Completed
    }

    fn acknowledge(&mut self, packet: PacketId, actions: &mut Actions) -> State {
        actions.send(packet);
        actions.release(self.held.replace(packet));
        self.is_acknowledged = true;
        match self.delivery {
            Delivery::Unreliable => Completed,
            Delivery::Reliable => end(actions),
        }
    }

    fn acknowledge_again(&self, actions: &mut Actions) {
        match self.ack() {
            Some(packet) => actions.send(packet),
            // The first could not be composed; the request is still held to try again.
            None => actions.compose_ack(),
        }
    }
}

/// From here on the final response has 64*T1 (RFC 3261 §9.1).
fn cancel(timing: &Timing, actions: &mut Actions) -> State {
    actions.arm(Timer::C, timing.give_up_ms());
    Cancelling
}

fn end(actions: &mut Actions) -> State {
    actions.end();
    Terminated
}
