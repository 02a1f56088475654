//! One listener's UDP socket on one shard: batches in, batches out.
//!
//! Cost: one system call moves up to [`sys::BATCH`] datagrams each way; what is sent is read out of
//! the packet pool, never copied.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use base::{Flow, ListenerId, PacketId, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::handler::{Handler, Undelivered};
use crate::metric::Metric;
use crate::outbox::Outbox;
use crate::sys::{self, Outbound, Sender};

/// What was asked of the system for a socket's receive buffer, and what it gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferReport {
    /// Which shard's socket.
    pub shard: u16,
    /// Of which listener.
    pub listener: ListenerId,
    /// Octets asked for.
    pub asked: usize,
    /// Octets granted; less than asked if `net.core.rmem_max` is smaller.
    pub got: usize,
}

/// A UDP socket of one shard.
pub(crate) struct UdpSocket {
    socket: Socket,
    pub(crate) listener: ListenerId,
    /// The address it is bound to.
    pub(crate) address: SocketAddr,
    /// Whether it takes datagrams for any of our addresses, so that replies must name theirs.
    is_wildcard: bool,
    /// Whether something may be waiting in it.
    pub(crate) is_ready: bool,
    /// Packets that wait to leave, in order.
    waiting: VecDeque<Waiting>,
    waiting_max: usize,
    /// Whether the kernel took nothing at the last try.
    pub(crate) is_blocked: bool,
    /// The kernel's count of what it dropped here, at the last look.
    dropped: u32,
}

#[derive(Clone, Copy)]
struct Waiting {
    flow: Flow,
    packet: PacketId,
    token: u64,
}

/// Fails if the address is taken. The shards' sockets share theirs, and would share it with those
/// of another process too: it would get a part of the calls.
pub(crate) fn probe(address: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// Binds a socket that shares its address with those of the other shards.
pub(crate) fn bind(
    address: SocketAddr,
    listener: ListenerId,
    receive_bytes: usize,
    send_bytes: usize,
    waiting_max: usize,
) -> io::Result<(UdpSocket, usize)> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Asked, then forced if the process may; what is granted is read back below.
    let _ = socket.set_recv_buffer_size(receive_bytes);
    if granted(&socket)? < receive_bytes {
        let _ = sys::force_receive_buffer(socket.as_raw_fd(), receive_bytes);
    }
    let _ = socket.set_send_buffer_size(send_bytes);
    sys::want_control(socket.as_raw_fd(), address.is_ipv4())?;
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    let got = granted(&socket)?;
    let socket = UdpSocket {
        is_wildcard: bound.ip().is_unspecified(),
        socket,
        listener,
        address: bound,
        is_ready: true,
        waiting: VecDeque::with_capacity(waiting_max),
        waiting_max,
        is_blocked: false,
        dropped: 0,
    };
    Ok((socket, got))
}

/// The kernel counts its own overhead into the buffer and reports twice what one gets.
fn granted(socket: &Socket) -> io::Result<usize> {
    Ok(socket.recv_buffer_size()? / 2)
}

impl UdpSocket {
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The path that a received datagram came by.
    pub(crate) fn flow(&self, peer: SocketAddr, local: Option<IpAddr>) -> Flow {
        let local = match local {
            Some(ip) if self.is_wildcard => SocketAddr::new(ip, self.address.port()),
            _ => self.address,
        };
        Flow {
            transport: Transport::Udp,
            listener: self.listener,
            local,
            peer,
            conn: None,
        }
    }

    /// Takes a packet to be sent, with the caller's reference. `false`: too many wait already.
    pub(crate) fn queue(&mut self, flow: Flow, packet: PacketId, token: u64) -> bool {
        if self.waiting.len() >= self.waiting_max {
            return false;
        }
        self.waiting.push_back(Waiting {
            flow,
            packet,
            token,
        });
        true
    }

    /// The kernel's count of datagrams that this socket had no room for; says how many are new.
    pub(crate) fn note_dropped(&mut self, dropped: u32) -> u64 {
        let more = dropped.wrapping_sub(self.dropped);
        self.dropped = dropped;
        u64::from(more)
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, until all has left or the kernel takes no more.
    pub(crate) fn flush<H: Handler>(&mut self, sender: &mut Sender, out: &mut Outbox<H>) {
        self.is_blocked = false;
        while !self.waiting.is_empty() {
            let wildcard = self.is_wildcard;
            let packets = &out.packets;
            let batch = self.waiting.iter().map(|waiting| Outbound {
                bytes: packets.bytes(waiting.packet),
                peer: waiting.flow.peer,
                source: source(wildcard, &waiting.flow),
            });
            let asked = self.waiting.len().min(sys::BATCH);
            match sender.send(self.fd(), batch) {
                Ok(sent) => {
                    if sent < asked {
                        out.count(Metric::SendPartial, 1);
                    }
                    self.sent(sent, out);
                }
                Err(error) if !self.failed(&error, out) => return,
                Err(_) => {}
            }
        }
    }

    fn sent<H: Handler>(&mut self, count: usize, out: &mut Outbox<H>) {
        let mut bytes = 0;
        for waiting in self.waiting.drain(..count) {
            bytes += out.packets.bytes(waiting.packet).len() as u64;
            out.packets.release(waiting.packet);
        }
        out.count(Metric::DatagramsOut, count as u64);
        out.count(Metric::DatagramBytesOut, bytes);
    }

    /// Deals with an error, which speaks of the first packet that waits. Returns whether to go on.
    fn failed<H: Handler>(&mut self, error: &io::Error, out: &mut Outbox<H>) -> bool {
        let (metric, why) = match error.raw_os_error() {
            Some(libc::EINTR) => return true,
            Some(libc::EAGAIN) => {
                out.count(Metric::SendAgain, 1);
                self.is_blocked = true;
                return false;
            }
            Some(libc::ENOBUFS | libc::ENOMEM) => {
                out.count(Metric::SendNoBuffers, 1);
                self.is_blocked = true;
                return false;
            }
            Some(libc::EMSGSIZE) => (Metric::SendTooBig, Undelivered::TooBig),
            Some(libc::ECONNREFUSED) => (Metric::SendUnreachable, Undelivered::Refused),
            Some(
                libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::EADDRNOTAVAIL,
            ) => (Metric::SendUnreachable, Undelivered::Unreachable),
            _ => (Metric::SendErrors, Undelivered::Unreachable),
        };
        out.count(metric, 1);
        if let Some(first) = self.waiting.pop_front() {
            out.packets.release(first.packet);
            out.fail(first.token, why);
        }
        true
    }
}

fn source(is_wildcard: bool, flow: &Flow) -> Option<IpAddr> {
    (is_wildcard && !flow.local.ip().is_unspecified()).then(|| flow.local.ip())
}
