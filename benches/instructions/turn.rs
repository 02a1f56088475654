//! Turns of the real loop with real sockets. Callgrind counts user space, so the kernel's share,
//! which is the larger one, is not in these numbers: `benches/io.rs` has it, in time.

use std::net::UdpSocket;
use std::time::Duration;

use base::ShardId;

use crate::Meter;
use crate::mirror::mirrors;

/// A usual request between two proxies.
const MESSAGE_BYTES: usize = 700;

/// Turns of one shard, each with a batch of so many datagrams that are received and answered.
pub(crate) fn alone(meter: &mut Meter, turns: usize, datagrams: usize) {
    let mut bench = mirrors(1, false);
    let peer = peer(&bench.local_addresses());
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
    let peer = peer(&bench.local_addresses());
    // Which shard the kernel gives what this peer sends is seen from who has something to do.
    send(&peer, b'x', 1);
    bench.turn(ShardId(0));
    let (first, owner) = match bench.stats()[0]
        .runtime
        .get(shards::Metric::DatagramsIn as usize)
    {
        0 => (1, 0),
        _ => (0, 1),
    };
    bench.turn(ShardId(first));
    receive(&peer, 1);
    meter.rounds(|measure| {
        for _ in 0..turns {
            send(&peer, b'0' + owner as u8, datagrams);
            measure(&mut || {
                bench.turn(ShardId(first));
                bench.turn(ShardId(owner));
            });
            receive(&peer, datagrams);
        }
    });
}

fn peer(addresses: &[std::net::SocketAddr]) -> UdpSocket {
    let peer = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    peer.connect(addresses[0]).expect("a datagram socket");
    let patience = Some(Duration::from_secs(10));
    peer.set_read_timeout(patience).expect("a time");
    peer
}

fn send(peer: &UdpSocket, first: u8, datagrams: usize) {
    for _ in 0..datagrams {
        let sent = peer.send(&[first; MESSAGE_BYTES]);
        assert_eq!(sent.expect("loopback takes it"), MESSAGE_BYTES);
    }
}

fn receive(peer: &UdpSocket, datagrams: usize) {
    let mut buffer = [0; MESSAGE_BYTES + 1];
    for _ in 0..datagrams {
        let got = peer.recv(&mut buffer);
        assert_eq!(got.expect("each is answered in its turn"), MESSAGE_BYTES);
    }
}
