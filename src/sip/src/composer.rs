//! Writing a message into a buffer that may be too small.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Appends to a caller's buffer; what does not fit fails the whole, at the end.
pub(crate) struct Composer<'o> {
    out: &'o mut [u8],
    length: usize,
    is_full: bool,
}

impl<'o> Composer<'o> {
    pub(crate) fn new(out: &'o mut [u8]) -> Composer<'o> {
        Composer {
            out,
            length: 0,
            is_full: false,
        }
    }

    pub(crate) fn put(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        match self.out.get_mut(self.length..end) {
            Some(slot) if !self.is_full => {
                slot.copy_from_slice(text);
                self.length = end;
            }
            _ => self.is_full = true,
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

    pub(crate) fn put_ip(&mut self, ip: IpAddr) {
        self.put(Text::ip(ip).as_bytes());
    }

    /// The length written, if all of it fitted.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.is_full).then_some(self.length)
    }
}

/// A number in decimal digits, on the stack.
pub(crate) struct Digits {
    octets: [u8; 20],
    start: usize,
}

impl Digits {
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

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[self.start..]
    }
}

/// An address in words, on the stack.
pub(crate) struct Text {
    octets: [u8; 64],
    length: usize,
}

impl Text {
    /// `192.0.2.1:5060` or `[2001:db8::1]:5060`.
    pub(crate) fn address(address: SocketAddr) -> Text {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Text::of(format_args!("{address}"))
    }

    /// `192.0.2.1` or `2001:db8::1`: no brackets (RFC 5118 §4.5).
    pub(crate) fn ip(ip: IpAddr) -> Text {
        Text::of(format_args!("{}", ip.to_canonical()))
    }

    fn of(words: std::fmt::Arguments<'_>) -> Text {
        let mut text = Text {
            octets: [0; 64],
            length: 0,
        };
        let mut rest = &mut text.octets[..];
        rest.write_fmt(words)
            .expect("an address takes fewer than 64 octets: a v6 one without a zone at most 47");
        let left = rest.len();
        text.length = text.octets.len() - left;
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}
