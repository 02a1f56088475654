//! Via values.

use std::net::IpAddr;
use std::ops::Range;

use crate::index::Span;
use crate::lanes::{Mark, Marks, WORD, word_bits};
use crate::limits::{BRANCH_BYTES_MAX, HOST_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::name_addr::{Cursor, Param};
use crate::octets::{self, TOKEN, VALUE};
use crate::uri;
use crate::{Error, ErrorKind};

/// One Via value (RFC 3261 §20.42, RFC 3581).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// The transport, as written.
    pub transport: &'a [u8],
    /// The host of sent-by; an IPv6 literal without its brackets.
    pub host: &'a [u8],
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// The branch; empty if there is none.
    pub branch: &'a [u8],
    /// The `maddr` host, as written.
    pub maddr: Option<&'a [u8]>,
    /// Where the value is in the message.
    pub range: Range<usize>,
    sent_by: &'a [u8],
    received: Option<&'a [u8]>,
    rport: Option<&'a [u8]>,
    ttl: Option<&'a [u8]>,
    /// Where the parameters are that only the receiver may write, from their `;` on.
    pub(crate) stamped: [Option<Span>; 2],
}

/// A Via value by its places in a message: what the index keeps of the topmost. What is not there
/// is [`Span::EMPTY`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct ViaSpans {
    transport: Span,
    pub(crate) host: Span,
    sent_by: Span,
    pub(crate) branch: Span,
    received: ParamSpans,
    pub(crate) rport: ParamSpans,
    pub(crate) maddr: Span,
    ttl: Span,
    pub(crate) range: Span,
    /// 0 if it is not written.
    pub(crate) port: u16,
    /// Whether there are parameters besides those of RFC 3261 and RFC 3581.
    pub(crate) has_more: bool,
}

/// A parameter from its `;` on, and its value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct ParamSpans {
    pub(crate) whole: Span,
    value: Span,
}

/// The octets of `SIP/2.0/UDP ` and its like.
const PROTOCOL: usize = 12;

/// What a branch by RFC 3261 begins with.
pub const COOKIE: &[u8] = b"z9hG4bK";

impl<'a> Via<'a> {
    /// Takes one value apart. All of it must be the value.
    ///
    /// # Errors
    /// It does not follow the grammar, or a limit is met.
    pub fn parse(bytes: &'a [u8]) -> Result<Via<'a>, Error> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Error::new(ErrorKind::MessageTooLong, MESSAGE_BYTES_MAX));
        }
        Via::parse_at(bytes, 0..bytes.len())
    }

    /// The value in `bytes[range]`, with offsets into `bytes`.
    #[inline]
    pub(crate) fn parse_at(bytes: &'a [u8], range: Range<usize>) -> Result<Via<'a>, Error> {
        let mut spans = ViaSpans::NONE;
        if spans.read_usual(bytes, range.start) == Some(range.end) {
            return Ok(spans.view(bytes));
        }
        let mut cursor = Cursor {
            bytes: &bytes[..range.end],
            at: range.start,
        };
        let spans = ViaSpans::read_any(&mut cursor)?;
        cursor.finish()?;
        Ok(spans.view(bytes))
    }

    /// Whether the branch is one by RFC 3261: the cookie and something after it.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        has_cookie(self.branch)
    }

    /// Whether the branch is the cookie and nothing else (RFC 4475 §3.2.1).
    #[must_use]
    pub fn is_bare_cookie(&self) -> bool {
        is_bare_cookie(self.branch)
    }

    /// The `received` address, if there is one and it is an address.
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        octets::address(unbracketed(self.received?))
    }

    /// Whether there is an `rport`.
    #[must_use]
    pub fn has_rport(&self) -> bool {
        self.rport.is_some()
    }

    /// `rport`: `Some(None)` asks for the port, `Some(Some(_))` gives it.
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        self.rport.map(|digits| match digits {
            [] => None,
            digits => octets::port(digits, 0).ok(),
        })
    }

    /// The `ttl`.
    #[must_use]
    pub fn ttl(&self) -> Option<u8> {
        let ttl = octets::number(self.ttl?, 255, ErrorKind::Via, 0);
        ttl.ok().map(|ttl| ttl as u8)
    }

    /// Host and port as written.
    #[must_use]
    pub fn sent_by(&self) -> &'a [u8] {
        self.sent_by
    }

    /// The address of sent-by, if its host is a literal.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        octets::address(self.host)
    }

    /// The port that sent-by stands for: 5061 for TLS and 5060 else, if none is written.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        let is_tls = self.transport.eq_ignore_ascii_case(b"TLS");
        self.port.unwrap_or(if is_tls { 5061 } else { 5060 })
    }
}

impl ViaSpans {
    pub(crate) const NONE: ViaSpans = ViaSpans {
        transport: Span::EMPTY,
        host: Span::EMPTY,
        sent_by: Span::EMPTY,
        branch: Span::EMPTY,
        received: ParamSpans::NONE,
        rport: ParamSpans::NONE,
        maddr: Span::EMPTY,
        ttl: Span::EMPTY,
        range: Span::EMPTY,
        port: 0,
        has_more: false,
    };

    /// What they are in these bytes.
    #[inline]
    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> Via<'a> {
        let is_there = |span: Span| (span != Span::EMPTY).then_some(span);
        let text = |span: Span| is_there(span).map(|span| span.of(bytes));
        // A value of its own may be empty.
        let value = |param: &ParamSpans| is_there(param.whole).map(|_| param.value.of(bytes));
        Via {
            transport: self.transport.of(bytes),
            host: self.host.of(bytes),
            port: (self.port != 0).then_some(self.port),
            branch: self.branch.of(bytes),
            maddr: text(self.maddr),
            range: self.range.range(),
            sent_by: self.sent_by.of(bytes),
            received: value(&self.received),
            rport: value(&self.rport),
            ttl: text(self.ttl),
            stamped: self.stamped(),
        }
    }

    /// Where `received` and `rport` are, from their `;` on.
    #[inline]
    pub(crate) fn stamped(&self) -> [Option<Span>; 2] {
        let spans = [self.received.whole, self.rport.whole];
        spans.map(|span| (!span.is_empty()).then_some(span))
    }

    /// Reads the value at `start` as nearly all write it: `SIP/2.0/UDP host[:port]` and the
    /// parameters that RFC 3261 and RFC 3581 name, without white space. Returns where it ends:
    /// whoever asks looks whether it may end there. `None`: it is something else, which may be good
    /// or not.
    #[inline(always)]
    pub(crate) fn read_usual(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        let mut end = match self.read_near(bytes, start) {
            Some(end) => end,
            None => self.read_far(bytes, start)?,
        };
        if bytes.get(end) == Some(&b';') {
            end = self.other_params(bytes, end)?;
        }
        self.range = Span::new(start, end);
        Some(end)
    }

    /// As above, but for the parameters behind branch and `rport`, by one look, if the branch comes
    /// first and ends within that. It calls nothing, so that it needs no registers of its callers.
    #[inline(never)]
    fn read_near(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        const ROOM: usize = 16;
        let near: &[u8; PROTOCOL + WORD + ROOM] = bytes.get(start..)?.first_chunk()?;
        let (protocol, near) = near.split_first_chunk::<PROTOCOL>()?;
        let (name, transport) = protocol.split_first_chunk()?;
        if u64::from_le_bytes(*name) != u64::from_le_bytes(*b"SIP/2.0/")
            || !is_usual_transport(*transport.first_chunk()?)
        {
            return None;
        }
        let mut marks = word_bits(near.first_chunk()?, Mark);
        let host_end = marks.trailing_zeros() as usize;
        let (mut at, mut port) = (host_end, 0);
        if *near.get(at)? == b':' {
            marks &= marks.wrapping_sub(1);
            at = marks.trailing_zeros() as usize;
            let digits = near.get(host_end + 1..)?.first_chunk()?;
            port = octets::few_digits(*digits, at.wrapping_sub(host_end + 1))?;
            if port == 0 {
                return None;
            }
        }
        let name = u64::from_le_bytes(*near.get(at..)?.first_chunk()?);
        if host_end == 0 || name != u64::from_le_bytes(*b";branch=") {
            return None;
        }
        let branch = at + 8;
        at = (marks & u64::MAX.unbounded_shl(branch as u32)).trailing_zeros() as usize;
        let behind = u64::from_le_bytes(*near.get(at..)?.first_chunk()?);
        let is_end = matches!(behind as u8, b';' | b'\r');
        if !is_end || at >= WORD {
            return None;
        }
        let base = start + PROTOCOL;
        *self = ViaSpans {
            transport: Span::new(start + 8, start + 11),
            host: Span::new(base, base + host_end),
            sent_by: Span::new(base, base + branch - 8),
            branch: usual_branch(base + branch, base + at)?,
            port,
            ..ViaSpans::NONE
        };
        let mut end = base + at;
        if behind << 16 == u64::from_le_bytes(*b"\0\0;rport")
            && matches!(near[at + 6], b';' | b'\r')
        {
            end += 6;
            self.rport = ParamSpans::new(end - 6, end, end);
        }
        Some(end)
    }

    /// As above, however long.
    #[inline(never)]
    fn read_far(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        let host = start + PROTOCOL;
        let protocol = bytes.get(start..)?.first_chunk::<PROTOCOL>()?;
        let (name, transport) = protocol.split_first_chunk()?;
        if name != b"SIP/2.0/" || !is_usual_transport(*transport.first_chunk()?) {
            return None;
        }
        let mut marks = Marks::new(bytes, host, Mark)?;
        let mut at = marks.next();
        if (at - host).wrapping_sub(1) >= HOST_BYTES_MAX {
            return None;
        }
        *self = ViaSpans {
            transport: Span::new(start + 8, start + 11),
            host: Span::new(host, at),
            ..ViaSpans::NONE
        };
        if bytes.get(at) == Some(&b':') {
            let from = at + 1;
            at = marks.next();
            self.port = octets::usual_port(&bytes[from..at])?;
        }
        self.sent_by = Span::new(host, at);
        // What most write first needs no loop.
        if bytes[at..].first_chunk() == Some(b";branch=") {
            marks.next();
            let from = at + 8;
            at = value_end(bytes, &mut marks);
            self.branch = usual_branch(from, at)?;
        }
        if bytes[at..].first_chunk() == Some(b";rport")
            && matches!(bytes.get(at + 6), Some(b';' | b'\r'))
        {
            at = marks.next();
            self.rport = ParamSpans::new(at - 6, at, at);
        }
        Some(at)
    }

    /// Notes the parameters from the `;` at `start` on, and returns where they end. `None`: there
    /// is one that is not of the usual, or not for the first time.
    #[inline(never)]
    fn other_params(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        let mut marks = Marks::new(bytes, start, Mark)?;
        let mut at = marks.next();
        while bytes.get(at) == Some(&b';') {
            let name_end = marks.next();
            let name = &bytes[at + 1..name_end];
            let (value, end) = match bytes.get(name_end) {
                Some(b'=') => (name_end + 1, value_end(bytes, &mut marks)),
                _ => (name_end, name_end),
            };
            if value == end && value > name_end {
                return None;
            }
            let found = ParamSpans::new(at, value, end);
            match name {
                b"rport" => self.rport.note(found)?,
                b"received" => self.received.note(found)?,
                b"branch" if self.branch.is_empty() => self.branch = usual_branch(value, end)?,
                _ => return None,
            }
            at = end;
        }
        Some(at)
    }

    /// Reads up to a comma or the end: `SIP / 2.0 / transport  host [: port] *( ; param )`. What
    /// [`ViaSpans::read_usual`] takes comes out the same.
    pub(crate) fn read_any(cursor: &mut Cursor<'_>) -> Result<ViaSpans, Error> {
        cursor.skip_space();
        let start = cursor.at;
        let transport = protocol(cursor)?;
        cursor.skip_space();
        let sent_by_start = cursor.at;
        let (host, after) = uri::host(cursor.bytes, cursor.at, 0)?;
        let host_start = cursor.at + usize::from(cursor.peek() == Some(b'['));
        let mut spans = ViaSpans {
            transport,
            host: Span::new(host_start, host_start + host.len()),
            ..ViaSpans::NONE
        };
        cursor.at = after;
        let mut sent_by_end = after;
        cursor.skip_space();
        if cursor.peek() == Some(b':') {
            cursor.at += 1;
            cursor.skip_space();
            let end = uri::digits_end(cursor.bytes, cursor.at);
            spans.port = octets::port(&cursor.bytes[cursor.at..end], cursor.at)?;
            cursor.at = end;
            sent_by_end = end;
        } else {
            cursor.at = after;
        }
        spans.sent_by = Span::new(sent_by_start, sent_by_end);
        cursor.params(|param| spans.apply(&param))?;
        spans.range = Span::new(start, cursor.at);
        Ok(spans)
    }

    fn apply(&mut self, param: &Param<'_>) -> Result<(), Error> {
        let name = param.name;
        let value = param.value.unwrap_or(&[]);
        let value_span = Span::new(param.range.end - value.len(), param.range.end);
        let at = param.range.start;
        let whole = ParamSpans::new(at, param.range.end - value.len(), param.range.end);
        match (name.len(), name[0] | 0x20) {
            (6, b'b') if name.eq_ignore_ascii_case(b"branch") => {
                if value.is_empty() || !self.branch.is_empty() {
                    return Err(Error::new(ErrorKind::Via, at));
                }
                if value.len() > BRANCH_BYTES_MAX {
                    return Err(Error::new(ErrorKind::BranchTooLong, at));
                }
                self.branch = value_span;
            }
            (5, b'r') if name.eq_ignore_ascii_case(b"rport") => {
                self.rport
                    .note(whole)
                    .ok_or(Error::new(ErrorKind::Via, at))?;
            }
            (8, b'r') if name.eq_ignore_ascii_case(b"received") => {
                self.received
                    .note(whole)
                    .ok_or(Error::new(ErrorKind::Via, at))?;
            }
            (5, b'm') if name.eq_ignore_ascii_case(b"maddr") => self.maddr = value_span,
            (3, b't') if name.eq_ignore_ascii_case(b"ttl") => self.ttl = value_span,
            _ => self.has_more = true,
        }
        Ok(())
    }
}

impl ParamSpans {
    const NONE: ParamSpans = ParamSpans {
        whole: Span::EMPTY,
        value: Span::EMPTY,
    };

    #[inline(always)]
    fn new(start: usize, value: usize, end: usize) -> ParamSpans {
        ParamSpans {
            whole: Span::new(start, end),
            value: Span::new(value, end),
        }
    }

    /// Notes where it is. `None`: it is there already.
    #[inline(always)]
    fn note(&mut self, found: ParamSpans) -> Option<()> {
        if !self.whole.is_empty() {
            return None;
        }
        *self = found;
        Some(())
    }
}

/// A branch that is longer than the cookie: of another who reads it whole decides whether it is good.
#[inline(always)]
fn usual_branch(start: usize, end: usize) -> Option<Span> {
    let is_usual = (COOKIE.len() + 1..=BRANCH_BYTES_MAX).contains(&(end - start));
    is_usual.then(|| Span::new(start, end))
}

/// By one compare each.
#[inline(always)]
fn is_usual_transport(transport: [u8; 4]) -> bool {
    let word = u32::from_le_bytes(transport);
    word == u32::from_le_bytes(*b"UDP ")
        || word == u32::from_le_bytes(*b"TCP ")
        || word == u32::from_le_bytes(*b"TLS ")
}

/// Where the value of a parameter ends whose `=` was the last mark.
#[inline(always)]
fn value_end(bytes: &[u8], marks: &mut Marks<'_, Mark>) -> usize {
    let mut end = marks.next();
    while let Some(&octet) = bytes.get(end)
        && octets::is(octet, VALUE)
    {
        end = marks.next();
    }
    end
}

/// The cookie and something after it.
#[inline]
pub(crate) fn has_cookie(branch: &[u8]) -> bool {
    branch.len() > COOKIE.len() && has_cookie_prefix(branch)
}

pub(crate) fn is_bare_cookie(branch: &[u8]) -> bool {
    branch.len() == COOKIE.len() && has_cookie_prefix(branch)
}

/// The cookie is compared as all tokens are: without case (RFC 3261 §7.3.1). Most write it as there.
#[inline]
fn has_cookie_prefix(branch: &[u8]) -> bool {
    branch
        .first_chunk::<{ COOKIE.len() }>()
        .is_some_and(|prefix| prefix == COOKIE || prefix.eq_ignore_ascii_case(COOKIE))
}

/// `SIP / 2.0 / transport` and a space; returns the transport.
fn protocol(cursor: &mut Cursor<'_>) -> Result<Span, Error> {
    let name = cursor.take(TOKEN);
    slash(cursor)?;
    let version = cursor.take(TOKEN);
    slash(cursor)?;
    let start = cursor.at;
    let transport = cursor.take(TOKEN);
    let is_sip = name.eq_ignore_ascii_case(b"SIP") && version == b"2.0";
    let is_spaced = cursor
        .peek()
        .is_some_and(|octet| octets::is(octet, octets::LWS));
    if !is_sip || transport.is_empty() || !is_spaced {
        return Err(cursor.fail(ErrorKind::Via));
    }
    Ok(Span::new(start, cursor.at))
}

fn slash(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    cursor.skip_space();
    if cursor.peek() != Some(b'/') {
        return Err(cursor.fail(ErrorKind::Via));
    }
    cursor.at += 1;
    cursor.skip_space();
    Ok(())
}

fn unbracketed(literal: &[u8]) -> &[u8] {
    literal
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .unwrap_or(literal)
}
