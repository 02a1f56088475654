//! Octets in: read, cut into messages, the rest kept.
//!
//! ```text
//!   buffer, 64 KiB:  │ kept from before │ read now ........ │
//!                    │ message │ message │ message │ rest   │──▶ kept in a packet of its size
//! ```

use std::io::{self, Read};

use base::ConnId;

use super::{Deliver, READ_BYTES, State, Streams};
use crate::cut::{Cut, cut};
use crate::handler::{Brought, Handler, Inbound, Undelivered};
use crate::in_hand::InHand;
use crate::metric::Metric;
use crate::outbox::Outbox;

/// Messages taken out of one connection before another has its turn.
const MESSAGES_PER_READ: usize = 256;

impl Streams {
    /// Reads one connection once and handles what became complete.
    pub(super) fn read_one<H: Handler>(
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
        if std::mem::take(&mut conn.has_more) {
            self.again(id);
            self.octets(id, &buffer[..len], handler, out, deliver);
            self.buffer = buffer;
            return;
        }
        assert!(
            len < READ_BYTES,
            "an incomplete message leaves room for the rest"
        );
        let read = conn.stream.read(&mut buffer[len..]);
        match read {
            Ok(0) => {
                let closing = matches!(conn.state, State::Closing { .. });
                let metric = if closing {
                    conn.ended_as
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

    /// Puts a connection among those to be read.
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
        for taken in 0.. {
            let Some(conn) = self.conns.get_mut(id) else {
                return;
            };
            if matches!(conn.state, State::Closing { .. }) {
                return self.keep(id, &[], true, out);
            }
            if taken == MESSAGES_PER_READ {
                conn.has_more = at < bytes.len();
                break;
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
                    conn.last_message = out.now();
                    conn.is_proven = true;
                    out.count(Metric::StreamMessagesIn, 1);
                    let inbound = Inbound {
                        flow,
                        bytes: &bytes[at..at + count],
                        received: out.now(),
                        brought: Brought::Straight,
                        is_expected: false,
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
                        brought: Brought::Straight,
                        is_expected: false,
                    };
                    conn.ended_as = Metric::ClosedBad;
                    let _in_hand = InHand(inbound.bytes);
                    handler.unframed(&inbound, reason, out);
                    out.close(id);
                    return self.keep(id, &[], true, out);
                }
            }
        }
        let rest = &bytes[at..];
        self.keep(id, rest, at > 0, out);
    }

    /// Keeps the octets of an incomplete message until more come. `is_new`: a message before it was
    /// taken out, so its sender's time begins now.
    fn keep<H: Handler>(&mut self, id: ConnId, rest: &[u8], is_new: bool, out: &mut Outbox<H>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if is_new || conn.partial.is_none() {
            conn.partial_since = out.now();
        }
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
}
