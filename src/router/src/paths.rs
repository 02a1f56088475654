//! How a request is written for its next hop: the steps of RFC 3261 §16.6 as edits.

use std::fmt::Write;
use std::net::SocketAddr;

use base::{Flow, ListenerId, PacketId, SlotId, Transport};
use call::proxy::Routes;
use sip::{Edits, HeaderId, Message, Method, NameAddr, Uri, forward};

use crate::counters::Count;
use crate::{Out, Router};

/// What changes in a request on its way on.
pub(crate) struct Onward<'a> {
    /// The path it takes.
    pub(crate) flow: Flow,
    /// The path it came by.
    pub(crate) source: Flow,
    /// The new Request-URI, if it changes.
    pub(crate) uri: Option<&'a [u8]>,
    /// What its Route says of us.
    pub(crate) routes: &'a Routes<'a>,
    /// The call that our Record-Route names; `None`: we leave none.
    pub(crate) record_route: Option<SlotId>,
    /// The Max-Breadth of this branch. Every request that we pass on has one (RFC 5393 §5.3.3).
    pub(crate) breadth: u32,
}

/// Text in a fixed place. What does not fit is cut, which the sizes below rule out.
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(crate) fn new() -> Text<N> {
        Text {
            bytes: [0; N],
            len: 0,
        }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let room = bytes.len().min(N - self.len);
        self.bytes[self.len..self.len + room].copy_from_slice(&bytes[..room]);
        self.len += room;
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Says how long the body is to a stream that would not know (RFC 3261 §16.6 step 9, §20.14).
pub(crate) fn frame_body(message: &Message<'_>, transport: Transport, edits: &mut Edits) {
    if transport.is_reliable() && message.content_length().is_none() {
        let mut digits: Text<8> = Text::new();
        let _ = write!(digits, "{}", message.body().len());
        forward::add_header(message, b"Content-Length", digits.as_bytes(), edits);
    }
}

/// The first value of a list header.
pub(crate) fn listed<'a>(message: &Message<'a>, id: HeaderId) -> Option<&'a [u8]> {
    message.values(id).next().map(|value| value.bytes)
}

impl Router {
    /// Writes a request for its next hop into a packet.
    pub(crate) fn compose_onward(
        &mut self,
        message: &Message<'_>,
        onward: &Onward<'_>,
        branch: &[u8],
        out: &mut Out,
    ) -> Option<PacketId> {
        self.plan_onward(message, onward, branch);
        let bytes = message.bytes();
        let Some(packet) = out.packet(self.edits.composed_len(bytes)) else {
            self.count(Count::PacketsFull, out);
            return None;
        };
        match self.edits.compose(bytes, out.buffer(packet)) {
            Some(len) => {
                out.set_len(packet, len);
                Some(packet)
            }
            None => {
                out.release(packet);
                self.count(Count::PacketsFull, out);
                None
            }
        }
    }

    /// How many octets [`Router::compose_onward`] would write, with a branch of the usual length.
    pub(crate) fn onward_len(&mut self, message: &Message<'_>, onward: &Onward<'_>) -> usize {
        self.plan_onward(message, onward, &[b'0'; call::token::BRANCH_BYTES]);
        self.edits.composed_len(message.bytes())
    }

    fn plan_onward(&mut self, message: &Message<'_>, onward: &Onward<'_>, branch: &[u8]) {
        let edits = &mut self.edits;
        edits.clear();
        let Some(listener) = self.settings.listener(onward.flow.listener) else {
            return;
        };
        forward::push_via(
            message,
            onward.flow.transport,
            listener.advertise,
            branch,
            edits,
        );
        forward::stamp_via(message, onward.source.peer, edits);
        Router::strip_feedback(&self.neighbours, message, edits);
        let hops = message
            .max_forwards()
            .map_or(call::proxy::HOPS_DEFAULT, |hops| hops.saturating_sub(1));
        forward::set_max_forwards(message, hops, edits);
        forward::set_max_breadth(message, onward.breadth, edits);
        frame_body(message, onward.flow.transport, edits);
        self.plan_routes(message, onward);
        if let Some(call) = onward.record_route {
            self.plan_record_route(message, call, onward);
        }
    }

    /// Route and Request-URI: ours come off, and strict routers get what they want (§16.4, §16.6
    /// step 6).
    fn plan_routes(&mut self, message: &Message<'_>, onward: &Onward<'_>) {
        let edits = &mut self.edits;
        let routes = onward.routes;
        let last = usize::from(routes.strict);
        let uri = onward.uri.unwrap_or(routes.uri);
        let strict_next = routes
            .next
            .filter(|next| Uri::parse(next).is_ok_and(|next| next.param(b"lr").is_none()));
        if let Some(next) = strict_next {
            forward::trim_routes(message, routes.own + 1, last, edits);
            forward::append_route(message, uri, edits);
            forward::set_uri(message, next, edits);
            return;
        }
        if routes.own + last > 0 {
            forward::trim_routes(message, routes.own, last, edits);
        }
        if uri != message.uri() {
            forward::set_uri(message, uri, edits);
        }
    }

    /// Our Record-Route; two of them if the message changes transport, address family or listener
    /// on its way through us, so that each side finds an address that it can use (RFC 5658 §5).
    fn plan_record_route(&mut self, message: &Message<'_>, call: SlotId, onward: &Onward<'_>) {
        let token = self.settings.keys.route(call, message.call_id());
        let (inner, outer) = (onward.source.listener, onward.flow.listener);
        let entry = |id: ListenerId| {
            let mut text: Text<160> = Text::new();
            if let Some(listener) = self.settings.listener(id) {
                put_uri(&mut text, listener.transport, listener.advertise, &token);
            }
            text
        };
        let (toward, back) = (entry(outer), entry(inner));
        match inner == outer {
            true => forward::push_record_route(message, &[toward.as_bytes()], &mut self.edits),
            false => forward::push_record_route(
                message,
                &[toward.as_bytes(), back.as_bytes()],
                &mut self.edits,
            ),
        }
    }

    /// Whether a request of this size must leave by a stream (RFC 3261 §18.1.1), and by which path.
    pub(crate) fn stream_instead(
        &mut self,
        message: &Message<'_>,
        onward: &Onward<'_>,
    ) -> Option<Flow> {
        if onward.flow.transport != Transport::Udp || message.method() == Method::Ack {
            return None;
        }
        // Cheap first: our additions never pass 500 octets.
        if message.bytes().len() + 500 <= self.settings.udp_bytes_max
            || self.onward_len(message, onward) <= self.settings.udp_bytes_max
        {
            return None;
        }
        self.settings.flow(Transport::Tcp, onward.flow.peer, None)
    }
}

fn put_uri(text: &mut Text<160>, transport: Transport, address: SocketAddr, token: &[u8]) {
    text.put(b"<sip:");
    // A SocketAddr writes an IPv6 address in brackets, as a URI wants it.
    let _ = write!(text, "{address}");
    if transport != Transport::Udp {
        let _ = write!(text, ";transport={}", transport.uri_name());
    }
    text.put(b";lr;");
    text.put(call::token::ROUTE_PARAM);
    text.put(b"=");
    text.put(token);
    text.put(b">");
}

/// The URI of a name-addr value.
pub(crate) fn uri_of(value: &[u8]) -> Option<&[u8]> {
    NameAddr::parse(value).ok().map(|entry| entry.uri)
}
