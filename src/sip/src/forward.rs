//! What a proxy changes in a message that it passes on (RFC 3261 §16.6, §16.7), as edits.
//!
//! Each function plans one change and touches nothing else. A header that is not there is added in
//! a line of its own, behind the Via lines.

use std::net::{IpAddr, SocketAddr};

use base::Transport;

use crate::index::Span;
use crate::message::Line;
use crate::{Edits, HeaderId, Message, Via};

/// Puts our Via on top (§16.6 step 8). Over UDP it asks for the port by `rport` (RFC 3581 §3).
pub fn push_via(
    message: &Message<'_>,
    transport: Transport,
    sent_by: SocketAddr,
    branch: &[u8],
    edits: &mut Edits,
) {
    let at = first_via_line(message).map_or(message.section_end(), |line| line.range.start);
    edits.begin(at..at);
    edits.put(b"Via: SIP/2.0/");
    edits.put(transport.via_name().as_bytes());
    edits.put(b" ");
    edits.put_addr(&sent_by);
    edits.put(b";branch=");
    edits.put(branch);
    if !transport.is_reliable() {
        edits.put(b";rport");
    }
    edits.put(b"\r\n");
    edits.end();
}

/// Notes in the top Via where the request came from (§18.2.1, RFC 3581 §4).
pub fn stamp_via(message: &Message<'_>, source: SocketAddr, edits: &mut Edits) {
    let via = message.via();
    let stamp = Stamp::of(&via, source);
    for span in stamp.removed.into_iter().flatten() {
        edits.remove(span.range());
    }
    edits.begin(via.range.end..via.range.end);
    if let Some(ip) = stamp.received {
        edits.put(b";received=");
        edits.put_ip(ip);
    }
    if let Some(port) = stamp.rport {
        edits.put(b";rport=");
        edits.put_u64(u64::from(port));
    }
    edits.end();
}

/// Takes the topmost Via off (§16.7 step 3).
pub fn pop_via(message: &Message<'_>, edits: &mut Edits) {
    trim_values(message, HeaderId::Via, 1, 0, edits);
}

/// Puts values (`<uri>`, brackets included) on top of the Record-Route, the first of them topmost
/// (§16.6 step 4).
pub fn push_record_route(message: &Message<'_>, values: &[&[u8]], edits: &mut Edits) {
    let first = message.lines_of(HeaderId::RecordRoute).next();
    let at = first.map_or_else(|| behind_vias(message), |line| line.range.start);
    for value in values {
        line(edits, at, b"Record-Route", value);
    }
}

/// Takes the first `count` Route values off (§16.4, §16.6 step 6).
pub fn pop_routes(message: &Message<'_>, count: usize, edits: &mut Edits) {
    trim_values(message, HeaderId::Route, count, 0, edits);
}

/// Takes the last Route value off (§16.4: it has become the Request-URI).
pub fn remove_last_route(message: &Message<'_>, edits: &mut Edits) {
    trim_values(message, HeaderId::Route, 0, 1, edits);
}

/// Takes Route values off at both ends at once.
pub fn trim_routes(message: &Message<'_>, first: usize, last: usize, edits: &mut Edits) {
    trim_values(message, HeaderId::Route, first, last, edits);
}

/// Puts a URI behind the last Route value (§16.6 step 6: the next hop is a strict router).
pub fn append_route(message: &Message<'_>, uri: &[u8], edits: &mut Edits) {
    let last = message.last_line(HeaderId::Route);
    let at = last.map_or_else(|| behind_vias(message), |line| line.range.end);
    edits.begin(at..at);
    edits.put(b"Route: <");
    edits.put(uri);
    edits.put(b">\r\n");
    edits.end();
}

/// Puts a value (`<uri>`, brackets included) on top of the Route (§16.6 step 6, a local policy).
pub fn push_route(message: &Message<'_>, value: &[u8], edits: &mut Edits) {
    let first = message.lines_of(HeaderId::Route).next();
    let at = first.map_or_else(|| behind_vias(message), |line| line.range.start);
    line(edits, at, b"Route", value);
}

/// Replaces the Request-URI (§16.6 step 2).
pub fn set_uri(message: &Message<'_>, uri: &[u8], edits: &mut Edits) {
    edits.replace(message.uri_range(), uri);
}

/// Writes Max-Forwards, and adds it if it is absent (§16.6 step 3).
pub fn set_max_forwards(message: &Message<'_>, hops: u8, edits: &mut Edits) {
    set_number(message, HeaderId::MaxForwards, u64::from(hops), edits);
}

/// Writes Max-Breadth, and adds it if it is absent (RFC 5393 §5.3.3).
pub fn set_max_breadth(message: &Message<'_>, breadth: u32, edits: &mut Edits) {
    set_number(message, HeaderId::MaxBreadth, u64::from(breadth), edits);
}

/// Takes all lines of a header out, compact and long ones.
pub fn remove_header(message: &Message<'_>, id: HeaderId, edits: &mut Edits) {
    for line in message.lines_of(id) {
        edits.remove(line.range);
    }
}

/// Takes all lines of that name out, whatever its case.
pub fn remove_named(message: &Message<'_>, name: &[u8], edits: &mut Edits) {
    for line in message.lines_named(name) {
        edits.remove(line.range);
    }
}

/// Adds a line at the end of the header section. Name and value must be clean: no line ends.
pub fn add_header(message: &Message<'_>, name: &[u8], value: &[u8], edits: &mut Edits) {
    line(edits, message.section_end(), name, value);
}

/// What the top Via of a request from `source` must say, and what it may not go on saying.
pub(crate) struct Stamp {
    /// Parameters that the sender put there and that only we may write.
    pub(crate) removed: [Option<Span>; 2],
    pub(crate) received: Option<IpAddr>,
    pub(crate) rport: Option<u16>,
}

impl Stamp {
    pub(crate) fn of(via: &Via<'_>, source: SocketAddr) -> Stamp {
        let ip = source.ip().to_canonical();
        let wants_port = via.rport.is_some();
        // RFC 3581 §4: with rport, received is written even if it says the same as sent-by.
        let is_told = via.ip() != Some(ip) || wants_port;
        Stamp {
            removed: [via.received_span, via.rport_span],
            received: is_told.then_some(ip),
            rport: wants_port.then_some(source.port()),
        }
    }
}

fn first_via_line<'a>(message: &Message<'a>) -> Option<Line<'a>> {
    message.lines_of(HeaderId::Via).next()
}

/// Where a header of ours goes if it has no place yet.
fn behind_vias(message: &Message<'_>) -> usize {
    message
        .last_line(HeaderId::Via)
        .map_or(message.section_end(), |line| line.range.end)
}

fn line(edits: &mut Edits, at: usize, name: &[u8], value: &[u8]) {
    edits.begin(at..at);
    edits.put(name);
    edits.put(b": ");
    edits.put(value);
    edits.put(b"\r\n");
    edits.end();
}

fn set_number(message: &Message<'_>, id: HeaderId, number: u64, edits: &mut Edits) {
    match message.lines_of(id).next() {
        Some(line) => {
            edits.begin(line.value_range);
            edits.put_u64(number);
            edits.end();
        }
        None => {
            let at = behind_vias(message);
            edits.begin(at..at);
            edits.put(id.name().as_bytes());
            edits.put(b": ");
            edits.put_u64(number);
            edits.put(b"\r\n");
            edits.end();
        }
    }
}

/// Takes the first and last values of a list header off; a line that has none left goes whole.
fn trim_values(message: &Message<'_>, id: HeaderId, first: usize, last: usize, edits: &mut Edits) {
    let kept_end = message.values(id).count().saturating_sub(last);
    let mut number = 0;
    for line in message.lines_of(id) {
        let mut front = None;
        let mut kept_start = None;
        let mut kept_stop = 0;
        let mut back = 0;
        for value in line.values() {
            front.get_or_insert(value.range.start);
            if (first..kept_end).contains(&number) {
                kept_start.get_or_insert(value.range.start);
                kept_stop = value.range.end;
            }
            back = value.range.end;
            number += 1;
        }
        let Some(front) = front else { continue };
        let Some(kept_start) = kept_start else {
            edits.remove(line.range);
            continue;
        };
        if front < kept_start {
            edits.remove(front..kept_start);
        }
        if kept_stop < back {
            edits.remove(kept_stop..back);
        }
    }
}
