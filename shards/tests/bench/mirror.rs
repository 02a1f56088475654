//! A handler that sends everything back and allocates nothing: for what counts the loop around it.

#![allow(dead_code, unreachable_pub, reason = "each user takes a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;

use base::{ListenerId, ShardId};
use shards::{
    Fellow, Frame, Handler, Inbound, Outbox, PAD_BYTES_MAX, Place, Undelivered, Workbench,
};

/// Answers with the same octets. If the first is a digit it says which shard owns the message; the
/// second is the lane that it travels in.
#[derive(Clone, Copy)]
pub struct Mirror {
    /// Whether what it sends may travel together.
    pub coalesces: bool,
}

/// So many shards that mirror, on this thread, listening on loopback.
pub fn mirrors(shards: usize, coalesces: bool) -> Workbench<Mirror> {
    let config = shards::RuntimeConfig {
        listeners: vec![shards::ListenerSpec {
            transport: base::Transport::Udp,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }],
        cpus: vec![None; shards],
        limits: shards::Limits::small(),
        ..shards::RuntimeConfig::default()
    };
    Workbench::new(&config, |_| Mirror { coalesces }).expect("loopback has a free port")
}

fn dots(len: usize) -> &'static [u8] {
    &[b'.'; PAD_BYTES_MAX][..len]
}

impl Handler for Mirror {
    type Letter = ();
    type Notice = ();
    type Snapshot = ();

    fn owner(&self, bytes: &[u8]) -> Option<ShardId> {
        match bytes.first() {
            Some(digit @ b'0'..=b'9') => Some(ShardId(u16::from(digit - b'0'))),
            _ => None,
        }
    }

    fn frame(&self, _: &[u8]) -> Frame {
        Frame::More
    }

    fn coalesces(&self) -> bool {
        self.coalesces
    }

    fn fellow(&self, _: ListenerId, _: SocketAddr, bytes: &[u8]) -> Option<Fellow> {
        Some(Fellow {
            lane: u32::from(bytes[1]),
            place: Some(Place {
                at: bytes.len() as u16,
                filling: dots,
            }),
        })
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Mirror>) {
        let len = inbound.bytes.len();
        let Some(packet) = out.packet(len) else {
            return;
        };
        out.buffer(packet)[..len].copy_from_slice(inbound.bytes);
        out.set_len(packet, len);
        out.send(&inbound.flow, packet, 0);
        out.release(packet);
    }

    fn unframed(&mut self, _: &Inbound<'_>, _: u8, _: &mut Outbox<Mirror>) {}
    fn letter(&mut self, _: ShardId, (): (), _: &mut Outbox<Mirror>) {}
    fn deadline(&mut self, _: u64, _: &mut Outbox<Mirror>) {}
    fn undelivered(&mut self, _: u64, _: Undelivered, _: &mut Outbox<Mirror>) {}
    fn snapshot(&mut self, _: Arc<()>, _: &mut Outbox<Mirror>) -> Option<Arc<()>> {
        None
    }
    fn housekeeping(&mut self, _: &mut Outbox<Mirror>) {}
    fn drain(&mut self, _: &mut Outbox<Mirror>) {}
    fn is_idle(&self) -> bool {
        true
    }
    fn stop(&mut self, _: &mut Outbox<Mirror>) {}
}
