//! A request seen just well enough to refuse it: what a stateless answer copies, and what admission
//! asks, in one pass without a parse.
//!
//! Cost: one vector search for each header line and one for each colon of those that count, then one
//! copy of six lines. Nothing is checked beyond what is used: whatever this refuses to read is given
//! to [`parse`](crate::parse), which says what is wrong with it.

use std::net::SocketAddr;
use std::ops::Range;

use crate::composer::Composer;
use crate::limits::{HEADERS_MAX, SECTION_BYTES_MAX};
use crate::message::value_end;
use crate::octets;
use crate::respond::put_stamped;
use crate::{HeaderId, Method, NameAddr, Via};

/// The most Via lines that a sketch keeps; a request with more is parsed.
const VIAS_MAX: usize = 24;

/// What of a request is needed before it is parsed. Nothing of it was checked.
#[derive(Clone, Debug)]
pub struct Sketch<'a> {
    /// The method of its start line.
    pub method: Method,
    /// The method as it is written.
    pub method_name: &'a [u8],
    /// The Request-URI.
    pub uri: &'a [u8],
    /// The topmost Via.
    pub via: Via<'a>,
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// Whether there is a Resource-Priority (RFC 4412).
    pub has_priority: bool,
    bytes: &'a [u8],
    from: &'a [u8],
    to: &'a [u8],
    cseq: &'a [u8],
    vias: [(u16, u16); VIAS_MAX],
    vias_count: usize,
}

/// What to answer.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'r> {
    /// Status and reason, as `503 Service Unavailable`.
    pub status: &'r [u8],
    /// The tag to put to a To that has none.
    pub to_tag: &'r [u8],
    /// Where the request came from: it is noted in the Via.
    pub source: SocketAddr,
}

/// Looks at a request. `None`: it is none, or not one that can be read this way.
#[must_use]
pub fn sketch(bytes: &[u8]) -> Option<Sketch<'_>> {
    if bytes.get(..4)?.eq_ignore_ascii_case(b"SIP/") {
        return None;
    }
    let line = octets::find(b'\n', bytes)?;
    let mut words = bytes[..line].split(|&octet| octet == b' ');
    let (method, uri) = (words.next()?, words.next()?);
    let mut seen = Seen::default();
    let mut at = line + 1;
    for _ in 0..HEADERS_MAX {
        // Without the empty line it may be cut off anywhere.
        if matches!(bytes.get(at)?, b'\r' | b'\n') {
            return seen.finish(bytes, method, uri);
        }
        let end = line_end(bytes, at);
        if at > SECTION_BYTES_MAX {
            return None;
        }
        seen.line(bytes, at..end)?;
        at = end;
    }
    None
}

#[derive(Default)]
struct Seen {
    from: Range<usize>,
    to: Range<usize>,
    call_id: Range<usize>,
    cseq: Range<usize>,
    vias: [(u16, u16); VIAS_MAX],
    vias_count: usize,
    has_priority: bool,
}

impl Seen {
    /// `None`: there are too many Via lines.
    fn line(&mut self, bytes: &[u8], line: Range<usize>) -> Option<()> {
        let text = &bytes[line.clone()];
        if !matches!(text[0] | 0x20, b'v' | b'f' | b't' | b'c' | b'i' | b'r') {
            return Some(());
        }
        let Some(colon) = octets::find(b':', text) else {
            return Some(());
        };
        let id = HeaderId::of(text[..colon].trim_ascii_end());
        let (from, to) = octets::trim(bytes, line.start + colon + 1, line.end);
        let slot = match id {
            HeaderId::Via => {
                *self.vias.get_mut(self.vias_count)? =
                    (u16::try_from(from).ok()?, u16::try_from(to).ok()?);
                self.vias_count += 1;
                return Some(());
            }
            HeaderId::From => &mut self.from,
            HeaderId::To => &mut self.to,
            HeaderId::CallId => &mut self.call_id,
            HeaderId::CSeq => &mut self.cseq,
            HeaderId::ResourcePriority => {
                self.has_priority = true;
                return Some(());
            }
            _ => return Some(()),
        };
        // A header that must be there once, twice: the parser has an answer to that.
        (slot.end == 0).then(|| *slot = from..to)
    }

    fn finish<'a>(self, bytes: &'a [u8], method: &'a [u8], uri: &'a [u8]) -> Option<Sketch<'a>> {
        let needed = [&self.from, &self.to, &self.call_id, &self.cseq];
        if self.vias_count == 0 || needed.iter().any(|range| range.start >= range.end) {
            return None;
        }
        let value = span(bytes, self.vias[0]);
        let via = Via::parse(&value[..value_end(value, 0, value.len())]).ok()?;
        Some(Sketch {
            method: Method::of(method),
            method_name: method,
            uri,
            via,
            call_id: &bytes[self.call_id],
            has_priority: self.has_priority,
            bytes,
            from: &bytes[self.from],
            to: &bytes[self.to],
            cseq: &bytes[self.cseq],
            vias: self.vias,
            vias_count: self.vias_count,
        })
    }
}

impl Sketch<'_> {
    /// The tag of To; empty if there is none.
    #[must_use]
    pub fn to_tag(&self) -> &[u8] {
        let to = NameAddr::parse(self.to).ok();
        let tag = to.and_then(|to| to.param(b"tag"));
        tag.flatten().unwrap_or(&[])
    }

    /// An upper bound on the octets that [`Sketch::refuse`] writes.
    #[must_use]
    pub fn len_max(&self, refusal: &Refusal<'_>) -> usize {
        let vias = &self.vias[..self.vias_count];
        let vias: usize = vias
            .iter()
            .map(|&via| span(self.bytes, via).len() + 8)
            .sum();
        let lines = self.from.len() + self.to.len() + self.call_id.len() + self.cseq.len();
        vias + lines + refusal.status.len() + refusal.to_tag.len() + 192
    }

    /// Writes the answer and returns its length. `None`: it does not fit.
    pub fn refuse(&self, refusal: &Refusal<'_>, out: &mut [u8]) -> Option<usize> {
        let mut to = Composer::new(out);
        to.put_all(&[b"SIP/2.0 ", refusal.status, b"\r\nVia: "]);
        let value = span(self.bytes, self.vias[0]);
        put_stamped(&mut to, value, &self.via, refusal.source);
        to.put_clean(&value[self.via.range.end..]);
        for &via in &self.vias[1..self.vias_count] {
            to.put(b"\r\nVia: ");
            to.put_clean(span(self.bytes, via));
        }
        to.put(b"\r\nFrom: ");
        to.put_clean(self.from);
        to.put(b"\r\nTo: ");
        to.put_clean(self.to);
        if self.to_tag().is_empty() {
            to.put_all(&[b";tag=", refusal.to_tag]);
        }
        to.put(b"\r\nCall-ID: ");
        to.put_clean(self.call_id);
        to.put(b"\r\nCSeq: ");
        to.put_clean(self.cseq);
        to.put(b"\r\nContent-Length: 0\r\n\r\n");
        to.finish()
    }
}

fn span(bytes: &[u8], (start, end): (u16, u16)) -> &[u8] {
    &bytes[usize::from(start)..usize::from(end)]
}

/// Where the line at `at` ends, folds taken in.
fn line_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    loop {
        end = octets::find(b'\n', &bytes[end..]).map_or(bytes.len(), |offset| end + offset + 1);
        if !matches!(bytes.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Index, parse};

    const INVITE: &str = "INVITE sip:+4412345@192.0.2.100 SIP/2.0\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport\n\
        v: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb,\n SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKc\n\
        Max-Forwards: 70\nFrom : \"A\" <sip:a@192.0.2.1>;tag=f\nt: <sip:b@192.0.2.100>\n\
        Contact: <sip:a@192.0.2.1>\nCall-ID: sketch@192.0.2.1\nCSeq: 7 INVITE\n\
        Resource-Priority: ets.0\nContent-Length: 0\n\n";

    fn crlf(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    fn refused(bytes: &[u8]) -> Option<String> {
        let sketch = sketch(bytes)?;
        let refusal = Refusal {
            status: b"503 Service Unavailable",
            to_tag: b"ours",
            source: "192.0.2.1:5062".parse().unwrap(),
        };
        let mut out = vec![0; sketch.len_max(&refusal)];
        let len = sketch.refuse(&refusal, &mut out).expect("it fits");
        Some(String::from_utf8(out[..len].to_vec()).unwrap())
    }

    #[test]
    fn a_refusal_has_what_an_answer_must_have() {
        let bytes = crlf(INVITE);
        let want = "SIP/2.0 503 Service Unavailable\r\n\
            Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;received=192.0.2.1;rport=5062\r\n\
            Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb,   SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKc\r\n\
            From: \"A\" <sip:a@192.0.2.1>;tag=f\r\nTo: <sip:b@192.0.2.100>;tag=ours\r\n\
            Call-ID: sketch@192.0.2.1\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(refused(&bytes).unwrap(), want);
        let mut index = Index::new();
        let answer = refused(&bytes).unwrap();
        let answer = parse(answer.as_bytes(), &mut index).expect("a whole response");
        assert_eq!((answer.status(), answer.to_tag()), (503, &b"ours"[..]));
    }

    #[test]
    fn a_sketch_says_what_admission_asks() {
        let bytes = crlf(INVITE);
        let seen = sketch(&bytes).unwrap();
        assert_eq!(
            (seen.method, seen.uri),
            (Method::Invite, &b"sip:+4412345@192.0.2.100"[..])
        );
        assert_eq!(
            (seen.call_id, seen.via.branch),
            (&b"sketch@192.0.2.1"[..], &b"z9hG4bKa"[..])
        );
        assert!(seen.has_priority && seen.to_tag().is_empty());
        let again = crlf(&INVITE.replace("192.0.2.100>\nContact", "192.0.2.100>;tag=x\nContact"));
        assert_eq!(sketch(&again).unwrap().to_tag(), b"x");
        assert!(
            refused(&again)
                .unwrap()
                .contains("\r\nTo: <sip:b@192.0.2.100>;tag=x\r\n")
        );
    }

    #[test]
    fn what_is_not_whole_is_left_to_the_parser() {
        for gone in ["From :", "t:", "Call-ID:", "CSeq:"] {
            let lines = INVITE.split_inclusive('\n');
            let text: String = lines.filter(|line| !line.starts_with(gone)).collect();
            assert!(sketch(&crlf(&text)).is_none(), "without {gone}");
        }
        let twice = INVITE.replace("CSeq", "CSeq: 8 INVITE\nCSeq");
        assert!(sketch(&crlf(&twice)).is_none());
        let vias = "Via: SIP/2.0/UDP a;branch=z9hG4bKx\n".repeat(VIAS_MAX);
        assert!(sketch(&crlf(&INVITE.replace("Max-", &format!("{vias}Max-")))).is_none());
        for bytes in [
            &b""[..],
            b"\r\n\r\n",
            b"SIP/2.0 200 OK\r\n\r\n",
            b"INVITE\r\n\r\n",
            b"a b c",
        ] {
            assert!(sketch(bytes).is_none());
        }
    }

    /// Whatever comes in, what goes out is one header section without a stray line end.
    #[test]
    fn no_octet_breaks_out_of_its_line() {
        let bytes = crlf(INVITE);
        for at in 0..bytes.len() {
            for octet in [b'\r', b'\n', 0, b' ', b',', b';', b'"', 0xff] {
                let mut mutated = bytes.clone();
                mutated[at] = octet;
                let Some(seen) = sketch(&mutated) else {
                    continue;
                };
                let refusal = Refusal {
                    status: b"503 Service Unavailable",
                    to_tag: b"ours",
                    source: "192.0.2.1:5062".parse().unwrap(),
                };
                let mut out = vec![0; seen.len_max(&refusal)];
                let len = seen.refuse(&refusal, &mut out).expect("it fits");
                let text = &out[..len];
                assert!(!text.contains(&0));
                let ends = text.windows(2).filter(|pair| *pair == b"\r\n").count();
                let breaks = |octet| text.iter().filter(|&&it| it == octet).count();
                assert_eq!((breaks(b'\r'), breaks(b'\n')), (ends, ends));
                assert_eq!(ends, 7 + seen.vias_count, "{at} {octet}");
            }
            let cut = &bytes[..at.min(bytes.len() - 2)];
            assert!(sketch(cut).is_none(), "cut at {at}");
        }
    }
}
