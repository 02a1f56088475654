//! What happens to a transaction.

use base::PacketId;

use crate::Timer;

/// An event of a server transaction, INVITE or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerEvent {
    /// The request that created it is being handed to the proxy core. Once, after the insert.
    Start,
    /// The same request came again.
    Request,
    /// The ACK for its final response came (INVITE only).
    Ack,
    /// The proxy core answers; the event brings one reference to the packet.
    Respond {
        /// The response as it will be sent.
        packet: PacketId,
        /// Its status code.
        status: u16,
    },
    /// The proxy core will not answer: nothing can be composed, or RFC 4320 §4.2 forbids it.
    Abandon,
    /// One of its timers fired.
    Timer(Timer),
    /// A response could not be sent.
    TransportError,
}

impl ServerEvent {
    /// The packet that the event brings.
    pub(crate) fn packet(self) -> Option<PacketId> {
        match self {
            ServerEvent::Respond { packet, .. } => Some(packet),
            ServerEvent::Start
            | ServerEvent::Request
            | ServerEvent::Ack
            | ServerEvent::Abandon
            | ServerEvent::Timer(_)
            | ServerEvent::TransportError => None,
        }
    }
}

/// An event of a client transaction, INVITE or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// Send the request; the event brings one reference to the packet. Once, after the insert.
    Start {
        /// The request with the branch that names this slot.
        packet: PacketId,
    },
    /// A response came.
    Response {
        /// Its status code.
        status: u16,
    },
    /// The ACK that [`crate::Action::ComposeAck`] asked for; the event brings one reference to it.
    SendAck {
        /// The ACK for the refusal.
        packet: PacketId,
    },
    /// The proxy core sent a CANCEL for this INVITE: its final response must now come within 64*T1
    /// (RFC 3261 §9.1).
    Cancel,
    /// One of its timers fired.
    Timer(Timer),
    /// The request or the ACK could not be sent.
    TransportError,
}

impl ClientEvent {
    /// The packet that the event brings.
    pub(crate) fn packet(self) -> Option<PacketId> {
        match self {
            ClientEvent::Start { packet } | ClientEvent::SendAck { packet } => Some(packet),
            ClientEvent::Response { .. }
            | ClientEvent::Cancel
            | ClientEvent::Timer(_)
            | ClientEvent::TransportError => None,
        }
    }
}
