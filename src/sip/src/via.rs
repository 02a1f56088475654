//! Via values.

use std::net::IpAddr;
use std::ops::Range;

use crate::index::Span;
use crate::limits::{BRANCH_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::name_addr::{Cursor, Param};
use crate::octets::{self, TOKEN};
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
    /// The `received` address, if there is one and it is an address.
    pub received: Option<IpAddr>,
    /// `rport`: `Some(None)` asks for the port, `Some(Some(_))` gives it.
    pub rport: Option<Option<u16>>,
    /// The `maddr` host, as written.
    pub maddr: Option<&'a [u8]>,
    /// The `ttl`.
    pub ttl: Option<u8>,
    /// Where the value is in the message.
    pub range: Range<usize>,
    sent_by: &'a [u8],
    pub(crate) received_span: Option<Span>,
    pub(crate) rport_span: Option<Span>,
}

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
        let mut cursor = Cursor { bytes, at: 0 };
        let via = Via::read(&mut cursor)?;
        cursor.finish()?;
        Ok(via)
    }

    /// The value in `bytes[range]`, with offsets into `bytes`.
    pub(crate) fn parse_at(bytes: &'a [u8], range: Range<usize>) -> Result<Via<'a>, Error> {
        let mut cursor = Cursor {
            bytes: &bytes[..range.end],
            at: range.start,
        };
        let via = Via::read(&mut cursor)?;
        cursor.finish()?;
        Ok(via)
    }

    /// Reads up to a comma or the end: `SIP / 2.0 / transport  host [: port] *( ; param )`.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Via<'a>, Error> {
        cursor.skip_space();
        let start = cursor.at;
        let transport = protocol(cursor)?;
        cursor.skip_space();
        let sent_by_start = cursor.at;
        let (host, after) = uri::host(cursor.bytes, cursor.at, 0)?;
        cursor.at = after;
        let mut port = None;
        let mut sent_by_end = after;
        cursor.skip_space();
        if cursor.peek() == Some(b':') {
            cursor.at += 1;
            cursor.skip_space();
            let end = uri::digits_end(cursor.bytes, cursor.at);
            port = Some(octets::port(&cursor.bytes[cursor.at..end], cursor.at)?);
            cursor.at = end;
            sent_by_end = end;
        } else {
            cursor.at = after;
        }
        let mut via = Via {
            transport,
            host,
            port,
            branch: &[],
            received: None,
            rport: None,
            maddr: None,
            ttl: None,
            range: start..start,
            sent_by: &cursor.bytes[sent_by_start..sent_by_end],
            received_span: None,
            rport_span: None,
        };
        cursor.params(|param| via.apply(&param))?;
        via.range.end = cursor.at;
        Ok(via)
    }

    #[inline]
    fn apply(&mut self, param: &Param<'a>) -> Result<(), Error> {
        let name = param.name;
        let value = param.value.unwrap_or(&[]);
        let span = Span::new(param.range.start, param.range.end);
        let at = param.range.start;
        match (name.len(), name[0] | 0x20) {
            (6, b'b') if name.eq_ignore_ascii_case(b"branch") => {
                if value.is_empty() || !self.branch.is_empty() {
                    return Err(Error::new(ErrorKind::Via, at));
                }
                if value.len() > BRANCH_BYTES_MAX {
                    return Err(Error::new(ErrorKind::BranchTooLong, at));
                }
                self.branch = value;
            }
            (5, b'r') if name.eq_ignore_ascii_case(b"rport") => {
                if self.rport_span.replace(span).is_some() {
                    return Err(Error::new(ErrorKind::Via, at));
                }
                self.rport = Some(octets::port(value, at).ok());
            }
            (8, b'r') if name.eq_ignore_ascii_case(b"received") => {
                if self.received_span.replace(span).is_some() {
                    return Err(Error::new(ErrorKind::Via, at));
                }
                self.received = octets::address(unbracketed(value));
            }
            (5, b'm') if name.eq_ignore_ascii_case(b"maddr") => self.maddr = Some(value),
            (3, b't') if name.eq_ignore_ascii_case(b"ttl") => {
                self.ttl = octets::number(value, 255, ErrorKind::Via, at)
                    .ok()
                    .map(|ttl| ttl as u8);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the branch is one by RFC 3261: the cookie and something after it.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.branch.len() > COOKIE.len() && has_cookie_prefix(self.branch)
    }

    /// Whether the branch is the cookie and nothing else (RFC 4475 §3.2.1).
    #[must_use]
    pub fn is_bare_cookie(&self) -> bool {
        self.branch.len() == COOKIE.len() && has_cookie_prefix(self.branch)
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

/// The cookie is compared as all tokens are: without case (RFC 3261 §7.3.1).
fn has_cookie_prefix(branch: &[u8]) -> bool {
    branch
        .get(..COOKIE.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(COOKIE))
}

/// `SIP / 2.0 / transport` and a space; returns the transport.
fn protocol<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Error> {
    if let Some(rest) = cursor.bytes[cursor.at..].strip_prefix(b"SIP/2.0/UDP ") {
        let transport = cursor.at + 8..cursor.at + 11;
        cursor.at = cursor.bytes.len() - rest.len();
        return Ok(&cursor.bytes[transport]);
    }
    let name = cursor.take(TOKEN);
    slash(cursor)?;
    let version = cursor.take(TOKEN);
    slash(cursor)?;
    let transport = cursor.take(TOKEN);
    let is_sip = name.eq_ignore_ascii_case(b"SIP") && version == b"2.0";
    let is_spaced = cursor
        .peek()
        .is_some_and(|octet| octets::is(octet, octets::LWS));
    if !is_sip || transport.is_empty() || !is_spaced {
        return Err(cursor.fail(ErrorKind::Via));
    }
    Ok(transport)
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
