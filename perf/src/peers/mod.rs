//! Callers and vendors: each a thread with one UDP socket.

mod caller;
mod vendor;

#[cfg(test)]
mod tests;

pub use caller::{Caller, CallerSpec};
pub use vendor::{Habit, Vendor, VendorSpec};

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// RFC 3261 §17.1.1.1: the estimate of the round trip.
const T1_US: u64 = 500_000;
/// RFC 3261 §17.1.2.2: the longest interval between retransmissions of anything but INVITE.
const T2_US: u64 = 4_000_000;
/// 64*T1: when a peer gives up.
const GIVE_UP_US: u64 = 64 * T1_US;
/// How long a turn may sleep, so that a stop flag is seen in time.
const SLEEP_US_MAX: u64 = 20_000;
/// Datagrams taken in one turn before deadlines are looked at again.
const BATCH_MAX: usize = 256;
/// What is asked for each socket, so that a burst on a busy machine is not lost here.
const BUFFER_BYTES: usize = 4 << 20;
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// A peer's socket, and the time since it was opened.
struct Port {
    socket: UdpSocket,
    poll: Poll,
    events: Events,
    opened: Instant,
    local: SocketAddr,
    is_readable: bool,
}

impl Port {
    fn open(bind: SocketAddr) -> io::Result<Port> {
        let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&bind.into()).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot bind udp {bind}: {error}"))
        })?;
        let mut socket = UdpSocket::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut socket, Token(0), Interest::READABLE)?;
        let local = socket.local_addr()?;
        Ok(Port {
            socket,
            poll,
            events: Events::with_capacity(4),
            opened: Instant::now(),
            local,
            is_readable: true,
        })
    }

    fn now_us(&self) -> u64 {
        self.opened.elapsed().as_micros() as u64
    }

    /// Sleeps until something comes or `until_us`, whichever is first, at most a short while.
    fn wait(&mut self, until_us: u64) -> io::Result<()> {
        if self.is_readable {
            return Ok(());
        }
        let sleep_us = until_us.saturating_sub(self.now_us()).min(SLEEP_US_MAX);
        let timeout = Duration::from_micros(sleep_us);
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.is_readable = !self.events.is_empty();
        Ok(())
    }

    /// The next datagram that is here already.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if !self.is_readable {
            return None;
        }
        match self.socket.recv_from(buffer) {
            Ok(received) => Some(received),
            Err(error) => {
                // Anything but "empty" is an ICMP error of an earlier send: the retransmission
                // timers deal with that peer, and the next datagram may be here already.
                self.is_readable = error.kind() != io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    /// Sends, or not: what is lost is retransmitted.
    fn send(&self, bytes: &[u8], to: SocketAddr) {
        let _lost = self.socket.send_to(bytes, to);
    }
}

/// Deadlines in order. A key that is gone when its deadline comes is its owner's to ignore.
#[derive(Debug)]
struct Deadlines<K: Ord>(BinaryHeap<Reverse<(u64, K)>>);

impl<K: Ord> Deadlines<K> {
    fn new() -> Deadlines<K> {
        Deadlines(BinaryHeap::new())
    }

    fn arm(&mut self, at_us: u64, key: K) {
        self.0.push(Reverse((at_us, key)));
    }

    fn next_us(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((at_us, _))| *at_us)
    }

    fn due(&mut self, now_us: u64) -> Option<K> {
        if self.next_us()? > now_us {
            return None;
        }
        self.0.pop().map(|Reverse((_, key))| key)
    }
}

/// The SDP both sides send: no media ever flows.
fn sdp(local: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv6() { 6 } else { 4 };
    let ip = local.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP{family} {ip}\r\ns=-\r\nc=IN IP{family} {ip}\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
    .into_bytes()
}
