//! A message in its usual form: one pass that does not look at an octet alone.
//!
//! Nearly all messages are written alike: names and values on one line, a space behind the colon,
//! URIs in angle brackets, numbers short. What is so is read here, sixteen octets at a time;
//! everything else, and all that is wrong, is left to [`parse`](crate::parse), which knows the
//! whole grammar and says what is wrong. Whatever is taken here comes out there in the same way:
//! `tests.rs` compares them over all messages there are, and mutations of them.
//!
//! Cost: 30 instructions for 64 octets of the header section, 50 for a line, 100 for a value that
//! is looked into. `benches/instructions` holds `parse/*`.

use crate::index::{Index, Span};
use crate::lanes::{Blank, LineEnd, Marks, WIDTH};
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
    let mut ends = Marks::new(bytes, 0, bytes.len(), LineEnd)?;
    let first = line_end(bytes, &mut ends)?;
    start_line(bytes, first, index)?;
    let section_end = header_lines(bytes, first + 2, &mut ends, index)?;
    index.facts.section_end = section_end as u16;
    if index.present() & MANDATORY != MANDATORY {
        return None;
    }
    body(bytes, section_end + 2, index)?;
    cseq(bytes, index)?;
    top_via(bytes, index)?;
    call_id(bytes, index)?;
    let (from_uri, from_tag) = party(bytes, index, HeaderId::From)?;
    let (to_uri, to_tag) = party(bytes, index, HeaderId::To)?;
    let facts = &mut index.facts;
    (facts.from_uri, facts.from_tag) = (from_uri, from_tag);
    (facts.to_uri, facts.to_tag) = (to_uri, to_tag);
    if index.has(HeaderId::MaxForwards) {
        let digits = index.line(HeaderId::MaxForwards).value.of(bytes);
        let hops = u8::try_from(octets::small_number(digits)?).ok()?;
        index.facts.max_forwards = Some(hops);
    }
    if index.facts.is_request {
        addresses(bytes, index, HeaderId::Route)?;
        addresses(bytes, index, HeaderId::Contact)?;
    }
    Some(())
}

/// The headers that every message has, a bit each.
const MANDATORY: u64 = 1 << HeaderId::Via as u64
    | 1 << HeaderId::From as u64
    | 1 << HeaderId::To as u64
    | 1 << HeaderId::CallId as u64
    | 1 << HeaderId::CSeq as u64;

/// Where the next CRLF is. `None`: something else ends the line, or the bytes.
#[inline(always)]
fn line_end(bytes: &[u8], ends: &mut Marks<'_, LineEnd>) -> Option<usize> {
    loop {
        let at = ends.next_of_many();
        let two = bytes.get(at..)?.first_chunk::<2>()?;
        if two == b"\r\n" {
            ends.next_of_many();
            return Some(at);
        }
        if matches!(two[0], b'\r' | b'\n' | 0) {
            return None;
        }
    }
}

/// `METHOD uri SIP/2.0` or `SIP/2.0 200 reason`.
#[inline(always)]
fn start_line(bytes: &[u8], end: usize, index: &mut Index) -> Option<()> {
    let line = bytes.get(..end)?;
    if end >= START_LINE_BYTES_MAX {
        return None;
    }
    if let [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b' ', rest @ ..] = line {
        let ([a @ b'1'..=b'6', b, c] | [a @ b'1'..=b'6', b, c, b' ', ..]) = *rest else {
            return None;
        };
        let (tens, ones) = (b.wrapping_sub(b'0'), c.wrapping_sub(b'0'));
        if tens > 9 || ones > 9 {
            return None;
        }
        let facts = &mut index.facts;
        facts.status = u16::from(a - b'0') * 100 + u16::from(tens) * 10 + u16::from(ones);
        facts.reason = Span::new(end.min(12), end);
        return Some(());
    }
    let (method, length) = Method::leading(bytes)?;
    let uri_end = end.checked_sub(8)?;
    let uri_start = length + 1;
    if uri_end <= uri_start || bytes[length] != b' ' || &line[uri_end..] != b" SIP/2.0" {
        return None;
    }
    index.uri_parts = UriSpans::read_usual(bytes, uri_start, uri_end);
    if index.uri_parts.is_none() {
        start_line::request_uri(&line[uri_start..uri_end], uri_start).ok()?;
    }
    let facts = &mut index.facts;
    facts.is_request = true;
    facts.method = method;
    facts.method_name = Span::new(0, length);
    facts.uri = Span::new(uri_start, uri_end);
    Some(())
}

/// Notes every header line and returns where the empty line begins.
#[inline(always)]
fn header_lines(
    bytes: &[u8],
    mut at: usize,
    ends: &mut Marks<'_, LineEnd>,
    index: &mut Index,
) -> Option<usize> {
    let mut lengths = 0_u16;
    let mut lists = 1;
    loop {
        let end = line_end(bytes, ends)?;
        if end == at {
            break;
        }
        let (id, name_end, value) = header_line(bytes, at, end)?;
        lengths |= value.end - value.start;
        let is_added = if index.has(id) {
            if parse::duplicate(id).is_some() {
                return None;
            }
            lists += usize::from(id.is_list());
            index.push_again(at, name_end, value, end + 2, id)
        } else {
            index.push_first(at, name_end, value, end + 2, id)
        };
        if !is_added {
            return None;
        }
        at = end + 2;
    }
    // What is this short keeps the limits on the section and on each line.
    if at > HEADER_BYTES_MAX {
        return None;
    }
    // Values take two octets with their comma: is there room for too many of one header?
    if lists * (usize::from(lengths) / 2 + 1) > VALUES_MAX.min(VIAS_MAX) {
        parse::check_counts(bytes, index).ok()?;
    }
    Some(at)
}

/// Which header the line at `at` is, where its name ends, and its value.
#[inline(always)]
fn header_line(bytes: &[u8], at: usize, end: usize) -> Option<(HeaderId, usize, Span)> {
    let line = bytes.get(at..end)?;
    if let Some(head) = bytes[at..].first_chunk::<WIDTH>()
        && let Some((id, length)) = HeaderId::usual(head)
        && let Some([first, ..]) = line.get(length + 2..)
        && let Some(last) = line.last()
        && *first > b' '
        && *last > b' '
    {
        return Some((id, at + length, Span::new(at + length + 2, end)));
    }
    other_header_line(bytes, at, end)
}

/// A line with a name that is long, compact or only carried, or with other white space.
#[inline(never)]
fn other_header_line(bytes: &[u8], at: usize, end: usize) -> Option<(HeaderId, usize, Span)> {
    let line = &bytes[..end];
    let name_end = octets::run(line, at, TOKEN);
    let name = &line[at..name_end];
    if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX || line.get(name_end) != Some(&b':') {
        return None;
    }
    let (from, to) = octets::trim(line, name_end + 1, end);
    Some((HeaderId::of(name), name_end, Span::new(from, to)))
}

#[inline(always)]
fn body(bytes: &[u8], start: usize, index: &mut Index) -> Option<()> {
    let mut end = bytes.len();
    if index.has(HeaderId::ContentLength) {
        let digits = index.line(HeaderId::ContentLength).value.of(bytes);
        let length = octets::small_number(digits)? as usize;
        if length > end - start {
            return None;
        }
        end = start + length;
        index.facts.content_length = Some(length as u16);
    }
    index.facts.body = Span::new(start, end);
    Some(())
}

/// `1 INVITE`
#[inline(always)]
fn cseq(bytes: &[u8], index: &mut Index) -> Option<()> {
    let (mut at, end) = index.line(HeaderId::CSeq).value.bounds();
    let value = &bytes[..end];
    let (first, mut number) = (at, 0);
    while let digit @ 0..=9 = value.get(at)?.wrapping_sub(b'0') {
        if at - first == 9 {
            return None;
        }
        number = number * 10 + u32::from(digit);
        at += 1;
    }
    let start = at + 1;
    let (method, length) = Method::leading(value.get(start..)?)?;
    if at == first || value[at] != b' ' || start + length != end {
        return None;
    }
    let facts = &mut index.facts;
    if facts.is_request && method != facts.method {
        return None;
    }
    facts.method = method;
    facts.cseq = number;
    facts.cseq_method = Span::new(start, end);
    Some(())
}

#[inline(always)]
fn top_via(bytes: &[u8], index: &mut Index) -> Option<()> {
    let (start, end) = index.line(HeaderId::Via).value.bounds();
    if index.via.read_usual(bytes, start, end).is_none() {
        index.via = parse::top_via(bytes, index).ok()?;
    }
    Some(())
}

#[inline(always)]
fn call_id(bytes: &[u8], index: &Index) -> Option<()> {
    let (start, end) = index.line(HeaderId::CallId).value.bounds();
    let blank = Marks::new(bytes, start, end, Blank)?.next();
    if blank == end && start < end && end - start <= CALL_ID_BYTES_MAX {
        return Some(());
    }
    parse::call_id(bytes, index).ok()
}

/// Where URI and tag of From or To are.
#[inline(always)]
fn party(bytes: &[u8], index: &Index, id: HeaderId) -> Option<(Span, Span)> {
    let line = index.line(id);
    let (start, end) = line.value.bounds();
    match usual_party(bytes, start, end) {
        Some(spans) => Some(spans),
        None => parse::party(bytes, line).ok(),
    }
}

#[inline(never)]
fn usual_party(bytes: &[u8], start: usize, end: usize) -> Option<(Span, Span)> {
    let found = Bracketed::find(bytes, start, end)?;
    if !found.has_scheme(bytes) {
        return None;
    }
    let tag = found.tag(bytes, end)?;
    let uri = Span::new(found.uri.start, found.uri.end);
    Some((uri, Span::new(tag.start, tag.end)))
}

/// Checks the values of Route or Contact, of which there mostly is one, or none.
#[inline(always)]
fn addresses(bytes: &[u8], index: &Index, id: HeaderId) -> Option<()> {
    let mut next = index.first(id);
    while let Some(line) = next {
        let (start, end) = line.value.bounds();
        let found = Bracketed::find(bytes, start, end);
        let is_usual = found.is_some_and(|found| {
            found.uri.end + 1 == end && (id == HeaderId::Route || found.has_scheme(bytes))
        });
        if !is_usual {
            return parse::name_addrs(bytes, index, id).ok();
        }
        next = index.next(line);
    }
    Some(())
}

#[cfg(test)]
mod tests;
