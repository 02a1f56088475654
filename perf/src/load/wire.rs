//! Messages as bytes: read in one pass, written by appending. No copy is kept, nothing allocated.
//!
//! Independent of the router's parser on purpose (see the crate). It reads what comes back of
//! messages that were written here, or by SIPp; what it cannot read is counted as a stray.

use std::net::SocketAddr;

use memchr::memchr;

use crate::text::{address_of, uri_of};

/// Methods that a generator meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Other,
}

impl Method {
    fn of(name: &[u8]) -> Method {
        match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            _ => Method::Other,
        }
    }

    pub(crate) fn name(self) -> &'static [u8] {
        match self {
            Method::Invite => b"INVITE",
            Method::Ack => b"ACK",
            Method::Bye => b"BYE",
            Method::Cancel => b"CANCEL",
            Method::Options => b"OPTIONS",
            Method::Register => b"REGISTER",
            Method::Other => b"?",
        }
    }
}

/// A request's method or a response's status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    Request(Method),
    Response(u16),
}

/// The messages of a call, as far as their sizes are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Invite,
    Trying,
    Ringing,
    Answer,
    Ack,
    Bye,
    ByeOk,
    Other,
}

impl Kind {
    pub(crate) const COUNT: usize = 8;

    pub(crate) fn of(scan: &Scan<'_>) -> Kind {
        match (scan.start, scan.cseq_method) {
            (Start::Request(Method::Invite), _) => Kind::Invite,
            (Start::Request(Method::Ack), _) => Kind::Ack,
            (Start::Request(Method::Bye), _) => Kind::Bye,
            (Start::Response(100), Method::Invite) => Kind::Trying,
            (Start::Response(..200), Method::Invite) => Kind::Ringing,
            (Start::Response(200..300), Method::Invite) => Kind::Answer,
            (Start::Response(200..300), Method::Bye) => Kind::ByeOk,
            _ => Kind::Other,
        }
    }

    /// The kind of a final response to a request in a call.
    pub(crate) fn answering(request: &Scan<'_>) -> Kind {
        match request.start {
            Start::Request(Method::Bye) => Kind::ByeOk,
            _ => Kind::Other,
        }
    }
}

/// What a user agent needs of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) start: Start,
    pub(crate) call_id: &'a [u8],
    /// The value of To, with its parameters.
    pub(crate) to: &'a [u8],
    pub(crate) cseq_method: Method,
    /// The branch of the topmost Via; empty if it has none.
    pub(crate) branch: &'a [u8],
    /// The value of Contact; empty if there is none.
    pub(crate) contact: &'a [u8],
    /// How long a sink of ours says that it rang.
    pub(crate) ring_us: Option<u64>,
    headers: &'a [u8],
}

/// Tells a caller how long the callee rang, so that this time is not the router's.
pub(crate) const RING: &[u8] = b"X-Ring-Us";

impl<'a> Scan<'a> {
    /// Reads a message, if it is one.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Scan<'a>> {
        let end = memchr(b'\n', bytes)?;
        let first = bytes[..end].trim_ascii_end();
        let start = match first.strip_prefix(b"SIP/2.0 ") {
            Some(rest) => Start::Response(number(rest.get(..3)?)? as u16),
            None => {
                let space = memchr(b' ', first.strip_suffix(b" SIP/2.0")?)?;
                Start::Request(Method::of(&first[..space]))
            }
        };
        let mut scan = Scan {
            start,
            call_id: b"",
            to: b"",
            cseq_method: Method::Other,
            branch: b"",
            contact: b"",
            ring_us: None,
            headers: &bytes[end + 1..],
        };
        let mut has_via = false;
        for line in scan.lines() {
            match line.field() {
                Field::Via if !has_via => {
                    has_via = true;
                    scan.branch = parameter(line.value, b";branch=");
                }
                Field::CallId => scan.call_id = line.value,
                Field::To => scan.to = line.value,
                Field::Contact if scan.contact.is_empty() => scan.contact = line.value,
                Field::CSeq => {
                    let space = line.value.iter().rposition(|&b| b == b' ')?;
                    scan.cseq_method = Method::of(&line.value[space + 1..]);
                }
                Field::Ring => scan.ring_us = number(line.value),
                _ => {}
            }
        }
        (has_via && !scan.call_id.is_empty() && !scan.to.is_empty()).then_some(scan)
    }

    fn lines(&self) -> Lines<'a> {
        Lines(self.headers)
    }

    /// The tag in To; empty if it has none.
    pub(crate) fn to_tag(self) -> &'a [u8] {
        parameter(self.to, b";tag=")
    }

    /// The address in the Contact, if it is a literal one.
    pub(crate) fn contact_uri(&self) -> &'a [u8] {
        uri_of(self.contact)
    }

    /// Writes the lines of a response that the request dictates (RFC 3261 §8.2.6.2): Vias,
    /// Record-Routes, From, Call-ID, CSeq, and To with a tag.
    pub(crate) fn put_skeleton(&self, to_tag: &[u8], out: &mut Vec<u8>) {
        for line in self.lines() {
            match line.field() {
                Field::Via
                | Field::RecordRoute
                | Field::From
                | Field::CallId
                | Field::CSeq
                | Field::Timestamp => put(out, &[line.name, b": ", line.value, b"\r\n"]),
                Field::To if to_tag.is_empty() || !self.to_tag().is_empty() => {
                    put(out, &[line.name, b": ", line.value, b"\r\n"]);
                }
                Field::To => put(
                    out,
                    &[line.name, b": ", line.value, b";tag=", to_tag, b"\r\n"],
                ),
                _ => {}
            }
        }
    }

    /// Writes what a caller must keep of a 2xx as [`Dialog`] reads it. False: no dialog can be made
    /// of it.
    pub(crate) fn put_dialog(&self, out: &mut Vec<u8>) -> bool {
        const ROUTES_MAX: usize = 16;
        let remote = self.contact_uri();
        if self.to_tag().is_empty() || remote.is_empty() {
            return false;
        }
        let mut routes: [&[u8]; ROUTES_MAX] = [b""; ROUTES_MAX];
        let mut count = 0;
        let values = self
            .lines()
            .filter(|line| line.field() == Field::RecordRoute)
            .flat_map(|line| line.value.split(|&b| b == b','));
        for route in values {
            if count == ROUTES_MAX {
                return false;
            }
            routes[count] = route.trim_ascii();
            count += 1;
        }
        for len in [self.to.len(), remote.len()] {
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        put(out, &[self.to, remote]);
        for route in routes[..count].iter().rev() {
            put(out, &[b"Route: ", route, b"\r\n"]);
        }
        true
    }
}

/// What a caller keeps of an answered call, as [`Scan::put_dialog`] wrote it:
/// ```text
///   len of To (2) · len of the remote target (2) · To · remote target · Route lines
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialog<'a> {
    pub(crate) to: &'a [u8],
    pub(crate) remote: &'a [u8],
    pub(crate) routes: &'a [u8],
}

impl<'a> Dialog<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Dialog<'a> {
        let len = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let (to, rest) = bytes[4..].split_at(len(0));
        let (remote, routes) = rest.split_at(len(2));
        Dialog { to, remote, routes }
    }

    /// Where requests of this dialog go: the first route, or the remote target.
    pub(crate) fn next_hop(&self) -> Option<SocketAddr> {
        match self.routes.strip_prefix(b"Route: ") {
            Some(first) => {
                let end = memchr(b'\r', first)?;
                address_of(uri_of(&first[..end]))
            }
            None => address_of(self.remote),
        }
    }
}

/// Header lines, one by one. Continuations of folded lines are passed over.
struct Lines<'a>(&'a [u8]);

struct Line<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let end = memchr(b'\n', self.0)?;
            let line = self.0[..end].trim_ascii_end();
            if line.is_empty() {
                self.0 = b"";
                return None;
            }
            self.0 = &self.0[end + 1..];
            if line[0] == b' ' || line[0] == b'\t' {
                continue;
            }
            if let Some(colon) = memchr(b':', line) {
                return Some(Line {
                    name: line[..colon].trim_ascii_end(),
                    value: line[colon + 1..].trim_ascii_start(),
                });
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Via,
    RecordRoute,
    From,
    To,
    CallId,
    CSeq,
    Contact,
    Timestamp,
    Ring,
    Other,
}

impl Line<'_> {
    fn field(&self) -> Field {
        let is = |name: &[u8]| self.name.eq_ignore_ascii_case(name);
        match self.name.len() {
            1 => match self.name[0].to_ascii_lowercase() {
                b'v' => Field::Via,
                b'f' => Field::From,
                b't' => Field::To,
                b'i' => Field::CallId,
                b'm' => Field::Contact,
                _ => Field::Other,
            },
            2 if is(b"To") => Field::To,
            3 if is(b"Via") => Field::Via,
            4 if is(b"From") => Field::From,
            4 if is(b"CSeq") => Field::CSeq,
            7 if is(b"Call-ID") => Field::CallId,
            7 if is(b"Contact") => Field::Contact,
            9 if is(RING) => Field::Ring,
            9 if is(b"Timestamp") => Field::Timestamp,
            12 if is(b"Record-Route") => Field::RecordRoute,
            _ => Field::Other,
        }
    }
}

/// The value of a parameter, up to the next one.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> &'a [u8] {
    // Parameters of a URI within <> are not the header's.
    let from = value.iter().rposition(|&b| b == b'>').unwrap_or(0);
    let mut rest = &value[from..];
    loop {
        let Some(at) = memchr(b';', rest) else {
            return b"";
        };
        rest = &rest[at..];
        match rest.split_at_checked(name.len()) {
            Some((found, value)) if found.eq_ignore_ascii_case(name) => {
                rest = value;
                break;
            }
            _ => rest = &rest[1..],
        }
    }
    let end = rest.iter().position(|b| b";, \t".contains(b));
    &rest[..end.unwrap_or(rest.len())]
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

/// How many octets of `bytes` the first message takes on a stream; `Ok(None)` = it is not all here.
///
/// # Errors
/// It has no Content-Length, or more octets than `max`.
pub(crate) fn framed(bytes: &[u8], max: usize) -> Result<Option<usize>, ()> {
    let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > max { Err(()) } else { Ok(None) };
    };
    let is_length = |line: &Line<'_>| {
        line.name.eq_ignore_ascii_case(b"Content-Length") || line.name.eq_ignore_ascii_case(b"l")
    };
    let length = Lines(&bytes[..head + 4]).find(is_length).ok_or(())?;
    let total = head + 4 + number(length.value).ok_or(())? as usize;
    match total {
        _ if total > max => Err(()),
        _ if total > bytes.len() => Ok(None),
        _ => Ok(Some(total)),
    }
}

pub(crate) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Eight hexadecimal digits: names keep their length, so that messages keep their size.
pub(crate) fn put_hex(out: &mut Vec<u8>, value: u32) {
    let mut digits = [0; 8];
    for (digit, shift) in digits.iter_mut().zip([28, 24, 20, 16, 12, 8, 4, 0]) {
        *digit = b"0123456789abcdef"[(value >> shift & 15) as usize];
    }
    out.extend_from_slice(&digits);
}

/// What [`put_hex`] wrote.
pub(crate) fn read_hex(digits: &[u8]) -> Option<u32> {
    let digits: &[u8; 8] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |sum, &digit| {
        Some(sum << 4 | char::from(digit).to_digit(16)?)
    })
}

/// A number in decimal digits, at least `width` of them.
pub(crate) fn put_decimal(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut rest = value;
    let mut first = digits.len();
    while rest > 0 || (digits.len() - first) < width.max(1) {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[first..]);
}

/// Content-Length, the end of the headers, and a body of the given type.
pub(crate) fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    if !body.is_empty() {
        out.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    out.extend_from_slice(b"Content-Length: ");
    put_decimal(out, body.len() as u64, 1);
    put(out, &[b"\r\n\r\n", body]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    const OK: &str = "SIP/2.0 200 OK
v: SIP/2.0/UDP 192.0.2.1:5060;rport=5060;branch=z9hG4bKi1;received=192.0.2.1
Record-Route: <sip:192.0.2.7:5080;lr>, <sip:192.0.2.8;lr;x=y>
Record-Route: <sip:[2001:db8::9]:5060;lr>
From: <sip:1@192.0.2.1;tag=no>;tag=f
To: \"x;tag=no\" <sip:2@192.0.2.2>;tag=abc
Call-ID: c@h
CSeq: 1 INVITE
Contact: <sip:2@192.0.2.2:5090;transport=udp>
X-Ring-Us: 20345
Content-Length: 4

v=0
";

    #[test]
    fn a_response_becomes_a_dialog() {
        let bytes = wire(OK);
        let scan = Scan::of(&bytes).unwrap();
        assert_eq!(scan.start, Start::Response(200));
        assert_eq!(
            (scan.call_id, scan.branch),
            (&b"c@h"[..], &b"z9hG4bKi1"[..])
        );
        assert_eq!(
            (scan.to_tag(), scan.cseq_method),
            (&b"abc"[..], Method::Invite)
        );
        assert_eq!(scan.ring_us, Some(20_345));
        let mut kept = Vec::new();
        assert!(scan.put_dialog(&mut kept));
        let dialog = Dialog::of(&kept);
        assert_eq!(dialog.to, b"\"x;tag=no\" <sip:2@192.0.2.2>;tag=abc");
        assert_eq!(dialog.remote, b"sip:2@192.0.2.2:5090;transport=udp");
        let routes = "Route: <sip:[2001:db8::9]:5060;lr>\nRoute: <sip:192.0.2.8;lr;x=y>\nRoute: <sip:192.0.2.7:5080;lr>\n";
        assert_eq!(dialog.routes, wire(routes));
        assert_eq!(
            dialog.next_hop(),
            Some("[2001:db8::9]:5060".parse().unwrap())
        );
    }

    #[test]
    fn without_routes_requests_go_to_the_contact() {
        let text: String = OK
            .lines()
            .filter(|l| !l.starts_with("Record"))
            .map(|l| format!("{l}\n"))
            .collect();
        let bytes = wire(&text);
        let mut kept = Vec::new();
        assert!(Scan::of(&bytes).unwrap().put_dialog(&mut kept));
        assert_eq!(
            Dialog::of(&kept).next_hop(),
            Some("192.0.2.2:5090".parse().unwrap())
        );
        for (from, to) in [(";tag=abc\n", "\n"), ("Contact: ", "X: ")] {
            let bytes = wire(&text.replace(from, to));
            assert!(
                !Scan::of(&bytes).unwrap().put_dialog(&mut Vec::new()),
                "{from}"
            );
        }
    }

    #[test]
    fn a_request_is_answered_with_its_own_lines() {
        let bytes = wire(
            "INVITE sip:2@h SIP/2.0\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\nv: SIP/2.0/UDP b;branch=z9hG4bK0\nMax-Forwards: 70\nRecord-Route: <sip:a;lr>\nf: <sip:1@h>;tag=f\nt: <sip:2@h>\ni: 1@x\nCSeq: 7 INVITE\nSubject: folded\n  Via: no\nContact: <sip:c>\nContent-Length: 0\n\n",
        );
        let scan = Scan::of(&bytes).unwrap();
        assert_eq!(scan.start, Start::Request(Method::Invite));
        assert_eq!(scan.branch, b"z9hG4bK1");
        let mut out = Vec::new();
        scan.put_skeleton(b"T", &mut out);
        let want = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\nv: SIP/2.0/UDP b;branch=z9hG4bK0\nRecord-Route: <sip:a;lr>\nf: <sip:1@h>;tag=f\nt: <sip:2@h>;tag=T\ni: 1@x\nCSeq: 7 INVITE\n";
        assert_eq!(
            String::from_utf8(out).unwrap(),
            String::from_utf8(wire(want)).unwrap()
        );
    }

    #[test]
    fn what_is_no_message_is_not_read() {
        for junk in [
            "",
            "\n\n",
            "INVITE sip:1@x SIP/2.0\n\n",
            "SIP/2.0 2x0 OK\nVia: x\nCall-ID: 1\nTo: x\n\n",
            "GET / HTTP/1.1\nVia: x\nCall-ID: 1\nTo: x\n\n",
        ] {
            assert!(Scan::of(&wire(junk)).is_none(), "{junk:?}");
        }
    }

    #[test]
    fn streams_are_cut_by_content_length() {
        let two = wire("SIP/2.0 200 OK\nl: 3\n\nabcOPTIONS");
        assert_eq!(framed(&two, 1000), Ok(Some(two.len() - 7)));
        assert_eq!(framed(&two[..24], 1000), Ok(None));
        assert_eq!(framed(&two[..10], 1000), Ok(None));
        assert_eq!(framed(&two[..10], 9), Err(()));
        assert_eq!(framed(&two, 20), Err(()));
        assert_eq!(framed(&wire("A b SIP/2.0\nX: y\n\n"), 1000), Err(()));
    }

    #[test]
    fn numbers_keep_their_width() {
        let mut out = Vec::new();
        put_hex(&mut out, 0xbeef);
        put_decimal(&mut out, 42, 5);
        put_decimal(&mut out, 0, 0);
        put_decimal(&mut out, u64::MAX, 1);
        assert_eq!(out, b"0000beef00042018446744073709551615");
        assert_eq!(read_hex(&out[..8]), Some(0xbeef));
        assert_eq!((read_hex(b"0000000g"), read_hex(b"123")), (None, None));
    }
}
