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
    #[inline]
    pub fn replace(&mut self, range: Range<usize>, text: &[u8]) {
        self.begin(range);
        self.put(text);
        self.end();
    }

    /// Begins a replacement whose text is put piece by piece, until [`Edits::end`]. An empty range
    /// inserts.
    #[inline]
    pub fn begin(&mut self, range: Range<usize>) {
        assert!(
            self.open.is_none(),
            "a change is ended before the next begins"
        );
        assert!(range.start <= range.end, "a range begins before it ends");
        self.open = Some((range, self.text.len()));
    }

    /// Adds text to the change that was begun.
    #[inline]
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
    #[inline]
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
        match self.edits.last_mut() {
            // Two insertions at one place are one.
            Some(last) if last.is_before(&edit) => last.text_end = edit.text_end,
            Some(last) if last.order() > edit.order() => self.insert_sorted(edit),
            _ => self.edits.push(edit),
        }
    }

    /// Changes are few and mostly planned from front to back, so this is seldom called.
    fn insert_sorted(&mut self, edit: Edit) {
        let mut at = self.edits.len();
        self.edits.push(edit);
        while at > 0 && self.edits[at - 1].order() > edit.order() {
            self.edits[at] = self.edits[at - 1];
            at -= 1;
        }
        self.edits[at] = edit;
    }

    /// How long the changed message is; at least that, if changes cross each other.
    #[must_use]
    pub fn composed_len(&self, bytes: &[u8]) -> usize {
        let (mut at, mut removed) = (0, 0);
        for edit in &self.edits {
            if edit.start < at || self.is_full {
                return self.composed_len_of_crossing(bytes);
            }
            at = edit.end;
            removed += (edit.end - edit.start) as usize;
        }
        if at as usize > bytes.len() {
            return self.composed_len_of_crossing(bytes);
        }
        bytes.len() + self.text.len() - removed
    }

    /// As [`Edits::compose`] counts, when removals overlap or changes cross each other.
    #[cold]
    fn composed_len_of_crossing(&self, bytes: &[u8]) -> usize {
        let (mut at, mut length) = (0, 0);
        for edit in &self.edits {
            let (start, end) = (edit.start as usize, edit.end as usize);
            let text = self.text_of(edit);
            if start < at && text.is_empty() {
                at = at.max(end);
                continue;
            }
            match bytes.get(at..start) {
                Some(copied) => length += copied.len() + text.len(),
                None => return bytes.len() + self.text.len(),
            }
            at = end;
        }
        match bytes.get(at..) {
            Some(copied) if !self.is_full => length + copied.len(),
            _ => bytes.len() + self.text.len(),
        }
    }

    /// Writes the changed message and returns its length. `bytes` are those that the changes were
    /// planned on. `None`: it does not fit into `out`, changes cross each other, or a limit was met.
    pub fn compose(&self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.is_full {
            return None;
        }
        let (mut at, mut length) = (0, 0);
        for edit in &self.edits {
            let (start, end) = (edit.start as usize, edit.end as usize);
            let text = self.text_of(edit);
            if start < at && text.is_empty() {
                at = at.max(end);
                continue;
            }
            let copied = bytes.get(at..start)?;
            let room = out.get_mut(length..length + copied.len() + text.len())?;
            let (before, ours) = room.split_at_mut(copied.len());
            before.copy_from_slice(copied);
            ours.copy_from_slice(text);
            length += room.len();
            at = end;
        }
        let copied = bytes.get(at..)?;
        let room = out.get_mut(length..length + copied.len())?;
        room.copy_from_slice(copied);
        Some(length + copied.len())
    }

    #[inline]
    fn text_of(&self, edit: &Edit) -> &[u8] {
        &self.text[edit.text_start as usize..edit.text_end as usize]
    }
}

impl Edit {
    /// Whether both only insert at one place, and `next` has the text that follows.
    #[inline]
    fn is_before(&self, next: &Edit) -> bool {
        let places = [self.start, self.end, next.end];
        places == [next.start; 3] && self.text_end == next.text_start
    }

    /// Insertions go before what replaces or removes the octets at the same place.
    #[inline]
    fn order(&self) -> u64 {
        u64::from(self.start) << 1 | u64::from(self.end > self.start)
    }
}
