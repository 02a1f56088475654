//! Octets sixteen at a time: which of them are of a class, one bit each.
//!
//! A message in its usual form is read by these bits: a line or a value costs a few instructions
//! for sixteen octets, and some more for each separator in it. SSE2 and NEON have the width on
//! every processor of their kind, so nothing is asked for at run time.

use wide::u8x16;

use crate::octets::work;

/// How many octets are looked at in one step.
pub(crate) const WIDTH: usize = 16;
/// How many octets a word of bits stands for.
const WORD: usize = 64;

/// Which of sixteen octets are marked.
pub(crate) trait Class: Copy {
    /// All bits of a lane are set if its octet is marked.
    fn of(octets: u8x16) -> u8x16;
}

#[inline(always)]
fn is(octets: u8x16, octet: u8) -> u8x16 {
    octets.simd_eq(u8x16::splat(octet))
}

#[inline(always)]
fn is_within(octets: u8x16, first: u8, last: u8) -> u8x16 {
    let beyond = (octets - u8x16::splat(first)).saturating_sub(u8x16::splat(last - first));
    beyond.simd_eq(u8x16::splat(0))
}

/// CR, LF, NUL; others below them too, which whoever looks tells apart.
#[derive(Clone, Copy)]
pub(crate) struct LineEnd;

impl Class for LineEnd {
    #[inline(always)]
    fn of(octets: u8x16) -> u8x16 {
        octets.min(u8x16::splat(b'\r')).simd_eq(octets)
    }
}

/// All that ends or forbids a URI in angle brackets, the backslash, and what is not ASCII.
#[derive(Clone, Copy)]
pub(crate) struct Bracket;

impl Class for Bracket {
    #[inline(always)]
    fn of(octets: u8x16) -> u8x16 {
        let brackets = is(octets | u8x16::splat(2), b'>') | is(octets, b'\\');
        !is_within(octets, b'#', b'~') | brackets
    }
}

/// All but letters, digits, `.`, `-` and `_`: what is left unmarked is of every class that
/// [`octets`](crate::octets) has.
#[derive(Clone, Copy)]
pub(crate) struct Mark;

impl Class for Mark {
    #[inline(always)]
    fn of(octets: u8x16) -> u8x16 {
        // Zero in all that is in the range, or is the octet.
        let beyond = |octets: u8x16, first, last| {
            (octets - u8x16::splat(first)).saturating_sub(u8x16::splat(last - first))
        };
        let letters = beyond(octets | u8x16::splat(0x20), b'a', b'z');
        let low = beyond(octets, b'-', b'9');
        let underscore = octets ^ u8x16::splat(b'_');
        let plain = letters.min(low).min(underscore).simd_eq(u8x16::splat(0));
        !plain | is(octets, b'/')
    }
}

/// All that ends or forbids the unquoted value of a header parameter, and what is not ASCII.
#[derive(Clone, Copy)]
pub(crate) struct ValueEnd;

impl Class for ValueEnd {
    #[inline(always)]
    fn of(octets: u8x16) -> u8x16 {
        let separators = is(octets, b',') | is(octets, b';') | is(octets, b'<');
        !is_within(octets, b'#', b'~') | separators
    }
}

/// White space, controls, and what is not ASCII.
#[derive(Clone, Copy)]
pub(crate) struct Blank;

impl Class for Blank {
    #[inline(always)]
    fn of(octets: u8x16) -> u8x16 {
        !is_within(octets, b'!', b'~')
    }
}

/// The bits of sixteen octets.
#[inline(always)]
pub(crate) fn bits<C: Class>(block: &[u8; WIDTH], _class: C) -> u64 {
    u64::from(C::of(u8x16::new(*block)).to_bitmask())
}

/// A bit for each octet that is the same in both.
#[inline(always)]
pub(crate) fn same(one: &[u8; WIDTH], other: &[u8; WIDTH]) -> u16 {
    u8x16::new(*one).simd_eq(u8x16::new(*other)).to_bitmask() as u16
}

/// The marked octets of a piece, from its start to its end, and then the end.
pub(crate) struct Marks<'a, C> {
    bytes: &'a [u8],
    base: usize,
    end: usize,
    word: u64,
    class: C,
}

impl<'a, C: Class> Marks<'a, C> {
    /// The piece is `bytes[start..end]`. If `bytes` goes on behind it, which makes it quicker, the
    /// next octet must be a marked one, as the white space behind a value is. `None`: there are too
    /// few octets to be looked at in this way.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], start: usize, end: usize, class: C) -> Option<Marks<'a, C>> {
        if bytes.len() < WIDTH || start > end || end > bytes.len() {
            return None;
        }
        debug_assert!(end == bytes.len() || is_marked(bytes[end], class));
        let word = word(bytes, start, end, class);
        Some(Marks {
            bytes,
            base: start,
            end,
            word,
            class,
        })
    }

    /// Where the next marked octet is, or the end of the piece if there is none.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> usize {
        if self.word == 0 {
            // A value seldom has more than a word; this keeps the registers of those that have not.
            (self.base, self.word) = more_of_value(self.bytes, self.base, self.end, self.class);
        }
        self.take()
    }

    /// The same for a piece of many words.
    #[inline(always)]
    pub(crate) fn next_of_many(&mut self) -> usize {
        if self.word == 0 {
            (self.base, self.word) = more(self.bytes, self.base, self.end, self.class);
        }
        self.take()
    }

    #[inline(always)]
    fn take(&mut self) -> usize {
        let at = self.base + self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        at
    }
}

#[cold]
#[inline(never)]
fn more_of_value<C: Class>(bytes: &[u8], base: usize, end: usize, class: C) -> (usize, u64) {
    more(bytes, base, end, class)
}

/// The next word with a mark, and where it begins; the end is marked.
#[inline(always)]
fn more<C: Class>(bytes: &[u8], mut base: usize, end: usize, class: C) -> (usize, u64) {
    while base + WORD < end {
        base += WORD;
        let word = word(bytes, base, end, class);
        if word != 0 {
            return (base, word);
        }
    }
    (end, 1)
}

/// The bits of up to 64 octets from `base` on; the end is marked too. There are at least sixteen
/// octets in all.
#[inline(always)]
fn word<C: Class>(bytes: &[u8], base: usize, end: usize, class: C) -> u64 {
    work::add((end - base).min(WORD));
    let rest = &bytes[base..];
    let word = match rest.first_chunk::<WORD>() {
        Some(whole) => {
            let (blocks, _) = whole.as_chunks::<WIDTH>();
            bits(&blocks[0], class)
                | bits(&blocks[1], class) << 16
                | bits(&blocks[2], class) << 32
                | bits(&blocks[3], class) << 48
        }
        None => last_word(bytes, rest, class),
    };
    if end < bytes.len() || end - base >= WORD {
        return word;
    }
    // No octet is there to be the mark.
    word | 1 << (end - base)
}

/// Whether the class has the octet.
fn is_marked<C: Class>(octet: u8, class: C) -> bool {
    bits(&[octet; WIDTH], class) != 0
}

#[inline(never)]
fn last_word<C: Class>(bytes: &[u8], rest: &[u8], class: C) -> u64 {
    let (blocks, tail) = rest.as_chunks::<WIDTH>();
    let mut word = 0;
    let mut shift = 0;
    for block in blocks {
        word |= bits(block, class) << shift;
        shift += WIDTH;
    }
    if !tail.is_empty()
        && let Some(last) = bytes.last_chunk::<WIDTH>()
    {
        // The last sixteen octets reach back into what was seen: those bits fall off.
        word |= bits(last, class) >> (WIDTH - tail.len()) << shift;
    }
    word
}

/// Whether nothing of `bytes[start..end]` is marked; `None`: there are too few octets to tell.
#[inline(always)]
pub(crate) fn is_clear<C: Class>(bytes: &[u8], start: usize, end: usize, class: C) -> Option<bool> {
    work::add(end - start);
    let mut at = start;
    while at < end {
        let rest = bytes.get(at..)?;
        let marked = match rest.first_chunk::<WIDTH>() {
            Some(block) => bits(block, class),
            None => bits(bytes.last_chunk::<WIDTH>()?, class) >> (WIDTH - rest.len()),
        };
        let kept = (end - at).min(WIDTH);
        if marked & ((1 << kept) - 1) != 0 {
            return Some(false);
        }
        at += WIDTH;
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::octets;

    fn check<C: Class>(class: C, is_marked: impl Fn(u8) -> bool) {
        for octet in 0..=255 {
            for at in [0, 7, 15, 16, 31, 63, 64, 70, 128, 149] {
                let mut bytes = [b'a'; 150];
                bytes[at] = octet;
                for (start, end) in [(0, at + 1), (at, at + 1), (0, 150), (at / 2, 150)] {
                    let mut bytes = bytes.to_vec();
                    let want = if is_marked(octet) { at } else { end };
                    let name = format!("{octet:#x} at {at} of {start}..{end}");
                    for slack in [0, 1, 20, 80] {
                        bytes.truncate(end);
                        // A space is of each class but one.
                        bytes.resize(end + slack, if is_marked(b' ') { b' ' } else { 0 });
                        let Some(mut marks) = Marks::new(&bytes, start, end, class) else {
                            continue;
                        };
                        assert_eq!(marks.next(), want, "{name}, {slack}");
                        if want < end {
                            assert_eq!(marks.next(), end, "{name}, {slack}");
                        }
                        let clear = is_clear(&bytes, start, end, class).unwrap();
                        assert_eq!(clear, !is_marked(octet), "{name}, {slack}");
                    }
                    bytes.truncate(end);
                    if let Some(mut marks) = Marks::new(&bytes, start, end, class) {
                        let found: Vec<usize> = (0..4).map(|_| marks.next_of_many()).collect();
                        let first = if want < end { want } else { end };
                        assert_eq!(found, [first, end, end, end], "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_octet_is_marked_as_its_class_says() {
        check(LineEnd, |octet| octet <= 13);
        check(Mark, |octet| !octets::is(octet, octets::HOST));
        check(Blank, |octet| !(b'!'..=b'~').contains(&octet));
        check(Bracket, |octet| {
            !octets::is(octet, octets::URI) || matches!(octet, b'!' | b'\\' | 0x80..)
        });
        check(ValueEnd, |octet| {
            !octets::is(octet, octets::VALUE) || matches!(octet, b'!' | 0x80..)
        });
    }

    #[test]
    fn what_is_unmarked_is_of_every_class() {
        for octet in (0..=255).filter(|&octet| octets::is(octet, octets::HOST)) {
            for class in [
                octets::TOKEN,
                octets::URI,
                octets::USER,
                octets::URI_PARAM,
                octets::DISPLAY,
                octets::VALUE,
            ] {
                assert!(octets::is(octet, class), "{octet:#x}");
            }
        }
    }
}
