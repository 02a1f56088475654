//! Short texts of any length, packed.

use crate::FreePlaces;
use std::num::NonZeroU32;

/// A text kept in its shard's [`Texts`]. Valid on that shard only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TextId(NonZeroU32);

/// Runs of octets that are written once, read as a whole, and dropped: the names of calls.
///
/// Each lies in a chain of cells of 64 octets, so that a text takes what it needs and never leaves a
/// gap that only a text of its own size could fill:
///
/// ```text
///   first cell  ┌ next ┬ len ┬ 58 octets ┐   others  ┌ next ┬ 60 octets ┐
/// ```
///
/// Cost: one cache line for each 60 octets, both when written and when read. Nothing is allocated
/// after [`Texts::new`], which reserves address space only; a cell becomes resident when it is first
/// used, and the lowest unused one is taken first. At the limit `insert` says `None`.
#[derive(Debug)]
pub struct Texts {
    cells: Vec<Cell>,
    capacity: usize,
    /// Of the cells used before.
    free: FreePlaces,
    cells_live: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Cell([u8; CELL_BYTES]);

const CELL_BYTES: usize = 64;
const LINK_BYTES: usize = 4;
const LEN_BYTES: usize = 2;
/// What the cells of one text hold: the first, and each other.
const FIRST: usize = CELL_BYTES - LINK_BYTES - LEN_BYTES;
const MORE: usize = CELL_BYTES - LINK_BYTES;

impl Texts {
    /// The longest text.
    pub const BYTES_MAX: usize = u16::MAX as usize;

    /// Room for so many cells.
    #[must_use]
    pub fn new(cells: usize) -> Texts {
        assert!(cells < u32::MAX as usize, "a cell's number fits 32 bits");
        Texts {
            cells: Vec::with_capacity(cells),
            capacity: cells,
            free: FreePlaces::new(cells),
            cells_live: 0,
        }
    }

    /// Where the cells lie that are used first, so many of them, as [`crate::Slab::room`].
    #[must_use]
    pub fn room(&self, cells: usize) -> (*const u8, usize) {
        let bytes = cells.min(self.capacity) * CELL_BYTES;
        (self.cells.as_ptr().cast(), bytes)
    }

    /// How many cells a text of so many octets takes.
    #[must_use]
    pub const fn cells_of(bytes: usize) -> usize {
        1 + bytes.saturating_sub(FIRST).div_ceil(MORE)
    }

    /// Keeps a copy of a text; `None` if there is no room or it is longer than
    /// [`Texts::BYTES_MAX`].
    pub fn insert(&mut self, text: &[u8]) -> Option<TextId> {
        let len = u16::try_from(text.len()).ok()?;
        if self.capacity - self.cells_live < Texts::cells_of(text.len()) {
            return None;
        }
        let (head, rest) = text.split_at(text.len().min(FIRST));
        // From the end, so that each cell knows the next.
        let mut next = 0;
        let mut chunks = rest.chunks(MORE);
        while let Some(chunk) = chunks.next_back() {
            next = self.take(next, |room| room[..chunk.len()].copy_from_slice(chunk));
        }
        let first = self.take(next, |room| {
            room[..LEN_BYTES].copy_from_slice(&len.to_le_bytes());
            room[LEN_BYTES..LEN_BYTES + head.len()].copy_from_slice(head);
        });
        NonZeroU32::new(first).map(TextId)
    }

    /// Appends a text to `out`.
    pub fn read(&self, id: TextId, out: &mut Vec<u8>) {
        let mut left = self.len_of(id);
        let mut from = LINK_BYTES + LEN_BYTES;
        let mut at = id.0.get();
        while left > 0 {
            let cell = &self.cells[at as usize - 1].0;
            let here = left.min(CELL_BYTES - from);
            out.extend_from_slice(&cell[from..from + here]);
            left -= here;
            from = LINK_BYTES;
            at = link(cell);
        }
    }

    /// Forgets a text.
    pub fn remove(&mut self, id: TextId) {
        let count = Texts::cells_of(self.len_of(id));
        let mut at = id.0.get();
        for _ in 0..count {
            let place = at - 1;
            at = link(&self.cells[place as usize].0);
            self.free.put(place);
        }
        self.cells_live -= count;
    }

    /// How many cells are in use.
    #[must_use]
    pub fn cells_live(&self) -> usize {
        self.cells_live
    }

    fn len_of(&self, id: TextId) -> usize {
        let cell = &self.cells[id.0.get() as usize - 1].0;
        usize::from(u16::from_le_bytes([cell[LINK_BYTES], cell[LINK_BYTES + 1]]))
    }

    /// Fills an unused cell that leads to `next`; returns its number and one.
    fn take(&mut self, next: u32, fill: impl FnOnce(&mut [u8])) -> u32 {
        let link_of_it = match self.free.take() {
            Some(place) => place + 1,
            None => {
                self.cells.push(Cell([0; CELL_BYTES]));
                self.cells.len() as u32
            }
        };
        let cell = &mut self.cells[link_of_it as usize - 1].0;
        cell[..LINK_BYTES].copy_from_slice(&next.to_le_bytes());
        fill(&mut cell[LINK_BYTES..]);
        self.cells_live += 1;
        link_of_it
    }
}

fn link(cell: &[u8; CELL_BYTES]) -> u32 {
    u32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &Texts, id: TextId) -> Vec<u8> {
        let mut out = Vec::new();
        texts.read(id, &mut out);
        out
    }

    #[test]
    fn texts_of_every_length_come_back_and_leave_nothing() {
        let mut texts = Texts::new(60);
        let mut kept: std::collections::VecDeque<(TextId, Vec<u8>)> = Default::default();
        for round in 0..5_000_usize {
            let text: Vec<u8> = (0..round * 7 % 400).map(|at| (at + round) as u8).collect();
            match texts.insert(&text) {
                Some(id) => kept.push_back((id, text)),
                None => {
                    let left = 60 - texts.cells_live();
                    assert!(left < Texts::cells_of(text.len()), "full only when full");
                    let (oldest, _) = kept.pop_front().expect("full of them");
                    texts.remove(oldest);
                }
            }
            let cells: usize = kept.iter().map(|it| Texts::cells_of(it.1.len())).sum();
            assert_eq!(texts.cells_live(), cells);
            for (id, text) in &kept {
                assert_eq!(&read(&texts, *id), text);
            }
        }
        for (id, _) in kept {
            texts.remove(id);
        }
        assert_eq!(texts.cells_live(), 0);
    }

    #[test]
    fn a_text_takes_a_line_for_each_60_octets() {
        let rows = [(0, 1), (58, 1), (59, 2), (118, 2), (119, 3), (200, 4)];
        for (bytes, cells) in rows {
            assert_eq!(Texts::cells_of(bytes), cells, "{bytes}");
        }
        assert_eq!(Texts::new(2_000).insert(&[0; 65_536]), None, "too long");
    }
}
