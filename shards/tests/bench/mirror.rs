//! A handler that sends everything back and allocates nothing: for what counts the loop around it.

#![allow(dead_code, unreachable_pub, reason = "each user takes a part of it")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use base::{ListenerId, ShardId};
use shards::{
    Brought, Fellow, Frame, Handler, Inbound, Metric, Outbox, PAD_BYTES_MAX, Place, Rank,
    Undelivered, Workbench,
};

/// Answers with the same octets. If the first is a digit it says which shard owns the message, and if it
/// is `p` the message is put off; the second is the lane that it travels in.
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

/// A socket that speaks with them.
pub fn peer(bench: &Workbench<Mirror>) -> UdpSocket {
    let peer = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    peer.connect(bench.local_addresses()[0])
        .expect("a datagram socket");
    let patience = Some(Duration::from_secs(10));
    peer.set_read_timeout(patience).expect("a time");
    peer
}

/// Which of two shards the kernel gives what this peer sends: seen from who has something to do.
pub fn receiver(bench: &mut Workbench<Mirror>, peer: &UdpSocket) -> ShardId {
    assert_eq!(peer.send(b"x ").ok(), Some(2));
    bench.turn(ShardId(0));
    let is_first = bench.stats()[0].runtime.get(Metric::DatagramsIn as usize) == 1;
    if !is_first {
        bench.turn(ShardId(1));
    }
    receive(peer, 1, |_| ());
    ShardId(u16::from(!is_first))
}

/// Takes so many answers, and tells the length of each.
pub fn receive(peer: &UdpSocket, datagrams: usize, mut each: impl FnMut(usize)) {
    let mut buffer = [0; 2_048];
    for _ in 0..datagrams {
        each(peer.recv(&mut buffer).expect("each is answered"));
    }
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

    fn fellow(&self, _: ListenerId, _: SocketAddr, bytes: &[u8], _: u32) -> Option<Fellow> {
        Some(Fellow {
            lane: u32::from(bytes[1]),
            place: Some(Place {
                at: bytes.len() as u16,
                filling: dots,
            }),
        })
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Mirror>) {
        let rank = match inbound.bytes.first() {
            Some(b'p') => Some(Rank::Last),
            Some(b'q') => Some(Rank::First),
            _ => None,
        };
        if let Some(rank) = rank
            && inbound.brought != Brought::PutOff
            && out.put_off(inbound, rank)
        {
            return;
        }
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
