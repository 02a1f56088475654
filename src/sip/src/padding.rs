//! Where a composed message may get longer without meaning anything else.
//!
//! Octets beyond the body's length are discarded by who reads a datagram (RFC 3261 §18.3); a
//! parameter of a Via or a Record-Route that we wrote is ours to choose (§16.6, §25.1:
//! `generic-param`). Cost: one vector search for each header line that is looked at.

use crate::limits::HEADERS_MAX;
use crate::octets;

/// What a peek for a place found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Padding<'a> {
    /// The Call-ID; empty if none was met.
    pub call_id: &'a [u8],
    /// Where octets may be put in.
    pub place: Option<usize>,
}

/// The place behind the body, if the message says how long that is and it is just so long.
#[must_use]
pub fn behind(bytes: &[u8]) -> Padding<'_> {
    let mut call_id: &[u8] = &[];
    let mut place = None;
    let mut told = None;
    for line in lines(bytes) {
        if line.is_end {
            let is_whole = told == Some(bytes.len() - line.end);
            place = is_whole.then_some(bytes.len());
            break;
        }
        match line.name(bytes).as_slice_len() {
            (b'c' | b'C', 14) | (b'l' | b'L', 1) if told.is_none() => {
                told = line.value(bytes, b"content-length", b'l').and_then(number);
            }
            (b'c' | b'C', 7) | (b'i' | b'I', 1) if call_id.is_empty() => {
                call_id = line.value(bytes, b"call-id", b'i').unwrap_or_default();
            }
            _ => {}
        }
    }
    Padding { call_id, place }
}

/// The place behind the last parameter of a header of our own: of a request's topmost Via, or of a
/// Record-Route of a response whose line is a value that holds `mark`, and nothing else.
#[must_use]
pub fn own_parameter<'a>(bytes: &'a [u8], mark: &[u8]) -> Padding<'a> {
    let is_response = bytes.starts_with(b"SIP/2.0 ");
    let mut call_id: &[u8] = &[];
    let mut place = None;
    for line in lines(bytes) {
        if line.is_end || (place.is_some() && !call_id.is_empty()) {
            break;
        }
        match line.name(bytes).as_slice_len() {
            (b'v' | b'V', 3 | 1) if !is_response && place.is_none() => {
                place = (line.value(bytes, b"via", b'v')).map(|_| line.text_end(bytes));
            }
            (b'r' | b'R', 12) if is_response && place.is_none() => {
                let value = line.value(bytes, b"record-route", 0).unwrap_or_default();
                let is_ours = value.ends_with(b">")
                    && !value.contains(&b',')
                    && value.windows(mark.len()).any(|window| window == mark);
                place = is_ours.then(|| line.text_end(bytes));
            }
            (b'c' | b'C', 7) | (b'i' | b'I', 1) if call_id.is_empty() => {
                call_id = line.value(bytes, b"call-id", b'i').unwrap_or_default();
            }
            _ => {}
        }
    }
    Padding { call_id, place }
}

/// A line of the header section, its end included.
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    end: usize,
    /// Whether it is the empty one.
    is_end: bool,
}

/// A header's name.
struct Name<'a>(&'a [u8]);

impl Name<'_> {
    /// Enough to say which names it cannot be: its first letter and its length.
    fn as_slice_len(&self) -> (u8, usize) {
        (self.0.first().copied().unwrap_or(0), self.0.len())
    }
}

impl Line {
    fn name<'a>(&self, bytes: &'a [u8]) -> Name<'a> {
        let line = &bytes[self.start..self.end];
        // Names that matter here are short; a colon far behind is of another one.
        let head = &line[..line.len().min(16)];
        let colon = head.iter().position(|&octet| octet == b':').unwrap_or(0);
        Name(line[..colon].trim_ascii_end())
    }

    /// The value, if the line is of this header.
    fn value<'a>(&self, bytes: &'a [u8], long: &[u8], compact: u8) -> Option<&'a [u8]> {
        let line = &bytes[self.start..self.end];
        let Name(name) = self.name(bytes);
        let is_named = name.eq_ignore_ascii_case(long)
            || (name.len() == 1 && name[0].eq_ignore_ascii_case(&compact));
        let colon = octets::find(b':', line)?;
        is_named.then(|| line[colon + 1..].trim_ascii())
    }

    /// Where its text ends, before spaces and the line's end.
    fn text_end(&self, bytes: &[u8]) -> usize {
        self.start + bytes[self.start..self.end].trim_ascii_end().len()
    }
}

/// The lines behind the first one, up to the empty one.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Line> + '_ {
    let mut at = octets::find(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
    let next = move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let len = octets::find(b'\n', rest)? + 1;
        let line = Line {
            start: at,
            end: at + len,
            is_end: matches!(rest, [b'\r', b'\n', ..] | [b'\n', ..]),
        };
        at += len;
        Some(line)
    };
    std::iter::from_fn(next).take(HEADERS_MAX)
}

fn number(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_plain = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "INVITE sip:b@example.com SIP/2.0\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport\n\
        Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb\n\
        i : a84b4c76e66710\n\
        Content-Length: 4\n\n\
        body";
    const RESPONSE: &str = "SIP/2.0 200 OK\n\
        Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb\n\
        Call-ID: a84b4c76e66710\n\
        Record-Route: <sip:192.0.2.8;lr>\n\
        Record-Route: <sip:192.0.2.1:5060;lr;tl=abc> \n\
        l: 0\n\n";

    fn wire(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    /// Puts a mark into the place, and shows the message with it.
    #[track_caller]
    fn check(text: &str, find: fn(&[u8]) -> Padding<'_>, want: Option<&str>) {
        let mut bytes = wire(text);
        let found = find(&bytes);
        assert_eq!(found.call_id, b"a84b4c76e66710");
        let marked = found.place.map(|at| {
            bytes.splice(at..at, *b"#");
            String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
        });
        assert_eq!(marked.as_deref(), want);
    }

    fn own(bytes: &[u8]) -> Padding<'_> {
        own_parameter(bytes, b";tl=")
    }

    #[test]
    fn a_body_of_the_told_length_may_be_followed() {
        check(REQUEST, behind, Some(&format!("{REQUEST}#")));
        check(RESPONSE, behind, Some(&format!("{RESPONSE}#")));
        check(&REQUEST.replace("Length: 4", "Length: 5"), behind, None);
        check(&REQUEST.replace("Length: 4", "Length: 3"), behind, None);
        check(&REQUEST.replace("Length: 4", "Length: +4"), behind, None);
        check(
            &REQUEST.replace("Content-Length", "Content-Langth"),
            behind,
            None,
        );
    }

    #[test]
    fn a_request_has_our_via_and_a_response_perhaps_our_record_route() {
        check(REQUEST, own, Some(&REQUEST.replace(";rport", ";rport#")));
        check(
            RESPONSE,
            own,
            Some(&RESPONSE.replace("tl=abc>", "tl=abc>#")),
        );
        check(&RESPONSE.replace(";tl", ";xx"), own, None);
        let merged = RESPONSE.replace("lr>\nRecord-Route:", "lr>,");
        check(&merged, own, None);
        let folded = RESPONSE.replace(";tl=abc> ", ";tl=abc\n ;more>");
        check(&folded, own, None);
    }

    #[test]
    fn pieces_of_messages_have_no_place() {
        for text in [REQUEST, RESPONSE] {
            let bytes = wire(text);
            for end in 0..bytes.len() {
                assert_eq!(behind(&bytes[..end]).place, None, "{end}");
                let _ = own(&bytes[..end]);
            }
        }
    }
}
