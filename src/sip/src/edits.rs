//! A plan of changes over the bytes of a message: the one way in which trunkline forwards.
//!
//! ```text
//!   bytes   ░░░░░░░░░│ removed │░░░░░░░░░░░░░░░░░░░░
//!   edits        ▲insert   ▲replace        ▲insert
//!   compose ░░░░█████░░░░░░░░██████░░░░░░░░░░███░░░░░   ░ copied  █ ours
//! ```
//!
//! What no edit names is copied octet by octet. Cost: one copy of the message, one pass over the
//! edits; nothing is allocated after [`Edits::new`].

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::composer::{Digits, Text};

/// Changes of one message, ordered by place. Make one for each shard and clear it between messages.
///
/// At its limits ([`Edits::COUNT_MAX`] changes, [`Edits::TEXT_BYTES_MAX`] octets of new text) it
/// takes no more and [`Edits::compose`] answers `None`.
#[derive(Clone, Debug)]
pub struct Edits {
    edits: Vec<Edit>,
    text: Vec<u8>,
    open: Option<(Range<usize>, usize)>,
    is_full: bool,
}

/// Replaces `start..end` by a piece of the text.
#[derive(Clone, Copy, Debug)]
struct Edit {
    start: u32,
    end: u32,
    text_start: u32,
    text_end: u32,
}

impl Default for Edits {
    fn default() -> Edits {
        Edits::new()
    }
}

impl Edits {
    /// The most changes of one message.
    pub const COUNT_MAX: usize = 512;
    /// The most octets of new text in one message.
    pub const TEXT_BYTES_MAX: usize = 16_384;

    /// No changes, and room for as many as there can be.
    #[must_use]
    pub fn new() -> Edits {
        Edits {
            edits: Vec::with_capacity(Edits::COUNT_MAX),
            text: Vec::with_capacity(Edits::TEXT_BYTES_MAX),
            open: None,
            is_full: false,
        }
    }

    /// Forgets all changes.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.text.clear();
        self.open = None;
        self.is_full = false;
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && !self.is_full
    }

    /// Puts text before the octet at `at`. Of several at one place the first planned comes first.
    pub fn insert(&mut self, at: usize, text: &[u8]) {
        self.replace(at..at, text);
    }

    /// Takes octets out. Removals may overlap.
    pub fn remove(&mut self, range: Range<usize>) {
        self.replace(range, &[]);
    }

    /// Puts text in the place of octets.
    pub fn replace(&mut self, range: Range<usize>, text: &[u8]) {
        self.begin(range);
        self.put(text);
        self.end();
    }

    /// Begins a replacement whose text is put piece by piece, until [`Edits::end`]. An empty range
    /// inserts.
    pub fn begin(&mut self, range: Range<usize>) {
        assert!(
            self.open.is_none(),
            "a change is ended before the next begins"
        );
        assert!(range.start <= range.end, "a range begins before it ends");
        self.open = Some((range, self.text.len()));
    }

    /// Adds text to the change that was begun.
    pub fn put(&mut self, text: &[u8]) {
        if self.text.len() + text.len() > Edits::TEXT_BYTES_MAX {
            self.is_full = true;
            return;
        }
        self.text.extend_from_slice(text);
    }

    /// Adds a number in decimal.
    pub fn put_u64(&mut self, number: u64) {
        self.put(Digits::of(number).as_bytes());
    }

    /// Adds `host:port`, a v6 host in brackets.
    pub fn put_addr(&mut self, address: &SocketAddr) {
        self.put(Text::address(*address).as_bytes());
    }

    /// Adds an address without brackets.
    pub fn put_ip(&mut self, ip: IpAddr) {
        self.put(Text::ip(ip).as_bytes());
    }

    /// Ends the change that was begun.
    pub fn end(&mut self) {
        let (range, text_start) = self.open.take().expect("a change was begun");
        let is_nothing = range.is_empty() && text_start == self.text.len();
        if self.is_full || is_nothing {
            return;
        }
        if self.edits.len() == Edits::COUNT_MAX || range.end > u32::MAX as usize {
            self.is_full = true;
            return;
        }
        let edit = Edit {
            start: range.start as u32,
            end: range.end as u32,
            text_start: text_start as u32,
            text_end: self.text.len() as u32,
        };
        // Changes are few and mostly planned from front to back, so this seldom moves any.
        let mut at = self.edits.len();
        while at > 0 && self.edits[at - 1].order() > edit.order() {
            at -= 1;
        }
        self.edits.insert(at, edit);
    }

    /// How long the changed message is; at least that, if changes cross each other.
    #[must_use]
    pub fn composed_len(&self, bytes: &[u8]) -> usize {
        let mut length = 0;
        match self.pieces(bytes, |piece| {
            length += piece.len();
            true
        }) {
            true => length,
            false => bytes.len() + self.text.len(),
        }
    }

    /// Writes the changed message and returns its length. `bytes` are those that the changes were
    /// planned on. `None`: it does not fit into `out`, changes cross each other, or a limit was met.
    pub fn compose(&self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut length = 0;
        self.pieces(bytes, |piece| {
            let end = length + piece.len();
            let Some(slot) = out.get_mut(length..end) else {
                return false;
            };
            slot.copy_from_slice(piece);
            length = end;
            true
        })
        .then_some(length)
    }

    /// Hands out the changed message in pieces, until `take` wants no more. False if it did not
    /// come to the end.
    fn pieces(&self, bytes: &[u8], mut take: impl FnMut(&[u8]) -> bool) -> bool {
        let mut at = 0;
        for edit in &self.edits {
            let (start, end) = (edit.start as usize, edit.end as usize);
            let text = &self.text[edit.text_start as usize..edit.text_end as usize];
            if start < at && text.is_empty() {
                at = at.max(end);
                continue;
            }
            let Some(copied) = bytes.get(at..start) else {
                return false;
            };
            if !take(copied) || !take(text) {
                return false;
            }
            at = end;
        }
        match bytes.get(at..) {
            Some(copied) => !self.is_full && take(copied),
            None => false,
        }
    }
}

impl Edit {
    /// Insertions go before what replaces or removes the octets at the same place.
    fn order(&self) -> (u32, bool) {
        (self.start, self.end > self.start)
    }
}
