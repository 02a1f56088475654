//! Datagrams in batches: `recvmmsg` and `sendmmsg` over arrays that are made once.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrLike,
    SockaddrStorage, recvmmsg, sendmmsg, setsockopt, sockopt,
};

/// How many datagrams one system call moves at most.
pub(crate) const BATCH: usize = 64;
/// The longest datagram that is taken whole.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 16_384;
/// Datagrams lie a little more than that apart, so that their first lines do not fall on one set of
/// the cache.
const STRIDE: usize = DATAGRAM_BYTES_MAX + 192;

/// How many messages one system call takes where each may be a train.
const TRAINS: usize = 16;
/// The longest train, and what it and the next one lie apart.
const TRAIN_BYTES_MAX: usize = 65_535;
const TRAIN_STRIDE: usize = TRAIN_BYTES_MAX + 193;

/// Room for a batch of received datagrams.
pub(crate) struct Receiver {
    headers: MultiHeaders<SockaddrStorage>,
    arena: Vec<u8>,
    parts: Vec<Part>,
    takes_trains: bool,
}

/// A datagram in the arena.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    len: usize,
    peer: Option<SockaddrStorage>,
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        Receiver {
            headers: MultiHeaders::preallocate(BATCH, None),
            arena: vec![0; BATCH * STRIDE],
            parts: Vec::with_capacity(BATCH),
            takes_trains: false,
        }
    }

    /// Like [`Receiver::new`], for sockets that [take trains](take_trains).
    pub(crate) fn of_trains() -> Receiver {
        Receiver {
            headers: train_headers(),
            arena: vec![0; TRAINS * TRAIN_STRIDE],
            parts: Vec::with_capacity(BATCH),
            takes_trains: true,
        }
    }

    /// Takes what is here without waiting: at most `max` messages of the kernel's and a batch. A
    /// train is one message, and as many datagrams as it has cars. Returns how many datagrams.
    pub(crate) fn receive(&mut self, fd: RawFd, max: usize) -> io::Result<usize> {
        let (stride, longest) = match self.takes_trains {
            true => (TRAIN_STRIDE, TRAIN_BYTES_MAX),
            false => (STRIDE, DATAGRAM_BYTES_MAX),
        };
        if self.takes_trains {
            // `recvmmsg` shortens each header's room for control messages to what there was, and
            // nix does not lengthen it again.
            self.headers = train_headers();
        }
        let mut chunks = self.arena.chunks_exact_mut(stride);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| {
            [IoSliceMut::new(match chunks.next() {
                Some(chunk) => &mut chunk[..longest],
                None => &mut [],
            })]
        });
        let room = slices[..max.min(BATCH)].iter_mut();
        self.parts.clear();
        let filled = recvmmsg(fd, &mut self.headers, room, MsgFlags::MSG_DONTWAIT, None)?;
        for (at, message) in filled.enumerate() {
            let mut start = at * stride;
            let end = start + message.bytes;
            let car = match self.takes_trains {
                true => car_bytes(&message)?.unwrap_or(message.bytes),
                false => message.bytes,
            };
            loop {
                let len = car.min(end - start);
                let peer = message.address;
                self.parts.push(Part { start, len, peer });
                start += len;
                if start == end {
                    break;
                }
            }
        }
        Ok(self.parts.len())
    }

    /// One of the datagrams that the last call took.
    pub(crate) fn get(&self, at: usize) -> (&[u8], Option<SocketAddr>) {
        let Part { start, len, peer } = &self.parts[at];
        let peer = peer.as_ref().and_then(address);
        (&self.arena[*start..*start + *len], peer)
    }
}

/// Lets a socket hand over in one piece what the kernel has of one sender and size (`UDP_GRO`):
/// for a [`Receiver::of_trains`].
pub(crate) fn take_trains(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::UdpGroSegment, &true)?)
}

fn train_headers() -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(TRAINS, Some(nix::cmsg_space!(i32)))
}

/// How long each datagram of a message is; only the last one may be shorter.
fn car_bytes(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Result<Option<usize>, Errno> {
    let of = |control| match control {
        ControlMessageOwned::UdpGroSegments(bytes) => usize::try_from(bytes).ok(),
        _ => None,
    };
    let bytes = message.cmsgs()?.find_map(of);
    Ok(bytes.filter(|bytes| *bytes > 0))
}

/// Datagrams that wait to be sent over one socket.
pub(crate) struct Sender {
    headers: MultiHeaders<SockaddrStorage>,
    arena: Vec<u8>,
    ends: [usize; BATCH],
    peers: [Option<SockaddrStorage>; BATCH],
    count: usize,
}

/// What became of the datagrams of a flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flushed {
    pub(crate) sent: u64,
    pub(crate) unsent: u64,
}

impl Sender {
    pub(crate) fn new() -> Sender {
        Sender {
            headers: MultiHeaders::preallocate(BATCH, None),
            arena: Vec::with_capacity(BATCH * 2048),
            ends: [0; BATCH],
            peers: [None; BATCH],
            count: 0,
        }
    }

    /// Like [`Sender::new`], for sends that the kernel cuts into several datagrams.
    pub(crate) fn segmented() -> Sender {
        Sender {
            headers: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(u16))),
            ..Sender::new()
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Adds a datagram, as `compose` appends it.
    pub(crate) fn push(&mut self, peer: SocketAddr, compose: impl FnOnce(&mut Vec<u8>)) {
        assert!(!self.is_full(), "a full batch is flushed first");
        compose(&mut self.arena);
        self.ends[self.count] = self.arena.len();
        self.peers[self.count] = Some(peer.into());
        self.count += 1;
    }

    /// Sends them all. What the kernel does not take is lost: SIP sends it again.
    pub(crate) fn flush(&mut self, fd: RawFd) -> Flushed {
        self.flush_as(fd, &[])
    }

    /// Sends them all, each cut by the kernel into datagrams of `segment_bytes`.
    pub(crate) fn flush_segmented(&mut self, fd: RawFd, segment_bytes: u16) -> Flushed {
        self.flush_as(fd, &[ControlMessage::UdpGsoSegments(&segment_bytes)])
    }

    fn flush_as(&mut self, fd: RawFd, control: &[ControlMessage<'_>]) -> Flushed {
        let mut flushed = Flushed::default();
        let mut first = 0;
        while first < self.count {
            match self.send(fd, first, control) {
                Ok(sent) => {
                    flushed.sent += sent as u64;
                    first += sent;
                }
                Err(Errno::EINTR) => {}
                // The error speaks of the first one; the others may yet go.
                Err(_) => {
                    flushed.unsent += 1;
                    first += 1;
                }
            }
        }
        self.count = 0;
        self.arena.clear();
        flushed
    }

    fn send(
        &mut self,
        fd: RawFd,
        first: usize,
        control: &[ControlMessage<'_>],
    ) -> Result<usize, Errno> {
        let (arena, ends) = (&self.arena, &self.ends);
        let start = |at: usize| if at == 0 { 0 } else { ends[at - 1] };
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|at| {
            let is_used = at >= first && at < self.count;
            [IoSlice::new(match is_used {
                true => &arena[start(at)..ends[at]],
                false => &[],
            })]
        });
        let sent = sendmmsg(
            fd,
            &mut self.headers,
            &slices[first..self.count],
            &self.peers[first..self.count],
            control,
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        )?;
        Ok(sent.count())
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = storage.as_sockaddr_in6()?;
    debug_assert!(v6.len() > 0);
    Some(SocketAddr::new(v6.ip().into(), v6.port()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn batches_keep_order_addresses_and_lengths() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (a, b) = (
                UdpSocket::bind(host).unwrap(),
                UdpSocket::bind(host).unwrap(),
            );
            let (mut sender, mut receiver) = (Sender::new(), Receiver::new());
            for round in 0..3_usize {
                for n in 0..BATCH {
                    let len = n * 10 + round;
                    sender.push(b.local_addr().unwrap(), |out| {
                        out.resize(out.len() + len, n as u8)
                    });
                }
                assert!(sender.is_full());
                let all = Flushed {
                    sent: BATCH as u64,
                    unsent: 0,
                };
                assert_eq!(sender.flush(a.as_raw_fd()), all);
                assert_eq!(receiver.receive(b.as_raw_fd(), 3).unwrap(), 3);
                assert_eq!(receiver.receive(b.as_raw_fd(), 1000).unwrap(), BATCH - 3);
                for n in 3..BATCH {
                    let (bytes, peer) = receiver.get(n - 3);
                    assert_eq!(peer, Some(a.local_addr().unwrap()));
                    assert_eq!(
                        (bytes.len(), bytes.iter().all(|&b| b == n as u8)),
                        (n * 10 + round, true)
                    );
                }
                let error = receiver.receive(b.as_raw_fd(), 1).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            }
        }
    }

    #[test]
    fn one_that_cannot_be_sent_stops_no_other() {
        let (a, b) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let mut sender = Sender::new();
        for len in [10, 70_000, 20] {
            sender.push(b.local_addr().unwrap(), |out| {
                out.resize(out.len() + len, 0)
            });
        }
        assert_eq!(sender.flush(a.as_raw_fd()), Flushed { sent: 2, unsent: 1 });
        let mut receiver = Receiver::new();
        assert_eq!(receiver.receive(b.as_raw_fd(), 9).unwrap(), 2);
        assert_eq!((receiver.get(0).0.len(), receiver.get(1).0.len()), (10, 20));
    }

    #[test]
    fn a_segmented_send_arrives_as_datagrams() {
        let (a, b) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let mut sender = Sender::segmented();
        for fill in [1, 2] {
            sender.push(b.local_addr().unwrap(), |out| {
                out.resize(out.len() + 400, fill)
            });
        }
        assert_eq!(
            sender.flush_segmented(a.as_raw_fd(), 100),
            Flushed { sent: 2, unsent: 0 }
        );
        let mut receiver = Receiver::new();
        assert_eq!(receiver.receive(b.as_raw_fd(), 64).unwrap(), 8);
        let all: Vec<_> = (0..8)
            .map(|at| (receiver.get(at).0.len(), receiver.get(at).0[0]))
            .collect();
        assert_eq!(all, [[(100, 1); 4], [(100, 2); 4]].concat());
    }

    #[test]
    fn trains_come_whole_and_lone_datagrams_between_them() {
        let (a, b) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        take_trains(&b).unwrap();
        let to = b.local_addr().unwrap();
        let (mut sender, mut receiver) = (Sender::segmented(), Receiver::of_trains());
        for _ in 0..3 {
            a.send_to(&[7; 33], to).unwrap();
            a.send_to(&[], to).unwrap();
            // 40 whole cars and a shorter one; and what is a train of one.
            for (fill, len) in [(1, 40 * 100 + 5), (2, 100)] {
                sender.push(to, |out| out.resize(out.len() + len, fill));
            }
            let both = Flushed { sent: 2, unsent: 0 };
            assert_eq!(sender.flush_segmented(a.as_raw_fd(), 100), both);
            a.send_to(&[8; 44], to).unwrap();

            assert_eq!(receiver.receive(b.as_raw_fd(), 2).unwrap(), 2);
            assert_eq!(receiver.get(0).0, [7; 33]);
            assert_eq!(receiver.get(1).0.len(), 0);
            assert_eq!(receiver.receive(b.as_raw_fd(), 64).unwrap(), 43);
            for at in 0..43 {
                let (bytes, peer) = receiver.get(at);
                assert_eq!(peer, Some(a.local_addr().unwrap()));
                let expected: &[u8] = match at {
                    0..40 => &[1; 100],
                    40 => &[1; 5],
                    41 => &[2; 100],
                    _ => &[8; 44],
                };
                assert_eq!(bytes, expected, "{at}");
            }
            let error = receiver.receive(b.as_raw_fd(), 64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }
}
