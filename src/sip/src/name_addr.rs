//! The values of From, To, Contact, Route and their like, and the parameters of header values.

use crate::index::{Party, Span};
use crate::lanes::{BLOCK, Bracket, Marks, Quote, ValueEnd, WORD, bits, first_mark, word_bits};
use crate::limits::{PARAMS_MAX, TAG_BYTES_MAX, URI_BYTES_MAX};
use crate::octets::{self, DISPLAY, LWS, TOKEN, URI, VALUE};
use crate::uri::{has_sip_scheme, scheme_end};
use crate::{Error, ErrorKind};
use std::ops::Range;

/// A `name-addr` or `addr-spec` with the parameters that follow it (RFC 3261 §20.10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, with its quotes; empty if there is none.
    pub display: &'a [u8],
    /// The URI, without angle brackets. One in brackets may lack its scheme (a Route of RFC 3666
    /// §3.2 does); [`Uri::parse`](crate::Uri::parse) tells.
    pub uri: &'a [u8],
    /// Where the URI is in the bytes that were parsed.
    pub uri_range: Range<usize>,
    /// Whether the URI stood in angle brackets.
    pub is_bracketed: bool,
    /// The header parameters from their first `;` on; empty if there are none.
    pub params: &'a [u8],
}

/// One parameter of a header value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Param<'a> {
    /// The name as written.
    pub name: &'a [u8],
    /// The value, with its quotes if it has some.
    pub value: Option<&'a [u8]>,
    /// From its `;` to its end.
    pub range: Range<usize>,
}

impl<'a> NameAddr<'a> {
    /// Takes one value apart. All of it must be the value.
    ///
    /// # Errors
    /// An unterminated quoted string, a display name that had to be quoted, a URI that had to be in
    /// angle brackets or has no scheme or has white space, a bad parameter, or a second value.
    pub fn parse(bytes: &'a [u8]) -> Result<NameAddr<'a>, Error> {
        match NameAddr::parse_usual(bytes) {
            Some(name_addr) => Ok(name_addr),
            None => NameAddr::parse_any(bytes),
        }
    }

    /// `[display] <uri>` with at most a tag behind it. `None`: it is something else, which may be
    /// good or not.
    pub(crate) fn parse_usual(bytes: &'a [u8]) -> Option<NameAddr<'a>> {
        let found = Bracketed::find(bytes, 0)?;
        let (_, end) = found.tag(bytes)?;
        (end == bytes.len()).then(|| NameAddr {
            display: &bytes[..found.display_end],
            uri: &bytes[found.uri.clone()],
            params: &bytes[found.uri.end + 1..],
            uri_range: found.uri,
            is_bracketed: true,
        })
    }

    /// The whole grammar: what [`NameAddr::parse_usual`] takes comes out the same.
    pub(crate) fn parse_any(bytes: &'a [u8]) -> Result<NameAddr<'a>, Error> {
        let mut cursor = Cursor { bytes, at: 0 };
        let name_addr = cursor.name_addr(|_| Ok(()))?;
        cursor.finish()?;
        Ok(name_addr)
    }

    /// A parameter's value: `None` if it is not there, `Some(None)` if it has no value.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        params(self.params)
            .find(|param| param.name.eq_ignore_ascii_case(name))
            .map(|param| param.value)
    }
}

/// A value that begins `["display" | display] <uri>`, found by its brackets.
pub(crate) struct Bracketed {
    /// Where the display name ends, or would if there were one.
    pub(crate) display_end: usize,
    /// The URI, which is not empty, without its brackets.
    pub(crate) uri: Range<usize>,
}

impl Bracketed {
    /// The value begins at `start`. `None`: it is something else, which may be good or not.
    #[inline(always)]
    pub(crate) fn find(bytes: &[u8], start: usize) -> Option<Bracketed> {
        let (display_end, at) = bracket(bytes, start)?;
        let uri = at + 1..first_mark(bytes, at + 1, Bracket)?;
        // None at all is too long too.
        let is_short = (uri.end - uri.start).wrapping_sub(1) < URI_BYTES_MAX;
        (bytes.get(uri.end) == Some(&b'>') && is_short).then_some(Bracketed { display_end, uri })
    }

    /// The value of the tag behind it, empty if there is none, and where it ends: whoever asks
    /// looks whether the whole may end there. `None`: there is something else.
    #[inline(always)]
    pub(crate) fn tag(&self, bytes: &[u8]) -> Option<(Range<usize>, usize)> {
        let start = self.uri.end + 1;
        if bytes.get(start) != Some(&b';') {
            return Some((0..0, start));
        }
        let name = bytes[start..].first_chunk::<5>()?;
        let (&[semicolon @ .., _], equals) = (name, name[4]);
        if u32::from_le_bytes(semicolon) | 0x2020_2000 != u32::from_le_bytes(*b";tag")
            || equals != b'='
        {
            return None;
        }
        let tag = start + 5..first_mark(bytes, start + 5, ValueEnd)?;
        let end = tag.end;
        let is_tag = (end - tag.start).wrapping_sub(1) < TAG_BYTES_MAX;
        is_tag.then_some((tag, end))
    }

    /// Whether the URI begins with a scheme.
    #[inline]
    pub(crate) fn has_scheme(&self, bytes: &[u8]) -> bool {
        has_scheme(&bytes[self.uri.clone()])
    }
}

/// Reads a SIP URI at `start`, behind its bracket, and a tag, by two looks; returns where the value
/// ends. `None`: there is something else, or they are long.
///
/// It calls nothing, so that it needs no registers of its callers.
#[inline(never)]
pub(crate) fn near_party(bytes: &[u8], start: usize, party: &mut Party) -> Option<usize> {
    let near: &[u8; WORD] = bytes.get(start..)?.first_chunk()?;
    let length = word_bits(near, Bracket).trailing_zeros() as usize;
    if near.get(length) != Some(&b'>') || length <= 4 || !has_sip_scheme(near) {
        return None;
    }
    let end = start + length;
    party.uri = Span::new(start, end);
    let behind: &[u8; BLOCK + TAG] = bytes.get(end + 1..)?.first_chunk()?;
    let (name, tag) = behind.split_first_chunk::<TAG>()?;
    if name[0] != b';' {
        party.tag = Span::EMPTY;
        return Some(end + 1);
    }
    let length = bits(tag.first_chunk()?, ValueEnd).trailing_zeros() as usize;
    let start = end + 1 + TAG;
    party.tag = Span::new(start, start + length);
    let is_tag = name == b";tag=" && length > 0 && length < BLOCK;
    is_tag.then_some(start + length)
}

/// The octets of `;tag=`.
const TAG: usize = 5;

/// Where the display name at `start` ends, or would if there were one, and where the bracket is.
#[inline(always)]
pub(crate) fn bracket(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    match bytes.get(start)? {
        b'<' => Some((start, start)),
        b'"' => quoted(bytes, start),
        _ => words(bytes, start),
    }
}

/// Where the quoted display name at `start` ends, and where the bracket behind it is.
#[inline(always)]
fn quoted(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let quote = first_mark(bytes, start + 1, Quote)?;
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    let mut at = quote + 1;
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    (bytes.get(at) == Some(&b'<')).then_some((quote + 1, at))
}

/// Where the display name without quotes at `start` ends, and where the bracket behind it is.
#[inline(never)]
fn words(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut marks = Marks::new(bytes, start, Bracket)?;
    let mut at = marks.next();
    if at == start {
        return None;
    }
    while bytes.get(at) == Some(&b' ') {
        at = marks.next();
    }
    if bytes.get(at) != Some(&b'<') {
        return None;
    }
    let (_, end) = octets::trim(bytes, start, at);
    octets::all(&bytes[start..at], DISPLAY).then_some((end, at))
}

/// Whether a URI begins with a scheme.
#[inline]
pub(crate) fn has_scheme(uri: &[u8]) -> bool {
    has_sip_scheme(uri) || scheme_end(uri).is_some()
}

/// The parameters of a checked value, from its first `;` on. Ends at the first that is none.
pub fn params(bytes: &[u8]) -> impl Iterator<Item = Param<'_>> {
    let mut cursor = Cursor { bytes, at: 0 };
    std::iter::from_fn(move || cursor.param().ok().flatten())
}

/// A reader that only moves forward over a value whose line ends were checked.
pub(crate) struct Cursor<'a> {
    /// Up to the end of the value, so that positions are those of the message.
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Moves past white space and folds.
    #[inline]
    pub(crate) fn skip_space(&mut self) {
        if self.peek().is_some_and(|octet| octets::is(octet, LWS)) {
            self.at = octets::run(self.bytes, self.at, LWS);
        }
    }

    /// Moves past a run of the class and returns it.
    #[inline]
    pub(crate) fn take(&mut self, class: u8) -> &'a [u8] {
        let from = self.at;
        self.at = octets::run(self.bytes, from, class);
        &self.bytes[from..self.at]
    }

    #[cold]
    pub(crate) fn fail(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.at)
    }

    /// Nothing but white space may be left.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fail(ErrorKind::Surplus)),
        }
    }

    /// A value of a name-addr header; stops at a comma or the end. `each` sees every parameter.
    pub(crate) fn name_addr(
        &mut self,
        each: impl FnMut(Param<'a>) -> Result<(), Error>,
    ) -> Result<NameAddr<'a>, Error> {
        self.skip_space();
        let start = self.at;
        let mut display: &[u8] = &[];
        match self.peek() {
            Some(b'<') => {}
            Some(b'"') => {
                self.at = octets::quoted_end(self.bytes, start)
                    .ok_or_else(|| self.fail(ErrorKind::Quote))?;
                display = &self.bytes[start..self.at];
                self.skip_space();
            }
            _ => {
                self.take(DISPLAY);
                match self.peek() {
                    Some(b'<') => {
                        let (from, to) = octets::trim(self.bytes, start, self.at);
                        display = &self.bytes[from..to];
                    }
                    Some(b':') => self.at = start,
                    None => return Err(self.fail(ErrorKind::Uri)),
                    Some(_) => return Err(self.fail(ErrorKind::DisplayName)),
                }
            }
        }
        let is_bracketed = self.peek() == Some(b'<');
        let uri_range = if is_bracketed {
            self.bracketed()?
        } else if display.is_empty() {
            self.bare()?
        } else {
            return Err(self.fail(ErrorKind::DisplayName));
        };
        let uri = &self.bytes[uri_range.clone()];
        if uri.len() > URI_BYTES_MAX {
            return Err(Error::new(ErrorKind::UriTooLong, uri_range.start));
        }
        if uri.is_empty() || !is_bracketed && !has_scheme(uri) {
            return Err(Error::new(ErrorKind::Uri, uri_range.start));
        }
        let params_start = self.at;
        self.params(each)?;
        let params = &self.bytes[params_start..self.at];
        Ok(NameAddr {
            display,
            uri,
            uri_range,
            is_bracketed,
            params,
        })
    }

    /// `<uri>`: no white space, quote or bracket inside.
    fn bracketed(&mut self) -> Result<Range<usize>, Error> {
        self.at += 1;
        let from = self.at;
        self.take(URI);
        let to = self.at;
        if self.peek() != Some(b'>') {
            return Err(self.fail(ErrorKind::Uri));
        }
        self.at = to + 1;
        Ok(from..to)
    }

    /// A URI without brackets: its `;` begins header parameters, `?` is an error (RFC 3261 §20).
    fn bare(&mut self) -> Result<Range<usize>, Error> {
        let from = self.at;
        let uri = self.take(VALUE);
        if memchr::memchr2(b'?', b'>', uri).is_some() {
            return Err(Error::new(ErrorKind::BareUri, from));
        }
        Ok(from..self.at)
    }

    /// All parameters; stops at what is no `;`.
    #[inline]
    pub(crate) fn params(
        &mut self,
        mut each: impl FnMut(Param<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut count = 0;
        while let Some(param) = self.param()? {
            count += 1;
            if count > PARAMS_MAX {
                return Err(self.fail(ErrorKind::TooManyParams));
            }
            each(param)?;
        }
        Ok(())
    }

    /// `; name [= value]`, with white space wherever the grammar has it.
    #[inline]
    fn param(&mut self) -> Result<Option<Param<'a>>, Error> {
        let before = self.at;
        self.skip_space();
        if self.peek() != Some(b';') {
            self.at = before;
            return Ok(None);
        }
        let start = self.at;
        self.at += 1;
        self.skip_space();
        let name = self.take(TOKEN);
        if name.is_empty() {
            return Err(self.fail(ErrorKind::Param));
        }
        let name_end = self.at;
        self.skip_space();
        if self.peek() != Some(b'=') {
            self.at = name_end;
            return Ok(Some(Param {
                name,
                value: None,
                range: start..name_end,
            }));
        }
        self.at += 1;
        self.skip_space();
        let from = self.at;
        if self.peek() == Some(b'"') {
            self.at =
                octets::quoted_end(self.bytes, from).ok_or_else(|| self.fail(ErrorKind::Quote))?;
        } else if self.take(VALUE).is_empty() {
            return Err(self.fail(ErrorKind::Param));
        }
        Ok(Some(Param {
            name,
            value: Some(&self.bytes[from..self.at]),
            range: start..self.at,
        }))
    }
}
