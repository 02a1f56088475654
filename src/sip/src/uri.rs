//! URIs: SIP, SIPS and TEL taken apart, others carried.

use std::net::IpAddr;

use crate::composer::is_v4;
use crate::index::Span;
use crate::lanes::{Mark, Marks};
use crate::limits::{HOST_BYTES_MAX, PARAMS_MAX, URI_BYTES_MAX};
use crate::octets::{self, HOST, URI, URI_PARAM, USER};
use crate::{Error, ErrorKind};

/// A URI's scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other, as written; empty if there is none, as in some messages of RFC 3666.
    Other(&'a [u8]),
}

/// The parts of a URI, as they stand in the message: nothing is unescaped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// The user part; for `tel` the number. Empty if there is none.
    pub user: &'a [u8],
    /// The password, if there is a colon in the user part.
    pub password: Option<&'a [u8]>,
    /// The host; an IPv6 literal without its brackets. Empty for `tel` and others.
    pub host: &'a [u8],
    /// The port, if written.
    pub port: Option<u16>,
    /// The parameters after the first `;`, without it.
    pub params: &'a [u8],
    /// The headers after the `?`, without it.
    pub headers: &'a [u8],
    /// All after the colon of a scheme that is carried only, or all if there is none; else empty.
    pub opaque: &'a [u8],
}

/// A SIP URI by its places in a message: what the index keeps of the Request-URI.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct UriSpans {
    user: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
}

impl<'a> Uri<'a> {
    /// Takes a URI apart.
    ///
    /// # Errors
    /// An octet cannot be in a URI, host or port is none, or a limit is met.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Uri<'a>, Error> {
        match UriSpans::read_usual(bytes, 0) {
            Some((spans, end)) if end == bytes.len() => Ok(spans.view(bytes)),
            _ => Uri::parse_any(bytes),
        }
    }

    /// The whole grammar: what [`UriSpans::read_usual`] takes comes out the same.
    pub(crate) fn parse_any(bytes: &'a [u8]) -> Result<Uri<'a>, Error> {
        if bytes.len() > URI_BYTES_MAX {
            return Err(Error::new(ErrorKind::UriTooLong, URI_BYTES_MAX));
        }
        let Some(colon) = scheme_end(bytes) else {
            return Uri::parse_without_scheme(bytes);
        };
        let (scheme, rest) = (&bytes[..colon], &bytes[colon + 1..]);
        match colon {
            3 if scheme.eq_ignore_ascii_case(b"sip") => Uri::parse_sip(Scheme::Sip, rest, 4),
            4 if scheme.eq_ignore_ascii_case(b"sips") => Uri::parse_sip(Scheme::Sips, rest, 5),
            3 if scheme.eq_ignore_ascii_case(b"tel") => Uri::parse_tel(rest),
            _ if octets::all(rest, URI) => Ok(Uri {
                opaque: rest,
                ..Uri::empty(Scheme::Other(scheme))
            }),
            _ => Err(Error::new(ErrorKind::Uri, colon)),
        }
    }

    /// Kept whole, so that the message can be carried; nobody can route by it.
    #[cold]
    fn parse_without_scheme(bytes: &'a [u8]) -> Result<Uri<'a>, Error> {
        if bytes.is_empty() || !octets::all(bytes, URI) || bytes.ends_with(b":") {
            return Err(Error::new(ErrorKind::Uri, 0));
        }
        Ok(Uri {
            opaque: bytes,
            ..Uri::empty(Scheme::Other(&[]))
        })
    }

    const fn empty(scheme: Scheme<'a>) -> Uri<'a> {
        Uri {
            scheme,
            user: &[],
            password: None,
            host: &[],
            port: None,
            params: &[],
            headers: &[],
            opaque: &[],
        }
    }

    /// `[user[:password]@]host[:port][;params][?headers]`; `base` is where `rest` begins.
    fn parse_sip(scheme: Scheme<'a>, rest: &'a [u8], base: usize) -> Result<Uri<'a>, Error> {
        let mut uri = Uri::empty(scheme);
        let mut at = 0;
        // The user part may hold `;`, `?` and `/`, so the `@` is looked for before anything else.
        if let Some(end) = octets::find(b'@', rest) {
            let userinfo = &rest[..end];
            if end == 0 || !octets::all(userinfo, USER) {
                return Err(Error::new(ErrorKind::Uri, base));
            }
            match octets::find(b':', userinfo) {
                Some(0) => return Err(Error::new(ErrorKind::Uri, base)),
                Some(colon) => {
                    uri.user = &userinfo[..colon];
                    uri.password = Some(&userinfo[colon + 1..]);
                }
                None => uri.user = userinfo,
            }
            at = end + 1;
        }
        let (host, after) = host(rest, at, base)?;
        uri.host = host;
        at = after;
        if rest.get(at) == Some(&b':') {
            let end = digits_end(rest, at + 1);
            uri.port = Some(octets::port(&rest[at + 1..end], base + at)?);
            at = end;
        }
        (uri.params, uri.headers) = tail(rest, at, base)?;
        Ok(uri)
    }

    /// `number[;params]`
    fn parse_tel(rest: &'a [u8]) -> Result<Uri<'a>, Error> {
        let end = octets::find(b';', rest).unwrap_or(rest.len());
        let number = &rest[..end];
        let is_number = number.iter().all(|&octet| {
            octet.is_ascii_hexdigit()
                || matches!(octet, b'+' | b'-' | b'.' | b'(' | b')' | b'*' | b'#')
        });
        if number.is_empty() || !is_number {
            return Err(Error::new(ErrorKind::Uri, 4));
        }
        let (params, headers) = tail(rest, end, 4)?;
        Ok(Uri {
            user: number,
            params,
            headers,
            ..Uri::empty(Scheme::Tel)
        })
    }

    /// A parameter's value: `None` if it is not there, `Some(None)` if it has no value.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params.split(|&octet| octet == b';').find_map(|param| {
            let (key, value) = match octets::find(b'=', param) {
                Some(at) => (&param[..at], Some(&param[at + 1..])),
                None => (param, None),
            };
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The value of the `transport` parameter.
    #[must_use]
    pub fn transport(&self) -> Option<&'a [u8]> {
        self.param(b"transport").flatten()
    }

    /// Whether it is a SIP or SIPS URI.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// Whether there is a headers part.
    #[must_use]
    pub fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// The address, if the host is a literal. A v4-mapped one is its v4 address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        octets::address(self.host)
    }

    /// Whether the host is this address. Cheaper than to ask which address it is, if it is a v4 one.
    #[must_use]
    #[inline]
    pub fn is_at(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) if is_v4(self.host, v4) => true,
            _ => self.ip() == Some(ip.to_canonical()),
        }
    }

    /// Writes the user part with its `%` escapes undone, once, and returns the length.
    ///
    /// A `%` without two hexadecimal digits stands for itself. What does not fit is cut: `out`
    /// needs at most as many octets as `user` has.
    pub fn unescape_user(&self, out: &mut [u8]) -> usize {
        let mut from = self.user;
        let mut length = 0;
        while let (Some(&octet), Some(slot)) = (from.first(), out.get_mut(length)) {
            let (decoded, taken) = match *from {
                [b'%', high, low, ..] => match (hex(high), hex(low)) {
                    (Some(high), Some(low)) => (high << 4 | low, 3),
                    _ => (octet, 1),
                },
                _ => (octet, 1),
            };
            *slot = decoded;
            from = &from[taken..];
            length += 1;
        }
        length
    }
}

impl UriSpans {
    /// `sip:[user@]host[:port][;params]` at `start`, as nearly all are, and where it ends: whoever
    /// asks looks whether it may end there. `None`: it is something else, which may be good or not.
    #[inline]
    pub(crate) fn read_usual(bytes: &[u8], start: usize) -> Option<(UriSpans, usize)> {
        if !has_sip_scheme(bytes.get(start..)?) {
            return None;
        }
        let mut host = start + 4;
        // Most users are numbers with a plus.
        let plus = usize::from(bytes[host] == b'+');
        let mut marks = Marks::new(bytes, host + plus, Mark)?;
        let first = marks.next();
        let mut at = first;
        while let Some(&octet) = bytes.get(at)
            && octets::is(octet, USER)
            && !matches!(octet, b':' | b';')
        {
            at = marks.next();
        }
        let mut user = Span::EMPTY;
        if bytes.get(at) == Some(&b'@') {
            user = Span::new(host, at);
            if user.is_empty() {
                return None;
            }
            host = at + 1;
            at = marks.next();
        } else if at != first || plus > 0 {
            return None;
        }
        let mut spans = UriSpans {
            user,
            host: Span::new(host, at),
            port: None,
            params: Span::EMPTY,
        };
        if bytes.get(at) == Some(&b':') {
            let from = at + 1;
            at = marks.next();
            spans.port = Some(octets::usual_port(&bytes[from..at])?);
        }
        if bytes.get(at) == Some(&b';') {
            let from = at + 1;
            at = marks.next();
            // An `@` is none of these: what looked like the host may have been a user.
            while let Some(&octet) = bytes.get(at)
                && octets::is(octet, URI_PARAM)
            {
                at = marks.next();
            }
            spans.params = Span::new(from, at);
        }
        let is_short = spans.params.len() < PARAMS_MAX
            && (1..=HOST_BYTES_MAX).contains(&spans.host.len())
            && at - start <= URI_BYTES_MAX;
        is_short.then_some((spans, at))
    }

    /// What they are in these bytes.
    #[inline]
    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> Uri<'a> {
        Uri {
            user: self.user.of(bytes),
            host: self.host.of(bytes),
            port: self.port,
            params: self.params.of(bytes),
            ..Uri::empty(Scheme::Sip)
        }
    }
}

/// Whether the bytes begin with `sip:` in any case, and go on.
#[inline]
pub(crate) fn has_sip_scheme(bytes: &[u8]) -> bool {
    bytes.len() > 4
        && bytes.first_chunk().is_some_and(|&start| {
            u32::from_le_bytes(start) | 0x0020_2020 == u32::from_le_bytes(*b"sip:")
        })
}

/// Where the scheme ends, if the bytes begin with one and something follows its colon.
pub(crate) fn scheme_end(bytes: &[u8]) -> Option<usize> {
    if !bytes.first()?.is_ascii_alphabetic() {
        return None;
    }
    let end = bytes
        .iter()
        .position(|octet| !octet.is_ascii_alphanumeric() && !matches!(octet, b'+' | b'-' | b'.'))?;
    octets::work::add(end);
    (bytes[end] == b':' && end + 1 < bytes.len()).then_some(end)
}

/// The host at `at`, without brackets, and where it ends.
pub(crate) fn host(bytes: &[u8], at: usize, base: usize) -> Result<(&[u8], usize), Error> {
    let (inner, end) = if bytes.get(at) == Some(&b'[') {
        let close = octets::find(b']', &bytes[at..]).map_or(at, |offset| at + offset);
        let inner = bytes.get(at + 1..close).unwrap_or(&[]);
        let is_literal = inner
            .iter()
            .all(|&octet| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.'));
        if !is_literal || !inner.contains(&b':') {
            return Err(Error::new(ErrorKind::Host, base + at));
        }
        (inner, close + 1)
    } else {
        let end = octets::run(bytes, at, HOST);
        (&bytes[at..end], end)
    };
    if inner.is_empty() {
        return Err(Error::new(ErrorKind::Host, base + at));
    }
    if inner.len() > HOST_BYTES_MAX {
        return Err(Error::new(ErrorKind::HostTooLong, base + at));
    }
    Ok((inner, end))
}

pub(crate) fn digits_end(bytes: &[u8], from: usize) -> usize {
    let digits = bytes[from..]
        .iter()
        .take_while(|octet| octet.is_ascii_digit());
    from + digits.count()
}

/// The parameters and the headers that follow host and port, or a number.
fn tail(bytes: &[u8], at: usize, base: usize) -> Result<(&[u8], &[u8]), Error> {
    let mut end = at;
    let mut params: &[u8] = &[];
    if bytes.get(at) == Some(&b';') {
        end = octets::run(bytes, at, URI_PARAM);
        params = &bytes[at + 1..end];
        if params.iter().filter(|&&octet| octet == b';').count() >= PARAMS_MAX {
            return Err(Error::new(ErrorKind::TooManyParams, base + at));
        }
    }
    let mut headers: &[u8] = &[];
    if bytes.get(end) == Some(&b'?') {
        headers = &bytes[end + 1..];
        if headers.is_empty() || !octets::all(headers, URI) {
            return Err(Error::new(ErrorKind::Uri, base + end));
        }
        end = bytes.len();
    }
    if end != bytes.len() {
        return Err(Error::new(ErrorKind::Uri, base + end));
    }
    Ok((params, headers))
}

fn hex(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).map(|digit| digit as u8)
}
