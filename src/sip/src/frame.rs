//! Where a message ends in a stream (RFC 3261 §18.3): a pure function of the bytes received so far.
//!
//! Whoever reads a stream asks again after each read, from the start of the message. Until the
//! empty line is there that costs one vector search over at most the header limit; afterwards one
//! walk over the lines. Whatever the cuts between reads, the messages are the same.

use std::fmt;

use crate::limits::{MESSAGE_BYTES_MAX, SECTION_BYTES_MAX};
use crate::octets::{self, TOKEN};
use crate::{ErrorKind, HeaderId};

/// What the bytes at hand begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// The beginning of something: read on.
    More,
    /// A message of this many octets.
    Message(usize),
    /// A line end, or two of them: skip `bytes`, and if `pong` is set answer with one (RFC 5626
    /// §4.4.1).
    KeepAlive {
        /// How many octets.
        bytes: usize,
        /// Whether it was a ping, which wants an answer.
        pong: bool,
    },
    /// Nobody can tell where this message ends: answer, and close the connection.
    Bad(FrameError),
}

/// The most that a stream may send as one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of start line and header section, with the empty line.
    pub header_bytes_max: usize,
    /// Octets of the body.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            header_bytes_max: SECTION_BYTES_MAX,
            body_bytes_max: MESSAGE_BYTES_MAX - SECTION_BYTES_MAX,
        }
    }
}

/// Why a stream cannot be framed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FrameError {
    /// It does not begin like a message: TLS on a TCP port, or noise.
    Start = 1,
    /// A CR or LF alone: two parsers could see two different sets of header lines.
    LineEnd = 2,
    /// The header section is longer than the limit.
    SectionTooLong = 3,
    /// No Content-Length, which a stream cannot do without (RFC 3261 §20.14).
    NoLength = 4,
    /// A Content-Length that is no number.
    BadLength = 5,
    /// Two Content-Length that differ.
    TwoLengths = 6,
    /// The body is longer than the limit.
    BodyTooLong = 7,
}

impl FrameError {
    /// All of them, in the order of their codes.
    pub const ALL: [FrameError; 7] = [
        FrameError::Start,
        FrameError::LineEnd,
        FrameError::SectionTooLong,
        FrameError::NoLength,
        FrameError::BadLength,
        FrameError::TwoLengths,
        FrameError::BodyTooLong,
    ];

    /// The number that stands for it outside of this crate.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The error of that number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<FrameError> {
        FrameError::ALL
            .into_iter()
            .find(|error| error.code() == code)
    }

    /// Counter name, status and reason phrase.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            FrameError::Start => ("start", 400, "Bad Request (not SIP)"),
            FrameError::LineEnd => ("line_end", 400, "Bad Request (line end)"),
            FrameError::SectionTooLong => (
                "section_too_long",
                513,
                "Message Too Large (header section)",
            ),
            FrameError::NoLength => ("no_length", 400, "Bad Request (no Content-Length)"),
            FrameError::BadLength => ("bad_length", 400, "Bad Request (Content-Length)"),
            FrameError::TwoLengths => ("two_lengths", 400, "Bad Request (two Content-Length)"),
            FrameError::BodyTooLong => ("body_too_long", 513, "Message Too Large (body)"),
        }
    }

    /// The status to answer with before the connection is closed.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// The reason phrase for that status.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.row().2
    }

    /// The name of the error's counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// Says what the bytes received so far begin with.
#[must_use]
pub fn frame(bytes: &[u8], limits: Limits) -> Framing {
    match *bytes {
        [] | [b'\r'] => return Framing::More,
        [b'\r', b'\n', b'\r', b'\n', ..] => {
            return Framing::KeepAlive {
                bytes: 4,
                pong: true,
            };
        }
        [b'\r', b'\n', ..] => {
            return Framing::KeepAlive {
                bytes: 2,
                pong: false,
            };
        }
        [first, ..] if !octets::is(first, TOKEN) => return Framing::Bad(FrameError::Start),
        _ => {}
    }
    let window = &bytes[..bytes.len().min(limits.header_bytes_max)];
    let Some(section_end) = memchr::memmem::find(window, b"\r\n\r\n") else {
        return if bytes.len() >= limits.header_bytes_max {
            Framing::Bad(FrameError::SectionTooLong)
        } else {
            Framing::More
        };
    };
    octets::work::add(section_end);
    match content_length(&bytes[..section_end + 2]) {
        Err(error) => Framing::Bad(error),
        Ok(length) => {
            let start = section_end + 4;
            let room = limits
                .body_bytes_max
                .min(MESSAGE_BYTES_MAX.saturating_sub(start));
            if length > room as u64 {
                return Framing::Bad(FrameError::BodyTooLong);
            }
            let end = start + length as usize;
            if bytes.len() < end {
                Framing::More
            } else {
                Framing::Message(end)
            }
        }
    }
}

/// The one Content-Length of a header section, whose last line ends with it.
fn content_length(section: &[u8]) -> Result<u64, FrameError> {
    let mut length = None;
    let mut at = line_end(section, 0)?;
    while at < section.len() {
        let end = line_end(section, at)?;
        if matches!(section[at] | 0x20, b'c' | b'l')
            && let Some(value) = length_value(&section[at..end])
        {
            let this = octets::number(value, u64::MAX, ErrorKind::ContentLength, at)
                .map_err(|_| FrameError::BadLength)?;
            if length.is_some_and(|other| other != this) {
                return Err(FrameError::TwoLengths);
            }
            length = Some(this);
        }
        at = end;
    }
    length.ok_or(FrameError::NoLength)
}

/// Where the line at `at` ends, folds taken in.
fn line_end(section: &[u8], mut at: usize) -> Result<usize, FrameError> {
    loop {
        let rest = &section[at..];
        let end = memchr::memchr2(b'\r', b'\n', rest).ok_or(FrameError::LineEnd)?;
        octets::work::add(end);
        if rest[end..].get(..2) != Some(b"\r\n") {
            return Err(FrameError::LineEnd);
        }
        at += end + 2;
        if !matches!(section.get(at), Some(b' ' | b'\t')) {
            return Ok(at);
        }
    }
}

/// The value of a Content-Length line.
fn length_value(line: &[u8]) -> Option<&[u8]> {
    let name_end = octets::run(line, 0, TOKEN);
    if HeaderId::of(&line[..name_end]) != HeaderId::ContentLength {
        return None;
    }
    let colon = octets::find(b':', line)?;
    let (from, to) = octets::trim(line, colon + 1, line.len());
    Some(&line[from..to])
}
