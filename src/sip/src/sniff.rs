//! A raw peek at a message: enough to choose its shard and to refuse it before it is parsed.
//!
//! Cost: one look at each octet, a block at a time, until Call-ID, Via and To are found, which in
//! real messages is within the first few lines; [`sniff_call_id`] and [`sniff_branch`] look for one
//! thing and are cheaper. What is not in the usual form is searched line by line. It looks at no
//! more lines than a message may have. `benches/instructions` holds `sniff/*`.

use crate::lanes::{Blank, LineEnd, ParamStart, ValueEnd, first_mark};
use crate::limits::HEADERS_MAX;
use crate::name_addr::{Bracketed, Cursor, params};
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
    let wanted = match bytes.first_chunk() {
        Some(b"SIP/2.0 ") => IN_REQUESTS | HeaderId::CSeq.bit(),
        _ => IN_REQUESTS,
    };
    sniff_usual(bytes, wanted).or_else(|| sniff_any(bytes))
}

/// Peeks at a message's Call-ID, for whoever wants to know its shard and nothing else.
#[must_use]
pub fn sniff_call_id(bytes: &[u8]) -> Option<&[u8]> {
    let sniffed = sniff_usual(bytes, HeaderId::CallId.bit()).or_else(|| sniff_any(bytes))?;
    Some(sniffed.call_id)
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

/// What is looked for in a request; in a response the method too, which CSeq has.
const IN_REQUESTS: u64 = HeaderId::Via.bit() | HeaderId::To.bit() | HeaderId::CallId.bit();

/// Looks for these headers, a bit each. `None`: it is not written as usual.
#[inline(always)]
fn sniff_usual(bytes: &[u8], mut wanted: u64) -> Option<Sniffed<'_>> {
    let mut sniffed = Sniffed {
        is_request: true,
        method: Method::Other,
        status: 0,
        call_id: &[],
        branch: &[],
        has_to_tag: false,
    };
    if bytes.first_chunk()? == b"SIP/2.0 " {
        sniffed.is_request = false;
        sniffed.status = status(bytes);
    } else {
        let (method, length) = Method::leading(bytes)?;
        if bytes.get(length) != Some(&b' ') {
            return None;
        }
        sniffed.method = method;
    }
    let mut end = usual::line_end(bytes, 0)?;
    for _ in 0..HEADERS_MAX {
        let line = bytes.get(end + 2..)?;
        let (id, length) = match HeaderId::usual(line) {
            Some(named) => named,
            None => match line.first()? | 0x20 {
                // Perhaps one that is wanted in another spelling.
                b'v' | b't' | b'c' | b'i' => return None,
                // A fold of the one before, or the end.
                _ if *line.first()? <= b' ' => return None,
                _ => (HeaderId::Other, 0),
            },
        };
        let start = end + 2 + length + 2;
        end = match wanted & id.bit() {
            0 => usual::line_end(bytes, start)?,
            _ => usual_value(bytes, id, start, &mut sniffed)?,
        };
        wanted &= !id.bit();
        if wanted == 0 {
            let is_whole = usual::is_line_end(bytes.get(end..)?)
                && !matches!(bytes.get(end + 2), Some(b' ' | b'\t'));
            return is_whole.then_some(sniffed);
        }
        if !usual::is_line_end(bytes.get(end..)?) {
            return None;
        }
    }
    None
}

/// Notes what a value that begins at `start` says, and returns where its line may end. `None`: it
/// is not written as usual.
#[inline(always)]
fn usual_value<'a>(
    bytes: &'a [u8],
    id: HeaderId,
    start: usize,
    sniffed: &mut Sniffed<'a>,
) -> Option<usize> {
    match id {
        HeaderId::Via => {
            let (branch, end) = usual_branch_of(bytes, start)?;
            sniffed.branch = branch;
            usual::line_end(bytes, end)
        }
        HeaderId::To => {
            let (tag, end) = Bracketed::find(bytes, start)?.tag(bytes)?;
            sniffed.has_to_tag = !tag.is_empty();
            Some(end)
        }
        HeaderId::CSeq => {
            let (_, digits_end) = usual::number(bytes, start)?;
            if bytes.get(digits_end) != Some(&b' ') {
                return None;
            }
            let (method, length) = Method::leading(&bytes[digits_end + 1..])?;
            sniffed.method = method;
            Some(digits_end + 1 + length)
        }
        _ => {
            let end = first_mark(bytes, start, Blank)?;
            sniffed.call_id = &bytes[start..end];
            (start < end).then_some(end)
        }
    }
}

/// The whole search: what [`sniff_usual`] finds comes out the same.
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
