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

/// A semicolon, a comma, a line end, and all below that.
#[derive(Clone, Copy)]
pub(crate) struct ParamStart;

impl Class for ParamStart {
    #[inline(always)]
    fn of(octets: u8x16) -> u8x16 {
        LineEnd::of(octets) | is(octets, b';') | is(octets, b',')
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

/// The marked octets from some place on, and then the end.
pub(crate) struct Marks<'a, C> {
    bytes: &'a [u8],
    base: usize,
    word: u64,
    class: C,
}

impl<'a, C: Class> Marks<'a, C> {
    /// Those of `bytes[start..]`. `None`: there are too few octets to be looked at in this way.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], start: usize, class: C) -> Option<Marks<'a, C>> {
        if bytes.len() < WIDTH {
            return None;
        }
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

/// The bits of up to 64 octets from `base` on; the end is marked too. There are at least sixteen
/// octets in all. `None`: nothing is there any more.
#[inline(always)]
fn word<C: Class>(bytes: &[u8], base: usize, class: C) -> Option<u64> {
    let rest = bytes.get(base..)?;
    let Some(whole) = rest.first_chunk::<WORD>() else {
        return last_word(bytes, rest, class);
    };
    work::add(WORD);
    let (blocks, _) = whole.as_chunks::<WIDTH>();
    let word = bits(&blocks[0], class)
        | bits(&blocks[1], class) << 16
        | bits(&blocks[2], class) << 32
        | bits(&blocks[3], class) << 48;
    Some(word)
}

#[inline(never)]
fn last_word<C: Class>(bytes: &[u8], rest: &[u8], class: C) -> Option<u64> {
    work::add(rest.len());
    let mut word = 1 << rest.len();
    let Some(last) = rest.len().checked_sub(WIDTH) else {
        // The last sixteen octets reach back before the place: those bits fall off.
        let marked = bits(bytes.last_chunk::<WIDTH>()?, class);
        return Some(word | marked >> (WIDTH - 1 - rest.len()) >> 1);
    };
    let mut at = 0;
    loop {
        // The last sixteen octets reach back into what was seen: those bits are there already.
        let from = at.min(last);
        word |= bits(rest[from..].first_chunk::<WIDTH>()?, class) << from;
        if from == last {
            return Some(word);
        }
        at += WIDTH;
    }
}

/// Where the first marked octet from `start` on is, or the end, if it is likely to be near. `None`:
/// there are too few octets to be looked at in this way.
#[inline(always)]
pub(crate) fn first_mark<C: Class>(bytes: &[u8], start: usize, class: C) -> Option<usize> {
    let mut at = start;
    while let Some(block) = bytes.get(at..)?.first_chunk::<WIDTH>() {
        work::add(WIDTH);
        let marked = bits(block, class);
        if marked != 0 {
            return Some(at + marked.trailing_zeros() as usize);
        }
        at += WIDTH;
    }
    last_mark(bytes, at, class)
}

#[inline(never)]
fn last_mark<C: Class>(bytes: &[u8], at: usize, class: C) -> Option<usize> {
    let seen = WIDTH - (bytes.len() - at);
    let marked = bits(bytes.last_chunk::<WIDTH>()?, class) >> seen | 1 << (WIDTH - seen);
    Some(at + marked.trailing_zeros() as usize)
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
                    let Some(mut marks) = Marks::new(&bytes[..end], start, class) else {
                        continue;
                    };
                    let found: Vec<usize> = (0..3).map(|_| marks.next()).collect();
                    assert_eq!(found, [want, end, end], "{name}");
                    let first = first_mark(&bytes[..end], start, class);
                    assert_eq!(first, Some(want), "{name}");
                }
            }
        }
        assert!(Marks::new(&[b'a'; 20], 21, class).is_none());
        assert_eq!(first_mark(&[b'a'; 20], 21, class), None);
        assert_eq!(first_mark(&[b'a'; 15], 0, class), None);
    }

    #[test]
    fn every_octet_is_marked_as_its_class_says() {
        check(LineEnd, |octet| octet <= 13);
        check(ParamStart, |octet| octet <= 13 || b";,".contains(&octet));
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
