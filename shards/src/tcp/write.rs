//! Packets out: queued on a connection, or on one that is opened for them, and written in order.

use std::io::{self, IoSlice, Write};
use std::net::SocketAddr;

use base::{ConnId, Flow, PacketId, ShardId, Transport};
use mio::Registry;

use super::dial::{connect, opened};
use super::{Conn, State, Streams};
use crate::handler::{Handler, Undelivered};
use crate::metric::Metric;
use crate::outbox::Outbox;
use crate::packet::Packets;

/// Packets written with one system call.
const VECTORS: usize = 16;

impl Streams {
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

    /// Queues a packet on a connection, unless it is closing, its peer does not read, or too many wait.
    pub(super) fn queue<H: Handler>(
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

    /// Puts a connection among those to be written at the next flush.
    pub(super) fn list(&mut self, id: ConnId) {
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
        // On a wildcard the flow knows which of our addresses the peer knows.
        let local = match local.ip().is_unspecified() {
            true => SocketAddr::new(flow.local.ip(), local.port()),
            false => local,
        };
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
    pub(crate) fn write<H: Handler>(&mut self, out: &mut Outbox<H>) {
        for at in 0..self.writable.len() {
            let id = self.writable[at];
            if let Some(conn) = self.conns.get_mut(id) {
                conn.is_listed = false;
                self.write_one(id, out);
            }
        }
        self.writable.clear();
    }

    /// Writes one connection's packets until its socket takes no more.
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
                Err(why) => return self.end(id, Metric::ConnectionsFailed, why, out),
            }
        }
        while !conn.writes.is_empty() {
            match conn.write_some(&out.packets) {
                Ok(count) => {
                    conn.queued -= count;
                    conn.last = out.now();
                    conn.last_message = out.now();
                    out.count(Metric::StreamBytesOut, count as u64);
                    self.waiting -= conn.written_off(count, out);
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
}

impl Conn {
    /// Writes the first packets that wait with one system call.
    fn write_some(&mut self, packets: &Packets) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); VECTORS];
        let mut start = self.written;
        let mut count = 0;
        for (slice, &(packet, ..)) in slices.iter_mut().zip(&self.writes) {
            *slice = IoSlice::new(&packets.bytes(packet)[start..]);
            start = 0;
            count += 1;
        }
        self.stream.write_vectored(&slices[..count])
    }

    /// Lets go of the packets whose last octet is among the `count` that were written; says how
    /// many those are.
    fn written_off<H: Handler>(&mut self, count: usize, out: &mut Outbox<H>) -> usize {
        let mut done = 0;
        self.written += count;
        while let Some(&(packet, ..)) = self.writes.front() {
            let len = out.packets.bytes(packet).len();
            if self.written < len {
                break;
            }
            self.written -= len;
            self.writes.pop_front();
            out.release(packet);
            done += 1;
        }
        done
    }
}
