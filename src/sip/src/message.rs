//! The view of a parsed message: borrowed bytes and the index that tells where things are.

use std::ops::Range;

use crate::forward::is_alone;
use crate::index::{Chain, Entry, Index, Span};
use crate::octets::{self, TOKEN};
use crate::via;
use crate::{Error, HeaderId, Method, NameAddr, Uri, Via};

/// A request or response that was parsed. All ranges are offsets into [`Message::bytes`].
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

/// One header line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Which header.
    pub id: HeaderId,
    /// The name as written.
    pub name: &'a [u8],
    /// The value without white space around it; folds inside are kept.
    pub value: &'a [u8],
    /// From the name to past the CRLF.
    pub range: Range<usize>,
    /// Where the value is.
    pub value_range: Range<usize>,
}

/// One of the comma-separated values of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value<'a> {
    /// The value without white space around it.
    pub bytes: &'a [u8],
    /// Where it is.
    pub range: Range<usize>,
}

impl<'a> Message<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], index: &'a Index) -> Message<'a> {
        let end = usize::from(index.facts.body.end);
        Message {
            bytes: &bytes[..end],
            index,
        }
    }

    /// The message from its start line to the end of its body.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.index.facts.is_request
    }

    /// The method; for a response the one that its CSeq names.
    #[must_use]
    pub fn method(&self) -> Method {
        self.index.facts.method
    }

    /// The method as written.
    #[must_use]
    pub fn method_bytes(&self) -> &'a [u8] {
        self.cseq_method()
    }

    /// The status; 0 for a request.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.index.facts.status
    }

    /// The reason phrase; empty for a request.
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        self.index.facts.reason.of(self.bytes)
    }

    /// The Request-URI; empty for a response.
    #[must_use]
    pub fn uri(&self) -> &'a [u8] {
        self.index.facts.uri.of(self.bytes)
    }

    /// Where the Request-URI is.
    #[must_use]
    pub fn uri_range(&self) -> Range<usize> {
        self.index.facts.uri.range()
    }

    /// The Request-URI taken apart. The parser has done that if it is a usual one: ask here rather
    /// than [`Uri::parse`].
    ///
    /// # Errors
    /// For a response, which has none.
    #[inline]
    pub fn request_uri(&self) -> Result<Uri<'a>, Error> {
        match &self.index.uri_parts {
            Some(parts) => Ok(parts.view(self.bytes)),
            None => Uri::parse_any(self.uri()),
        }
    }

    /// The topmost Via. The parser has taken it apart: asking for one field of it costs a few
    /// instructions.
    #[must_use]
    #[inline]
    pub fn via(&self) -> Via<'a> {
        self.index.via.view(self.bytes)
    }

    /// The branch of the topmost Via; empty if it has none. Cheaper than asking for all of it.
    #[must_use]
    #[inline]
    pub fn branch(&self) -> &'a [u8] {
        self.index.via.branch.of(self.bytes)
    }

    /// Whether that branch is one by RFC 3261: the cookie and something after it.
    #[must_use]
    #[inline]
    pub fn has_cookie(&self) -> bool {
        via::has_cookie(self.branch())
    }

    /// The host of the topmost Via's sent-by, and the port that it stands for.
    #[must_use]
    #[inline]
    pub fn sent_by(&self) -> (&'a [u8], u16) {
        let via = &self.index.via;
        let port = match via.port {
            0 => self.via().port_or_default(),
            port => port,
        };
        (via.host.of(self.bytes), port)
    }

    /// Whether answers go to the very address and port that the request came from: its Via has an
    /// `rport` (RFC 3581 §4) and no `maddr`.
    #[must_use]
    #[inline]
    pub fn is_answered_to_source(&self) -> bool {
        let via = &self.index.via;
        !via.rport.whole.is_empty() && via.maddr == Span::EMPTY
    }

    /// Whether the topmost Via has parameters besides those of RFC 3261 and RFC 3581.
    #[must_use]
    #[inline]
    pub fn via_has_more(&self) -> bool {
        self.index.via.has_more
    }

    /// The topmost Via as it is written.
    #[must_use]
    #[inline]
    pub fn via_text(&self) -> &'a [u8] {
        self.index.via.range.of(self.bytes)
    }

    /// Whether the topmost Via is the only one.
    #[must_use]
    pub fn has_one_via(&self) -> bool {
        let index = self.index;
        let line = index.first(HeaderId::Via);
        line.is_some_and(|line| {
            line.value.end == index.via.range.end && !index.is_repeated(HeaderId::Via)
        })
    }

    /// All Via values from the top. Only the topmost is known to be good.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'a>, Error>> + use<'a> {
        let bytes = self.bytes;
        self.values(HeaderId::Via)
            .map(move |value| Via::parse_at(bytes, value.range))
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &'a [u8] {
        self.header(HeaderId::CallId).unwrap_or(&[])
    }

    /// The From value.
    #[must_use]
    pub fn from(&self) -> &'a [u8] {
        self.header(HeaderId::From).unwrap_or(&[])
    }

    /// The To value.
    #[must_use]
    pub fn to(&self) -> &'a [u8] {
        self.header(HeaderId::To).unwrap_or(&[])
    }

    /// The From value taken apart.
    ///
    /// # Errors
    /// None in fact: the parser has checked it.
    pub fn from_addr(&self) -> Result<NameAddr<'a>, Error> {
        NameAddr::parse(self.from())
    }

    /// The To value taken apart.
    ///
    /// # Errors
    /// None in fact: the parser has checked it.
    pub fn to_addr(&self) -> Result<NameAddr<'a>, Error> {
        NameAddr::parse(self.to())
    }

    /// The URI of From, without brackets. The parser has found it.
    #[must_use]
    #[inline]
    pub fn from_uri(&self) -> &'a [u8] {
        self.index.facts.from.uri.of(self.bytes)
    }

    /// The URI of To, without brackets. The parser has found it.
    #[must_use]
    #[inline]
    pub fn to_uri(&self) -> &'a [u8] {
        self.index.facts.to.uri.of(self.bytes)
    }

    /// Where the URI of From is.
    #[must_use]
    pub fn from_uri_range(&self) -> Range<usize> {
        self.index.facts.from.uri.range()
    }

    /// Where the URI of To is.
    #[must_use]
    pub fn to_uri_range(&self) -> Range<usize> {
        self.index.facts.to.uri.range()
    }

    /// The From tag; empty if there is none (RFC 2543).
    #[must_use]
    pub fn from_tag(&self) -> &'a [u8] {
        self.index.facts.from.tag.of(self.bytes)
    }

    /// The To tag; empty if there is none.
    #[must_use]
    pub fn to_tag(&self) -> &'a [u8] {
        self.index.facts.to.tag.of(self.bytes)
    }

    /// The CSeq number.
    #[must_use]
    pub fn cseq(&self) -> u32 {
        self.index.facts.cseq
    }

    /// The CSeq method.
    #[must_use]
    pub fn cseq_method(&self) -> &'a [u8] {
        self.index.facts.cseq_method.of(self.bytes)
    }

    /// Max-Forwards, if it is there.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u8> {
        self.index.facts.max_forwards
    }

    /// Content-Length, if it is there.
    #[must_use]
    pub fn content_length(&self) -> Option<usize> {
        self.index.facts.content_length.map(usize::from)
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.index.facts.body.of(self.bytes)
    }

    /// Where the empty line between headers and body begins: the place for one more header.
    #[must_use]
    pub fn section_end(&self) -> usize {
        usize::from(self.index.facts.section_end)
    }

    /// Whether the header is there.
    #[must_use]
    pub fn has(&self, id: HeaderId) -> bool {
        self.index.has(id)
    }

    /// The value of the header's first line.
    #[must_use]
    pub fn header(&self, id: HeaderId) -> Option<&'a [u8]> {
        self.index.first(id).map(|line| line.value.of(self.bytes))
    }

    /// What is in the angle brackets of the header's first line, if that has `<uri>` and nothing else,
    /// as most do. Cheaper than to ask for the header's values.
    #[must_use]
    #[inline]
    pub fn lone_uri(&self, id: HeaderId) -> Option<&'a [u8]> {
        let value = self.header(id)?;
        is_alone(value).then(|| &value[1..value.len() - 1])
    }

    /// The value of the first line of that name, in any case. A long name also finds the compact
    /// form of a header that has an id.
    #[must_use]
    pub fn header_named(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.lines_named(name).next().map(|line| line.value)
    }

    /// All header lines. They are looked for: no message is asked for them on its usual way.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        let section = &self.bytes[..self.section_end()];
        let mut at = self.index.lines.start();
        std::iter::from_fn(move || {
            let line = Line::read(section, at)?;
            at = line.range.end;
            Some(line)
        })
    }

    /// The lines of one header that has an identity.
    pub fn lines_of(&self, id: HeaderId) -> impl Iterator<Item = Line<'a>> + use<'a> {
        let bytes = self.bytes;
        self.index
            .chain(id)
            .map(move |entry| Line::new(bytes, id, entry))
    }

    /// The values of one header, a whole line each.
    #[inline]
    pub fn line_values(&self, id: HeaderId) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.index.chain(id).map(move |entry| entry.value.of(bytes))
    }

    /// The lines of that name, in any case.
    pub fn lines_named<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = Line<'a>> + use<'a, 'n> {
        let id = HeaderId::of(name);
        let others = (id == HeaderId::Other && self.has(id)).then(|| self.lines());
        let others = others.into_iter().flatten();
        self.lines_of(id)
            .chain(others.filter(move |line| line.name.eq_ignore_ascii_case(name)))
    }

    /// Where its parts are.
    #[inline]
    pub(crate) fn index(&self) -> &'a Index {
        self.index
    }

    /// The last line of the header.
    pub(crate) fn last_line(&self, id: HeaderId) -> Option<Line<'a>> {
        self.index
            .last(id)
            .map(|entry| Line::new(self.bytes, id, entry))
    }

    /// The values of the header over all its lines, split at commas if it is a list.
    ///
    /// Commas in quoted strings and angle brackets do not split; empty values are passed over.
    #[must_use]
    pub fn values(&self, id: HeaderId) -> Values<'a> {
        let mut lines = self.index.chain(id);
        Values {
            bytes: self.bytes,
            line: lines.next(),
            lines,
            at: 0,
        }
    }
}

impl<'a> Line<'a> {
    fn new(bytes: &'a [u8], id: HeaderId, entry: &Entry) -> Line<'a> {
        let range = entry.range();
        Line {
            id,
            name: &bytes[range.start..octets::run(bytes, range.start, TOKEN)],
            value: entry.value.of(bytes),
            range,
            value_range: entry.value.range(),
        }
    }

    /// The line that begins at `start`, in a header section that was checked.
    fn read(section: &'a [u8], start: usize) -> Option<Line<'a>> {
        let name_end = octets::run(section, start, TOKEN);
        let colon = name_end + octets::find(b':', &section[name_end..])?;
        let mut end = colon;
        loop {
            end += octets::find(b'\n', &section[end..])? + 1;
            // Else the value goes on.
            if !matches!(section.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let name = &section[start..name_end];
        let (from, to) = octets::trim(section, colon + 1, end);
        Some(Line {
            id: HeaderId::of(name),
            name,
            value: &section[from..to],
            range: start..end,
            value_range: from..to,
        })
    }

    /// The values of this line, split at commas.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (value, base) = (self.value, self.value_range.start);
        let is_list = self.id.is_list();
        let mut at = 0;
        std::iter::from_fn(move || {
            let found = next_value(value, &mut at, value.len(), is_list)?;
            Some(Value {
                bytes: &value[found.clone()],
                range: base + found.start..base + found.end,
            })
        })
    }
}

/// The values of one header, in order.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    bytes: &'a [u8],
    lines: Chain<'a>,
    line: Option<&'a Entry>,
    /// Where to go on in the line; 0: at its start (no value begins at 0).
    at: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        loop {
            let line = self.line?;
            let range = line.value.range();
            let mut at = self.at.max(range.start);
            if let Some(range) = next_value(self.bytes, &mut at, range.end, self.lines.id.is_list())
            {
                self.at = at;
                return Some(Value {
                    bytes: &self.bytes[range.clone()],
                    range,
                });
            }
            self.line = self.lines.next();
            self.at = 0;
        }
    }
}

/// The next value in `bytes[*at..end]`; empty ones are passed over.
fn next_value(bytes: &[u8], at: &mut usize, end: usize, is_list: bool) -> Option<Range<usize>> {
    while *at < end {
        let stop = if is_list {
            value_end(bytes, *at, end)
        } else {
            end
        };
        let (from, to) = octets::trim(bytes, *at, stop);
        *at = stop + 1;
        if from < to {
            return Some(from..to);
        }
    }
    None
}

/// Where the value at `at` ends: at its comma or at `end`.
pub(crate) fn value_end(bytes: &[u8], mut at: usize, end: usize) -> usize {
    let bytes = &bytes[..end];
    while at < end {
        let Some(offset) = memchr::memchr3(b',', b'"', b'<', &bytes[at..]) else {
            octets::work::add(end - at);
            return end;
        };
        octets::work::add(offset + 1);
        at += offset;
        let past = match bytes[at] {
            b',' => return at,
            b'"' => octets::quoted_end(bytes, at),
            _ => octets::find(b'>', &bytes[at..]).map(|offset| at + offset + 1),
        };
        at = match past {
            Some(past) => past,
            None => return end,
        };
    }
    end
}
