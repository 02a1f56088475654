//! Just enough SIP text for a user agent: header lines, tags, route sets and responses.
//!
//! It reads what a router forwards of messages that these peers wrote, so folded lines and
//! exotic escapes are not its business; what it cannot read, the peer ignores and counts.

use std::net::{IpAddr, SocketAddr};

/// A message cut into lines. Nothing is checked beyond that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    start: &'a [u8],
    headers: &'a [u8],
}

impl<'a> Text<'a> {
    /// The lines of a message, if it looks like one.
    pub(crate) fn cut(bytes: &'a [u8]) -> Option<Text<'a>> {
        let end = find(bytes, b"\r\n\r\n")?;
        let head = &bytes[..end + 2];
        let first = find(head, b"\r\n")?;
        let text = Text {
            start: &head[..first],
            headers: &head[first + 2..],
        };
        let is_sip = text.start.starts_with(b"SIP/2.0 ") || text.start.ends_with(b" SIP/2.0");
        is_sip.then_some(text)
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        let rest = self.start.strip_prefix(b"SIP/2.0 ")?;
        std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &'a [u8] {
        let end = self.start.iter().position(|&b| b == b' ');
        &self.start[..end.unwrap_or(self.start.len())]
    }

    /// Each header line as name and value.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.headers.split(|&b| b == b'\n').filter_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
        })
    }

    /// The first value of a header.
    pub(crate) fn value(&self, header: Header) -> Option<&'a [u8]> {
        self.lines()
            .find(|(name, _)| header.is(name))
            .map(|(_, value)| value)
    }

    /// The route set a UAC takes from this response: its Record-Route values, last first
    /// (RFC 3261 §12.1.2).
    pub(crate) fn route_set(&self) -> Vec<&'a [u8]> {
        let mut routes: Vec<&[u8]> = self
            .lines()
            .filter(|(name, _)| RECORD_ROUTE.is(name))
            .flat_map(|(_, value)| split_commas(value))
            .collect();
        routes.reverse();
        routes
    }

    /// Whether a To value has a tag.
    pub(crate) fn has_to_tag(&self) -> bool {
        self.value(TO)
            .is_some_and(|to| find(to, b";tag=").is_some())
    }

    /// Writes a response to this request: all Vias and Record-Routes, and the rest as
    /// RFC 3261 §8.2.6 asks. `body` is SDP.
    pub(crate) fn respond(&self, answer: &Answer<'_>, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(answer.status.to_string().as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(answer.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.lines() {
            let is_copied = VIA.is(name) || FROM.is(name) || CALL_ID.is(name) || CSEQ.is(name);
            if is_copied || (RECORD_ROUTE.is(name) && answer.status < 300) {
                put_line(name, &[value], out);
            } else if TO.is(name) {
                if self.has_to_tag() || answer.to_tag.is_empty() {
                    put_line(name, &[value], out);
                } else {
                    put_line(name, &[value, b";tag=", answer.to_tag], out);
                }
            }
        }
        if !answer.contact.is_empty() {
            put_line(b"Contact", &[b"<sip:", answer.contact, b">"], out);
        }
        put_body(answer.body, out);
    }
}

/// What a response says beyond what it copies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'r> {
    pub(crate) status: u16,
    pub(crate) to_tag: &'r [u8],
    /// Host and port of a Contact; empty for none.
    pub(crate) contact: &'r [u8],
    pub(crate) body: &'r [u8],
}

/// A header by its long and its compact name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header(&'static [u8], &'static [u8]);

impl Header {
    fn is(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.0) || name.eq_ignore_ascii_case(self.1)
    }
}

pub(crate) const VIA: Header = Header(b"Via", b"v");
pub(crate) const FROM: Header = Header(b"From", b"f");
pub(crate) const TO: Header = Header(b"To", b"t");
pub(crate) const CALL_ID: Header = Header(b"Call-ID", b"i");
pub(crate) const CSEQ: Header = Header(b"CSeq", b"CSeq");
pub(crate) const CONTACT: Header = Header(b"Contact", b"m");
pub(crate) const RECORD_ROUTE: Header = Header(b"Record-Route", b"Record-Route");

pub(crate) fn put_line(name: &[u8], parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn put_body(body: &[u8], out: &mut Vec<u8>) {
    if !body.is_empty() {
        put_line(b"Content-Type", &[b"application/sdp"], out);
    }
    put_line(b"Content-Length", &[body.len().to_string().as_bytes()], out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// The method that a CSeq names.
pub(crate) fn cseq_method(cseq: &[u8]) -> &[u8] {
    let start = cseq.iter().rposition(|&b| b == b' ');
    &cseq[start.map_or(0, |at| at + 1)..]
}

/// The URI inside `<>`, or the bare one up to its parameters.
pub(crate) fn uri_of(value: &[u8]) -> &[u8] {
    if let Some(open) = value.iter().position(|&b| b == b'<') {
        let rest = &value[open + 1..];
        let close = rest.iter().position(|&b| b == b'>');
        return &rest[..close.unwrap_or(rest.len())];
    }
    let end = value.iter().position(|&b| b == b';');
    &value[..end.unwrap_or(value.len())]
}

/// Where a SIP URI with a literal address points; port 5060 if it names none.
pub(crate) fn address_of(uri: &[u8]) -> Option<SocketAddr> {
    let rest = uri.strip_prefix(b"sip:")?;
    let rest = match rest.iter().position(|&b| b == b'@') {
        Some(at) => &rest[at + 1..],
        None => rest,
    };
    let end = rest.iter().position(|&b| b == b';' || b == b'?');
    let host = std::str::from_utf8(&rest[..end.unwrap_or(rest.len())]).ok()?;
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, 5060))
}

fn split_commas(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_inside = false;
    value
        .split(move |&b| {
            match b {
                b'<' => is_inside = true,
                b'>' => is_inside = false,
                _ => {}
            }
            b == b',' && !is_inside
        })
        .map(|part| part.trim_ascii())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        503 => "Service Unavailable",
        _ => "Answered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:1@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1\nv: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK0\nRecord-Route: <sip:a,b@192.0.2.9;lr>, <sip:192.0.2.8;lr>\nrecord-route: <sip:[2001:db8::1]:5080;lr>\nFrom: <sip:9@192.0.2.8>;tag=f\nTo: <sip:1@192.0.2.1>\ni: 1@x\nCSeq: 7 INVITE\nContent-Length: 0\n\n";

    fn wire(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    #[test]
    fn a_request_is_cut_and_answered() {
        let bytes = wire(INVITE);
        let text = Text::cut(&bytes).unwrap();
        assert_eq!(text.method(), b"INVITE");
        assert_eq!(text.status(), None);
        assert_eq!(text.value(CALL_ID), Some(&b"1@x"[..]));
        assert_eq!(cseq_method(text.value(CSEQ).unwrap()), b"INVITE");
        assert_eq!(
            text.route_set(),
            [
                &b"<sip:[2001:db8::1]:5080;lr>"[..],
                b"<sip:192.0.2.8;lr>",
                b"<sip:a,b@192.0.2.9;lr>"
            ]
        );
        let mut out = Vec::new();
        text.respond(
            &Answer {
                status: 180,
                to_tag: b"t",
                contact: b"192.0.2.1:5060",
                body: b"",
            },
            &mut out,
        );
        let want = "SIP/2.0 180 Ringing\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1\nv: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK0\nRecord-Route: <sip:a,b@192.0.2.9;lr>, <sip:192.0.2.8;lr>\nrecord-route: <sip:[2001:db8::1]:5080;lr>\nFrom: <sip:9@192.0.2.8>;tag=f\nTo: <sip:1@192.0.2.1>;tag=t\ni: 1@x\nCSeq: 7 INVITE\nContact: <sip:192.0.2.1:5060>\nContent-Length: 0\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), want.replace('\n', "\r\n"));
    }

    #[test]
    fn addresses_of_uris() {
        for (uri, want) in [
            ("sip:192.0.2.1", Some("192.0.2.1:5060")),
            ("sip:x@192.0.2.1:5070;lr", Some("192.0.2.1:5070")),
            ("sip:[2001:db8::1]", Some("[2001:db8::1]:5060")),
            ("sip:u@[2001:db8::1]:9;lr", Some("[2001:db8::1]:9")),
            ("sip:host.example", None),
            ("tel:+1", None),
        ] {
            let want = want.map(|w| w.parse().unwrap());
            assert_eq!(address_of(uri.as_bytes()), want, "{uri}");
        }
    }

    #[test]
    fn what_is_no_sip_is_not_cut() {
        for junk in [
            "",
            "\r\n\r\n",
            "INVITE sip:1@x SIP/2.0\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(Text::cut(junk.as_bytes()).is_none(), "{junk:?}");
        }
    }
}
