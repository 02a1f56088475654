//! One listener's UDP socket on one shard: batches in, batches out.
//!
//! Cost: one system call moves up to [`crate::Limits::batch`] messages each way; what is sent is
//! read out of the packet pool, never copied.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use base::{Flow, ListenerId, PacketId, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::handler::{Brought, Handler, Undelivered};
use crate::limits::Limits;
use crate::metric::Metric;
use crate::outbox::{Outbox, Outgoing};
use crate::sys::{self, Sender};
use crate::train::{PLAN_MAX, Planner, Waiting};

/// After so many refusals in a row a socket sends no more trains: its device cannot.
const REFUSALS_MAX: u32 = 8;

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
    /// Who brings datagrams to it: [`Brought::Steered`] where the kernel chooses by what they are.
    pub(crate) brought: Brought,
    /// Whether something may be waiting in it.
    pub(crate) is_ready: bool,
    /// Packets that wait to leave, in order.
    waiting: VecDeque<Waiting>,
    waiting_max: usize,
    /// How many of them, from the first, are in their final order.
    planned: usize,
    /// How many trains in a row were refused.
    refusals: u32,
    /// Whether the kernel took nothing at the last try.
    pub(crate) is_blocked: bool,
    /// Whether the kernel could give nothing at the last try, for another reason than that there
    /// was nothing.
    is_starved: bool,
    /// The kernel's count of what it dropped here, at the last look.
    dropped: u32,
    cutting: Cutting,
}

/// Whether the kernel may cut what is wider than its path into fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cutting {
    /// By its own rules, or by those of IPv6.
    Unasked,
    /// It says so instead (EMSGSIZE), so that what is not wider costs less.
    Refused,
    /// Until all that waits has left: some of it is wider.
    Allowed,
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
    limits: &Limits,
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
    sys::want_control(socket.as_raw_fd(), address)?;
    if limits.receive_trains {
        // A kernel that knows no trains hands the datagrams over one by one, as it did.
        let _ = sys::want_trains(socket.as_raw_fd());
    }
    if limits.busy_poll_us > 0 {
        // Without the permission the shard's own looking must do.
        let _ = sys::busy_poll(socket.as_raw_fd(), limits.busy_poll_us);
    }
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    let got = granted(&socket)?;
    let socket = UdpSocket {
        is_wildcard: bound.ip().is_unspecified(),
        listener,
        address: bound,
        brought: Brought::Straight,
        is_ready: true,
        waiting: VecDeque::with_capacity(limits.sends),
        waiting_max: limits.sends,
        planned: 0,
        refusals: 0,
        is_blocked: false,
        is_starved: false,
        dropped: 0,
        cutting: uncut(&socket, bound),
        socket,
    };
    Ok((socket, got))
}

/// Asks the kernel to cut nothing, if it would not cut what others can still carry.
fn uncut(socket: &Socket, bound: SocketAddr) -> Cutting {
    let fd = socket.as_raw_fd();
    match bound.is_ipv4() && sys::finds_mtu(fd) && sys::let_cut(fd, false).is_ok() {
        true => Cutting::Refused,
        false => Cutting::Unasked,
    }
}

/// The kernel counts its own overhead into the buffer and reports twice what one gets.
fn granted(socket: &Socket) -> io::Result<usize> {
    Ok(socket.recv_buffer_size()? / 2)
}

impl UdpSocket {
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The path of a datagram from or to a peer.
    pub(crate) fn flow(&self, peer: SocketAddr) -> Flow {
        Flow {
            transport: Transport::Udp,
            listener: self.listener,
            local: self.address,
            peer,
            conn: None,
        }
    }

    /// Says of a path which of our addresses a datagram was sent to, on a wildcard; `None` = the
    /// kernel did not tell.
    #[inline]
    pub(crate) fn put_local(&self, local: Option<IpAddr>, flow: &mut Flow) {
        if self.is_wildcard {
            let ip = local.unwrap_or(self.address.ip());
            flow.local = SocketAddr::new(ip, self.address.port());
        }
    }

    /// Sends the first packets of a turn straight from where the handler put them, as far as they are
    /// datagrams of this socket. Returns how many left: 0 if they must be queued instead, because
    /// others wait already or the kernel did not take the first.
    pub(crate) fn send_straight<H: Handler>(
        &mut self,
        sender: &mut Sender,
        outgoing: &[Outgoing],
        out: &mut Outbox<H>,
    ) -> usize {
        if self.has_waiting() {
            return 0;
        }
        let mut batch = sender.batch();
        for one in outgoing {
            match one {
                Outgoing::Send { flow, packet, .. }
                    if flow.transport == Transport::Udp
                        && flow.listener == self.listener
                        && batch.has_room() =>
                {
                    let source = source(self.is_wildcard, flow);
                    batch.datagram(flow.peer, source, out.packets.bytes(*packet));
                }
                _ => break,
            }
        }
        let asked = batch.len();
        // What an error means is decided when it is met again, by `flush`.
        let (sent, bytes) = batch.send(self.fd()).unwrap_or_default();
        for one in &outgoing[..sent] {
            if let Outgoing::Send { packet, .. } = *one {
                out.packets.release(packet);
            }
        }
        if sent > 0 {
            out.count(Metric::DatagramsOut, sent as u64);
            out.count(Metric::DatagramBytesOut, bytes);
            if sent < asked {
                out.count(Metric::SendPartial, 1);
            }
        }
        sent
    }

    /// Takes a packet to be sent, with the caller's reference. `false`: too many wait already.
    pub(crate) fn queue(&mut self, flow: &Flow, packet: PacketId, token: u64) -> bool {
        if self.waiting.len() >= self.waiting_max {
            return false;
        }
        let source = source(self.is_wildcard, flow);
        let waiting = Waiting::alone(flow.peer, source, packet, token);
        self.waiting.push_back(waiting);
        true
    }

    /// Whether it is to be tried again in a moment, whatever happens until then.
    pub(crate) fn waits(&self) -> bool {
        self.is_blocked || self.is_starved
    }

    /// How many datagrams a call brought, of so many that there was room for.
    pub(crate) fn received(&mut self, count: usize, room: usize) {
        self.is_starved = false;
        self.is_ready = count == room;
    }

    /// Deals with an error of a receive call. Returns whether to call again at once.
    pub(crate) fn not_received<H: Handler>(&mut self, error: &io::Error, out: &Outbox<H>) -> bool {
        self.is_starved = false;
        match error.raw_os_error() {
            Some(libc::EAGAIN) => self.is_ready = false,
            Some(libc::EINTR) => return true,
            _ => {
                // No memory, or what an earlier send met on its way (ICMP): it may last, so the
                // socket stays ready and has a moment's rest.
                out.count(Metric::ReceiveErrors, 1);
                self.is_starved = true;
            }
        }
        false
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
    pub(crate) fn flush<H: Handler>(
        &mut self,
        sender: &mut Sender,
        planner: &mut Planner,
        handler: &H,
        out: &mut Outbox<H>,
    ) {
        self.is_blocked = false;
        self.send_all(sender, planner, handler, out);
        if self.cutting == Cutting::Allowed {
            self.let_cut(false);
        }
    }

    fn send_all<H: Handler>(
        &mut self,
        sender: &mut Sender,
        planner: &mut Planner,
        handler: &H,
        out: &mut Outbox<H>,
    ) {
        let is_coalescing = handler.coalesces() && self.refusals < REFUSALS_MAX;
        while !self.waiting.is_empty() {
            if self.planned == 0 {
                match is_coalescing {
                    true => self.plan(planner, handler, out),
                    false => self.planned = self.waiting.len(),
                }
            }
            let (asked, sent) = self.send(sender, out);
            match sent {
                Ok((sent, bytes)) => {
                    if sent < asked {
                        out.count(Metric::SendPartial, 1);
                    }
                    out.count(Metric::DatagramBytesOut, bytes);
                    self.sent(sent, out);
                }
                Err(error) if !self.failed(&error, out) => return,
                Err(_) => {}
            }
        }
    }

    fn plan<H: Handler>(&mut self, planner: &mut Planner, handler: &H, out: &Outbox<H>) {
        self.planned = self.waiting.len().min(PLAN_MAX);
        let listener = self.listener;
        let waiting = &mut self.waiting.make_contiguous()[..self.planned];
        for waiting in &mut *waiting {
            waiting.len = out.packets.len(waiting.packet) as u32;
        }
        planner.plan(waiting, |waiting| {
            let (bytes, note) = (
                out.packets.bytes(waiting.packet),
                out.packets.note(waiting.packet),
            );
            handler.fellow(listener, waiting.peer, bytes, note)
        });
    }

    /// Hands a batch of what is planned to the kernel. Says how many messages it had, and how many
    /// of them left.
    fn send<H: Handler>(
        &self,
        sender: &mut Sender,
        out: &Outbox<H>,
    ) -> (usize, io::Result<(usize, u64)>) {
        let mut batch = sender.batch();
        let mut rest = self.waiting.range(..self.planned);
        while batch.has_room()
            && let Some(first) = rest.next()
        {
            if first.train == 1 {
                batch.message(first.peer, first.source, None);
                batch.piece(out.packets.bytes(first.packet));
                continue;
            }
            batch.message(first.peer, first.source, Some(first.wire_len() as u16));
            let others = rest.by_ref().take(usize::from(first.train) - 1);
            for waiting in std::iter::once(first).chain(others) {
                for piece in waiting.pieces(out.packets.bytes(waiting.packet)) {
                    if !piece.is_empty() {
                        batch.piece(piece);
                    }
                }
            }
        }
        (batch.len(), batch.send(self.fd()))
    }

    /// Lets go of the packets of so many messages that left.
    fn sent<H: Handler>(&mut self, messages: usize, out: &mut Outbox<H>) {
        let mut datagrams = 0;
        let (mut trains, mut together, mut pads) = (0, 0, 0);
        for _ in 0..messages {
            let first = self.waiting.pop_front().expect("what left was waiting");
            out.packets.release(first.packet);
            datagrams += usize::from(first.train);
            if first.train == 1 {
                continue;
            }
            trains += 1;
            together += u64::from(first.train);
            for waiting in self.waiting.drain(..usize::from(first.train) - 1) {
                pads += u64::from(waiting.pad);
                out.packets.release(waiting.packet);
            }
        }
        self.planned -= datagrams;
        out.count(Metric::DatagramsOut, datagrams as u64);
        if trains > 0 {
            self.refusals = 0;
            out.count(Metric::Trains, trains);
            out.count(Metric::TrainDatagrams, together);
            out.count(Metric::PadBytes, pads);
        }
    }

    /// Deals with an error, which speaks of the first message that waits. Returns whether to go on.
    fn failed<H: Handler>(&mut self, error: &io::Error, out: &mut Outbox<H>) -> bool {
        let train = self.waiting.front().map_or(0, |first| first.train);
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
            // No checksums by the device, a path narrower than a segment, an older kernel.
            Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP) if train > 1 => {
                out.count(Metric::TrainsRefused, 1);
                self.refusals += 1;
                self.uncouple(usize::from(train));
                return true;
            }
            Some(libc::EMSGSIZE) if self.cutting == Cutting::Refused && self.let_cut(true) => {
                return true;
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
        out.count(metric, u64::from(train));
        self.planned = self.planned.saturating_sub(usize::from(train));
        for first in self.waiting.drain(..usize::from(train)) {
            out.packets.release(first.packet);
            out.fail(first.token, why);
        }
        true
    }

    /// Whether the kernel does as it is told.
    #[cold]
    fn let_cut(&mut self, cuts: bool) -> bool {
        let is_done = sys::let_cut(self.fd(), cuts).is_ok();
        if is_done {
            self.cutting = match cuts {
                true => Cutting::Allowed,
                false => Cutting::Refused,
            };
        }
        is_done
    }

    /// The first train's datagrams leave one by one and as they are.
    fn uncouple(&mut self, train: usize) {
        for waiting in self.waiting.range_mut(..train) {
            (waiting.pad, waiting.train) = (0, 1);
        }
    }
}

fn source(is_wildcard: bool, flow: &Flow) -> Option<IpAddr> {
    (is_wildcard && !flow.local.ip().is_unspecified()).then(|| flow.local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::{Fellow, Place};
    use crate::inbox::Inbox;
    use crate::outbox::{Links, Mail, Touched};
    use crate::ring::RecordRing;
    use crate::stats::{ShardStats, Tables};
    use crate::sys::Receiver;
    use base::ShardId;
    use crossbeam_queue::ArrayQueue;
    use std::net::UdpSocket as Peer;
    use std::sync::Arc;

    /// Only its outbox is wanted, and what it says of datagrams that leave.
    struct Nobody {
        coalesces: bool,
    }

    const NOBODY: Nobody = Nobody { coalesces: false };
    const FELLOW: Nobody = Nobody { coalesces: true };

    fn dots(len: usize) -> &'static [u8] {
        &[b'.'; crate::PAD_BYTES_MAX][..len]
    }

    impl Handler for Nobody {
        type Letter = ();
        type Notice = ();
        type Snapshot = ();
        fn owner(&self, _: &[u8]) -> Option<ShardId> {
            None
        }
        fn frame(&self, _: &[u8]) -> crate::Frame {
            crate::Frame::More
        }
        fn message(&mut self, _: &crate::Inbound<'_>, _: &mut Outbox<Nobody>) {}
        fn coalesces(&self) -> bool {
            self.coalesces
        }
        fn fellow(&self, _: ListenerId, _: SocketAddr, bytes: &[u8], _: u32) -> Option<Fellow> {
            Some(Fellow {
                lane: u32::from(bytes[0]),
                place: Some(Place {
                    at: 1,
                    filling: dots,
                }),
            })
        }
        fn unframed(&mut self, _: &crate::Inbound<'_>, _: u8, _: &mut Outbox<Nobody>) {}
        fn letter(&mut self, _: ShardId, (): (), _: &mut Outbox<Nobody>) {}
        fn deadline(&mut self, _: u64, _: &mut Outbox<Nobody>) {}
        fn undelivered(&mut self, _: u64, _: Undelivered, _: &mut Outbox<Nobody>) {}
        fn snapshot(&mut self, _: Arc<()>, _: &mut Outbox<Nobody>) -> Option<Arc<()>> {
            None
        }
        fn housekeeping(&mut self, _: &mut Outbox<Nobody>) {}
        fn drain(&mut self, _: &mut Outbox<Nobody>) {}
        fn is_idle(&self) -> bool {
            true
        }
        fn stop(&mut self, _: &mut Outbox<Nobody>) {}
    }

    fn outbox() -> Outbox<Nobody> {
        let inboxes: Vec<Inbox<()>> = Vec::new();
        let links = Links {
            shard: ShardId(0),
            shards: 1,
            seed: 1,
            mail: Mail::Inboxes {
                all: inboxes.into(),
                touched: Touched::new(0),
            },
            notices: Arc::new(ArrayQueue::new(1)),
            records: Arc::new(RecordRing::new(1, 1)),
            stats: ShardStats::new(&Tables::default()),
        };
        Outbox::new(&Limits::small(), links)
    }

    fn socket(waiting_max: usize) -> UdpSocket {
        let any = "127.0.0.1:0".parse().unwrap();
        let limits = Limits {
            sends: waiting_max,
            ..Limits::small()
        };
        bind(any, ListenerId(0), 65_536, 65_536, &limits).unwrap().0
    }

    fn flush(socket: &mut UdpSocket, handler: &Nobody, out: &mut Outbox<Nobody>) {
        socket.flush(&mut Sender::new(64), &mut Planner::new(), handler, out);
    }

    /// Queues packets of these lengths, with tokens from 1.
    fn queue(socket: &mut UdpSocket, out: &mut Outbox<Nobody>, peer: &Peer, lens: &[usize]) {
        let flow = socket.flow(peer.local_addr().unwrap());
        for (at, &len) in lens.iter().enumerate() {
            let packet = out.packet(len).unwrap();
            out.buffer(packet)[..len].fill(at as u8 + 1);
            out.set_len(packet, len);
            assert!(socket.queue(&flow, packet, at as u64 + 1));
        }
    }

    fn count(out: &Outbox<Nobody>, metric: Metric) -> u64 {
        out.stats_runtime().get(metric as usize)
    }

    #[test]
    fn b32_errors_of_the_kernel_lose_nothing_that_can_still_leave() {
        let peer = Peer::bind("127.0.0.1:0").unwrap();
        let pause = [
            (libc::EAGAIN, Some(Metric::SendAgain)),
            (libc::ENOBUFS, Some(Metric::SendNoBuffers)),
            (libc::ENOMEM, Some(Metric::SendNoBuffers)),
            (libc::EINTR, None),
        ];
        for (errno, metric) in pause {
            let (mut socket, mut out) = (socket(8), outbox());
            queue(&mut socket, &mut out, &peer, &[10, 20]);
            let goes_on = socket.failed(&io::Error::from_raw_os_error(errno), &mut out);
            assert_eq!(
                (goes_on, socket.is_blocked),
                (metric.is_none(), metric.is_some())
            );
            assert!(metric.is_none_or(|metric| count(&out, metric) == 1));
            assert!(out.failures.is_empty());
            flush(&mut socket, &NOBODY, &mut out);
            assert_eq!(
                count(&out, Metric::DatagramsOut),
                2,
                "both leave in the end"
            );
            assert_eq!(out.packets_live(), 0);
        }
        let lost = [
            (libc::EMSGSIZE, Metric::SendTooBig, Undelivered::TooBig),
            (
                libc::ENETUNREACH,
                Metric::SendUnreachable,
                Undelivered::Unreachable,
            ),
            (
                libc::EHOSTUNREACH,
                Metric::SendUnreachable,
                Undelivered::Unreachable,
            ),
            (
                libc::EADDRNOTAVAIL,
                Metric::SendUnreachable,
                Undelivered::Unreachable,
            ),
            (
                libc::ECONNREFUSED,
                Metric::SendUnreachable,
                Undelivered::Refused,
            ),
            (libc::EPERM, Metric::SendErrors, Undelivered::Unreachable),
        ];
        for (errno, metric, why) in lost {
            let (mut socket, mut out) = (socket(8), outbox());
            // In pieces it would be too large as well.
            socket.cutting = Cutting::Allowed;
            queue(&mut socket, &mut out, &peer, &[10, 20]);
            assert!(socket.failed(&io::Error::from_raw_os_error(errno), &mut out));
            assert_eq!(count(&out, metric), 1);
            assert_eq!(
                out.failures,
                [(1, why)],
                "the first one, and its sender is told"
            );
            flush(&mut socket, &NOBODY, &mut out);
            assert_eq!(
                (count(&out, Metric::DatagramsOut), out.packets_live()),
                (1, 0)
            );
        }
    }

    #[test]
    fn b32_errors_of_receiving_are_counted_and_neither_spin_nor_stop() {
        let (mut socket, out) = (socket(8), outbox());
        let mut receive = |errno: i32| {
            socket.is_ready = true;
            let at_once = socket.not_received(&io::Error::from_raw_os_error(errno), &out);
            (
                at_once,
                socket.is_ready,
                socket.waits(),
                count(&out, Metric::ReceiveErrors),
            )
        };
        assert_eq!(
            receive(libc::EAGAIN),
            (false, false, false, 0),
            "the next event"
        );
        assert_eq!(receive(libc::EINTR), (true, true, false, 0), "at once");
        for (errors, errno) in [
            (1, libc::ENOMEM),
            (2, libc::ENOBUFS),
            (3, libc::ECONNREFUSED),
        ] {
            assert_eq!(receive(errno), (false, true, true, errors), "in a moment");
        }
        socket.received(3, 64);
        assert_eq!((socket.is_ready, socket.waits()), (false, false));
    }

    #[test]
    fn b32_a_datagram_too_large_for_the_wire_does_not_hold_up_the_rest() {
        let peer = Peer::bind("127.0.0.1:0").unwrap();
        let (mut socket, mut out) = (socket(200), outbox());
        let lens: Vec<usize> = (0..150)
            .map(|at| if at % 50 == 49 { 65_520 } else { 100 })
            .collect();
        queue(&mut socket, &mut out, &peer, &lens);
        flush(&mut socket, &NOBODY, &mut out);
        assert_eq!(count(&out, Metric::DatagramsOut), 147);
        assert_eq!(count(&out, Metric::SendTooBig), 3);
        assert_eq!(
            count(&out, Metric::SendPartial),
            3,
            "each batch ended at one of them"
        );
        let told: Vec<u64> = out.failures.iter().map(|failure| failure.0).collect();
        assert_eq!((told, out.packets_live()), (vec![50, 100, 150], 0));
        let mut buffer = [0; 200];
        for at in (0..150_u8).filter(|at| at % 50 != 49) {
            let len = peer.recv(&mut buffer).unwrap();
            assert_eq!((len, buffer[0]), (100, at + 1), "in order, none twice");
        }
    }

    #[test]
    fn what_is_wider_than_its_path_leaves_in_pieces() {
        const INSIDE: &str = "TRUNKLINE_TEST_INSIDE";
        const NAME: &str = "udp::tests::what_is_wider_than_its_path_leaves_in_pieces";
        if std::env::var_os(INSIDE).is_none() {
            // The same test again in a network of its own, whose loopback is as narrow as a wire.
            let script = "ip link set lo up mtu 1500 && \"$1\" --exact \"$2\" --nocapture";
            let path = std::env::var("PATH").unwrap_or_default();
            let output = std::process::Command::new("unshare")
                .env("PATH", format!("{path}:/usr/sbin:/sbin"))
                .env(INSIDE, "1")
                .args(["--map-root-user", "--net", "sh", "-c", script, "sh"])
                .arg(std::env::current_exe().unwrap())
                .arg(NAME)
                .output()
                .expect("unshare runs");
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            let is_done = output.status.success() && text.contains("1 passed");
            assert!(is_done, "it ran inside and passed: {text}{errors}");
            return;
        }
        let peer = Peer::bind("127.0.0.1:0").unwrap();
        let (mut socket, mut out) = (socket(64), outbox());
        assert_eq!(socket.cutting, Cutting::Refused);
        // What is too wide even in pieces is there too.
        let lens = [100, 1_472, 1_473, 200, 9_000, 65_520, 3_000, 300];
        for round in 1..=2 {
            queue(&mut socket, &mut out, &peer, &lens);
            flush(&mut socket, &NOBODY, &mut out);
            assert_eq!(socket.cutting, Cutting::Refused, "it is as it was");
            assert_eq!(count(&out, Metric::SendTooBig), round);
            let mut buffer = vec![0; 65_536];
            for (at, &len) in lens.iter().enumerate().filter(|(_, len)| **len < 65_000) {
                let got = peer.recv(&mut buffer).unwrap();
                assert_eq!((got, buffer[len - 1]), (len, at as u8 + 1));
            }
        }
        assert_eq!(out.packets_live(), 0);
    }

    /// Everything that a peer got, in order.
    fn received(peer: &Peer) -> Vec<Vec<u8>> {
        peer.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2_048];
        let mut all = Vec::new();
        while let Ok(len) = peer.recv(&mut buffer) {
            all.push(buffer[..len].to_vec());
        }
        all
    }

    #[test]
    fn datagrams_for_one_peer_leave_together_and_are_lengthened_in_their_place() {
        let (peer, other) = (
            Peer::bind("127.0.0.1:0").unwrap(),
            Peer::bind("127.0.0.1:0").unwrap(),
        );
        let (mut socket, mut out) = (socket(64), outbox());
        queue(&mut socket, &mut out, &peer, &[300, 400, 380, 90]);
        queue(&mut socket, &mut out, &other, &[200]);
        flush(&mut socket, &FELLOW, &mut out);
        let got = received(&peer);
        let lens: Vec<usize> = got.iter().map(Vec::len).collect();
        assert_eq!(lens, [400, 400, 300, 90]);
        assert_eq!(got[1][..22], [&[3][..], &[b'.'; 20], &[3]].concat());
        assert_eq!(received(&other).len(), 1);
        let numbers = [
            (Metric::DatagramsOut, 5),
            (Metric::DatagramBytesOut, 1_390),
            (Metric::Trains, 1),
            (Metric::TrainDatagrams, 3),
            (Metric::PadBytes, 20),
        ];
        for (metric, want) in numbers {
            assert_eq!(count(&out, metric), want, "{metric:?}");
        }
        assert_eq!(out.packets_live(), 0);
    }

    #[test]
    fn a_train_is_received_in_one_piece_if_that_is_wanted() {
        let limits = Limits {
            receive_trains: true,
            ..Limits::small()
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let (wants, _) = bind(any, ListenerId(0), 65_536, 65_536, &limits).unwrap();
        let (mut socket, mut out) = (socket(64), outbox());
        let mut received = |to: &UdpSocket| -> Vec<(usize, usize)> {
            let flow = socket.flow(to.address);
            for lane in 1..=3 {
                let packet = out.packet(300).unwrap();
                out.buffer(packet)[..300].fill(lane);
                out.set_len(packet, 300 - usize::from(lane == 3) * 200);
                assert!(socket.queue(&flow, packet, 0));
            }
            flush(&mut socket, &FELLOW, &mut out);
            let mut receiver = Receiver::new(8);
            let count = receiver.receive(to.fd()).unwrap();
            let pieces = (0..count).map(|at| receiver.get(at).unwrap());
            pieces
                .map(|piece| (piece.bytes.len(), piece.segment))
                .collect()
        };
        assert_eq!(received(&wants), [(700, 300)]);
        let plain = self::socket(1);
        assert_eq!(received(&plain), [(300, 300), (300, 300), (100, 100)]);
    }

    #[test]
    fn b32_a_refused_train_leaves_one_by_one_and_a_socket_that_cannot_stops_trying() {
        let peer = Peer::bind("127.0.0.1:0").unwrap();
        let (mut socket, mut out) = (socket(64), outbox());
        for round in 1..=u64::from(REFUSALS_MAX) {
            queue(&mut socket, &mut out, &peer, &[300, 290]);
            socket.plan(&mut Planner::new(), &FELLOW, &out);
            let refused = io::Error::from_raw_os_error(libc::EIO);
            assert!(socket.failed(&refused, &mut out));
            assert_eq!(count(&out, Metric::TrainsRefused), round);
            assert!(out.failures.is_empty());
            flush(&mut socket, &FELLOW, &mut out);
            assert_eq!(count(&out, Metric::DatagramsOut), 2 * round);
        }
        queue(&mut socket, &mut out, &peer, &[300, 290]);
        flush(&mut socket, &FELLOW, &mut out);
        let lens: Vec<usize> = received(&peer).iter().map(Vec::len).collect();
        assert_eq!(lens, [300, 290].repeat(9), "never lengthened");
        assert_eq!((count(&out, Metric::Trains), out.packets_live()), (0, 0));
    }

    #[test]
    fn a_train_without_a_way_is_told_of_whole() {
        let peer = Peer::bind("127.0.0.1:0").unwrap();
        let (mut socket, mut out) = (socket(64), outbox());
        queue(&mut socket, &mut out, &peer, &[300, 290, 900]);
        socket.plan(&mut Planner::new(), &FELLOW, &out);
        assert!(socket.failed(&io::Error::from_raw_os_error(libc::ENETUNREACH), &mut out));
        assert!(socket.failed(&io::Error::from_raw_os_error(libc::ENETUNREACH), &mut out));
        let mut told: Vec<u64> = out.failures.iter().map(|failure| failure.0).collect();
        told.sort_unstable();
        assert_eq!(told, [1, 2, 3]);
        assert_eq!(count(&out, Metric::SendUnreachable), 3);
        assert_eq!((socket.has_waiting(), out.packets_live()), (false, 0));
    }

    #[test]
    fn the_queue_has_a_bound_and_the_kernels_count_may_wrap() {
        let peer = Peer::bind("127.0.0.1:0").unwrap();
        let (mut socket, mut out) = (socket(2), outbox());
        queue(&mut socket, &mut out, &peer, &[1, 1]);
        let packet = out.packet(1).unwrap();
        let flow = socket.flow(peer.local_addr().unwrap());
        assert!(!socket.queue(&flow, packet, 3));
        assert_eq!(socket.note_dropped(5), 5);
        assert_eq!(socket.note_dropped(u32::MAX), u64::from(u32::MAX) - 5);
        assert_eq!(socket.note_dropped(1), 2);
    }
}
