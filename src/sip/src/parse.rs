//! Bytes to a view: one pass over the start line and the header lines, then what they mean.
//!
//! A message in its usual form is read by [`usual`]; this is the reader of the whole grammar, which
//! takes every other form and says what is wrong.
//!
//! Cost: each octet of the header section is looked at twice (names by table, line ends by vector
//! search); top Via, From, To, CSeq, Call-ID, Route and Contact once more: three to four times what
//! the usual form costs. The body is not touched. Nothing is allocated or copied.
//! `benches/instructions` holds `parse/*`.
//!
//! ```text
//!   start line ──▶ header lines ──▶ required headers ──▶ view
//!        └──────────────┴─────── error ──▶ salvage: which lines can an answer copy?
//! ```

use crate::index::{Entry, Index, Party, Span};
use crate::limits::*;
use crate::message::{Message, value_end};
use crate::name_addr::{Cursor, has_scheme};
use crate::octets::{self, TOKEN, work};
use crate::salvage::salvage;
use crate::start_line::start_line;
use crate::usual;
use crate::via::{ViaSpans, is_bare_cookie};
use crate::{Error, ErrorKind, HeaderId, Method};

/// Reads one message from the start of `bytes`; what follows its body is left out of it.
///
/// The index is overwritten. If a request is refused it holds the lines that
/// [`respond::refuse`](crate::respond::refuse) can answer with.
///
/// # Errors
/// The first thing that is wrong. [`Error::status`] says what to answer.
pub fn parse<'a>(bytes: &'a [u8], index: &'a mut Index) -> Result<Message<'a>, Error> {
    index.clear();
    if usual::read(bytes, index).is_some() {
        return Ok(Message::new(bytes, index));
    }
    parse_any(bytes, index)
}

/// Reads a message before its turn, if it is in the usual form: [`parsed_ahead`] then says what
/// [`parse`] would. `false`: it is for `parse` to say what it is.
pub fn parse_ahead(bytes: &[u8], index: &mut Index) -> bool {
    index.clear();
    usual::read(bytes, index).is_some()
}

/// The message that [`parse_ahead`] read into this index. The octets must be the same.
#[must_use]
pub fn parsed_ahead<'a>(bytes: &'a [u8], index: &'a Index) -> Message<'a> {
    Message::new(bytes, index)
}

/// Reads a message in any form. What is in the usual one comes out the same from both readers.
#[inline(never)]
pub(crate) fn parse_any<'a>(bytes: &'a [u8], index: &'a mut Index) -> Result<Message<'a>, Error> {
    index.clear();
    match read(bytes, index) {
        Ok(()) => Ok(Message::new(bytes, index)),
        Err(error) => Err(refuse(bytes, index, error)),
    }
}

#[cold]
fn refuse(bytes: &[u8], index: &mut Index, error: Error) -> Error {
    index.clear_lines();
    if !index.facts.is_request {
        return error.silent();
    }
    salvage(&bytes[..bytes.len().min(MESSAGE_BYTES_MAX)], index);
    error
}

fn read(bytes: &[u8], index: &mut Index) -> Result<(), Error> {
    let section = &bytes[..bytes.len().min(MESSAGE_BYTES_MAX)];
    let lines = start_line(section, index)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Error::new(ErrorKind::MessageTooLong, MESSAGE_BYTES_MAX));
    }
    let section_end = header_lines(bytes, lines, index)?;
    index.facts.section_end = section_end as u16;
    check_counts(bytes, index, index.lines.present())?;
    body(bytes, section_end + 2, index)?;
    cseq(bytes, index)?;
    index.via = top_via(bytes, index)?;
    call_id(bytes, index)?;
    parties(bytes, index)?;
    max_forwards(bytes, index)?;
    if index.facts.is_request {
        name_addrs(bytes, index, HeaderId::Route)?;
        name_addrs(bytes, index, HeaderId::Contact)?;
    }
    Ok(())
}

/// Notes every header line and returns where the empty line begins.
fn header_lines(bytes: &[u8], mut at: usize, index: &mut Index) -> Result<usize, Error> {
    index.lines.begin(at);
    let mut count = 0;
    loop {
        let Some(&first) = bytes.get(at) else {
            return Err(Error::new(ErrorKind::Unterminated, at));
        };
        if first == b'\r' {
            return match bytes.get(at + 1) {
                Some(b'\n') => Ok(at),
                Some(_) => Err(Error::new(ErrorKind::BareCr, at)),
                None => Err(Error::new(ErrorKind::Unterminated, at)),
            };
        }
        let name_end = octets::run(bytes, at, TOKEN);
        let mut colon = name_end;
        while matches!(bytes.get(colon), Some(b' ' | b'\t')) {
            colon += 1;
            work::add(1);
        }
        if name_end == at || bytes.get(colon) != Some(&b':') {
            return Err(bad_name(bytes, at, colon));
        }
        if name_end - at > HEADER_NAME_BYTES_MAX {
            return Err(Error::new(ErrorKind::HeaderNameTooLong, at));
        }
        let id = HeaderId::of(&bytes[at..name_end]);
        let end = line_end(bytes, colon + 1, id)?;
        if end - at > HEADER_BYTES_MAX {
            return Err(Error::new(ErrorKind::HeaderTooLong, at));
        }
        if end > SECTION_BYTES_MAX {
            return Err(Error::new(ErrorKind::SectionTooLong, at));
        }
        if index.has(id)
            && let Some(kind) = duplicate(id)
        {
            return Err(Error::new(kind, at));
        }
        let (value_start, value_end) = octets::trim(bytes, colon + 1, end - 2);
        let line = Entry {
            start: at as u16,
            end: end as u16,
            value: Span::new(value_start, value_end),
        };
        count += 1;
        if count > HEADERS_MAX {
            return Err(Error::new(ErrorKind::TooManyHeaders, at));
        }
        index.lines.note(id, line);
        at = end;
    }
}

#[cold]
fn bad_name(bytes: &[u8], at: usize, stopped: usize) -> Error {
    let kind = match bytes.get(stopped) {
        Some(b'\n') => ErrorKind::BareLf,
        Some(0) => ErrorKind::Nul,
        Some(_) => ErrorKind::HeaderName,
        None => ErrorKind::Unterminated,
    };
    Error::new(kind, at)
}

/// Where the line whose value begins at `from` ends, past its CRLF, folds taken in.
#[inline]
fn line_end(bytes: &[u8], from: usize, id: HeaderId) -> Result<usize, Error> {
    let mut at = from;
    let mut has_nul = false;
    loop {
        let Some(offset) = memchr::memchr3(b'\r', b'\n', 0, &bytes[at..]) else {
            work::add(bytes.len() - at);
            return Err(Error::new(ErrorKind::Unterminated, bytes.len()));
        };
        work::add(offset + 1);
        at += offset;
        match (bytes[at], bytes.get(at + 1), bytes.get(at + 2)) {
            (b'\r', Some(b'\n'), Some(b' ' | b'\t')) => at += 3,
            (b'\r', Some(b'\n'), _) => break,
            (b'\r', None, _) => return Err(Error::new(ErrorKind::Unterminated, at)),
            (b'\r', ..) => return Err(Error::new(ErrorKind::BareCr, at)),
            (b'\n', ..) => return Err(Error::new(ErrorKind::BareLf, at)),
            _ => {
                has_nul = true;
                at += 1;
            }
        }
    }
    if has_nul {
        check_nuls(&bytes[..at], from, id)?;
    }
    Ok(at + 2)
}

/// A NUL may stand in a quoted pair of a quoted string (RFC 4475 §3.1.1.2) and nowhere else.
#[cold]
fn check_nuls(bytes: &[u8], from: usize, id: HeaderId) -> Result<(), Error> {
    let mut at = from;
    let mut quoted = false;
    while let Some(&octet) = bytes.get(at) {
        work::add(1);
        match octet {
            0 => return Err(Error::new(ErrorKind::Nul, at)),
            b'"' => quoted = !quoted && id.has_name_addr(),
            b'\\' if quoted => at += 1,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The error for a second line of a header that has one.
pub(crate) const fn duplicate(id: HeaderId) -> Option<ErrorKind> {
    match id {
        HeaderId::From => Some(ErrorKind::DuplicateFrom),
        HeaderId::To => Some(ErrorKind::DuplicateTo),
        HeaderId::CallId => Some(ErrorKind::DuplicateCallId),
        HeaderId::CSeq => Some(ErrorKind::DuplicateCSeq),
        HeaderId::MaxForwards => Some(ErrorKind::DuplicateMaxForwards),
        HeaderId::ContentLength => Some(ErrorKind::DuplicateContentLength),
        _ => None,
    }
}

/// Holds the limits on values of those of these headers, a bit each, that are lists. Values take at
/// least two octets with their comma, so only the few long ones are looked into.
#[inline]
pub(crate) fn check_counts(bytes: &[u8], index: &Index, ids: u64) -> Result<(), Error> {
    // Nearly always all of them together are few enough.
    match index.lines.values_bound(ids & LISTS) <= VALUES_MAX {
        true => Ok(()),
        false => check_each_count(bytes, index, ids & LISTS),
    }
}

#[inline(never)]
fn check_each_count(bytes: &[u8], index: &Index, mut lists: u64) -> Result<(), Error> {
    while lists != 0 {
        let id = HeaderId::KNOWN[lists.trailing_zeros() as usize];
        lists &= lists - 1;
        let (max, kind) = match id {
            HeaderId::Via => (VIAS_MAX, ErrorKind::TooManyVias),
            _ => (VALUES_MAX, ErrorKind::TooManyValues),
        };
        let bound: usize = index.chain(id).map(|line| line.value.len() / 2 + 1).sum();
        if bound > max && count_values(bytes, index, id) > max {
            let at = index.first(id).map_or(0, |line| usize::from(line.start));
            return Err(Error::new(kind, at));
        }
    }
    Ok(())
}

/// A bit for each list header.
const LISTS: u64 = {
    let mut mask = 0;
    let mut i = 0;
    while i < HeaderId::KNOWN.len() {
        if HeaderId::KNOWN[i].is_list() {
            mask |= 1 << i;
        }
        i += 1;
    }
    mask
};

#[cold]
fn count_values(bytes: &[u8], index: &Index, id: HeaderId) -> usize {
    let mut count = 0;
    for line in index.chain(id) {
        let end = usize::from(line.value.end);
        let mut at = usize::from(line.value.start);
        while at < end {
            at = value_end(bytes, at, end) + 1;
            count += 1;
        }
    }
    count
}

/// Without Content-Length the body goes on to the end of the datagram (RFC 3261 §18.3); over a
/// stream the framing has refused that before.
pub(crate) fn body(bytes: &[u8], start: usize, index: &mut Index) -> Result<(), Error> {
    let mut end = bytes.len();
    if let Some(line) = index.first(HeaderId::ContentLength) {
        let at = usize::from(line.value.start);
        let digits = line.value.of(bytes);
        let length = octets::number(digits, u64::MAX, ErrorKind::ContentLength, at)?;
        let room = (bytes.len() - start) as u64;
        if length > room {
            return Err(Error::new(ErrorKind::BodyCut, at));
        }
        end = start + length as usize;
        index.facts.content_length = Some(length as u16);
    }
    index.facts.body = Span::new(start, end);
    Ok(())
}

pub(crate) fn cseq(bytes: &[u8], index: &mut Index) -> Result<(), Error> {
    let Some(line) = index.first(HeaderId::CSeq) else {
        return Err(Error::new(ErrorKind::MissingCSeq, 0));
    };
    let range = line.value.range();
    let mut cursor = Cursor {
        bytes: &bytes[..range.end],
        at: range.start,
    };
    let digits_end = crate::uri::digits_end(cursor.bytes, cursor.at);
    let digits = &bytes[range.start..digits_end];
    let number = octets::number(digits, u64::from(CSEQ_MAX), ErrorKind::CSeq, range.start)?;
    cursor.at = digits_end;
    cursor.skip_space();
    let start = cursor.at;
    let name = cursor.take(TOKEN);
    if start == digits_end || name.is_empty() || cursor.at != range.end {
        return Err(cursor.fail(ErrorKind::CSeq));
    }
    if name.len() > METHOD_BYTES_MAX {
        return Err(Error::new(ErrorKind::MethodTooLong, start));
    }
    let facts = &mut index.facts;
    facts.cseq = number as u32;
    facts.cseq_method = Span::new(start, range.end);
    if !facts.is_request {
        facts.method = Method::of(name);
        return Ok(());
    }
    if name != facts.method_name.of(bytes) {
        let kind = match facts.method {
            Method::Other => ErrorKind::CSeqMethodUnknown,
            _ => ErrorKind::CSeqMethod,
        };
        return Err(Error::new(kind, start));
    }
    Ok(())
}

pub(crate) fn top_via(bytes: &[u8], index: &Index) -> Result<ViaSpans, Error> {
    let Some(line) = index.first(HeaderId::Via) else {
        return Err(Error::new(ErrorKind::MissingVia, 0));
    };
    let range = line.value.range();
    let mut cursor = Cursor {
        bytes: &bytes[..range.end],
        at: range.start,
    };
    let via = ViaSpans::read_any(&mut cursor)?;
    cursor.skip_space();
    if !matches!(cursor.peek(), None | Some(b',')) {
        return Err(cursor.fail(ErrorKind::Via));
    }
    if index.facts.is_request && is_bare_cookie(via.branch.of(bytes)) {
        let at = usize::from(via.range.start);
        return Err(Error::new(ErrorKind::BareCookie, at));
    }
    Ok(via)
}

pub(crate) fn call_id(bytes: &[u8], index: &Index) -> Result<(), Error> {
    let Some(line) = index.first(HeaderId::CallId) else {
        return Err(Error::new(ErrorKind::MissingCallId, 0));
    };
    let value = line.value.of(bytes);
    let at = usize::from(line.value.start);
    work::add(value.len());
    if value.is_empty() || value.iter().any(|&octet| octet <= b' ' || octet == 0x7f) {
        return Err(Error::new(ErrorKind::CallId, at));
    }
    if value.len() > CALL_ID_BYTES_MAX {
        return Err(Error::new(ErrorKind::CallIdTooLong, at));
    }
    Ok(())
}

pub(crate) fn parties(bytes: &[u8], index: &mut Index) -> Result<(), Error> {
    let line = |id, missing| index.first(id).ok_or_else(|| Error::new(missing, 0));
    let from = party(bytes, line(HeaderId::From, ErrorKind::MissingFrom)?)?;
    let to = party(bytes, line(HeaderId::To, ErrorKind::MissingTo)?)?;
    (index.facts.from, index.facts.to) = (from, to);
    Ok(())
}

/// Checks From or To and returns where its URI and its tag are.
fn party(bytes: &[u8], line: &Entry) -> Result<Party, Error> {
    let range = line.value.range();
    let mut cursor = Cursor {
        bytes: &bytes[..range.end],
        at: range.start,
    };
    let mut tag = Span::EMPTY;
    let party = cursor.name_addr(|param| {
        if !param.name.eq_ignore_ascii_case(b"tag") {
            return Ok(());
        }
        let length = param.value.map_or(0, <[u8]>::len);
        if length == 0 || tag != Span::EMPTY {
            return Err(Error::new(ErrorKind::Tag, param.range.start));
        }
        if length > TAG_BYTES_MAX {
            return Err(Error::new(ErrorKind::TagTooLong, param.range.start));
        }
        tag = Span::new(param.range.end - length, param.range.end);
        Ok(())
    })?;
    if !has_scheme(party.uri) {
        return Err(Error::new(ErrorKind::Uri, party.uri_range.start));
    }
    cursor.finish()?;
    let uri = Span::new(party.uri_range.start, party.uri_range.end);
    Ok(Party { uri, tag })
}

pub(crate) fn max_forwards(bytes: &[u8], index: &mut Index) -> Result<(), Error> {
    if let Some(line) = index.first(HeaderId::MaxForwards) {
        let at = usize::from(line.value.start);
        let digits = line.value.of(bytes);
        let hops = octets::number(digits, 255, ErrorKind::MaxForwards, at)?;
        index.facts.max_forwards = Some(hops as u8);
    }
    Ok(())
}

/// Checks every value of Route or Contact: a proxy acts by the first and must not be led to read
/// the second otherwise than the next element does (RFC 4475 §3.1.2.13).
pub(crate) fn name_addrs(bytes: &[u8], index: &Index, id: HeaderId) -> Result<(), Error> {
    for line in index.chain(id) {
        let range = line.value.range();
        let mut cursor = Cursor {
            bytes: &bytes[..range.end],
            at: range.start,
        };
        if id == HeaderId::Contact && &bytes[range] == b"*" {
            continue;
        }
        loop {
            let value = cursor.name_addr(|_| Ok(()))?;
            if id == HeaderId::Route && !value.is_bracketed {
                return Err(cursor.fail(ErrorKind::BareUri));
            }
            if id == HeaderId::Contact && !has_scheme(value.uri) {
                return Err(cursor.fail(ErrorKind::Uri));
            }
            cursor.skip_space();
            match cursor.peek() {
                None => break,
                Some(b',') => cursor.at += 1,
                Some(_) => return Err(cursor.fail(ErrorKind::Surplus)),
            }
        }
    }
    Ok(())
}
