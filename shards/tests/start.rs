//! The order in which shards start: memory first, then listeners.

#![expect(clippy::disallowed_methods)] // a test of threads waits

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::{ShardId, Transport};
use shards::{
    Frame, Handler, Inbound, Limits, ListenerSpec, Outbox, RuntimeConfig, StartError, Undelivered,
    start,
};

/// What happens while a shard asks for memory.
type Meanwhile = dyn Fn(ShardId) + Send + Sync;

/// Answers with the same octets.
struct Echo {
    shard: ShardId,
    meanwhile: Arc<Meanwhile>,
}

impl Handler for Echo {
    type Letter = ();
    type Notice = ();
    type Snapshot = ();

    fn owner(&self, _: &[u8]) -> Option<ShardId> {
        None
    }

    fn frame(&self, _: &[u8]) -> Frame {
        Frame::More
    }

    fn rooms(&self, _: &mut dyn FnMut(*const u8, usize)) {
        (self.meanwhile)(self.shard);
    }

    fn message(&mut self, inbound: &Inbound<'_>, out: &mut Outbox<Echo>) {
        let len = inbound.bytes.len();
        let packet = out.packet(len).expect("there are some");
        out.buffer(packet)[..len].copy_from_slice(inbound.bytes);
        out.set_len(packet, len);
        out.send(&inbound.flow, packet, 0);
        out.release(packet);
    }

    fn unframed(&mut self, _: &Inbound<'_>, _: u8, _: &mut Outbox<Echo>) {}
    fn letter(&mut self, _: ShardId, (): (), _: &mut Outbox<Echo>) {}
    fn deadline(&mut self, _: u64, _: &mut Outbox<Echo>) {}
    fn undelivered(&mut self, _: u64, _: Undelivered, _: &mut Outbox<Echo>) {}
    fn snapshot(&mut self, _: Arc<()>, _: &mut Outbox<Echo>) -> Option<Arc<()>> {
        None
    }
    fn housekeeping(&mut self, _: &mut Outbox<Echo>) {}
    fn drain(&mut self, _: &mut Outbox<Echo>) {}
    fn is_idle(&self) -> bool {
        true
    }
    fn stop(&mut self, _: &mut Outbox<Echo>) {}
}

/// Two shards that ask for their memory, on an address that nobody has.
fn config() -> (RuntimeConfig, SocketAddr) {
    let free = UdpSocket::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    let address = free.expect("loopback has a free port");
    let config = RuntimeConfig {
        listeners: vec![ListenerSpec {
            transport: Transport::Udp,
            address,
        }],
        cpus: vec![None; 2],
        limits: Limits {
            huge_pages: true,
            ..Limits::small()
        },
        ..RuntimeConfig::default()
    };
    (config, address)
}

#[test]
fn nothing_can_come_before_every_shard_has_its_memory() {
    let (config, address) = config();
    let unheard = Arc::new(AtomicU64::new(0));
    let count = unheard.clone();
    let meanwhile: Arc<Meanwhile> = Arc::new(move |shard| {
        // The last one takes its time.
        std::thread::sleep(Duration::from_millis(u64::from(shard.0) * 200));
        let peer = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        peer.connect(address).expect("a datagram socket");
        peer.send(b"too early").expect("nobody has said no yet");
        let refused = peer.recv(&mut [0; 16]).expect_err("nobody answers");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        count.fetch_add(1, Ordering::Relaxed);
    });
    let make = |shard| Echo {
        shard,
        meanwhile: meanwhile.clone(),
    };
    let running = start(config, make).expect("it starts");
    assert_eq!(unheard.load(Ordering::Relaxed), 2);
    assert_eq!(running.local_addresses(), [address]);

    let peer = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    peer.connect(address).expect("a datagram socket");
    peer.send(b"now").expect("sent");
    let mut answer = [0; 16];
    assert_eq!(peer.recv(&mut answer).expect("answered"), 3);
    running.stop();
    assert_eq!(running.join(), 0);
}

#[test]
fn an_address_that_is_taken_meanwhile_leaves_nothing_running() {
    let (config, address) = config();
    let taken = Arc::new(OnceLock::new());
    let taker = taken.clone();
    let meanwhile: Arc<Meanwhile> = Arc::new(move |_| {
        taker.get_or_init(|| UdpSocket::bind(address).expect("it was free"));
    });
    let make = |shard| Echo {
        shard,
        meanwhile: meanwhile.clone(),
    };
    let error = start(config, make).expect_err("the address is taken");
    assert!(matches!(error, StartError::Listener { .. }), "{error}");
    // Both handlers went with their threads.
    assert_eq!(Arc::strong_count(&meanwhile), 1);
}
