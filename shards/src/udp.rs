//! Datagrams: one SO_REUSEPORT socket per listener and shard, read and written in batches.
//!
//! Cost: one recvmmsg(2) for up to 64 datagrams and one sendmmsg(2) for what a turn sends; the
//! kernel copies each datagram into the arena and out of its packet, we do not copy it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use base::{Flow, ListenerId, PacketId, Time, Transport};

use crate::door::Door;
use crate::handler::{Handler, Undelivered};
use crate::metric::Metric;
use crate::outbox::Outbox;
use crate::sys::{BATCH, Outgoing, ReceiveBatch, SendBatch};

/// How long to let the kernel find memory after ENOBUFS; no event says when it has.
const NO_BUFFERS_PAUSE_US: u64 = 1_000;

/// One shard's socket of one listener.
pub(crate) struct UdpSocket {
    socket: mio::net::UdpSocket,
    listener: ListenerId,
    address: SocketAddr,
    /// Events are edges: true until a receive finds less than a full batch.
    readable: bool,
    writable: bool,
    /// Not to be tried before.
    retry_at: Option<Time>,
    /// What the socket has not taken yet, in order.
    queue: VecDeque<Queued>,
    queue_max: usize,
    /// The kernel's count of datagrams it dropped here, at the last look.
    dropped: u32,
}

#[derive(Clone, Copy)]
struct Queued {
    peer: SocketAddr,
    source: Option<IpAddr>,
    packet: PacketId,
    token: u64,
}

impl UdpSocket {
    pub(crate) fn new(
        socket: mio::net::UdpSocket,
        listener: ListenerId,
        address: SocketAddr,
        queue_max: usize,
    ) -> UdpSocket {
        UdpSocket {
            socket,
            listener,
            address,
            readable: true,
            writable: true,
            retry_at: None,
            queue: VecDeque::with_capacity(queue_max),
            queue_max,
            dropped: 0,
        }
    }

    pub(crate) fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    pub(crate) fn ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Whether there is something to receive without waiting for an event.
    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    /// When to try to send again, if not by an event.
    pub(crate) fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    /// Receives one batch and lets each datagram in.
    pub(crate) fn receive<H: Handler>(&mut self, batch: &mut ReceiveBatch, door: &mut Door<H>) {
        if !self.readable {
            return;
        }
        let count = match batch.receive(self.socket.as_fd()) {
            Ok(count) => count,
            Err(error) => {
                match error.kind() {
                    io::ErrorKind::WouldBlock => self.readable = false,
                    io::ErrorKind::Interrupted => {}
                    // A pending error of the socket, which reading it has cleared.
                    _ => door.out.count(Metric::ReceiveErrors, 1),
                }
                return;
            }
        };
        // Less than a full batch: the queue was empty, and the next datagram is a new edge.
        self.readable = count == BATCH;
        let mut octets = 0;
        for index in 0..count {
            let datagram = batch.datagram(index);
            octets += datagram.bytes.len() as u64;
            if let Some(dropped) = datagram.dropped {
                self.note_dropped(dropped, &door.out);
            }
            let Some(peer) = datagram.peer else { continue };
            door.stamp();
            let received = door.received_at(datagram.stamp);
            let flow = Flow {
                transport: Transport::Udp,
                listener: self.listener,
                local: match datagram.local {
                    Some(ip) => SocketAddr::new(ip, self.address.port()),
                    None => self.address,
                },
                peer,
                conn: None,
            };
            door.arrive(&flow, datagram.bytes, received);
        }
        door.out.count(Metric::DatagramsIn, count as u64);
        door.out.count(Metric::DatagramBytesIn, octets);
    }

    /// Takes a packet, with its reference, to be sent at the next flush.
    pub(crate) fn queue<H: Handler>(
        &mut self,
        flow: &Flow,
        packet: PacketId,
        token: u64,
        out: &mut Outbox<H>,
    ) {
        if self.queue.len() == self.queue_max {
            out.count(Metric::SendQueueFull, 1);
            out.release(packet);
            out.fail(token, Undelivered::Full);
            return;
        }
        let names_source = self.address.ip().is_unspecified() && !flow.local.ip().is_unspecified();
        self.queue.push_back(Queued {
            peer: flow.peer,
            source: names_source.then(|| flow.local.ip()),
            packet,
            token,
        });
    }

    /// Sends what is queued, until the socket takes no more. Each round sends or drops at least
    /// one datagram, or is the last.
    pub(crate) fn flush<H: Handler>(&mut self, batch: &mut SendBatch, out: &mut Outbox<H>) {
        if self.retry_at.is_some_and(|at| out.now() >= at) {
            self.retry_at = None;
        }
        while !self.queue.is_empty() && self.writable && self.retry_at.is_none() {
            let count = self.queue.len().min(BATCH);
            let sent = batch.send(self.socket.as_fd(), count, |index| {
                let queued = &self.queue[index];
                Outgoing {
                    bytes: out.packets.bytes(queued.packet),
                    peer: queued.peer,
                    source: queued.source,
                }
            });
            match sent {
                Ok(sent) => {
                    if sent < count {
                        out.count(Metric::SendPartial, 1);
                    }
                    self.taken(sent, out);
                }
                Err(error) => self.failed(&error, out),
            }
        }
    }

    fn taken<H: Handler>(&mut self, sent: usize, out: &mut Outbox<H>) {
        let mut octets = 0;
        for queued in self.queue.drain(..sent) {
            octets += out.packets.bytes(queued.packet).len() as u64;
            out.packets.release(queued.packet);
        }
        out.count(Metric::DatagramsOut, sent as u64);
        out.count(Metric::DatagramBytesOut, octets);
    }

    /// The kernel took none of the batch, because of its first datagram or of itself.
    #[cold]
    fn failed<H: Handler>(&mut self, error: &io::Error, out: &mut Outbox<H>) {
        let (metric, why) = match error.raw_os_error() {
            Some(libc::EINTR) => return,
            Some(libc::EAGAIN) => {
                self.writable = false;
                out.count(Metric::SendAgain, 1);
                return;
            }
            Some(libc::ENOBUFS | libc::ENOMEM) => {
                self.retry_at = Some(Time(out.now().0 + NO_BUFFERS_PAUSE_US));
                out.count(Metric::SendNoBuffers, 1);
                return;
            }
            Some(libc::EMSGSIZE) => (Metric::SendTooBig, Undelivered::TooBig),
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::EADDRNOTAVAIL,
            ) => (Metric::SendUnreachable, Undelivered::Unreachable),
            Some(libc::ECONNREFUSED) => (Metric::SendErrors, Undelivered::Refused),
            _ => (Metric::SendErrors, Undelivered::Unreachable),
        };
        out.count(metric, 1);
        let queued = self.queue.pop_front().expect("a batch has a datagram");
        out.release(queued.packet);
        out.fail(queued.token, why);
    }

    fn note_dropped<H: Handler>(&mut self, dropped: u32, out: &Outbox<H>) {
        let more = dropped.wrapping_sub(self.dropped);
        if more > 0 {
            self.dropped = dropped;
            out.count(Metric::KernelDrops, u64::from(more));
        }
    }
}
