//! The path a message came by or leaves by.

use std::fmt;
use std::net::SocketAddr;

use crate::SlotId;

/// A transport protocol that SIP runs over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// Datagrams: SIP retransmits (RFC 3261 §17).
    Udp,
    /// A stream: framed by Content-Length (RFC 3261 §18.3).
    Tcp,
}

impl Transport {
    /// Whether the transport itself repeats what was lost, so that SIP need not.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        match self {
            Transport::Udp => false,
            Transport::Tcp => true,
        }
    }

    /// The name as a Via writes it.
    #[must_use]
    pub const fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The name as a URI's `transport` parameter, the configuration and the CDR write it.
    #[must_use]
    pub const fn uri_name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_name())
    }
}

/// A configured listener, in the order of the configuration from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(pub u8);

/// An open connection: a slot of the shard that accepted or opened it.
pub type ConnId = SlotId;

/// The path of a message: which transport, from which local address, to or from which peer.
///
/// For a stream, `conn` names the connection. A stream flow without one asks the runtime for any
/// connection from this shard to `peer`, or a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// The transport protocol.
    pub transport: Transport,
    /// The listener whose socket received or will send the message.
    pub listener: ListenerId,
    /// Our address: the one the message was sent to, if the system told, else the listener's.
    pub local: SocketAddr,
    /// The other side's address and port.
    pub peer: SocketAddr,
    /// The connection, for streams.
    pub conn: Option<ConnId>,
}
