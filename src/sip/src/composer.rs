//! Writing a message into a buffer that may be too small, and short text on the stack.

use std::io::Write;
use std::mem::take;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// Appends to a caller's buffer; what does not fit fails the whole, at the end.
pub(crate) struct Composer<'o> {
    /// What is still free; nothing, once something did not fit.
    rest: &'o mut [u8],
    /// All that there was.
    room: usize,
    is_full: bool,
}

impl<'o> Composer<'o> {
    pub(crate) fn new(out: &'o mut [u8]) -> Composer<'o> {
        Composer {
            room: out.len(),
            rest: out,
            is_full: false,
        }
    }

    #[inline]
    pub(crate) fn put(&mut self, text: &[u8]) {
        match take(&mut self.rest).split_at_mut_checked(text.len()) {
            Some((slot, rest)) => {
                slot.copy_from_slice(text);
                self.rest = rest;
            }
            None => self.is_full = true,
        }
    }

    /// The first `count` octets of `text`: all of it is copied, which costs nothing, and what is too
    /// much is written over.
    #[inline]
    pub(crate) fn put_first<const N: usize>(&mut self, text: &[u8; N], count: usize) {
        let rest = take(&mut self.rest);
        match rest.first_chunk_mut() {
            Some(slot) => *slot = *text,
            None => {
                self.rest = rest;
                return self.put_last(&text[..count]);
            }
        }
        match rest.get_mut(count..) {
            Some(rest) => self.rest = rest,
            None => self.is_full = true,
        }
    }

    /// What comes close to the end.
    #[cold]
    #[inline(never)]
    fn put_last(&mut self, text: &[u8]) {
        self.put(text);
    }

    /// A short text, of 16 to 64 octets: its two halves, which overlap, take no call to copy.
    #[inline]
    pub(crate) fn put_short(&mut self, text: &[u8]) {
        match take(&mut self.rest).split_at_mut_checked(text.len()) {
            Some((slot, rest)) => {
                if !copy_halves::<32>(text, slot) && !copy_halves::<16>(text, slot) {
                    slot.copy_from_slice(text);
                }
                self.rest = rest;
            }
            None => self.is_full = true,
        }
    }

    /// `bytes[start..end]`, a piece of a message. A short one, as those between our changes are, takes
    /// no call to copy.
    #[inline]
    pub(crate) fn put_piece(&mut self, bytes: &[u8], start: usize, end: usize) {
        const SHORT: usize = 32;
        let count = end.wrapping_sub(start);
        if count <= SHORT
            && let Some(text) = bytes.get(start..)
            && let Some(text) = text.first_chunk::<SHORT>()
        {
            return self.put_first(text, count);
        }
        match bytes.get(start..end) {
            Some(text) => self.put(text),
            None => self.is_full = true,
        }
    }

    /// A number, of which most have few digits.
    #[inline]
    pub(crate) fn put_small(&mut self, number: u32) {
        match PARTS.get(number as usize) {
            Some((digits, count)) => self.put_first(digits, usize::from(*count)),
            None => self.put_number(u64::from(number)),
        }
    }

    /// Text of a message that was refused: line ends and NULs become spaces.
    pub(crate) fn put_clean(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
            self.put(&rest[..at]);
            self.put(b" ");
            rest = &rest[at + 1..];
        }
        self.put(rest);
    }

    pub(crate) fn put_all(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.put(piece);
        }
    }

    pub(crate) fn put_number(&mut self, number: u64) {
        self.put(Digits::of(number).as_bytes());
    }

    /// The length written, if all of it fitted.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.is_full).then_some(self.room - self.rest.len())
    }
}

/// Copies a text as its first and its last octets. False: it is shorter than these, or longer.
#[inline(always)]
fn copy_halves<const N: usize>(text: &[u8], slot: &mut [u8]) -> bool {
    let (Some(first), Some(last)) = (text.first_chunk::<N>(), text.last_chunk::<N>()) else {
        return false;
    };
    if text.len() > 2 * N {
        return false;
    }
    if let Some(slot) = slot.first_chunk_mut() {
        *slot = *first;
    }
    if let Some(slot) = slot.last_chunk_mut() {
        *slot = *last;
    }
    true
}

/// Pieces of a message that are copied in order: those that touch are copied in one go.
pub(crate) struct Copied<'a> {
    bytes: &'a [u8],
    waiting: Range<usize>,
}

impl<'a> Copied<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Copied<'a> {
        Copied {
            bytes,
            waiting: 0..0,
        }
    }

    /// One piece more.
    #[inline]
    pub(crate) fn take(&mut self, piece: Range<usize>, to: &mut Composer<'_>) {
        if piece.start == self.waiting.end {
            self.waiting.end = piece.end;
            return;
        }
        self.flush(to);
        self.waiting = piece;
    }

    /// Writes what waits: before other text is written, and at the end.
    #[inline]
    pub(crate) fn flush(&mut self, to: &mut Composer<'_>) {
        to.put(&self.bytes[self.waiting.clone()]);
        self.waiting.start = self.waiting.end;
    }
}

/// A number in decimal digits, on the stack.
pub(crate) struct Digits {
    octets: [u8; 20],
    start: usize,
}

impl Digits {
    #[inline]
    pub(crate) fn of(number: u64) -> Digits {
        let mut octets = [0; 20];
        let mut start = octets.len();
        let mut rest = number;
        loop {
            start -= 1;
            octets[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return Digits { octets, start };
            }
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[self.start..]
    }
}

/// Short text on the stack: an address in words, or a parameter or two with one.
pub(crate) struct Text {
    octets: [u8; Text::ROOM],
    length: usize,
}

impl Text {
    /// `;received=` with the longest v6 address (39) and `;rport=65535` take 61; the writer of a
    /// part of an address puts four octets and counts fewer.
    const ROOM: usize = 64;

    pub(crate) const fn new() -> Text {
        Text {
            octets: [0; Text::ROOM],
            length: 0,
        }
    }

    /// `192.0.2.1:5060` or `[2001:db8::1]:5060`.
    pub(crate) fn address(address: SocketAddr) -> Text {
        let mut text = Text::new();
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => text.put_v4(v4),
            ip @ IpAddr::V6(_) => {
                text.put(b"[");
                text.put_ip(ip);
                text.put(b"]");
            }
        }
        text.put(b":");
        text.put_port(address.port());
        text
    }

    /// `192.0.2.1` or `2001:db8::1`: no brackets (RFC 5118 §4.5).
    pub(crate) fn ip(ip: IpAddr) -> Text {
        let mut text = Text::new();
        text.put_ip(ip);
        text
    }

    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, words: &[u8; N]) {
        self.octets[self.length..self.length + N].copy_from_slice(words);
        self.length += N;
    }

    #[inline]
    pub(crate) fn put_ip(&mut self, ip: IpAddr) {
        match ip.to_canonical() {
            IpAddr::V4(v4) => self.put_v4(v4),
            IpAddr::V6(v6) => self.put_words(format_args!("{v6}")),
        }
    }

    #[inline]
    pub(crate) fn put_v4(&mut self, v4: Ipv4Addr) {
        for part in v4.octets() {
            self.put_part(part);
            // The dot stands behind the digits already.
            self.length += 1;
        }
        self.length -= 1;
    }

    #[inline]
    fn put_part(&mut self, part: u8) {
        let (digits, count) = PARTS[usize::from(part)];
        self.octets[self.length..self.length + 4].copy_from_slice(&digits);
        self.length += usize::from(count);
    }

    #[inline]
    pub(crate) fn put_port(&mut self, port: u16) {
        let (thousands, ones) = (port / 1_000, port % 1_000);
        if thousands == 0 {
            return self.put_below_1000(ones);
        }
        // Up to 65, so two digits at most; then three with their zeros.
        self.put_part(thousands as u8);
        let [hundreds, tens, ones] = [ones / 100, ones / 10 % 10, ones % 10];
        self.put(&[hundreds, tens, ones].map(|digit| b'0' + digit as u8));
    }

    #[cold]
    fn put_below_1000(&mut self, port: u16) {
        let digits = Digits::of(u64::from(port));
        let digits = digits.as_bytes();
        self.octets[self.length..self.length + digits.len()].copy_from_slice(digits);
        self.length += digits.len();
    }

    #[cold]
    fn put_words(&mut self, words: std::fmt::Arguments<'_>) {
        let mut rest = &mut self.octets[self.length..];
        rest.write_fmt(words)
            .expect("a v6 address without a zone takes at most 39 octets");
        let left = rest.len();
        self.length = Text::ROOM - left;
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    /// Appends it to what is composed.
    #[inline]
    pub(crate) fn copy_to(&self, to: &mut Composer<'_>) {
        to.put_first(&self.octets, self.length);
    }
}

/// Whether `text` is the address as it is mostly written. To write four numbers down and compare
/// takes half as long as to read them.
#[inline]
pub(crate) fn is_v4(text: &[u8], v4: Ipv4Addr) -> bool {
    let mut octets = [0; 16];
    let mut length = 0;
    for part in v4.octets() {
        let (digits, count) = PARTS[usize::from(part)];
        octets[length..length + 4].copy_from_slice(&digits);
        length += usize::from(count) + 1;
    }
    text == &octets[..length - 1]
}

/// The decimal digits of each part of a v4 address and a dot, and how many digits there are.
static PARTS: [([u8; 4], u8); 256] = {
    let mut table = [([0; 4], 0); 256];
    let mut part = 0;
    while part < 256 {
        let digits = [
            b'0' + (part / 100) as u8,
            b'0' + (part / 10 % 10) as u8,
            b'0' + (part % 10) as u8,
        ];
        table[part] = match part {
            0..10 => ([digits[2], b'.', 0, 0], 1),
            10..100 => ([digits[1], digits[2], b'.', 0], 2),
            _ => ([digits[0], digits[1], digits[2], b'.'], 3),
        };
        part += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for part in 0..=255 {
            let v4 = Ipv4Addr::new(part, 255 - part, 9, part / 2);
            let text = v4.to_string();
            assert_eq!(Text::ip(v4.into()).as_bytes(), text.as_bytes());
            assert!(is_v4(text.as_bytes(), v4));
            let other = Ipv4Addr::from_bits(v4.to_bits() ^ 1);
            assert!(!is_v4(text.as_bytes(), other));
            assert!(!is_v4(format!("{text}.").as_bytes(), v4));
            assert!(!is_v4(format!("0{text}").as_bytes(), v4));
        }
        for address in [
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "192.0.2.1:5060",
            "[2001:db8::1]:5060",
            "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
        ] {
            let parsed: SocketAddr = address.parse().expect(address);
            assert_eq!(Text::address(parsed).as_bytes(), address.as_bytes());
        }
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:5060".parse().expect("an address");
        assert_eq!(Text::address(mapped).as_bytes(), b"192.0.2.1:5060");
    }

    #[test]
    fn pieces_that_touch_are_one() {
        let mut out = [0; 16];
        let mut to = Composer::new(&mut out);
        let mut copied = Copied::of(b"0123456789");
        for piece in [2..4, 4..5, 7..9] {
            copied.take(piece, &mut to);
        }
        copied.flush(&mut to);
        to.put(b"!");
        copied.flush(&mut to);
        copied.take(9..10, &mut to);
        copied.flush(&mut to);
        let length = to.finish().expect("it fits");
        assert_eq!(&out[..length], b"23478!9");
    }
}
