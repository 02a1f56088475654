//! Responses that this router makes itself.

use base::{Flow, PacketId, SlotId};
use sip::respond::{Response, compose, len_max};
use sip::{Error, HeaderId, Index, Message, Method, parse, reason_phrase};
use transaction::ServerEvent;

use crate::counters::Count;
use crate::{Out, Router};

/// The methods that pass through, for Allow.
pub(crate) const ALLOW: &[u8] =
    b"INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, REFER, NOTIFY, SUBSCRIBE, MESSAGE, OPTIONS";

/// A header as name and value.
pub(crate) type Header<'a> = (&'a [u8], &'a [u8]);

impl Router {
    /// Where responses to a request go.
    pub(crate) fn reply_flow(&self, message: &Message<'_>, source: &Flow) -> Flow {
        match message.is_answered_to_source() {
            true => *source,
            false => crate::admission::reply_to(&message.via(), source),
        }
    }

    /// Composes a response of ours to `message`.
    pub(crate) fn compose_local(
        &mut self,
        message: &Message<'_>,
        status: u16,
        extra: &[Header<'_>],
        source: &Flow,
        out: &mut Out,
    ) -> Option<PacketId> {
        let tag;
        let response = Response {
            status,
            reason: reason_phrase(status).as_bytes(),
            to_tag: match status {
                // A 100 makes no dialog (RFC 3261 §8.2.6.2).
                100 => b"",
                _ => {
                    tag = self.local_tag(message);
                    &tag
                }
            },
            extra,
            source: source.peer,
        };
        let Some(packet) = out.packet(len_max(message, &response)) else {
            self.count(Count::PacketsFull, out);
            return None;
        };
        match compose(message, &response, out.buffer(packet)) {
            Some(len) => {
                out.set_len(packet, len);
                self.note_fellow(packet, message.call_id(), true, out);
                Some(self.with_advice(packet, source, out))
            }
            None => {
                out.release(packet);
                None
            }
        }
    }

    pub(crate) fn local_tag(&self, message: &Message<'_>) -> [u8; 13] {
        let branch = message.branch();
        self.settings
            .keys
            .tag(message.call_id(), message.from_tag(), branch)
    }

    /// Refuses a request without keeping anything of it. An ACK is never answered.
    #[cold]
    pub(crate) fn refuse(
        &mut self,
        message: &Message<'_>,
        status: u16,
        source: &Flow,
        out: &mut Out,
    ) {
        self.refuse_with(message, status, &[], source, out);
    }

    /// As [`Router::refuse`], with more headers.
    #[cold]
    pub(crate) fn refuse_with(
        &mut self,
        message: &Message<'_>,
        status: u16,
        extra: &[Header<'_>],
        source: &Flow,
        out: &mut Out,
    ) {
        if message.method() == Method::Ack {
            self.count(Count::AcksDropped, out);
            return;
        }
        self.count(Count::Refused, out);
        self.answer_once(message, status, extra, source, out);
    }

    /// Answers without keeping anything.
    #[cold]
    pub(crate) fn answer_once(
        &mut self,
        message: &Message<'_>,
        status: u16,
        extra: &[Header<'_>],
        source: &Flow,
        out: &mut Out,
    ) {
        let flow = self.reply_flow(message, source);
        if let Some(packet) = self.compose_local(message, status, extra, source, out) {
            out.send(&flow, packet, 0);
            out.release(packet);
        }
    }

    /// Answers a request of which not everything could be read, as well as that goes.
    #[cold]
    pub(crate) fn refuse_malformed(
        &mut self,
        bytes: &[u8],
        index: &Index,
        error: Error,
        source: &Flow,
        out: &mut Out,
    ) {
        // An ACK is never answered, whatever is wrong with it (RFC 3261 §17.1.1.3).
        let Some(status) = error.status().filter(|_| !bytes.starts_with(b"ACK ")) else {
            return;
        };
        let Some(packet) = out.packet(bytes.len().min(sip::limits::SECTION_BYTES_MAX) + 512) else {
            return;
        };
        let reason = error.reason().as_bytes();
        let buffer = out.buffer(packet);
        // Back to where it came from: what its Via says may be what is wrong with it.
        if let Some(len) = sip::respond::refuse(bytes, index, status, reason, source.peer, buffer) {
            out.set_len(packet, len);
            out.send(source, packet, 0);
            self.count(Count::MalformedAnswered, out);
        }
        out.release(packet);
    }

    /// Answers through a server transaction that exists.
    pub(crate) fn respond_local(
        &mut self,
        server: SlotId,
        message: &Message<'_>,
        status: u16,
        extra: &[Header<'_>],
        source: &Flow,
        out: &mut Out,
    ) {
        let Some(packet) = self.compose_local(message, status, extra, source, out) else {
            self.step_server(server, ServerEvent::Abandon, out);
            return;
        };
        // Only a client by RFC 2543 says by the tag what it acknowledges.
        let by_tag = |slot: &transaction::ServerSlot| slot.key().is_rfc2543();
        if status >= 200 && self.table.server_ref(server).is_some_and(by_tag) {
            let tag = self.local_tag(message);
            self.table.note_response_tag(server, &tag);
        }
        self.step_server(server, ServerEvent::Respond { packet, status }, out);
    }

    /// Answers a fork's request from the copy that is kept of it.
    pub(crate) fn respond_kept(&mut self, fork: SlotId, status: u16, out: &mut Out) {
        let Some(held) = self.forks.get(fork) else {
            return;
        };
        let (Some(server), Some(request)) = (held.fork.server, held.fork.request) else {
            return;
        };
        let source = held.fork.source;
        let mut index = self.take_index();
        let bytes = std::mem::take(&mut self.scratch);
        let bytes = copy(bytes, out.bytes(request));
        match parse(&bytes, &mut index) {
            Ok(message) => self.respond_local(server, &message, status, &[], &source, out),
            Err(_) => {
                self.step_server(server, ServerEvent::Abandon, out);
            }
        }
        self.scratch = bytes;
        self.put_index(index);
    }

    /// The 100 that is due for a request other than INVITE (RFC 4320 §4.1).
    pub(crate) fn trying(&mut self, server: SlotId, out: &mut Out) {
        let Some(fork) = self.table.server_ref(server).map(|slot| slot.user()) else {
            return;
        };
        let is_its = |held: &crate::held::Held| held.fork.server == Some(server);
        if self.forks.get(fork).is_some_and(is_its) {
            self.respond_kept(fork, 100, out);
        }
    }

    /// The tags that a 420 lists as unsupported (RFC 3261 §8.2.2.3), joined from all header lines.
    pub(crate) fn unsupported<'b>(message: &Message<'_>, buffer: &'b mut [u8]) -> &'b [u8] {
        let mut len = 0;
        for value in message.values(HeaderId::ProxyRequire) {
            let gap = if len == 0 { &b""[..] } else { b", " };
            let Some(room) = buffer.get_mut(len..len + gap.len() + value.bytes.len()) else {
                break;
            };
            room[..gap.len()].copy_from_slice(gap);
            room[gap.len()..].copy_from_slice(value.bytes);
            len += room.len();
        }
        &buffer[..len]
    }
}

/// Fills a reused buffer.
pub(crate) fn copy(mut buffer: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    buffer.clear();
    buffer.extend_from_slice(bytes);
    buffer
}
