//! What a proxy changes in a message that it passes on (RFC 3261 §16.6, §16.7), as edits.
//!
//! Each function plans one change and touches nothing else. A header that is not there is added in
//! a line of its own, behind the Via lines.

use std::net::SocketAddr;

use base::Transport;

use crate::composer::{Digits, Text};
use crate::index::{Entry, Span};
use crate::octets;
use crate::{Edits, HeaderId, Message, Via};

/// Puts our Via on top (§16.6 step 8). Over UDP it asks for the port by `rport` (RFC 3581 §3).
pub fn push_via(
    message: &Message<'_>,
    transport: Transport,
    sent_by: SocketAddr,
    branch: &[u8],
    edits: &mut Edits,
) {
    push_via_of(message, &ViaHead::new(transport, sent_by), branch, edits);
}

/// As [`push_via`], with a head that was written before.
pub fn push_via_of(message: &Message<'_>, head: &ViaHead, branch: &[u8], edits: &mut Edits) {
    let at = via_line(message).map_or(message.section_end(), |line| usize::from(line.start));
    edits.begin(at..at);
    edits.put(&head.before);
    edits.put(branch);
    edits.put(head.after);
    edits.end();
}

/// What every Via of one listener says around its branch. Made once, at boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViaHead {
    pub(crate) before: Box<[u8]>,
    pub(crate) after: &'static [u8],
}

impl ViaHead {
    /// The head for messages by `transport` that are to come back to `sent_by`.
    #[must_use]
    pub fn new(transport: Transport, sent_by: SocketAddr) -> ViaHead {
        let sent_by = Text::address(sent_by);
        let parts: [&[u8]; 5] = [
            b"Via: SIP/2.0/",
            transport.via_name().as_bytes(),
            b" ",
            sent_by.as_bytes(),
            b";branch=",
        ];
        ViaHead {
            before: parts.concat().into(),
            after: match transport.is_reliable() {
                true => b"\r\n",
                false => b";rport\r\n",
            },
        }
    }
}

/// Notes in the top Via where the request came from (§18.2.1, RFC 3581 §4).
pub fn stamp_via(message: &Message<'_>, source: SocketAddr, edits: &mut Edits) {
    let stamp = Stamp::of_top(message, source);
    for span in stamp.removed.into_iter().flatten() {
        edits.remove(span.range());
    }
    let end = usize::from(message.index().via.range.end);
    edits.replace(end..end, stamp.text.as_bytes());
}

/// Takes the topmost Via off (§16.7 step 3).
pub fn pop_via(message: &Message<'_>, edits: &mut Edits) {
    let Some(line) = via_line(message) else {
        return;
    };
    // Most often it has a line to itself.
    match message.index().via.range.end == line.value.end {
        true => edits.remove(line.range()),
        false => trim_values(message, HeaderId::Via, 1, 0, edits),
    }
}

/// Puts values (`<uri>`, brackets included, each in its pieces) on top of the Record-Route, the
/// first of them topmost (§16.6 step 4).
pub fn push_record_route(message: &Message<'_>, values: &[&[&[u8]]], edits: &mut Edits) {
    let first = message.index().first(HeaderId::RecordRoute);
    let at = first.map_or_else(|| behind_vias(message), |line| usize::from(line.start));
    edits.begin(at..at);
    for value in values {
        edits.put(b"Record-Route: ");
        for piece in *value {
            edits.put(piece);
        }
        edits.put(b"\r\n");
    }
    edits.end();
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
    /// The parameters that we write.
    pub(crate) text: Text,
}

impl Stamp {
    /// Of the topmost Via.
    #[inline]
    pub(crate) fn of_top(message: &Message<'_>, source: SocketAddr) -> Stamp {
        let via = &message.index().via;
        Stamp::new(via.host.of(message.bytes()), via.stamped(), source)
    }

    pub(crate) fn of(via: &Via<'_>, source: SocketAddr) -> Stamp {
        Stamp::new(via.host, via.stamped, source)
    }

    /// For a Via of that host, where `received` and `rport` are in it, if they are.
    fn new(host: &[u8], stamped: [Option<Span>; 2], source: SocketAddr) -> Stamp {
        let ip = source.ip().to_canonical();
        let mut text = Text::new();
        text.put(b";received=");
        let from = text.len();
        text.put_ip(ip);
        if stamped[1].is_some() {
            // RFC 3581 §4: with rport, received is written even if it says the same as sent-by.
            text.put(b";rport=");
            text.put_port(source.port());
        } else if host == &text.as_bytes()[from..] || octets::address(host) == Some(ip) {
            text.clear();
        }
        Stamp {
            removed: stamped,
            text,
        }
    }
}

#[inline]
fn via_line<'a>(message: &Message<'a>) -> Option<&'a Entry> {
    message.index().first(HeaderId::Via)
}

/// Where a header of ours goes if it has no place yet.
#[inline]
fn behind_vias(message: &Message<'_>) -> usize {
    let last = message.index().last(HeaderId::Via);
    last.map_or(message.section_end(), |line| usize::from(line.end))
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
    let digits = Digits::of(number);
    match message.index().first(id) {
        Some(line) => edits.replace(line.value.range(), digits.as_bytes()),
        None => line(
            edits,
            behind_vias(message),
            id.name().as_bytes(),
            digits.as_bytes(),
        ),
    }
}

/// Whether a value in angle brackets has its line to itself, by a look at its ends.
pub(crate) fn is_alone(value: &[u8]) -> bool {
    let end = value.len().wrapping_sub(1);
    value.first() == Some(&b'<') && memchr::memchr(b'>', value) == Some(end)
}

/// Takes the first and last values of a list header off; a line that has none left goes whole.
fn trim_values(message: &Message<'_>, id: HeaderId, first: usize, last: usize, edits: &mut Edits) {
    let kept_end = match last {
        0 => usize::MAX,
        last => message.values(id).count().saturating_sub(last),
    };
    let mut number = 0;
    for line in message.lines_of(id) {
        if number >= first && kept_end == usize::MAX {
            return;
        }
        if kept_end == usize::MAX && is_alone(line.value) {
            edits.remove(line.range);
            number += 1;
            continue;
        }
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
