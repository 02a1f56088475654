//! The world's connections.

use std::net::SocketAddr;

use base::{ConnId, Flow, ListenerId, ShardId, Time, Transport};

use super::{Event, Sent, SentTo, World};
use crate::cut::{Cut, cut};
use crate::handler::{Brought, Handler, Inbound, Undelivered};
use crate::metric::Metric;

/// A connection between the outside and a shard of the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub usize);

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) flow: Flow,
    pub(super) shard: usize,
    pub(super) open: bool,
    /// A shard opened it.
    ours: bool,
    /// Octets of an incomplete message.
    partial: Vec<u8>,
    /// What was sent before the peer said anything, to be told if it refuses.
    unconfirmed: Vec<u64>,
}

impl<H: Handler> World<H> {
    /// A peer opens a connection to a listener.
    pub fn stream_open(&mut self, at: Time, listener: ListenerId, peer: SocketAddr) -> StreamId {
        let stream = StreamId(self.streams.len());
        let flow = Flow {
            transport: Transport::Tcp,
            listener,
            local: self.listeners[usize::from(listener.0)].address,
            peer,
            conn: None,
        };
        self.streams.push(Stream {
            flow,
            shard: self.landing(listener, peer),
            open: false,
            ours: false,
            partial: Vec::new(),
            unconfirmed: Vec::new(),
        });
        self.schedule(at, Event::StreamOpen(stream));
        stream
    }

    /// Octets arrive on a stream; those for a closed one are lost.
    pub fn stream_bytes(&mut self, at: Time, stream: StreamId, bytes: &[u8]) {
        self.schedule(at, Event::StreamBytes(stream, bytes.to_vec()));
    }

    /// The peer closes a stream.
    pub fn stream_close(&mut self, at: Time, stream: StreamId) {
        self.schedule(at, Event::StreamClose(stream));
    }

    /// The peer refuses a connection that a shard opened, before it said anything: what was sent
    /// over it did not leave.
    pub fn stream_refuse(&mut self, at: Time, stream: StreamId) {
        self.schedule(at, Event::StreamRefuse(stream));
    }

    /// A stream's path as its shard sees it.
    #[must_use]
    pub fn stream_flow(&self, stream: StreamId) -> Flow {
        self.streams[stream.0].flow
    }

    pub(super) fn run_stream(&mut self, event: Event<H>, sent: SentTo<'_>) {
        match event {
            Event::StreamOpen(stream) => {
                let shard = self.streams[stream.0].shard;
                let metric = match self.attach(stream) {
                    Ok(_) => Metric::ConnectionsAccepted,
                    Err(Full) => {
                        self.told_closed(stream, sent);
                        Metric::RefusedTotal
                    }
                };
                self.nodes[shard].out.count(metric, 1);
            }
            Event::StreamBytes(id, bytes) => {
                let stream = &mut self.streams[id.0];
                if stream.open {
                    stream.unconfirmed.clear();
                    stream.partial.extend_from_slice(&bytes);
                    self.read(id, sent);
                }
            }
            Event::StreamClose(stream) => self.detach(stream, Metric::ClosedByPeer),
            Event::StreamRefuse(id) => {
                let stream = &mut self.streams[id.0];
                let shard = ShardId(stream.shard as u16);
                for token in std::mem::take(&mut stream.unconfirmed) {
                    self.undelivered(self.now, shard, token, Undelivered::Refused);
                }
                self.detach(id, Metric::ConnectionsFailed);
            }
            Event::StreamCut(stream, flow) => {
                self.streams[stream.0].flow = flow;
                self.told_closed(stream, sent);
            }
            _ => unreachable!("the world sends only stream events here"),
        }
    }

    /// Takes one message out of a stream's octets; the rest follows as an event of its own.
    fn read(&mut self, id: StreamId, sent: SentTo<'_>) {
        let (shard, flow) = (self.streams[id.0].shard, self.streams[id.0].flow);
        let max = self.limits.message_bytes_max;
        let partial = &mut self.streams[id.0].partial;
        match cut(&self.nodes[shard].handler, partial, max) {
            Cut::More => return,
            Cut::Message(len) => {
                let message: Vec<u8> = partial.drain(..len).collect();
                let out = &self.nodes[shard].out;
                out.count(Metric::StreamMessagesIn, 1);
                self.arrive(shard, &flow, &message, Brought::Straight, sent);
            }
            Cut::Skip { bytes, pong } => {
                partial.drain(..bytes);
                if pong {
                    self.nodes[shard].out.count(Metric::KeepAlives, 1);
                    self.told(id, b"\r\n", 0, false, sent);
                }
            }
            Cut::Bad(reason) => {
                let bytes = std::mem::take(partial);
                self.nodes[shard].out.count(Metric::FramesBad, 1);
                let inbound = Inbound {
                    flow,
                    bytes: &bytes,
                    received: self.now,
                    brought: Brought::Straight,
                    is_expected: false,
                };
                self.call(shard, sent, |handler, out| {
                    handler.unframed(&inbound, reason, out);
                });
                if self.streams[id.0].open {
                    self.detach(id, Metric::ClosedBad);
                    self.told_closed(id, sent);
                }
            }
        }
        if self.streams[id.0].open && !self.streams[id.0].partial.is_empty() {
            self.schedule(self.now, Event::StreamBytes(id, Vec::new()));
        }
    }

    pub(super) fn send_stream(
        &mut self,
        shard: usize,
        flow: Flow,
        bytes: &[u8],
        token: u64,
        sent: SentTo<'_>,
    ) {
        if let Some(conn) = flow.conn {
            let home = usize::from(conn.shard().0);
            if home >= self.nodes.len() {
                self.nodes[shard].out.fail(token, Undelivered::Closed);
            } else if home == shard {
                self.pass(shard, shard, flow, token, bytes, sent);
            } else if self.nodes[home].in_flight >= self.limits.inbox {
                self.nodes[shard].out.count(Metric::InboxDrops, 1);
                self.nodes[shard].out.fail(token, Undelivered::Full);
            } else {
                let event = Event::Pass {
                    shard: home,
                    from: shard,
                    flow,
                    token,
                    bytes: bytes.to_vec(),
                };
                self.post(home, event);
            }
            return;
        }
        let known = self.streams.iter().position(|stream| {
            stream.open
                && stream.ours
                && stream.shard == shard
                && stream.flow.listener == flow.listener
                && stream.flow.peer == flow.peer
        });
        if let Some(known) = known {
            self.told(StreamId(known), bytes, token, false, sent);
            return;
        }
        let id = StreamId(self.streams.len());
        self.streams.push(Stream {
            flow: Flow {
                local: self.listeners[usize::from(flow.listener.0)].address,
                ..flow
            },
            shard,
            open: false,
            ours: true,
            partial: Vec::new(),
            unconfirmed: Vec::new(),
        });
        match self.attach(id) {
            Ok(_) => {
                self.nodes[shard].out.count(Metric::ConnectionsOpened, 1);
                self.told(id, bytes, token, true, sent);
            }
            Err(Full) => {
                self.nodes[shard].out.count(Metric::RefusedTotal, 1);
                self.nodes[shard].out.fail(token, Undelivered::Full);
            }
        }
    }

    /// A packet of shard `from` for a connection of this shard.
    pub(super) fn pass(
        &mut self,
        shard: usize,
        from: usize,
        flow: Flow,
        token: u64,
        bytes: &[u8],
        sent: SentTo<'_>,
    ) {
        let found = flow.conn.and_then(|conn| self.nodes[shard].conns.get(conn));
        match found {
            Some(&stream) => self.told(stream, bytes, token, false, sent),
            None => {
                self.undelivered(self.now, ShardId(from as u16), token, Undelivered::Closed);
            }
        }
    }

    pub(super) fn close(&mut self, shard: usize, conn: ConnId, sent: SentTo<'_>) {
        if let Some(&stream) = self.nodes[shard].conns.get(conn) {
            self.detach(stream, Metric::ClosedAsked);
            self.told_closed(stream, sent);
        }
    }

    fn attach(&mut self, id: StreamId) -> Result<ConnId, Full> {
        let stream = &mut self.streams[id.0];
        let node = &mut self.nodes[stream.shard];
        let conn = node.conns.insert(id).map_err(|_| Full)?;
        stream.flow.conn = Some(conn);
        stream.open = true;
        Ok(conn)
    }

    fn detach(&mut self, id: StreamId, why: Metric) {
        let stream = &mut self.streams[id.0];
        if !stream.open {
            return;
        }
        stream.open = false;
        stream.partial = Vec::new();
        let node = &mut self.nodes[stream.shard];
        node.out.count(why, 1);
        let conn = stream.flow.conn.expect("an open stream has a connection");
        node.conns.remove(conn);
    }

    fn told(&mut self, id: StreamId, bytes: &[u8], token: u64, connect: bool, sent: SentTo<'_>) {
        let stream = &mut self.streams[id.0];
        if stream.ours && token != 0 {
            stream.unconfirmed.push(token);
        }
        let shard = ShardId(stream.shard as u16);
        let out = &self.nodes[stream.shard].out;
        out.count(Metric::StreamBytesOut, bytes.len() as u64);
        sent(Sent {
            at: self.now,
            shard,
            flow: stream.flow,
            bytes,
            token,
            stream: Some(id),
            connect,
            close: false,
        });
    }

    fn told_closed(&mut self, id: StreamId, sent: SentTo<'_>) {
        let stream = &self.streams[id.0];
        sent(Sent {
            at: self.now,
            shard: ShardId(stream.shard as u16),
            flow: stream.flow,
            bytes: &[],
            token: 0,
            stream: Some(id),
            connect: false,
            close: true,
        });
    }
}

/// The shard has all the connections it may have.
#[derive(Debug)]
struct Full;
