//! Where the parts of a message are: a reusable table of offsets that the caller owns.
//!
//! Cost: 12 octets a header line, so a call's message touches three or four cache lines of it.
//! Nothing is cleared between messages but a word: an entry counts only if its bit is set.

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

/// All header lines, and the first of each header.
#[derive(Clone)]
pub(crate) struct Lines {
    entries: [Entry; LINES],
    count: u8,
    /// One bit for each header that is there; `first` is only valid for those.
    present: u64,
    /// One bit for each header with several lines; `last` is only valid for those.
    repeated: u64,
    first: [u8; HeaderId::COUNT],
    last: [u8; HeaderId::COUNT],
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

/// One header line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Entry {
    pub(crate) start: u16,
    pub(crate) name_end: u16,
    pub(crate) value: Span,
    pub(crate) end: u16,
    pub(crate) id: HeaderId,
    /// The next line of the same id, or `NONE`.
    next: u8,
}

impl Entry {
    /// From the name to past the CRLF.
    #[inline]
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

const NONE: u8 = u8::MAX;
/// More than there can be, so that every octet is the number of a place.
const LINES: usize = 256;
const _: () = assert!(HEADERS_MAX < NONE as usize, "line numbers are octets");
const _: () = assert!(HeaderId::COUNT <= 64, "one bit for each id");
const _: () = assert!(size_of::<Entry>() == 12);

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
        let nothing = Entry {
            start: 0,
            name_end: 0,
            value: Span::EMPTY,
            end: 0,
            id: HeaderId::Other,
            next: NONE,
        };
        Index {
            lines: Lines {
                entries: [nothing; LINES],
                count: 0,
                present: 0,
                repeated: 0,
                first: [NONE; HeaderId::COUNT],
                last: [NONE; HeaderId::COUNT],
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
        self.lines.count = 0;
        self.lines.present = 0;
        self.lines.repeated = 0;
    }

    #[inline]
    pub(crate) fn has(&self, id: HeaderId) -> bool {
        self.lines.present & id.bit() != 0
    }

    #[inline]
    pub(crate) fn first(&self, id: HeaderId) -> Option<&Entry> {
        let lines = &self.lines;
        self.has(id)
            .then(|| &lines.entries[usize::from(lines.first[id as usize])])
    }

    /// The last line of the id.
    #[inline]
    pub(crate) fn last(&self, id: HeaderId) -> Option<&Entry> {
        let lines = &self.lines;
        match lines.repeated & id.bit() {
            0 => self.first(id),
            _ => Some(&lines.entries[usize::from(lines.last[id as usize])]),
        }
    }

    #[inline]
    pub(crate) fn next(&self, entry: &Entry) -> Option<&Entry> {
        (entry.next != NONE).then(|| &self.lines.entries[usize::from(entry.next)])
    }

    /// The lines of one id, in their order.
    pub(crate) fn chain(&self, id: HeaderId) -> impl Iterator<Item = &Entry> {
        std::iter::successors(self.first(id), |entry| self.next(entry))
    }

    /// All lines, in their order.
    #[inline]
    pub(crate) fn lines(&self) -> &[Entry] {
        &self.lines.entries[..usize::from(self.lines.count)]
    }
}

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

    /// Adds a line. False: the table is full.
    #[inline]
    pub(crate) fn push(
        &mut self,
        start: usize,
        name_end: usize,
        value: Span,
        end: usize,
        id: HeaderId,
    ) -> bool {
        let Some(line) = self.open(start, name_end, id) else {
            return false;
        };
        line.value = value;
        line.end = end as u16;
        true
    }

    /// Adds a line of which the value and the end are not known yet: the caller writes them.
    /// `None`: the table is full.
    #[inline(always)]
    pub(crate) fn open(
        &mut self,
        start: usize,
        name_end: usize,
        id: HeaderId,
    ) -> Option<&mut Entry> {
        let number = self.count;
        if usize::from(number) >= HEADERS_MAX {
            return None;
        }
        if self.present & id.bit() == 0 {
            self.present |= id.bit();
            self.first[id as usize] = number;
        } else {
            self.chain_up(id, number);
        }
        self.count = number + 1;
        let line = &mut self.entries[usize::from(number)];
        line.start = start as u16;
        line.name_end = name_end as u16;
        line.id = id;
        line.next = NONE;
        Some(line)
    }

    /// Puts a line behind the others of its id.
    #[inline(never)]
    fn chain_up(&mut self, id: HeaderId, number: u8) {
        let before = match self.repeated & id.bit() {
            0 => self.first[id as usize],
            _ => self.last[id as usize],
        };
        self.entries[usize::from(before)].next = number;
        self.repeated |= id.bit();
        self.last[id as usize] = number;
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
        write!(f, "Index({} lines)", self.lines.count)
    }
}
