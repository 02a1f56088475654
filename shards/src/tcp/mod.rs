//! Streams: accepted, opened, framed, written, closed. Each lives on the shard that made it.
//!
//! ```text
//!              ┌── accept ──▶ Open ◀── connected ── Opening ── refused, too late ──▶ told, closed
//!              │               │
//!   messages ◀─┴─ read, cut ◀──┤──▶ write, in order, as much as the peer takes
//!                              ▼
//!        idle, slow, unframed, full, asked ──▶ Closing (what was queued leaves) ──▶ closed
//! ```
//!
//! Octets of a message that is not complete lie in a packet of a pool of their own; a complete one
//! is handled where it was read. Memory grows with received octets, never with promised ones.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use base::{ConnId, Flow, ListenerId, PacketId, ShardId, Slab, Time, Transport};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::cut::{Cut, cut};
use crate::handler::{Handler, Inbound, Undelivered};
use crate::limits::Limits;
use crate::metric::Metric;
use crate::outbox::Outbox;
use crate::packet::Packets;

mod dial;

pub(crate) use dial::{StreamListener, listen};
use dial::{connect, opened, peer_key};

/// Events of connections count from here, by their slot.
const CONN_TOKEN: usize = 1 << 20;
/// What one read takes at most.
const READ_BYTES: usize = 65_536;
/// Messages taken out of one connection before another has its turn.
const MESSAGES_PER_READ: usize = 256;

/// A listening socket that is being polled.
struct Acceptor {
    socket: TcpListener,
    listener: ListenerId,
    is_ready: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// We asked the peer; it must answer by then.
    Opening {
        until: Time,
    },
    Open,
    /// Nothing is read as a message any more; what is queued leaves, then the peer closes.
    Closing {
        until: Time,
    },
}

/// A connection.
struct Conn {
    stream: TcpStream,
    flow: Flow,
    state: State,
    /// Whether we accepted it: then it counts for its peer.
    is_accepted: bool,
    is_readable: bool,
    /// Octets of a message that is not complete.
    partial: Option<PacketId>,
    /// When the first of them came.
    partial_since: Time,
    /// When a message came or left last.
    last: Time,
    /// What waits to be written: the packet, its sender's name for it, and the sender.
    writes: VecDeque<(PacketId, u64, ShardId)>,
    /// Octets of the first packet that have left.
    written: usize,
    /// Octets that wait.
    queued: usize,
    is_listed: bool,
}

/// All streams of a shard.
pub(crate) struct Streams {
    id: ShardId,
    acceptors: Vec<Acceptor>,
    addresses: Vec<(Transport, SocketAddr)>,
    conns: Slab<Conn>,
    /// The connections that we opened, by peer: requests to the same target share one.
    opened: HashMap<(ListenerId, SocketAddr), ConnId>,
    /// How many accepted connections a peer has.
    peers: HashMap<IpAddr, usize>,
    /// Connections that may have octets to read, in turn.
    readable: VecDeque<ConnId>,
    /// Connections with something to write since the last flush.
    writable: Vec<ConnId>,
    /// Which connection has a place in the slab: events carry only that.
    by_index: Vec<Option<ConnId>>,
    partials: Packets,
    buffer: Vec<u8>,
    /// Failures of packets whose senders are to be told.
    failures: Vec<(ShardId, u64, Undelivered)>,
    /// Accepting pauses while descriptors are short.
    paused: bool,
    waiting: usize,
    limits: Limits,
}

/// Where a message that was read goes.
type Deliver<'a, H> = &'a mut dyn FnMut(&mut H, &mut Outbox<H>, &Inbound<'_>);

impl Streams {
    pub(crate) fn new(
        id: ShardId,
        listeners: Vec<StreamListener>,
        addresses: Vec<(Transport, SocketAddr)>,
        limits: &Limits,
        registry: &Registry,
    ) -> Streams {
        let mut acceptors = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let Some(socket) = listener.socket else {
                continue;
            };
            let mut socket = TcpListener::from_std(socket.into());
            registry
                .register(&mut socket, Token(acceptors.len()), Interest::READABLE)
                .expect("a new socket can be registered with a new poll");
            acceptors.push(Acceptor {
                socket,
                listener: listener.listener,
                is_ready: true,
            });
        }
        Streams {
            id,
            acceptors,
            addresses,
            conns: Slab::new(id, limits.connections),
            opened: HashMap::with_capacity(limits.connections),
            peers: HashMap::with_capacity(limits.connections),
            readable: VecDeque::with_capacity(limits.connections),
            writable: Vec::with_capacity(limits.connections),
            by_index: vec![None; limits.connections],
            partials: Packets::new(limits.stream_packets),
            buffer: vec![0; READ_BYTES + limits.message_bytes_max],
            failures: Vec::new(),
            paused: false,
            waiting: 0,
            limits: limits.clone(),
        }
    }

    /// An event of a listener or a connection.
    pub(crate) fn event(&mut self, token: usize, event: &Event) {
        if let Some(acceptor) = self.acceptors.get_mut(token) {
            acceptor.is_ready = true;
            return;
        }
        let Some(id) = token
            .checked_sub(CONN_TOKEN)
            .and_then(|at| *self.by_index.get(at)?)
        else {
            return;
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
        if is_readable && !std::mem::replace(&mut conn.is_readable, true) {
            self.readable.push_back(id);
        }
        if event.is_writable() || event.is_error() {
            self.list(id);
        }
    }

    /// Accepts and reads, within the budget. Returns whether something is left.
    pub(crate) fn read<H: Handler>(
        &mut self,
        registry: &Registry,
        budget: &mut usize,
        handler: &mut H,
        out: &mut Outbox<H>,
        deliver: Deliver<'_, H>,
    ) -> bool {
        self.accept(registry, budget, out);
        for _ in 0..self.readable.len() {
            if *budget == 0 {
                return true;
            }
            *budget -= 1;
            let Some(id) = self.readable.pop_front() else {
                break;
            };
            if let Some(conn) = self.conns.get_mut(id) {
                conn.is_readable = false;
                self.read_one(id, handler, out, deliver);
            }
        }
        !self.readable.is_empty() || (!self.paused && self.acceptors.iter().any(|it| it.is_ready))
    }

    fn accept<H: Handler>(&mut self, registry: &Registry, budget: &mut usize, out: &mut Outbox<H>) {
        for at in 0..self.acceptors.len() {
            while *budget > 0 && !self.paused && self.acceptors[at].is_ready {
                *budget -= 1;
                match self.acceptors[at].socket.accept() {
                    Ok((stream, peer)) => {
                        let listener = self.acceptors[at].listener;
                        self.accepted(registry, stream, peer, listener, out);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.acceptors[at].is_ready = false;
                    }
                    Err(error) => match error.raw_os_error() {
                        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                            // Nothing to be had now: housekeeping tries again, so this cannot spin.
                            self.paused = true;
                            out.count(Metric::AcceptPauses, 1);
                        }
                        _ => out.count(Metric::AcceptErrors, 1),
                    },
                }
            }
        }
    }

    fn accepted<H: Handler>(
        &mut self,
        registry: &Registry,
        stream: TcpStream,
        peer: SocketAddr,
        listener: ListenerId,
        out: &mut Outbox<H>,
    ) {
        let key = peer_key(peer.ip());
        if self
            .peers
            .get(&key)
            .is_some_and(|&count| count >= self.limits.connections_per_peer)
        {
            out.count(Metric::RefusedPeer, 1);
            return;
        }
        if self.conns.len() == self.conns.capacity() && !self.evict(out) {
            out.count(Metric::RefusedTotal, 1);
            return;
        }
        let local = stream
            .local_addr()
            .unwrap_or(self.addresses[usize::from(listener.0)].1);
        let flow = Flow {
            transport: Transport::Tcp,
            listener,
            local,
            peer,
            conn: None,
        };
        if self
            .adopt(registry, stream, flow, State::Open, out)
            .is_some()
        {
            *self.peers.entry(key).or_insert(0) += 1;
            out.count(Metric::ConnectionsAccepted, 1);
        }
    }

    /// Gives a connection its slot and its place in the poll.
    fn adopt<H: Handler>(
        &mut self,
        registry: &Registry,
        stream: TcpStream,
        flow: Flow,
        state: State,
        out: &mut Outbox<H>,
    ) -> Option<ConnId> {
        let _ = stream.set_nodelay(true);
        let conn = Conn {
            stream,
            flow,
            state,
            is_accepted: state == State::Open,
            is_readable: false,
            partial: None,
            partial_since: Time::ZERO,
            last: out.now(),
            writes: VecDeque::new(),
            written: 0,
            queued: 0,
            is_listed: false,
        };
        let id = self.conns.insert(conn).ok()?;
        let conn = self.conns.get_mut(id)?;
        conn.flow.conn = Some(id);
        let token = Token(CONN_TOKEN + id.index() as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry
            .register(&mut conn.stream, token, interest)
            .is_err()
        {
            self.conns.remove(id);
            out.count(Metric::AcceptErrors, 1);
            return None;
        }
        self.by_index[id.index() as usize] = Some(id);
        Some(id)
    }

    /// Makes room for a new connection: the longest idle one goes, if it has been idle for long
    /// enough. Cold: it looks at all.
    #[cold]
    fn evict<H: Handler>(&mut self, out: &mut Outbox<H>) -> bool {
        let idle_since = out
            .now()
            .0
            .saturating_sub(self.limits.evict_idle_ms * 1_000);
        let oldest = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.last.0 <= idle_since && conn.writes.is_empty())
            .min_by_key(|(_, conn)| conn.last);
        match oldest.map(|(id, _)| id) {
            Some(id) => {
                self.end(id, Metric::ClosedOldest, Undelivered::Closed, out);
                true
            }
            None => false,
        }
    }

    /// Reads one connection once and handles what became complete.
    fn read_one<H: Handler>(
        &mut self,
        id: ConnId,
        handler: &mut H,
        out: &mut Outbox<H>,
        deliver: Deliver<'_, H>,
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let Some(conn) = self.conns.get_mut(id) else {
            self.buffer = buffer;
            return;
        };
        let mut len = 0;
        if let Some(partial) = conn.partial {
            let kept = self.partials.bytes(partial);
            len = kept.len();
            buffer[..len].copy_from_slice(kept);
        }
        let read = conn.stream.read(&mut buffer[len..len + READ_BYTES]);
        match read {
            Ok(0) => {
                let closing = matches!(conn.state, State::Closing { .. });
                let metric = if closing {
                    Metric::ClosedAsked
                } else {
                    Metric::ClosedByPeer
                };
                self.end(id, metric, Undelivered::Closed, out);
            }
            Ok(count) => {
                out.count(Metric::StreamBytesIn, count as u64);
                // There may be more: edge-triggered, so only an empty read says no.
                self.again(id);
                self.octets(id, &buffer[..len + count], handler, out, deliver);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.again(id),
            Err(_) => self.end(id, Metric::ClosedError, Undelivered::Closed, out),
        }
        self.buffer = buffer;
    }

    fn again(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !std::mem::replace(&mut conn.is_readable, true)
        {
            self.readable.push_back(id);
        }
    }

    /// Cuts octets into messages and keeps the rest.
    fn octets<H: Handler>(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        handler: &mut H,
        out: &mut Outbox<H>,
        deliver: Deliver<'_, H>,
    ) {
        let mut at = 0;
        for _ in 0..MESSAGES_PER_READ {
            let Some(conn) = self.conns.get_mut(id) else {
                return;
            };
            if matches!(conn.state, State::Closing { .. }) {
                return self.keep(id, &[], out);
            }
            let flow = conn.flow;
            match cut(handler, &bytes[at..], self.limits.message_bytes_max) {
                Cut::More => break,
                Cut::Skip { bytes: count, pong } => {
                    at += count;
                    conn.last = out.now();
                    if pong {
                        self.pong(id, out);
                    }
                }
                Cut::Message(count) => {
                    conn.last = out.now();
                    out.count(Metric::StreamMessagesIn, 1);
                    let inbound = Inbound {
                        flow,
                        bytes: &bytes[at..at + count],
                        received: out.now(),
                        handed_over: false,
                    };
                    at += count;
                    deliver(handler, out, &inbound);
                }
                Cut::Bad(reason) => {
                    out.count(Metric::FramesBad, 1);
                    let inbound = Inbound {
                        flow,
                        bytes: &bytes[at..],
                        received: out.now(),
                        handed_over: false,
                    };
                    handler.unframed(&inbound, reason, out);
                    out.close(id);
                    out.count(Metric::ClosedBad, 1);
                    return self.keep(id, &[], out);
                }
            }
        }
        let rest = &bytes[at..];
        self.keep(id, rest, out);
    }

    /// Keeps the octets of an incomplete message until more come.
    fn keep<H: Handler>(&mut self, id: ConnId, rest: &[u8], out: &mut Outbox<H>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let had = conn.partial.is_some();
        if let Some(partial) = conn.partial.take() {
            if !rest.is_empty() && self.partials.capacity(partial) >= rest.len() {
                self.partials.buffer(partial)[..rest.len()].copy_from_slice(rest);
                self.partials.set_len(partial, rest.len());
                conn.partial = Some(partial);
                return;
            }
            self.partials.release(partial);
        }
        if rest.is_empty() {
            return;
        }
        if !had {
            conn.partial_since = out.now();
        }
        match self.partials.take(rest.len()) {
            Some(partial) => {
                self.partials.buffer(partial)[..rest.len()].copy_from_slice(rest);
                self.partials.set_len(partial, rest.len());
                conn.partial = Some(partial);
            }
            None => self.end(id, Metric::ClosedMemory, Undelivered::Closed, out),
        }
    }

    /// Answers a keep-alive (RFC 5626 §4.4.1).
    fn pong<H: Handler>(&mut self, id: ConnId, out: &mut Outbox<H>) {
        if let Some(packet) = out.packet(2) {
            out.buffer(packet)[..2].copy_from_slice(b"\r\n");
            out.set_len(packet, 2);
            out.count(Metric::KeepAlives, 1);
            if self.queue(id, packet, 0, self.id, out).is_some() {
                out.release(packet);
            }
        }
    }

    /// Takes a packet, with the caller's reference, for a connection or for a new one to its peer.
    /// What comes back says why it cannot leave; the reference is then released.
    pub(crate) fn send<H: Handler>(
        &mut self,
        registry: &Registry,
        flow: &Flow,
        packet: PacketId,
        token: u64,
        from: ShardId,
        out: &mut Outbox<H>,
    ) -> Option<Undelivered> {
        let key = (flow.listener, flow.peer);
        let id = match flow.conn {
            Some(id) => Ok(id),
            None => match self.opened.get(&key) {
                Some(&id) => Ok(id),
                None => self.open(registry, flow, out),
            },
        };
        let why = match id {
            Ok(id) => self.queue(id, packet, token, from, out),
            Err(why) => Some(why),
        };
        if why.is_some() {
            out.release(packet);
        }
        why
    }

    fn queue<H: Handler>(
        &mut self,
        id: ConnId,
        packet: PacketId,
        token: u64,
        from: ShardId,
        out: &mut Outbox<H>,
    ) -> Option<Undelivered> {
        let len = out.packets.bytes(packet).len();
        let Some(conn) = self.conns.get_mut(id) else {
            return Some(Undelivered::Closed);
        };
        if matches!(conn.state, State::Closing { .. }) {
            return Some(Undelivered::Closed);
        }
        if conn.queued + len > self.limits.stream_buffer_bytes {
            // A peer that does not read: its calls are better off on a new connection.
            self.end(id, Metric::ClosedBacklog, Undelivered::Full, out);
            return Some(Undelivered::Full);
        }
        if self.waiting >= self.limits.stream_writes {
            out.count(Metric::SendQueueFull, 1);
            return Some(Undelivered::Full);
        }
        conn.queued += len;
        conn.writes.push_back((packet, token, from));
        self.waiting += 1;
        self.list(id);
        None
    }

    fn list(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !std::mem::replace(&mut conn.is_listed, true)
        {
            self.writable.push(id);
        }
    }

    /// Opens a connection to a peer, from the listener's own address.
    fn open<H: Handler>(
        &mut self,
        registry: &Registry,
        flow: &Flow,
        out: &mut Outbox<H>,
    ) -> Result<ConnId, Undelivered> {
        let known = self.addresses.get(usize::from(flow.listener.0));
        let Some(&(Transport::Tcp, local)) = known else {
            out.count(Metric::SendNoListener, 1);
            return Err(Undelivered::NoListener);
        };
        if self.conns.len() == self.conns.capacity() && !self.evict(out) {
            out.count(Metric::RefusedTotal, 1);
            return Err(Undelivered::Full);
        }
        let stream = connect(local, flow.peer).map_err(|error| {
            out.count(Metric::ConnectionsFailed, 1);
            match error.raw_os_error() {
                Some(libc::ECONNREFUSED) => Undelivered::Refused,
                Some(libc::EMFILE | libc::ENFILE) => Undelivered::Full,
                _ => Undelivered::Unreachable,
            }
        })?;
        let until = out.now().plus_millis(self.limits.connect_ms);
        let flow = Flow {
            local,
            conn: None,
            ..*flow
        };
        let id = self
            .adopt(registry, stream, flow, State::Opening { until }, out)
            .ok_or(Undelivered::Full)?;
        self.opened.insert((flow.listener, flow.peer), id);
        Ok(id)
    }

    /// Writes what was queued, as much as each peer takes.
    pub(crate) fn write<H: Handler>(&mut self, _registry: &Registry, out: &mut Outbox<H>) {
        for at in 0..self.writable.len() {
            let id = self.writable[at];
            if let Some(conn) = self.conns.get_mut(id) {
                conn.is_listed = false;
                self.write_one(id, out);
            }
        }
        self.writable.clear();
    }

    fn write_one<H: Handler>(&mut self, id: ConnId, out: &mut Outbox<H>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if matches!(conn.state, State::Opening { .. }) {
            match opened(&conn.stream) {
                Ok(true) => {
                    conn.state = State::Open;
                    out.count(Metric::ConnectionsOpened, 1);
                }
                Ok(false) => return,
                Err(why) => {
                    out.count(Metric::ConnectionsFailed, 1);
                    return self.end(id, Metric::ClosedError, why, out);
                }
            }
        }
        while let Some(&(packet, ..)) = conn.writes.front() {
            let bytes = out.packets.bytes(packet);
            match conn.stream.write(&bytes[conn.written..]) {
                Ok(count) => {
                    conn.written += count;
                    conn.queued -= count;
                    conn.last = out.now();
                    let done = conn.written == bytes.len();
                    out.count(Metric::StreamBytesOut, count as u64);
                    if done {
                        conn.written = 0;
                        conn.writes.pop_front();
                        self.waiting -= 1;
                        out.release(packet);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.end(id, Metric::ClosedError, Undelivered::Closed, out),
            }
        }
        if matches!(conn.state, State::Closing { .. }) {
            // The peer reads the last response before it sees the end.
            let _ = conn.stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Closes a connection once what was queued has left.
    pub(crate) fn close<H: Handler>(&mut self, id: ConnId, out: &mut Outbox<H>) {
        let until = out.now().plus_millis(self.limits.linger_ms);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !matches!(conn.state, State::Closing { .. }) {
            conn.state = State::Closing { until };
            self.unlist_peer(id);
            self.list(id);
        }
    }

    /// A connection that is on its way out is nobody's for new requests.
    fn unlist_peer(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        let key = (conn.flow.listener, conn.flow.peer);
        if self.opened.get(&key) == Some(&id) {
            self.opened.remove(&key);
        }
    }

    /// Ends a connection now; who still waits for it is told.
    fn end<H: Handler>(
        &mut self,
        id: ConnId,
        metric: Metric,
        why: Undelivered,
        out: &mut Outbox<H>,
    ) {
        self.unlist_peer(id);
        let Some(mut conn) = self.conns.remove(id) else {
            return;
        };
        self.by_index[id.index() as usize] = None;
        out.count(metric, 1);
        for (packet, token, from) in conn.writes.drain(..) {
            self.waiting -= 1;
            out.release(packet);
            if token != 0 {
                self.failures.push((from, token, why));
            }
        }
        if let Some(partial) = conn.partial {
            self.partials.release(partial);
        }
        if conn.is_accepted {
            let key = peer_key(conn.flow.peer.ip());
            if let Some(count) = self.peers.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.peers.remove(&key);
                }
            }
        }
        // The descriptor closes with the value, and leaves the poll with it.
    }

    /// The failures since the last look.
    pub(crate) fn take_failures(&mut self) -> Vec<(ShardId, u64, Undelivered)> {
        std::mem::take(&mut self.failures)
    }

    /// Deadlines of connections: looked at every 100 ms, which is as exact as they need to be.
    pub(crate) fn housekeeping<H: Handler>(&mut self, registry: &Registry, out: &mut Outbox<H>) {
        let now = out.now();
        let limits = &self.limits;
        let overdue = |conn: &Conn| match conn.state {
            State::Opening { until } => {
                (now >= until).then_some((Metric::ConnectionsFailed, Undelivered::TimedOut))
            }
            State::Closing { until } => {
                (now >= until).then_some((Metric::ClosedAsked, Undelivered::Closed))
            }
            State::Open if conn.partial.is_some() => {
                let since = now.micros_since(conn.partial_since);
                (since >= limits.header_deadline_ms * 1_000)
                    .then_some((Metric::ClosedSlow, Undelivered::Closed))
            }
            State::Open => (now.micros_since(conn.last) >= limits.idle_ms * 1_000)
                .then_some((Metric::ClosedIdle, Undelivered::Closed)),
        };
        let due = |(id, conn)| overdue(conn).map(|(metric, why)| (id, metric, why));
        let ended: Vec<_> = self.conns.iter().filter_map(due).collect();
        for (id, metric, why) in ended {
            self.end(id, metric, why, out);
        }
        out.stats_runtime()
            .set(Metric::ConnectionsOpen as usize, self.conns.len() as u64);
        if std::mem::take(&mut self.paused) {
            for acceptor in &mut self.acceptors {
                acceptor.is_ready = true;
            }
        }
        let _ = registry;
    }
}
