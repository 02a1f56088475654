//! A raw peek at a message: enough to choose its shard and to refuse it before it is parsed.
//!
//! Cost: [`sniff_call_id`] and [`sniff_branch`] are asked of each message that the kernel has not
//! steered. They look at each octet once, a block at a time, until they have found their one thing,
//! which in real messages is within the first few lines; what is not in the usual form is searched
//! line by line, as [`sniff`] does, which is for the few that are refused. None looks at more lines
//! than a message may have. `benches/instructions` holds `sniff/*`.

use crate::lanes::{Blank, LineEnd, LineFeed, ParamStart, ValueEnd, first_mark, words};
use crate::limits::HEADERS_MAX;
use crate::name_addr::{Cursor, params};
use crate::octets::{self, LWS, TOKEN};
use crate::usual;
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
    sniff_any(bytes)
}

/// Peeks at a message's Call-ID, for whoever wants to know its shard and nothing else.
#[must_use]
pub fn sniff_call_id(bytes: &[u8]) -> Option<&[u8]> {
    usual_call_id(bytes).or_else(|| Some(sniff_any(bytes)?.call_id))
}

/// Peeks at the branch of a message's topmost Via, for whoever has written something into it that
/// says where a response belongs. `None`: there is none, or no Call-ID.
#[must_use]
pub fn sniff_branch(bytes: &[u8]) -> Option<&[u8]> {
    usual_branch(bytes).or_else(|| {
        let sniffed = sniff_any(bytes)?;
        (!sniffed.branch.is_empty()).then_some(sniffed.branch)
    })
}

/// The branch in the first header line. `None`: it is not written as usual.
fn usual_branch(bytes: &[u8]) -> Option<&[u8]> {
    let end = first_mark(bytes, 0, LineEnd)?;
    if bytes[end..].first_chunk() != Some(b"\r\nVia: ") {
        return None;
    }
    Some(usual_branch_of(bytes, end + 7)?.0)
}

/// The branch of the Via value at `start`, if it is its first parameter, and where it ends.
#[inline(always)]
fn usual_branch_of(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    // A comma here would begin another value, and a line end another line.
    let param = first_mark(bytes, start, ParamStart)?;
    if bytes[param..].first_chunk() != Some(b";branch=") {
        return None;
    }
    let from = param + 8;
    let end = first_mark(bytes, from, ValueEnd)?;
    let is_end = matches!(bytes.get(end)?, b';' | b',' | b'\r');
    (is_end && from < end).then(|| (&bytes[from..end], end))
}

/// The Call-ID, if its line is written as usual; all others may be as they like.
fn usual_call_id(bytes: &[u8]) -> Option<&[u8]> {
    let mut lines = 0;
    for (base, mut feeds) in words(bytes, LineFeed) {
        while feeds != 0 {
            let start = base + feeds.trailing_zeros() as usize + 1;
            feeds &= feeds - 1;
            match *bytes.get(start)? {
                b'C' | b'c' | b'I' | b'i' => match bytes[start..].first_chunk()? {
                    b"Call-ID: " => return usual_value(bytes, start + 9),
                    [b'i', b':', b' ', ..] => return usual_value(bytes, start + 3),
                    // Perhaps it is this one, in another spelling.
                    [b'i' | b'I', ..] | [_, b'A' | b'a', ..] => return None,
                    _ => {}
                },
                // The end.
                b'\r' | b'\n' | 0 => return None,
                _ => {}
            }
            lines += 1;
            if lines == HEADERS_MAX {
                return None;
            }
        }
    }
    None
}

/// The value at `start`, if it is one word and has its line to itself.
#[inline(always)]
fn usual_value(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let end = first_mark(bytes, start, Blank)?;
    let is_whole =
        usual::is_line_end(bytes.get(end..)?) && !matches!(bytes.get(end + 2), Some(b' ' | b'\t'));
    (is_whole && start < end).then(|| &bytes[start..end])
}

/// The whole search: what [`usual_call_id`] and [`usual_branch`] find comes out the same.
pub(crate) fn sniff_any(bytes: &[u8]) -> Option<Sniffed<'_>> {
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
