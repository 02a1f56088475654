//! Octets by blocks: which of them are of a class, one bit each.
//!
//! A message in its usual form is read by these bits: a line or a value costs a few instructions
//! for 32 octets, and some more for each separator in it. The width is that of AVX2; where a
//! register is narrower, two stand for one. Nothing is asked for at run time.

use wide::{u8x16, u8x32};

use crate::octets::work;

/// How many octets are looked at in one step.
pub(crate) const BLOCK: usize = 32;
/// How many octets a word of bits stands for.
pub(crate) const WORD: usize = 64;
/// How many octets of a header line's start are compared in one step.
pub(crate) const NAME: usize = 16;

/// Which octets are marked. A NUL is, in each class but [`LineFeed`]: what is behind the end looks like it.
pub(crate) trait Class: Copy {
    /// A bit for each octet that is marked.
    fn of(octets: u8x32) -> u32;
}

#[inline(always)]
fn is(octets: u8x32, octet: u8) -> u8x32 {
    octets.simd_eq(u8x32::splat(octet))
}

/// Zero in all that is in the range.
#[inline(always)]
fn beyond(octets: u8x32, first: u8, last: u8) -> u8x32 {
    (octets - u8x32::splat(first)).saturating_sub(u8x32::splat(last - first))
}

#[inline(always)]
fn is_within(octets: u8x32, first: u8, last: u8) -> u8x32 {
    is(beyond(octets, first, last), 0)
}

#[inline(always)]
fn is_line_end(octets: u8x32) -> u8x32 {
    octets.min(u8x32::splat(b'\r')).simd_eq(octets)
}

/// CR, LF, NUL; others below them too, which whoever looks tells apart.
#[derive(Clone, Copy)]
pub(crate) struct LineEnd;

impl Class for LineEnd {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        is_line_end(octets).to_bitmask()
    }
}

/// LF and nothing else.
#[derive(Clone, Copy)]
pub(crate) struct LineFeed;

impl Class for LineFeed {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        is(octets, b'\n').to_bitmask()
    }
}

/// What ends or escapes in a quoted string, and line ends.
#[derive(Clone, Copy)]
pub(crate) struct Quote;

impl Class for Quote {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        (is_line_end(octets) | is(octets, b'"') | is(octets, b'\\')).to_bitmask()
    }
}

/// All that ends or forbids a URI in angle brackets, and what is not ASCII.
#[derive(Clone, Copy)]
pub(crate) struct Bracket;

impl Class for Bracket {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        let brackets = is(octets | u8x32::splat(2), b'>');
        !(!brackets & is_within(octets, b'#', b'~')).to_bitmask()
    }
}

/// All but letters, digits, `.`, `-` and `_`: what is left unmarked is of every class that
/// [`octets`](crate::octets) has.
#[derive(Clone, Copy)]
pub(crate) struct Mark;

impl Class for Mark {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        let low = u8x32::new(PLAIN_LOW).swizzle_half_relaxed(octets & u8x32::splat(0x0f));
        let high = octets.unbounded_shr_scalar(4);
        let high = u8x32::new(PLAIN_HIGH).swizzle_half_relaxed(high);
        is(low & high, 0).to_bitmask()
    }
}

/// The rows of the octets that [`Mark`] leaves out: the high half, and the low halves there.
const PLAIN: [(u8, std::ops::RangeInclusive<u8>); 7] = [
    (2, 0xd..=0xe), // - .
    (3, 0..=9),
    (4, 1..=15),  // A to O
    (5, 0..=10),  // P to Z
    (5, 15..=15), // _
    (6, 1..=15),  // a to o
    (7, 0..=10),  // p to z
];
/// For each low half a bit for each row that has it, twice, as registers have it.
const PLAIN_LOW: [u8; BLOCK] = plain(false);
/// For each high half a bit for each row that has it.
const PLAIN_HIGH: [u8; BLOCK] = plain(true);

const fn plain(is_high: bool) -> [u8; BLOCK] {
    let mut table = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        let half = (at % 16) as u8;
        let mut row = 0;
        while row < PLAIN.len() {
            let (high, low) = &PLAIN[row];
            let is_in = match is_high {
                true => half == *high,
                false => *low.start() <= half && half <= *low.end(),
            };
            table[at] |= (is_in as u8) << row;
            row += 1;
        }
        at += 1;
    }
    table
}

/// All that ends or forbids the unquoted value of a header parameter, and what is not ASCII.
#[derive(Clone, Copy)]
pub(crate) struct ValueEnd;

impl Class for ValueEnd {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        let separators = is(octets, b',') | is(octets, b';') | is(octets, b'<');
        !(!separators & is_within(octets, b'#', b'~')).to_bitmask()
    }
}

/// A semicolon, a comma, a line end, and all below that.
#[derive(Clone, Copy)]
pub(crate) struct ParamStart;

impl Class for ParamStart {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        (is_line_end(octets) | is(octets, b';') | is(octets, b',')).to_bitmask()
    }
}

/// White space, controls, and what is not ASCII.
#[derive(Clone, Copy)]
pub(crate) struct Blank;

impl Class for Blank {
    #[inline(always)]
    fn of(octets: u8x32) -> u32 {
        !is_within(octets, b'!', b'~').to_bitmask()
    }
}

/// A bit for each octet that is the same in both.
#[inline(always)]
pub(crate) fn same(one: &[u8; NAME], other: &[u8; NAME]) -> u16 {
    u8x16::new(*one).simd_eq(u8x16::new(*other)).to_bitmask() as u16
}

/// A bit for each octet of a block.
#[inline(always)]
pub(crate) fn bits<C: Class>(block: &[u8; BLOCK], _class: C) -> u32 {
    work::add(BLOCK);
    C::of(u8x32::new(*block))
}

/// The bits of 64 octets.
#[inline(always)]
pub(crate) fn word_bits<C: Class>(octets: &[u8; WORD], class: C) -> u64 {
    let (blocks, _) = octets.as_chunks::<BLOCK>();
    u64::from(bits(&blocks[0], class)) | u64::from(bits(&blocks[1], class)) << BLOCK
}

/// All octets, 64 at a time: where they begin, and a bit for each that is marked. The end is, too.
#[inline(always)]
pub(crate) fn words<C: Class>(bytes: &[u8], class: C) -> impl Iterator<Item = (usize, u64)> {
    let (whole, _) = bytes.as_chunks::<WORD>();
    let behind = whole.len() * WORD;
    let whole = whole
        .iter()
        .enumerate()
        .map(move |(at, octets)| (at * WORD, word_bits(octets, class)));
    whole.chain(std::iter::once_with(move || {
        (behind, last_word(bytes, behind, class))
    }))
}

/// The marked octets from some place on, and then the end.
pub(crate) struct Marks<'a, C> {
    bytes: &'a [u8],
    base: usize,
    word: u64,
    class: C,
}

impl<'a, C: Class> Marks<'a, C> {
    /// Those of `bytes[start..]`. `None`: the bytes end before.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], start: usize, class: C) -> Option<Marks<'a, C>> {
        let word = word(bytes, start, class)?;
        Some(Marks {
            bytes,
            base: start,
            word,
            class,
        })
    }

    /// Where the next marked octet is, or the end if there is none.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> usize {
        if self.word == 0 {
            (self.base, self.word) = more(self.bytes, self.base, self.class);
        }
        let at = self.base + self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        at
    }
}

/// The next word with a mark, and where it begins; the end is marked. Few values need it: it is not
/// inlined, to keep the registers of the others.
#[cold]
#[inline(never)]
fn more<C: Class>(bytes: &[u8], mut base: usize, class: C) -> (usize, u64) {
    while let Some(word) = word(bytes, base + WORD, class) {
        base += WORD;
        if word != 0 {
            return (base, word);
        }
    }
    (bytes.len(), 1)
}

/// The bits of up to 64 octets from `base` on; the end is marked too. `None`: the bytes end before.
#[inline(always)]
fn word<C: Class>(bytes: &[u8], base: usize, class: C) -> Option<u64> {
    let rest = bytes.get(base..)?;
    match rest.first_chunk() {
        Some(whole) => Some(word_bits(whole, class)),
        None => Some(last_word(bytes, base, class)),
    }
}

/// The bits of fewer than 64 octets, from `base` to the end, and of the end. They are looked at with
/// those before them.
#[inline(always)]
fn last_word<C: Class>(bytes: &[u8], base: usize, class: C) -> u64 {
    let left = bytes.len() - base;
    match bytes.last_chunk() {
        Some(last) => (word_bits(last, class) >> 1) >> (WORD - 1 - left) | 1 << left,
        None => only_word(&bytes[base..], class),
    }
}

/// As above, of bytes that are too few to look at.
#[inline(never)]
fn only_word<C: Class>(rest: &[u8], class: C) -> u64 {
    let mut padded = [0; WORD];
    padded[..rest.len()].copy_from_slice(rest);
    let end = 1 << rest.len();
    word_bits(&padded, class) & (end - 1) | end
}

/// Where the first marked octet from `start` on is, or the end, if it is likely to be near. `None`:
/// the bytes end before.
#[inline(always)]
pub(crate) fn first_mark<C: Class>(bytes: &[u8], start: usize, class: C) -> Option<usize> {
    let rest = bytes.get(start..)?;
    if let Some(block) = rest.first_chunk() {
        let marked = bits(block, class);
        if marked != 0 {
            return Some(start + marked.trailing_zeros() as usize);
        }
    }
    if let Some(near) = rest.first_chunk::<WORD>() {
        let (blocks, _) = near.as_chunks();
        let marked = bits(&blocks[1], class);
        if marked != 0 {
            return Some(start + BLOCK + marked.trailing_zeros() as usize);
        }
        let (base, word) = more(bytes, start, class);
        return Some(base + word.trailing_zeros() as usize);
    }
    Some(start + last_word(bytes, start, class).trailing_zeros() as usize)
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
                    let want = if is_marked(octet) { at } else { end };
                    let name = format!("{octet:#x} at {at} of {start}..{end}");
                    let mut marks = Marks::new(&bytes[..end], start, class).unwrap();
                    let found: Vec<usize> = (0..3).map(|_| marks.next()).collect();
                    assert_eq!(found, [want, end, end], "{name}");
                    let mut all = words(&bytes[..end], class);
                    let first = all.find(|&(_, word)| word != 0);
                    let first = first.map(|(base, word)| base + word.trailing_zeros() as usize);
                    assert_eq!(
                        first,
                        Some(if is_marked(octet) { at } else { end }),
                        "{name}"
                    );
                    let first = first_mark(&bytes[..end], start, class);
                    assert_eq!(first, Some(want), "{name}");
                }
            }
        }
        assert!(Marks::new(&[b'a'; 20], 21, class).is_none());
        assert_eq!(first_mark(&[b'a'; 20], 21, class), None);
        assert_eq!(first_mark(&[b'a'; 15], 0, class), Some(15));
        assert_eq!(first_mark(&[], 0, class), Some(0));
    }

    #[test]
    fn every_octet_is_marked_as_its_class_says() {
        check(LineEnd, |octet| octet <= 13);
        check(LineFeed, |octet| octet == b'\n');
        check(ParamStart, |octet| octet <= 13 || b";,".contains(&octet));
        check(Mark, |octet| !octets::is(octet, octets::HOST));
        check(Blank, |octet| !(b'!'..=b'~').contains(&octet));
        check(Bracket, |octet| {
            !octets::is(octet, octets::URI) || matches!(octet, b'!' | 0x80..)
        });
        check(Quote, |octet| octet <= 13 || b"\"\\".contains(&octet));
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
