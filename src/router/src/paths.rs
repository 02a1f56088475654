//! How a request is written for its next hop: the steps of RFC 3261 §16.6 as edits.

use std::fmt::Write;
use std::net::SocketAddr;

use base::{Flow, ListenerId, PacketId, SlotId, Transport};
use call::Keys;
use call::proxy::Routes;
use call::token::{ROUTE_PARAM, ROUTE_TOKEN_BYTES, RouteText};
use route::{Place, Price};
use sip::forward::{self, ViaHead};
use sip::relay::Relay;
use sip::{Edits, HeaderId, Message, Method, NameAddr, Uri};

use crate::between::{Between, crossing};
use crate::counters::Count;
use crate::settings::Listener;
use crate::{Out, Router};

/// What is written of one listener into every message that leaves by it, made at boot.
pub(crate) struct Head {
    via: ViaHead,
    /// Our Record-Route line up to its token: `Record-Route: <sip:192.0.2.1:5060;lr;tl=`.
    record_route: Box<[u8]>,
}

impl Head {
    pub(crate) fn new(listener: &Listener) -> Head {
        // A SocketAddr writes an IPv6 address in brackets, as a URI wants it.
        let mut route = format!("Record-Route: <sip:{}", listener.advertise).into_bytes();
        if listener.transport != Transport::Udp {
            route.extend_from_slice(b";transport=");
            route.extend_from_slice(listener.transport.uri_name().as_bytes());
        }
        route.extend_from_slice(b";lr;");
        route.extend_from_slice(ROUTE_PARAM);
        route.push(b'=');
        Head {
            via: ViaHead::new(listener.transport, listener.advertise),
            record_route: route.into(),
        }
    }

    /// Our entry up to its token: `<sip:192.0.2.1:5060;lr;tl=`.
    fn entry(&self) -> &[u8] {
        &self.record_route["Record-Route: ".len()..]
    }

    /// The token in a Route value that is our own entry, octet by octet.
    fn token_of<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        match value.strip_prefix(self.entry())? {
            [token @ .., b'>'] if token.len() == ROUTE_TOKEN_BYTES => Some(token),
            _ => None,
        }
    }
}

/// The token in a Route value that is to the letter an entry of one of our listeners.
pub(crate) fn token_of<'v>(heads: &[Head], value: &'v [u8]) -> Option<&'v [u8]> {
    heads.iter().find_map(|head| head.token_of(value))
}

/// What changes in a request on its way on.
pub(crate) struct Onward<'a> {
    /// The path it takes.
    pub(crate) flow: Flow,
    /// Where it came from.
    pub(crate) source: SocketAddr,
    /// The listener that it came to.
    pub(crate) inner: ListenerId,
    /// The new Request-URI, if it changes.
    pub(crate) uri: Option<&'a [u8]>,
    /// What its Route says of us.
    pub(crate) routes: &'a Routes<'a>,
    /// The call that our Record-Route names; `None`: we leave none.
    pub(crate) record_route: Option<SlotId>,
    /// The Max-Breadth of this branch. Every request that we pass on has one (RFC 5393 §5.3.3).
    pub(crate) breadth: u32,
    /// What the vendor asks, for the record of the attempt.
    pub(crate) price: Option<Price>,
    /// Whether the attempt holds a channel of its gateway.
    pub(crate) holds_channel: bool,
    /// Where its quality is counted.
    pub(crate) measured: Option<Place>,
    /// Between whom it goes, if not everything may.
    pub(crate) between: Option<Between>,
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

    pub(crate) fn put_number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let (mut at, mut left) = (digits.len(), number);
        while at == digits.len() || left > 0 {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.put(&digits[at..]);
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
        if let Some(packet) = self.relay_onward(message, onward, branch, out) {
            return Some(packet);
        }
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

    /// Writes a request whose changes are the usual ones, without a plan.
    fn relay_onward(
        &self,
        message: &Message<'_>,
        onward: &Onward<'_>,
        branch: &[u8],
        out: &mut Out,
    ) -> Option<PacketId> {
        let routes = onward.routes;
        let is_framed = !onward.flow.transport.is_reliable() || message.content_length().is_some();
        if routes.next.is_some()
            || routes.strict
            || !is_framed
            || onward.between.is_some()
            || self.has_feedback(message)
        {
            return None;
        }
        let outer = self.heads.get(usize::from(onward.flow.listener.0))?;
        let inner = self.heads.get(usize::from(onward.inner.0))?;
        let token;
        let lines: [&[u8]; 6];
        let relay = Relay {
            uri: changed_uri(message, onward),
            via: &outer.via,
            branch,
            source: onward.source,
            hops: hops(message),
            breadth: onward.breadth,
            record_route: match onward.record_route {
                None => &[],
                Some(call) => {
                    token = self.route_token(call, message);
                    let (toward, back) = (&*outer.record_route, &*inner.record_route);
                    lines = [toward, &token, b">\r\n", back, &token, b">\r\n"];
                    match onward.inner == onward.flow.listener {
                        true => &lines[..3],
                        false => &lines,
                    }
                }
            },
            own_routes: routes.own,
        };
        let packet = out.packet(relay.len_max(message))?;
        match relay.compose(message, out.buffer(packet)) {
            Some(len) => {
                out.set_len(packet, len);
                let is_whole = message.content_length().is_some();
                self.note_fellow(packet, message.call_id(), is_whole, out);
                Some(packet)
            }
            None => {
                out.release(packet);
                None
            }
        }
    }

    /// The token that our Record-Route has in a request of this call.
    fn route_token(&self, call: SlotId, message: &Message<'_>) -> RouteText {
        let keys = &self.settings.keys;
        match self.calls.get(call) {
            Some(held) => Keys::route(call, &held.route_mark),
            None => Keys::route(call, &keys.route_mark(call, keys.name(message.call_id()))),
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
        let Some(head) = self.heads.get(usize::from(onward.flow.listener.0)) else {
            return;
        };
        let goes_by_route = onward.routes.next.is_some();
        // From the front of the message to its end, as most are laid out: nothing is moved then.
        if !goes_by_route {
            set_uri(message, onward, edits);
        }
        forward::push_via_of(message, &head.via, branch, edits);
        forward::stamp_via(message, onward.source, edits);
        Router::strip_feedback(&self.neighbours, message, edits);
        forward::set_max_breadth(message, onward.breadth, edits);
        if let Some(call) = onward.record_route {
            self.plan_record_route(message, call, onward);
        }
        let edits = &mut self.edits;
        forward::set_max_forwards(message, hops(message), edits);
        match goes_by_route {
            true => self.plan_routes(message, onward),
            false => trim_routes(message, onward, edits),
        }
        frame_body(message, onward.flow.transport, &mut self.edits);
        if let Some(between) = onward.between {
            self.plan_crossing(message, between);
        }
    }

    /// Route and Request-URI of a request with a Route beyond us: ours come off, and strict routers
    /// get what they want (§16.4, §16.6 step 6).
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
        trim_routes(message, onward, edits);
        set_uri(message, onward, edits);
    }

    /// Our Record-Route; two of them if the message changes transport, address family or listener
    /// on its way through us, so that each side finds an address that it can use (RFC 5658 §5).
    fn plan_record_route(&mut self, message: &Message<'_>, call: SlotId, onward: &Onward<'_>) {
        let token = self.route_token(call, message);
        let (inner, outer) = (onward.inner, onward.flow.listener);
        let head = |id: ListenerId| match self.heads.get(usize::from(id.0)) {
            Some(head) => head.entry(),
            None => &[],
        };
        let back = [head(inner), &token, b">"];
        let toward = [head(outer), &token, b">"];
        let edits = &mut self.edits;
        match inner == outer {
            true => forward::push_record_route(message, &[&toward], edits),
            false => forward::push_record_route(message, &[&toward, &back], edits),
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
        // Cheap first: our additions never pass 500 octets, and those at a border are mostly known.
        let added = match onward.between {
            None => Some(0),
            Some(between) => crossing(&self.world, between).added_max(message),
        };
        let room = self.settings.udp_bytes_max;
        if added.is_some_and(|added| message.bytes().len() + 500 + added <= room)
            || self.onward_len(message, onward) <= self.settings.udp_bytes_max
        {
            return None;
        }
        self.settings.flow(Transport::Tcp, onward.flow.peer, None)
    }
}

fn set_uri(message: &Message<'_>, onward: &Onward<'_>, edits: &mut Edits) {
    if let Some(uri) = changed_uri(message, onward) {
        forward::set_uri(message, uri, edits);
    }
}

/// The Request-URI that a request leaves with, if it is another than it came with.
fn changed_uri<'a>(message: &Message<'_>, onward: &Onward<'a>) -> Option<&'a [u8]> {
    let uri = onward.uri.unwrap_or(onward.routes.uri);
    // The same piece of the same message most often: then its octets need not be compared.
    let is_same = std::ptr::eq(uri, message.uri()) || uri == message.uri();
    (!is_same).then_some(uri)
}

/// The Max-Forwards that a request leaves with.
fn hops(message: &Message<'_>) -> u8 {
    message
        .max_forwards()
        .map_or(call::proxy::HOPS_DEFAULT, |hops| hops.saturating_sub(1))
}

fn trim_routes(message: &Message<'_>, onward: &Onward<'_>, edits: &mut Edits) {
    let (own, last) = (onward.routes.own, usize::from(onward.routes.strict));
    if own + last > 0 {
        forward::trim_routes(message, own, last, edits);
    }
}

/// The URI of a name-addr value.
pub(crate) fn uri_of(value: &[u8]) -> Option<&[u8]> {
    NameAddr::parse(value).ok().map(|entry| entry.uri)
}
