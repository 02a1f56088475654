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
use std::io;
use std::net::{IpAddr, SocketAddr};

use base::{ConnId, Flow, ListenerId, PacketId, ShardId, Slab, Time, Transport};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::handler::{Handler, Inbound, Undelivered};
use crate::limits::Limits;
use crate::metric::Metric;
use crate::outbox::Outbox;
use crate::packet::Packets;
use crate::sys::Ready;

mod dial;
mod read;
mod write;

use dial::peer_key;
pub(crate) use dial::{StreamListener, listen, probe};

/// Events of connections count from here, by their slot.
const CONN_TOKEN: usize = 1 << 20;
/// What is held of one connection's octets at a time: more than the longest message, and what the
/// largest buffer for an incomplete one holds.
const READ_BYTES: usize = 65_536;

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
    /// Whether a message came over it, or we opened it: then it is not the first to go.
    is_proven: bool,
    is_readable: bool,
    /// Whether what was kept may begin with complete messages, to be handled before more is read.
    has_more: bool,
    /// Octets of a message that is not complete.
    partial: Option<PacketId>,
    /// When the first of them came.
    partial_since: Time,
    /// When a message or a keep-alive came or a message left last.
    last: Time,
    /// When a message came or left last.
    last_message: Time,
    /// What its end counts as, once it is closing.
    ended_as: Metric,
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
    /// Whether a listener may have connections to accept, and accepting does not pause.
    may_accept: bool,
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
        assert!(
            limits.message_bytes_max < READ_BYTES,
            "a message on a stream has at most 65,535 octets"
        );
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
            buffer: vec![0; READ_BYTES],
            failures: Vec::new(),
            paused: false,
            may_accept: true,
            waiting: 0,
            limits: limits.clone(),
        }
    }

    /// An event of a listener or a connection.
    pub(crate) fn event(&mut self, token: usize, event: Ready) {
        if let Some(acceptor) = self.acceptors.get_mut(token) {
            acceptor.is_ready = true;
            self.may_accept = true;
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

    /// Whether there is nothing to accept and nothing to read.
    pub(crate) fn is_quiet(&self) -> bool {
        self.readable.is_empty() && !self.may_accept
    }

    /// Whether something may have to be written, or told of what could not be.
    pub(crate) fn has_output(&self) -> bool {
        !self.writable.is_empty() || !self.failures.is_empty()
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
        self.may_accept = !self.paused && self.acceptors.iter().any(|it| it.is_ready);
        !self.is_quiet()
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
            is_proven: state != State::Open,
            is_readable: false,
            has_more: false,
            partial: None,
            partial_since: Time::ZERO,
            last: out.now(),
            last_message: out.now(),
            ended_as: Metric::ClosedAsked,
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
    /// enough; first those over which no message ever came, so that a crowd of strangers cannot
    /// drive out a peer. Keep-alives do not count, they cost nothing to send. Cold: it looks at all.
    #[cold]
    fn evict<H: Handler>(&mut self, out: &mut Outbox<H>) -> bool {
        let idle_since = out
            .now()
            .0
            .saturating_sub(self.limits.evict_idle_ms * 1_000);
        let oldest = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.last_message.0 <= idle_since && conn.writes.is_empty())
            .min_by_key(|(_, conn)| (conn.is_proven, conn.last_message));
        match oldest.map(|(id, _)| id) {
            Some(id) => {
                self.end(id, Metric::ClosedOldest, Undelivered::Closed, out);
                true
            }
            None => false,
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
    pub(crate) fn housekeeping<H: Handler>(&mut self, out: &mut Outbox<H>) {
        let now = out.now();
        let limits = &self.limits;
        let overdue = |conn: &Conn| match conn.state {
            State::Opening { until } => {
                (now >= until).then_some((Metric::ConnectionsFailed, Undelivered::TimedOut))
            }
            State::Closing { until } => {
                (now >= until).then_some((conn.ended_as, Undelivered::Closed))
            }
            State::Open if conn.partial.is_some() && !conn.has_more => {
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
            self.may_accept = true;
        }
    }
}
