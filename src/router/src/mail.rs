//! What routers tell each other and the control plane.

use std::fmt;

use base::GatewayId;
use route::{GatewayState, HealthEvent};

/// A letter from shard to shard.
#[derive(Clone, Copy, Debug)]
pub enum Letter {
    /// A gateway changed its state.
    Health {
        /// Which.
        gateway: GatewayId,
        /// To what.
        state: GatewayState,
    },
    /// A gateway answered a probe.
    RoundTrip {
        /// Which.
        gateway: GatewayId,
        /// After how many microseconds.
        us: u32,
    },
}

const NAME_BYTES: usize = 64;

/// Something that an operator should read.
#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// A gateway changed its state.
    Gateway {
        /// Its name, and how much of the field that takes.
        name: ([u8; NAME_BYTES], usize),
        /// What it was.
        from: GatewayState,
        /// What it is.
        to: GatewayState,
        /// What was learnt; `None`: its time had come.
        event: Option<HealthEvent>,
    },
}

impl Notice {
    pub(crate) fn gateway(
        name: &[u8],
        from: GatewayState,
        to: GatewayState,
        event: Option<HealthEvent>,
    ) -> Notice {
        let mut field = [0; NAME_BYTES];
        let len = name.len().min(NAME_BYTES);
        field[..len].copy_from_slice(&name[..len]);
        Notice::Gateway {
            name: (field, len),
            from,
            to,
            event,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notice::Gateway {
            name: (name, len),
            from,
            to,
            event,
        } = self;
        let name = String::from_utf8_lossy(&name[..*len]);
        let why = match event {
            None => "its time had come",
            Some(HealthEvent::ProbeOk) => "it answers probes",
            Some(HealthEvent::ProbeFailed) => "it does not answer probes",
            Some(HealthEvent::AttemptOk) => "it answers calls",
            Some(HealthEvent::AttemptTimedOut) => "calls to it time out",
            Some(HealthEvent::TransportError) => "nothing can be sent to it",
        };
        write!(f, "gateway {name}: {} -> {}, {why}", from.text(), to.text())
    }
}
