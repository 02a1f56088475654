//! A raw peek at a message: enough to choose its shard and to refuse it before it is parsed.
//!
//! Cost: one vector search for each header line until Call-ID, Via and To are found, which in real
//! messages is within the first few. It looks at no more lines than a message may have.

use crate::limits::HEADERS_MAX;
use crate::name_addr::{Cursor, params};
use crate::octets::{self, LWS, TOKEN};
use crate::{HeaderId, Method};

/// What a peek found. Nothing of it was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sniffed<'a> {
    /// Whether the bytes begin like a request.
    pub is_request: bool,
    /// The method; for a response the one of its CSeq.
    pub method: Method,
    /// The status; 0 for a request.
    pub status: u16,
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The branch of the topmost Via; empty if there is none.
    pub branch: &'a [u8],
    /// Whether To has a tag.
    pub has_to_tag: bool,
}

/// Peeks at a message. `None`: no Call-ID was found.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Sniffed<'_>> {
    let is_request = !bytes.get(..4)?.eq_ignore_ascii_case(b"SIP/");
    let mut sniffed = Sniffed {
        is_request,
        method: Method::Other,
        status: 0,
        call_id: &[],
        branch: &[],
        has_to_tag: false,
    };
    if is_request {
        sniffed.method = Method::of(&bytes[..octets::run(bytes, 0, TOKEN)]);
    } else {
        sniffed.status = status(bytes);
    }
    let mut wanted = Wanted::new(is_request);
    let mut at = octets::find(b'\n', bytes)? + 1;
    for _ in 0..HEADERS_MAX {
        if wanted.is_nothing() || matches!(bytes.get(at), None | Some(b'\r' | b'\n')) {
            break;
        }
        let end = line_end(bytes, at);
        if let Some((id, value)) = wanted_line(&bytes[at..end])
            && wanted.take(id)
        {
            read_line(id, value, &mut sniffed);
        }
        at = end;
    }
    (!sniffed.call_id.is_empty()).then_some(sniffed)
}

/// Which headers have not been seen yet.
struct Wanted {
    via: bool,
    to: bool,
    call_id: bool,
    cseq: bool,
}

impl Wanted {
    fn new(is_request: bool) -> Wanted {
        Wanted {
            via: true,
            to: true,
            call_id: true,
            cseq: !is_request,
        }
    }

    fn is_nothing(&self) -> bool {
        !(self.via || self.to || self.call_id || self.cseq)
    }

    /// Whether the header is wanted; it is not after that.
    fn take(&mut self, id: HeaderId) -> bool {
        let slot = match id {
            HeaderId::Via => &mut self.via,
            HeaderId::To => &mut self.to,
            HeaderId::CallId => &mut self.call_id,
            HeaderId::CSeq => &mut self.cseq,
            _ => return false,
        };
        std::mem::take(slot)
    }
}

fn status(bytes: &[u8]) -> u16 {
    match bytes.get(8..11) {
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => digits
            .iter()
            .fold(0, |status, digit| status * 10 + u16::from(digit - b'0')),
        _ => 0,
    }
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

/// The id and the value of a line whose name begins like one of those that are looked for.
fn wanted_line(line: &[u8]) -> Option<(HeaderId, &[u8])> {
    if !matches!(line.first()? | 0x20, b'v' | b't' | b'c' | b'i') {
        return None;
    }
    let name_end = octets::run(line, 0, TOKEN);
    let blanks = line[name_end..].iter();
    let colon = name_end
        + blanks
            .take_while(|octet| matches!(octet, b' ' | b'\t'))
            .count();
    if line.get(colon) != Some(&b':') {
        return None;
    }
    let (from, to) = octets::trim(line, colon + 1, line.len());
    Some((HeaderId::of(&line[..name_end]), &line[from..to]))
}

fn read_line<'a>(id: HeaderId, value: &'a [u8], sniffed: &mut Sniffed<'a>) {
    match id {
        HeaderId::CallId => sniffed.call_id = value,
        HeaderId::Via => {
            let first = octets::find(b';', value).unwrap_or(value.len());
            // A comma before the first `;` begins the second Via: the first has no branch.
            if !value[..first].contains(&b',') {
                sniffed.branch = params(&value[first..])
                    .find(|param| param.name.eq_ignore_ascii_case(b"branch"))
                    .and_then(|param| param.value)
                    .unwrap_or(&[]);
            }
        }
        HeaderId::To => {
            let mut has_tag = false;
            let mut cursor = Cursor {
                bytes: value,
                at: 0,
            };
            let read = cursor.name_addr(|param| {
                has_tag |= param.name.eq_ignore_ascii_case(b"tag");
                Ok(())
            });
            sniffed.has_to_tag = read.is_ok() && has_tag;
        }
        HeaderId::CSeq => {
            let digits = value.iter().take_while(|octet| octet.is_ascii_digit());
            let digits = digits.count();
            let start = octets::run(value, digits, LWS);
            sniffed.method = Method::of(&value[start..]);
        }
        _ => {}
    }
}
