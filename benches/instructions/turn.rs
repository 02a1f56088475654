//! Turns of the real loop with real sockets. Callgrind counts user space, so the kernel's share,
//! which is the larger one, is not in these numbers: `benches/io.rs` has it, in time.

use std::net::UdpSocket;

use base::ShardId;

use crate::Meter;
use crate::mirror::{self, mirrors, peer, receiver};

/// A usual request between two proxies.
const MESSAGE_BYTES: usize = 700;

/// Turns of one shard, each with a batch of so many datagrams that are received and answered.
pub(crate) fn alone(meter: &mut Meter, turns: usize, datagrams: usize) {
    let mut bench = mirrors(1, false);
    let peer = peer(&bench);
    meter.rounds(|measure| {
        for _ in 0..turns {
            send(&peer, b'x', datagrams);
            measure(&mut || bench.turn(ShardId(0)));
            receive(&peer, datagrams);
        }
    });
}

/// The two turns of a hand-over: one shard receives the datagrams, another one owns and answers
/// them.
pub(crate) fn handed_over(meter: &mut Meter, turns: usize, datagrams: usize) {
    let mut bench = mirrors(2, false);
    let peer = peer(&bench);
    let first = receiver(&mut bench, &peer);
    let owner = ShardId(1 - first.0);
    meter.rounds(|measure| {
        for _ in 0..turns {
            send(&peer, b'0' + owner.0 as u8, datagrams);
            measure(&mut || {
                bench.turn(first);
                bench.turn(owner);
            });
            receive(&peer, datagrams);
        }
    });
}

fn send(peer: &UdpSocket, first: u8, datagrams: usize) {
    for _ in 0..datagrams {
        let sent = peer.send(&[first; MESSAGE_BYTES]);
        assert_eq!(sent.expect("loopback takes it"), MESSAGE_BYTES);
    }
}

fn receive(peer: &UdpSocket, datagrams: usize) {
    mirror::receive(peer, datagrams, |len| assert_eq!(len, MESSAGE_BYTES));
}
