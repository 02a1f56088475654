//! A message in its usual form: one pass, in which each line reads itself.
//!
//! Nearly all messages are written alike: names and values on one line, a space behind the colon,
//! URIs in angle brackets, numbers short. What is so is read here, sixteen octets at a time: the
//! same look that finds the separators of a value finds its line end. A value that is otherwise is
//! left to the reader of its kind in [`parse`](crate::parse), and a message with anything else in
//! it, such as folds, or anything wrong, to all of it. Whatever is taken here comes out there in
//! the same way: `tests.rs` compares them over all messages there are, and mutations of them.
//!
//! Cost: 50 instructions for a line, and 30 to 90 for each 64 octets of its value.
//! `benches/instructions` holds `parse/*`.

use crate::index::{Index, Span};
use crate::lanes::{Blank, LineEnd, Marks};
use crate::limits::*;
use crate::name_addr::Bracketed;
use crate::octets::{self, TOKEN};
use crate::parse;
use crate::start_line;
use crate::uri::UriSpans;
use crate::{HeaderId, Method};

/// Reads a message into a cleared index. `None`: it is not in the usual form.
pub(crate) fn read(bytes: &[u8], index: &mut Index) -> Option<()> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let lines = match bytes.first_chunk()? {
        b"SIP/2.0 " => status_line(bytes, index)?,
        _ => request_line(bytes, index)?,
    };
    let (section_end, unread) = header_lines(bytes, lines, index)?;
    if index.present() & MANDATORY != MANDATORY {
        return None;
    }
    index.facts.section_end = section_end as u16;
    let body = section_end + 2;
    let length = index.facts.content_length.map(usize::from);
    let end = length.map_or(bytes.len(), |length| body + length);
    if end > bytes.len() {
        return None;
    }
    index.facts.body = Span::new(body, end);
    if unread != 0 {
        read_rest(bytes, index, unread, body)?;
    }
    Some(())
}

const fn bit(id: HeaderId) -> u64 {
    1 << id as u64
}

/// The headers that every message has.
const MANDATORY: u64 = bit(HeaderId::Via)
    | bit(HeaderId::From)
    | bit(HeaderId::To)
    | bit(HeaderId::CallId)
    | bit(HeaderId::CSeq);

#[inline(always)]
pub(crate) fn is_line_end(rest: &[u8]) -> bool {
    rest.first_chunk() == Some(b"\r\n")
}

/// Where the CRLF of a line is, of which nothing is asked from `at` on. `None`: something else ends
/// it, or the bytes.
#[inline(always)]
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut ends = Marks::new(bytes, at, LineEnd)?;
    loop {
        let at = ends.next();
        let rest = bytes.get(at..)?;
        if is_line_end(rest) {
            return Some(at);
        }
        if matches!(rest.first()?, b'\r' | b'\n' | 0) {
            return None;
        }
    }
}

/// `SIP/2.0 200 reason`; returns where the next line begins.
fn status_line(bytes: &[u8], index: &mut Index) -> Option<usize> {
    let end = line_end(bytes, 8)?;
    let &[a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9'] = bytes[8..end].first_chunk()? else {
        return None;
    };
    if end >= START_LINE_BYTES_MAX || end > 11 && bytes[11] != b' ' {
        return None;
    }
    let facts = &mut index.facts;
    facts.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    facts.reason = Span::new(end.min(12), end);
    Some(end + 2)
}

/// `METHOD uri SIP/2.0`; returns where the next line begins.
fn request_line(bytes: &[u8], index: &mut Index) -> Option<usize> {
    let Some((method, length)) = Method::leading(bytes) else {
        return start_line::start_line(bytes, index).ok();
    };
    let start = length + 1;
    let usual = UriSpans::read_usual(bytes, start);
    if let Some((parts, end)) = usual
        && bytes[length] == b' '
        && end + 8 < START_LINE_BYTES_MAX
        && bytes[end..].first_chunk() == Some(b" SIP/2.0\r\n")
    {
        index.uri_parts = Some(parts);
        let facts = &mut index.facts;
        facts.is_request = true;
        facts.method = method;
        facts.method_name = Span::new(0, length);
        facts.uri = Span::new(start, end);
        return Some(end + 10);
    }
    start_line::start_line(bytes, index).ok()
}

/// Reads every header line; returns where the empty line begins, and which headers are still to be
/// looked into, a bit each.
#[inline(always)]
fn header_lines(bytes: &[u8], mut at: usize, index: &mut Index) -> Option<(usize, u64)> {
    let (mut lengths, mut lists, mut unread) = (0_u16, 1, 0);
    loop {
        let rest = bytes.get(at..)?;
        if is_line_end(rest) {
            break;
        }
        let (id, name_end, value, end) = match usual_line(bytes, rest, at, index) {
            Some((id, name_end, value)) => (id, name_end, value, usize::from(value.end)),
            None => {
                let line = other_line(bytes, at)?;
                if !index.has(line.0) || LATER_TOO & bit(line.0) != 0 {
                    unread |= bit(line.0);
                }
                line
            }
        };
        let end = end + 2;
        let is_added = if index.has(id) {
            if parse::duplicate(id).is_some() {
                return None;
            }
            lists += usize::from(id.is_list());
            index.push_again(at, name_end, value, end, id)
        } else {
            index.push_first(at, name_end, value, end, id)
        };
        if !is_added {
            return None;
        }
        lengths |= value.end - value.start;
        at = end;
    }
    // What is this short keeps the limits on the section and on each line.
    if at > HEADER_BYTES_MAX {
        return None;
    }
    // Values take two octets with their comma: is there room for too many of one header?
    if lists * (usize::from(lengths) / 2 + 1) > VALUES_MAX.min(VIAS_MAX) {
        parse::check_counts(bytes, index).ok()?;
    }
    Some((at, unread & LOOKED_INTO))
}

/// A line, which `rest` begins with, of a name and one space, and which ends where its value does: which header it is,
/// where the name ends, and the value, of which it notes what is asked for.
#[inline(always)]
fn usual_line(
    bytes: &[u8],
    rest: &[u8],
    at: usize,
    index: &mut Index,
) -> Option<(HeaderId, usize, Span)> {
    let (id, length) = HeaderId::usual(rest.first_chunk()?)?;
    let start = at + length + 2;
    let end = match id {
        HeaderId::Via if !index.has(id) => top_via(bytes, start, index),
        HeaderId::From => {
            let (uri, tag, end) = party(bytes, start)?;
            (index.facts.from_uri, index.facts.from_tag) = (uri, tag);
            Some(end)
        }
        HeaderId::To => {
            let (uri, tag, end) = party(bytes, start)?;
            (index.facts.to_uri, index.facts.to_tag) = (uri, tag);
            Some(end)
        }
        HeaderId::CallId => {
            let end = Marks::new(bytes, start, Blank)?.next();
            (start < end && end - start <= CALL_ID_BYTES_MAX).then_some(end)
        }
        HeaderId::CSeq => cseq(bytes, start, index),
        HeaderId::MaxForwards => {
            let (hops, end) = number(bytes, start)?;
            index.facts.max_forwards = Some(u8::try_from(hops).ok()?);
            Some(end)
        }
        HeaderId::ContentLength => {
            let (length, end) = number(bytes, start)?;
            index.facts.content_length = Some(u16::try_from(length).ok()?);
            Some(end)
        }
        HeaderId::Route | HeaderId::Contact if index.facts.is_request => address(bytes, start, id),
        _ => carried(bytes, start),
    }?;
    is_line_end(bytes.get(end..)?).then(|| (id, at + length, Span::new(start, end)))
}

/// A line with a name that is long, compact or only carried, or with other white space, or with a
/// value that is still to be looked into.
#[inline(never)]
fn other_line(bytes: &[u8], at: usize) -> Option<(HeaderId, usize, Span, usize)> {
    let name_end = octets::run(bytes, at, TOKEN);
    let name = &bytes[at..name_end];
    if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX || bytes.get(name_end) != Some(&b':') {
        return None;
    }
    let end = line_end(bytes, name_end + 1)?;
    let (from, to) = octets::trim(bytes, name_end + 1, end);
    Some((HeaderId::of(name), name_end, Span::new(from, to), end))
}

/// A value of which nothing is asked, up to the end of its line.
#[inline(always)]
fn carried(bytes: &[u8], start: usize) -> Option<usize> {
    let end = line_end(bytes, start)?;
    (bytes[start] > b' ' && bytes[end - 1] > b' ').then_some(end)
}

#[inline(always)]
fn top_via(bytes: &[u8], start: usize, index: &mut Index) -> Option<usize> {
    let end = index.via.read_usual(bytes, start)?;
    match bytes.get(end) {
        Some(b',') => carried(bytes, end),
        _ => Some(end),
    }
}

/// Where URI and tag of From or To are, and where the value ends.
#[inline(never)]
fn party(bytes: &[u8], start: usize) -> Option<(Span, Span, usize)> {
    let found = Bracketed::find(bytes, start)?;
    if !found.has_scheme(bytes) {
        return None;
    }
    let (tag, end) = found.tag(bytes)?;
    let uri = Span::new(found.uri.start, found.uri.end);
    Some((uri, Span::new(tag.start, tag.end), end))
}

/// One value of Route or Contact, without parameters.
#[inline(never)]
fn address(bytes: &[u8], start: usize, id: HeaderId) -> Option<usize> {
    let found = Bracketed::find(bytes, start)?;
    (id == HeaderId::Route || found.has_scheme(bytes)).then_some(found.uri.end + 1)
}

/// One to nine digits, and where they end.
#[inline(always)]
fn number(bytes: &[u8], start: usize) -> Option<(u32, usize)> {
    let (mut value, mut at) = (0, start);
    while let digit @ 0..=9 = bytes.get(at)?.wrapping_sub(b'0') {
        if at - start == 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
        at += 1;
    }
    (at > start).then_some((value, at))
}

/// `1 INVITE`
#[inline(always)]
fn cseq(bytes: &[u8], start: usize, index: &mut Index) -> Option<usize> {
    let (number, at) = number(bytes, start)?;
    if bytes[at] != b' ' {
        return None;
    }
    let (method, length) = Method::leading(&bytes[at + 1..])?;
    let end = at + 1 + length;
    let facts = &mut index.facts;
    if facts.is_request && method != facts.method {
        return None;
    }
    facts.method = method;
    facts.cseq = number;
    facts.cseq_method = Span::new(at + 1, end);
    Some(end)
}

/// The headers of which something is noted or checked.
const LOOKED_INTO: u64 = MANDATORY
    | bit(HeaderId::MaxForwards)
    | bit(HeaderId::ContentLength)
    | bit(HeaderId::Route)
    | bit(HeaderId::Contact);

/// Those of which every line is checked, not only the first.
const LATER_TOO: u64 = bit(HeaderId::Route) | bit(HeaderId::Contact);

/// Reads the values that are not in their usual form, by the whole grammar.
#[inline(never)]
fn read_rest(bytes: &[u8], index: &mut Index, unread: u64, body: usize) -> Option<()> {
    let is_unread = |id| unread & bit(id) != 0;
    if is_unread(HeaderId::ContentLength) {
        parse::body(bytes, body, index).ok()?;
    }
    if is_unread(HeaderId::CSeq) {
        parse::cseq(bytes, index).ok()?;
    }
    if is_unread(HeaderId::Via) {
        index.via = parse::top_via(bytes, index).ok()?;
    }
    if is_unread(HeaderId::CallId) {
        parse::call_id(bytes, index).ok()?;
    }
    if is_unread(HeaderId::From) || is_unread(HeaderId::To) {
        parse::parties(bytes, index).ok()?;
    }
    if is_unread(HeaderId::MaxForwards) {
        parse::max_forwards(bytes, index).ok()?;
    }
    for id in [HeaderId::Route, HeaderId::Contact] {
        if is_unread(id) && index.facts.is_request {
            parse::name_addrs(bytes, index, id).ok()?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
