//! A message in its usual form: one pass, in which each line reads itself.
//!
//! Nearly all messages are written alike: names and values on one line, a space behind the colon,
//! URIs in angle brackets, numbers short. What is so is read here, a block of octets at a time: the
//! same look that finds the end of a value finds its line end. A value that is otherwise is left to
//! the reader of its kind in [`parse`](crate::parse), and a message with anything else in it, such
//! as folds, or anything wrong, to all of it. Whatever is taken here comes out there in
//! the same way: `tests.rs` compares them over all messages there are, and mutations of them.
//!
//! Cost: 55 instructions for a line, and 15 to 30 for its value; an address takes 100, a Via 170.
//! `benches/instructions` holds `parse/*`.

use crate::index::{Entry, Facts, Index, Party, Span};
use crate::lanes::{Blank, LineEnd, Mark, first_mark};
use crate::limits::*;
use crate::name_addr::{Bracketed, bracket, near_party};
use crate::octets::{self, TOKEN};
use crate::parse;
use crate::start_line;
use crate::uri::UriSpans;
use crate::via::ViaSpans;
use crate::{HeaderId, Method};

/// Reads a message into a cleared index. `None`: it is not in the usual form.
pub(crate) fn read(bytes: &[u8], index: &mut Index) -> Option<()> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    // As a number: octets would be compared one by one.
    let lines = match u64::from_le_bytes(*bytes.first_chunk()?) {
        STATUS_LINE => status_line(bytes, index)?,
        _ => request_line(bytes, index)?,
    };
    let (section_end, unread) = header_lines(bytes, lines, index)?;
    if index.lines.present() & MANDATORY != MANDATORY {
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

/// What a status line begins with.
const STATUS_LINE: u64 = u64::from_le_bytes(*b"SIP/2.0 ");

/// The headers that every message has.
const MANDATORY: u64 = HeaderId::Via.bit()
    | HeaderId::From.bit()
    | HeaderId::To.bit()
    | HeaderId::CallId.bit()
    | HeaderId::CSeq.bit();

#[inline(always)]
pub(crate) fn is_line_end(rest: &[u8]) -> bool {
    rest.first_chunk() == Some(b"\r\n")
}

/// Where the CRLF of a line is, of which nothing is asked from `at` on. `None`: something else ends
/// it, or the bytes.
#[inline(always)]
pub(crate) fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = first_mark(bytes, at, LineEnd)?;
    // A tab, or another control, in a value is as good as a letter.
    while !is_line_end(bytes.get(at..)?) {
        if matches!(bytes.get(at)?, b'\r' | b'\n' | 0) {
            return None;
        }
        at = next_control(bytes, at + 1)?;
    }
    Some(at)
}

/// Where the next octet is that may be a line end: one by one, since blocks would overlap.
#[cold]
fn next_control(bytes: &[u8], at: usize) -> Option<usize> {
    let offset = bytes.get(at..)?.iter().position(|&octet| octet <= b'\r')?;
    octets::work::add(offset + 1);
    Some(at + offset)
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

/// The headers that were not written as usual, a bit each.
#[derive(Default)]
struct Odd {
    /// Those that are still to be looked into, if anything is asked of them.
    unread: u64,
    /// Those whose values may be too many.
    long: u64,
    /// How many lines are only carried.
    others: usize,
}

/// Reads every header line; returns where the empty line begins, and which headers are still to be
/// looked into, a bit each.
///
/// What a line needs stays in registers: the readers of values that need many are functions.
#[inline(always)]
fn header_lines(bytes: &[u8], mut at: usize, index: &mut Index) -> Option<(usize, u64)> {
    let mut odd = Odd::default();
    index.lines.begin(at);
    let mut rest = bytes.get(at..)?;
    loop {
        if let Some((id, length)) = HeaderId::usual(rest)
            && let Some(end) = usual_value(bytes, at + length + 2, id, index)
            && let Some(behind) = bytes.get(end..)
            && let Some(&ends) = behind.first_chunk::<4>()
            && ends[..2] == *b"\r\n"
        {
            let line = index.lines.open(id);
            line.start = at as u16;
            line.value.start = (at + length + 2) as u16;
            line.value.end = end as u16;
            at = end + 2;
            line.end = at as u16;
            if ends[2..] == *b"\r\n" {
                break;
            }
            rest = &behind[2..];
        } else {
            at = other_line(bytes, at, index, &mut odd)?;
            rest = bytes.get(at..)?;
            if is_line_end(rest) {
                break;
            }
        }
    }
    // What is this short keeps the limits on the section and on each line.
    if at > HEADER_BYTES_MAX || index.lines.count() + odd.others > HEADERS_MAX {
        return None;
    }
    let repeated = index.lines.repeated();
    if (odd.long | repeated) != 0 {
        if repeated & ONCE != 0 {
            return None;
        }
        parse::check_counts(bytes, index, odd.long | repeated).ok()?;
    }
    Some((at, odd.unread & LOOKED_INTO))
}

/// A line whose name is unknown, compact or in another case, or that goes on otherwise than usual;
/// returns where the next one begins.
#[cold]
#[inline(never)]
fn other_line(bytes: &[u8], at: usize, index: &mut Index, odd: &mut Odd) -> Option<usize> {
    let mut name_end = first_mark(bytes, at, Mark)?;
    if bytes.get(name_end) != Some(&b':') {
        name_end = octets::run(bytes, name_end, TOKEN);
    }
    let name = &bytes[at..name_end];
    if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX || bytes.get(name_end) != Some(&b':') {
        return None;
    }
    let id = HeaderId::of(name);
    odd.others += usize::from(id == HeaderId::Other);
    let start = name_end + 2;
    let usual = match bytes.get(name_end + 1) {
        Some(b' ') => usual_value(bytes, start, id, index),
        _ => None,
    };
    let (value, end) = match usual.filter(|&end| bytes.get(end..).is_some_and(is_line_end)) {
        Some(end) => (Span::new(start, end), end),
        None => odd.value(bytes, name_end + 1, id)?,
    };
    let line = Entry {
        start: at as u16,
        end: (end + 2) as u16,
        value,
    };
    index.lines.note(id, line);
    Some(end + 2)
}

impl Odd {
    /// Notes a value that may have white space around it, and more; returns where it is, and where
    /// its line ends.
    #[inline(never)]
    fn value(&mut self, bytes: &[u8], from: usize, id: HeaderId) -> Option<(Span, usize)> {
        let end = line_end(bytes, from)?;
        let (start, to) = octets::trim(bytes, from, end);
        if to - start > CARRIED_BYTES {
            self.long |= id.bit();
        }
        self.unread |= id.bit();
        Some((Span::new(start, to), end))
    }
}

/// The headers that must not be there twice.
const ONCE: u64 = {
    let mut ids = 0;
    let mut i = 0;
    while i < HeaderId::KNOWN.len() {
        if parse::duplicate(HeaderId::KNOWN[i]).is_some() {
            ids |= HeaderId::KNOWN[i].bit();
        }
        i += 1;
    }
    ids
};

/// The longest value of a list that needs not be counted: with their comma values take two octets.
const CARRIED_BYTES: usize = 2 * VALUES_MAX - 2;
const _: () = assert!(VALUES_MAX <= VIAS_MAX);

/// Where a value ends that is written as usual, of which it notes what is asked for; whoever asks
/// looks whether the line ends there. `None`: it is written otherwise, or long.
#[inline(always)]
fn usual_value(bytes: &[u8], start: usize, id: HeaderId, index: &mut Index) -> Option<usize> {
    let has_via = index.has(HeaderId::Via);
    let Index { facts, via, .. } = index;
    match id {
        HeaderId::Via if !has_via => top_via(bytes, start, via),
        HeaderId::Route | HeaderId::Contact if !facts.is_request => carried(bytes, start),
        HeaderId::From | HeaderId::To => {
            let place = match id {
                HeaderId::From => &mut facts.from,
                _ => &mut facts.to,
            };
            party(bytes, start, place)
        }
        HeaderId::Route | HeaderId::Contact => address(bytes, start, id),
        HeaderId::CallId => call_id(bytes, start),
        HeaderId::CSeq => cseq(bytes, start, facts),
        HeaderId::MaxForwards => {
            let (hops, end) = number(bytes, start)?;
            facts.max_forwards = Some(u8::try_from(hops).ok()?);
            Some(end)
        }
        HeaderId::ContentLength => {
            let (length, end) = number(bytes, start)?;
            facts.content_length = Some(u16::try_from(length).ok()?);
            Some(end)
        }
        _ => carried(bytes, start),
    }
}

/// A value of which nothing is asked, up to what may be the end of its line.
#[inline(always)]
fn carried(bytes: &[u8], start: usize) -> Option<usize> {
    let end = first_mark(bytes, start, LineEnd)?;
    // An empty value ends in the space behind its colon.
    let is_plain = *bytes.get(start)? > b' '
        && *bytes.get(end.wrapping_sub(1))? > b' '
        && end - start <= CARRIED_BYTES;
    is_plain.then_some(end)
}

#[inline(always)]
fn call_id(bytes: &[u8], start: usize) -> Option<usize> {
    let end = first_mark(bytes, start, Blank)?;
    // None at all is too long too.
    ((end - start).wrapping_sub(1) < CALL_ID_BYTES_MAX).then_some(end)
}

#[inline(always)]
fn top_via(bytes: &[u8], start: usize, via: &mut ViaSpans) -> Option<usize> {
    let end = via.read_usual(bytes, start)?;
    match bytes.get(end) {
        Some(b',') => carried(bytes, start),
        _ => Some(end),
    }
}

/// From and To with a tag or without.
#[inline(always)]
fn party(bytes: &[u8], start: usize, party: &mut Party) -> Option<usize> {
    let uri = match bytes.get(start)? {
        b'<' => start + 1,
        _ => bracket(bytes, start)?.1 + 1,
    };
    match near_party(bytes, uri, party) {
        None => far_party(bytes, start, party),
        end => end,
    }
}

/// As above, however long.
#[cold]
#[inline(never)]
fn far_party(bytes: &[u8], start: usize, party: &mut Party) -> Option<usize> {
    let found = Bracketed::find(bytes, start)?;
    let (tag, end) = found.tag(bytes)?;
    *party = Party {
        uri: Span::new(found.uri.start, found.uri.end),
        tag: Span::new(tag.start, tag.end),
    };
    found.has_scheme(bytes).then_some(end)
}

/// Route and Contact with one value and no parameters.
#[inline(never)]
fn address(bytes: &[u8], start: usize, id: HeaderId) -> Option<usize> {
    let found = Bracketed::find(bytes, start)?;
    let is_good = id == HeaderId::Route || found.has_scheme(bytes);
    is_good.then_some(found.uri.end + 1)
}

/// One to nine digits, and where they end.
#[inline(always)]
pub(crate) fn number(bytes: &[u8], start: usize) -> Option<(u32, usize)> {
    let digits: &[u8; 4] = bytes.get(start..)?.first_chunk()?;
    let [a, b, c, d] = digits.map(|digit| u32::from(digit.wrapping_sub(b'0')));
    match (a > 9, b > 9, c > 9, d > 9) {
        (true, ..) => None,
        (_, true, ..) => Some((a, start + 1)),
        (_, _, true, _) => Some((a * 10 + b, start + 2)),
        (.., true) => Some((a * 100 + b * 10 + c, start + 3)),
        _ => long_number(bytes, start),
    }
}

#[inline(never)]
fn long_number(bytes: &[u8], start: usize) -> Option<(u32, usize)> {
    let digits = bytes[start..].iter().take_while(|it| it.is_ascii_digit());
    let end = start + digits.count();
    octets::work::add(end - start);
    Some((octets::small_number(&bytes[start..end])?, end))
}

/// `1 INVITE`
#[inline(always)]
fn cseq(bytes: &[u8], start: usize, facts: &mut Facts) -> Option<usize> {
    let (number, at) = number(bytes, start)?;
    let (space, name) = bytes.get(at..)?.first_chunk::<9>()?.split_first()?;
    let (method, length) = Method::leading(name)?;
    let end = at + 1 + length;
    if *space != b' ' || facts.is_request && method != facts.method {
        return None;
    }
    facts.method = method;
    facts.cseq = number;
    facts.cseq_method = Span::new(at + 1, end);
    Some(end)
}

/// The headers of which something is noted or checked.
const LOOKED_INTO: u64 = MANDATORY
    | HeaderId::MaxForwards.bit()
    | HeaderId::ContentLength.bit()
    | HeaderId::Route.bit()
    | HeaderId::Contact.bit();

/// Reads the values that are not in their usual form, by the whole grammar.
#[inline(never)]
fn read_rest(bytes: &[u8], index: &mut Index, unread: u64, body: usize) -> Option<()> {
    let is_unread = |id: HeaderId| unread & id.bit() != 0;
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
