//! Where the parts of a message are: a reusable table of offsets that the caller owns.
//!
//! Cost: 8 octets for the first line of each header that has an identity, at a place of its own, so
//! that asking for one is one look. Lines that are only carried are counted and not noted: whoever
//! wants them walks over the message again. Nothing is cleared between messages but a few words: an
//! entry counts only if its bit is set.

use crate::limits::HEADERS_MAX;
use crate::uri::UriSpans;
use crate::via::ViaSpans;
use crate::{HeaderId, Method};

/// The offsets of one parsed message. Make one for each shard and use it for every message.
#[derive(Clone)]
pub struct Index {
    pub(crate) lines: Lines,
    pub(crate) facts: Facts,
    /// The topmost Via.
    pub(crate) via: ViaSpans,
    /// The Request-URI, if it is one of the usual kind.
    pub(crate) uri_parts: Option<UriSpans>,
}

/// The lines of the headers that have an identity.
#[derive(Clone)]
pub(crate) struct Lines {
    /// The first line of each; only valid for those whose bit is set.
    first: [Entry; HeaderId::COUNT],
    /// The further ones, in their order.
    further: [Further; HEADERS_MAX],
    further_count: u8,
    /// One bit for each header that is there.
    present: u64,
    /// One bit for each header with several lines.
    repeated: u64,
    /// Where the first line begins, if there is one.
    start: u16,
}

/// A line of a header that has others before it.
#[derive(Clone, Copy)]
struct Further {
    id: HeaderId,
    line: Entry,
}

/// What the start line and the headers that every message has were found to say.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Facts {
    pub(crate) is_request: bool,
    pub(crate) method: Method,
    pub(crate) method_name: Span,
    pub(crate) uri: Span,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: Span,
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) max_forwards: Option<u8>,
    pub(crate) content_length: Option<u16>,
    /// Where the empty line begins.
    pub(crate) section_end: u16,
    pub(crate) body: Span,
}

/// Where From or To have their URI and their tag.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Party {
    pub(crate) uri: Span,
    /// Empty if there is none.
    pub(crate) tag: Span,
}

impl Party {
    const NONE: Party = Party {
        uri: Span::EMPTY,
        tag: Span::EMPTY,
    };
}

/// A piece of the message. Offsets fit 16 bits because a message is at most 65,535 octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

/// One header line, from its name to past its CRLF.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Entry {
    pub(crate) start: u16,
    pub(crate) end: u16,
    /// The value, without white space around it.
    pub(crate) value: Span,
}

impl Entry {
    pub(crate) const EMPTY: Entry = Entry {
        start: 0,
        end: 0,
        value: Span::EMPTY,
    };

    /// From the name to past the CRLF.
    #[inline]
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

const _: () = assert!(HEADERS_MAX < u8::MAX as usize, "line numbers are octets");
const _: () = assert!(HeaderId::COUNT <= 64, "one bit for each id");
const _: () = assert!(size_of::<Entry>() == 8);

impl Span {
    pub(crate) const EMPTY: Span = Span { start: 0, end: 0 };

    /// The offsets must lie in a message, so that they fit.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Span {
            start: start as u16,
            end: end as u16,
        }
    }

    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.range()]
    }

    #[inline]
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        usize::from(self.end - self.start)
    }
}

impl Default for Index {
    fn default() -> Index {
        Index::new()
    }
}

impl Index {
    /// An index of nothing. About 3 kB: keep it.
    #[must_use]
    pub fn new() -> Index {
        Index {
            lines: Lines {
                first: [Entry::EMPTY; HeaderId::COUNT],
                further: [Further {
                    id: HeaderId::Other,
                    line: Entry::EMPTY,
                }; HEADERS_MAX],
                further_count: 0,
                present: 0,
                repeated: 0,
                start: 0,
            },
            facts: Facts::NONE,
            via: ViaSpans::NONE,
            uri_parts: None,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.clear_lines();
        self.facts = Facts::NONE;
        self.via.range = Span::EMPTY;
        self.uri_parts = None;
    }

    pub(crate) fn clear_lines(&mut self) {
        self.lines.further_count = 0;
        self.lines.present = 0;
        self.lines.repeated = 0;
    }

    #[inline]
    pub(crate) fn has(&self, id: HeaderId) -> bool {
        self.lines.present & id.bit() != 0
    }

    /// Whether there are several lines of it.
    #[inline]
    pub(crate) fn is_repeated(&self, id: HeaderId) -> bool {
        self.lines.repeated & id.bit() != 0
    }

    #[inline]
    pub(crate) fn first(&self, id: HeaderId) -> Option<&Entry> {
        self.has(id).then(|| self.lines.first_of(id))
    }

    /// The last line of the id.
    #[inline]
    pub(crate) fn last(&self, id: HeaderId) -> Option<&Entry> {
        match self.lines.repeated & id.bit() {
            0 => self.first(id),
            _ => self.further(id).next_back(),
        }
    }

    /// The lines of one id, in their order. None of those that are only carried.
    #[inline]
    pub(crate) fn chain(&self, id: HeaderId) -> Chain<'_> {
        Chain {
            lines: &self.lines,
            id,
            at: 0,
        }
    }

    /// The lines of one id but the first.
    fn further(&self, id: HeaderId) -> impl DoubleEndedIterator<Item = &Entry> {
        let all = &self.lines.further[..usize::from(self.lines.further_count)];
        all.iter()
            .filter(move |further| further.id == id)
            .map(|further| &further.line)
    }
}

/// The lines of one id.
#[derive(Clone, Debug)]
pub(crate) struct Chain<'a> {
    lines: &'a Lines,
    pub(crate) id: HeaderId,
    /// 0 before the first, then where to look for the next.
    at: usize,
}

impl<'a> Iterator for Chain<'a> {
    type Item = &'a Entry;

    #[inline]
    fn next(&mut self) -> Option<&'a Entry> {
        let lines = self.lines;
        if self.at == 0 {
            self.at = 1;
            let is_noted = lines.present & NOTED & self.id.bit() != 0;
            return is_noted.then(|| lines.first_of(self.id));
        }
        if lines.repeated & self.id.bit() == 0 {
            return None;
        }
        let further = &lines.further[self.at - 1..usize::from(lines.further_count)];
        let offset = further.iter().position(|further| further.id == self.id)?;
        self.at += offset + 1;
        Some(&further[offset].line)
    }
}

/// The headers whose lines are noted.
const NOTED: u64 = HeaderId::Other.bit() - 1;

impl Lines {
    /// A bit for each header that is there.
    #[inline]
    pub(crate) fn present(&self) -> u64 {
        self.present
    }

    /// A bit for each header that has several lines.
    #[inline]
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// The first line of a header that is there.
    #[inline(always)]
    pub(crate) fn first_of(&self, id: HeaderId) -> &Entry {
        &self.first[id as usize]
    }

    /// How many lines are noted.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        (self.present & NOTED).count_ones() as usize + usize::from(self.further_count)
    }

    /// Where the header lines begin.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        usize::from(self.start)
    }

    /// Notes where the header lines begin, before the first of them is added.
    #[inline]
    pub(crate) fn begin(&mut self, start: usize) {
        self.start = start as u16;
    }

    /// The place of one line more. Whoever adds lines counts them: there is room for as many as there
    /// may be.
    #[inline(always)]
    pub(crate) fn open(&mut self, id: HeaderId) -> &mut Entry {
        if self.present & id.bit() != 0 {
            return self.open_further(id);
        }
        self.present |= id.bit();
        &mut self.first[id as usize]
    }

    #[inline(never)]
    fn open_further(&mut self, id: HeaderId) -> &mut Entry {
        if id == HeaderId::Other {
            return &mut self.first[id as usize];
        }
        self.repeated |= id.bit();
        let at = usize::from(self.further_count).min(HEADERS_MAX - 1);
        self.further_count = at as u8 + 1;
        let further = &mut self.further[at];
        further.id = id;
        &mut further.line
    }

    /// Adds a line.
    #[inline]
    pub(crate) fn note(&mut self, id: HeaderId, line: Entry) {
        *self.open(id) = line;
    }

    /// How many values those of these headers that are lists have at most, if each has two octets
    /// with its comma.
    #[inline]
    pub(crate) fn values_bound(&self, ids: u64) -> usize {
        let mut rest = ids & self.present;
        let mut bound = 0;
        while rest != 0 {
            let first = &self.first[rest.trailing_zeros() as usize];
            bound += first.value.len() / 2 + 1;
            rest &= rest - 1;
        }
        let further = &self.further[..usize::from(self.further_count)];
        let further = further.iter().map(|it| it.line.value.len() / 2 + 1);
        bound + further.sum::<usize>()
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({:#x})", self.present)
    }
}

impl Facts {
    const NONE: Facts = Facts {
        is_request: false,
        method: Method::Other,
        method_name: Span::EMPTY,
        uri: Span::EMPTY,
        status: 0,
        reason: Span::EMPTY,
        cseq: 0,
        cseq_method: Span::EMPTY,
        from: Party::NONE,
        to: Party::NONE,
        max_forwards: None,
        content_length: None,
        section_end: 0,
        body: Span::EMPTY,
    };
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({:?})", self.lines)
    }
}
