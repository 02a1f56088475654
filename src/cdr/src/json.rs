//! A record as one line of JSON.
//!
//! Peers choose most of what is in a record, so the line must stay one line of valid JSON and valid
//! UTF-8 whatever they sent, and the octets must be there for whoever asks what was on the wire.
//! Inside a string field the octets are written in two layers:
//!
//! 1. octets to text: UTF-8 stays as it is; a backslash becomes two; every octet that is not part
//!    of valid UTF-8 becomes `\xHH`. [`crate::unescape`] undoes it.
//! 2. text to JSON: quotes, backslashes and everything that could act on a terminal, in a page or
//!    on the order of the text (controls, `<`, `>`, `&`, line separators, bidirectional marks)
//!    becomes `\uHHHH`, which every JSON reader undoes.
//!
//! Cost: what carriers send is nearly always plain, which one look at all texts of a frame tells
//! ([`is_plain`], 32 octets a step); each text is then one copy. Keys are slices of known length
//! with their punctuation, so that each is a check and a few stores. A line that does not fit the
//! buffer is begun again in a larger one, so no field asks for more than it needs, and nothing is
//! allocated once the buffer holds the longest line.

use std::io::Write;
use std::net::SocketAddr;

use base::Wall;

use crate::civil::Civil;
use crate::digits::{EIGHT_DIGITS, OCTETS, eight, up_to_eight};
use crate::frame::{clip, open};
use crate::octets::is_plain;
use crate::{Attempt, Call, Cause, DecodeError, Identity, Price};

/// Makes lines, in a buffer that is used again. Lives on the thread that writes them.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    civil: Civil,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines::new()
    }
}

impl Lines {
    /// With room for ordinary lines.
    #[must_use]
    pub fn new() -> Lines {
        Lines {
            buffer: vec![0; 4_096],
            civil: Civil::new(Wall(0)),
        }
    }

    /// The record in a frame as one line of JSON, with its line feed: [`crate::decode`] and
    /// [`Lines::of_call`] in one pass. Never panics, whatever the bytes are.
    ///
    /// # Errors
    /// If the bytes are not exactly one frame that [`crate::encode`] can have written.
    pub fn of_frame(&mut self, frame: &[u8]) -> Result<&[u8], DecodeError> {
        let (call, attempts, texts) = open(frame)?;
        let texts = match is_plain(texts) {
            true => Texts::Plain,
            false => Texts::Any,
        };
        let len = loop {
            match self.line(texts).write(&call, attempts.clone()) {
                Ok(len) => break len,
                Err(Stop::Full) => self.grow(),
                Err(Stop::Bad(error)) => return Err(error),
            }
        };
        Ok(&self.buffer[..len])
    }

    /// The record as one line of JSON, with its line feed.
    pub fn of_call(&mut self, call: &Call<'_>) -> &[u8] {
        let len = loop {
            let attempts = call.attempts.iter().map(|&attempt| Ok(attempt));
            match self.line(Texts::Any).write(call, attempts) {
                Ok(len) => break len,
                Err(_full) => self.grow(),
            }
        };
        &self.buffer[..len]
    }

    fn line(&mut self, texts: Texts) -> Line<'_> {
        Line {
            buffer_len: self.buffer.len(),
            room: &mut self.buffer,
            texts,
            civil: &mut self.civil,
        }
    }

    /// A record is finite, and so is what escaping makes of it.
    #[cold]
    fn grow(&mut self) {
        self.buffer.resize(2 * self.buffer.len(), 0);
    }
}

/// The record as one line of JSON, with its line feed.
#[must_use]
pub fn line(call: &Call<'_>) -> Vec<u8> {
    Lines::new().of_call(call).to_vec()
}

/// What is known of all texts of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// Every octet stands for itself.
    Plain,
    /// Nothing: each text is looked at.
    Any,
}

/// Why a line was not written to its end.
enum Stop {
    /// The buffer is too short.
    Full,
    /// An attempt cannot be read.
    Bad(DecodeError),
}

/// The buffer is too short.
struct Full;

impl From<Full> for Stop {
    fn from(_: Full) -> Stop {
        Stop::Full
    }
}

/// Writes a line, field by field. A key comes with the punctuation around it.
struct Line<'o> {
    /// What is left of the buffer.
    room: &'o mut [u8],
    buffer_len: usize,
    texts: Texts,
    civil: &'o mut Civil,
}

impl Line<'_> {
    /// Writes all of it and returns how long it is.
    fn write<'a>(
        mut self,
        call: &Call<'a>,
        attempts: impl Iterator<Item = Result<Attempt<'a>, DecodeError>>,
    ) -> Result<usize, Stop> {
        let identity = Identity::read(call.identity);
        self.head(call)?;
        self.text(br#","call_id":""#, identity.call_id)?;
        self.text(br#","from_uri":""#, identity.from_uri)?;
        self.text(br#","to_uri":""#, identity.to_uri)?;
        self.text(br#","request_uri":""#, identity.request_uri)?;
        self.text(br#","calling":""#, identity.calling)?;
        self.text(br#","called":""#, identity.called)?;
        self.text(br#","ingress_trunk":""#, call.ingress_trunk)?;
        self.text(br#","ingress_carrier":""#, call.ingress_carrier)?;
        self.address(br#","source":""#, call.source)?;
        let transport = call.source_transport.uri_name();
        self.word(br#","source_transport":""#, transport)?;
        self.text(br#","egress_gateway":""#, call.egress_gateway)?;
        self.text(br#","egress_carrier":""#, call.egress_carrier)?;
        self.text(br#","route_prefix":""#, identity.prefix)?;
        if !identity.cap.is_empty() {
            self.text(br#","cap":""#, identity.cap)?;
        }
        if let Some(sold) = &call.sold {
            self.put(br#","sold":"#)?;
            self.price(sold, identity.called)?;
        }
        self.put(br#","attempts":["#)?;
        for (place, attempt) in attempts.enumerate() {
            if place > 0 {
                self.put(b",")?;
            }
            self.attempt(&attempt.map_err(Stop::Bad)?, identity.called)?;
        }
        match call.clipped || identity.is_long() {
            true => self.put(b"],\"clipped\":true}\n")?,
            false => self.put(b"],\"clipped\":false}\n")?,
        }
        Ok(self.buffer_len - self.room.len())
    }

    fn head(&mut self, call: &Call<'_>) -> Result<(), Full> {
        self.text(br#"{"id":""#, call.id)?;
        self.text(br#","node":""#, call.node)?;
        self.put(br#","generation":"#)?;
        self.number(call.generation)?;
        self.civil(br#","started":"#, call.started)?;
        self.civil_option(br#","ringing":"#, call.ringing)?;
        self.civil_option(br#","answered":"#, call.answered)?;
        self.civil(br#","ended":"#, call.ended)?;
        self.put(br#","duration_us":"#)?;
        self.number(call.duration_us)?;
        self.put(br#","pdd_us":"#)?;
        match call.pdd_us {
            Some(us) => self.number(us)?,
            None => self.put(b"null")?,
        }
        self.outcome(call.status, call.q850, call.cause)?;
        self.word(br#","hung_up":""#, call.hung_up.name())
    }

    fn attempt(&mut self, attempt: &Attempt<'_>, called: &[u8]) -> Result<(), Full> {
        self.short_number(br#"{"number":"#, attempt.number)?;
        self.text(br#","gateway":""#, attempt.gateway)?;
        self.text(br#","carrier":""#, attempt.carrier)?;
        self.address(br#","address":""#, attempt.address)?;
        self.word(br#","transport":""#, attempt.transport.uri_name())?;
        self.civil(br#","started":"#, attempt.started)?;
        self.civil_option(br#","progress":"#, attempt.progress)?;
        self.civil_option(br#","answered":"#, attempt.answered)?;
        self.civil(br#","ended":"#, attempt.ended)?;
        self.outcome(attempt.status, attempt.q850, attempt.cause)?;
        if let Some(bought) = &attempt.bought {
            self.put(br#","bought":"#)?;
            self.price(bought, called)?;
        }
        self.put(b"}")
    }

    /// Amounts are texts, because numbers of JSON are read as floats by many.
    #[inline(never)]
    fn price(&mut self, price: &Price, called: &[u8]) -> Result<(), Full> {
        let Price {
            per_minute,
            connect_fee,
            first_seconds,
            next_seconds,
            amount,
            ..
        } = price;
        let code = &called[..called.len().min(usize::from(price.digits_count))];
        self.text(br#"{"code":""#, code)?;
        self.put(br#","currency":""#)?;
        self.put(&price.currency)?;
        write!(
            self.room,
            r#"","rate":"{per_minute}","fee":"{connect_fee}","steps":"{first_seconds}/{next_seconds}","amount":"{amount}"}}"#
        )
        .map_err(|_| Full)
    }

    fn outcome(&mut self, status: u16, q850: u8, cause: Cause) -> Result<(), Full> {
        self.put(br#","status":"#)?;
        self.number(u64::from(status))?;
        self.short_number(br#","q850":"#, q850)?;
        self.word(br#","cause":""#, cause.name())
    }

    #[inline(always)] // so that the length is known where it is copied
    fn put<const N: usize>(&mut self, octets: &[u8; N]) -> Result<(), Full> {
        self.put_begin(octets, N)
    }

    /// Writes these octets and keeps the first `len` of them: to copy what has a known length and
    /// go back is cheaper than to copy what has none.
    #[inline(always)]
    fn put_begin<const N: usize>(&mut self, octets: &[u8; N], len: usize) -> Result<(), Full> {
        let room = std::mem::take(&mut self.room);
        *room.first_chunk_mut().ok_or(Full)? = *octets;
        self.room = room.get_mut(len..).ok_or(Full)?;
        Ok(())
    }

    #[inline(always)]
    fn copy(&mut self, octets: &[u8]) -> Result<(), Full> {
        let room = std::mem::take(&mut self.room);
        let (place, rest) = room.split_at_mut_checked(octets.len()).ok_or(Full)?;
        place.copy_from_slice(octets);
        self.room = rest;
        Ok(())
    }

    /// What a peer or an operator chose.
    #[inline(always)]
    fn text<const N: usize>(&mut self, key: &[u8; N], octets: &[u8]) -> Result<(), Full> {
        self.put(key)?;
        let octets = clip(octets);
        match self.texts {
            Texts::Plain => self.copy(octets)?,
            Texts::Any => self.escape(octets)?,
        }
        self.put(b"\"")
    }

    /// A word of ours.
    #[inline(always)]
    fn word<const N: usize>(&mut self, key: &[u8; N], word: &str) -> Result<(), Full> {
        self.put(key)?;
        self.copy(word.as_bytes())?;
        self.put(b"\"")
    }

    fn number(&mut self, value: u64) -> Result<(), Full> {
        if value >= EIGHT_DIGITS {
            self.number(value / EIGHT_DIGITS)?;
            return self.put(&eight(value % EIGHT_DIGITS));
        }
        let (digits, len) = up_to_eight(value);
        self.put_begin(&digits, len)
    }

    #[inline(always)]
    fn short_number<const N: usize>(&mut self, key: &[u8; N], value: u8) -> Result<(), Full> {
        self.put(key)?;
        self.octet(value)
    }

    #[inline(always)]
    fn octet(&mut self, value: u8) -> Result<(), Full> {
        let (digits, len) = &OCTETS[usize::from(value)];
        self.put_begin(digits, usize::from(*len))
    }

    #[inline(always)]
    fn civil<const N: usize>(&mut self, key: &[u8; N], wall: Wall) -> Result<(), Full> {
        self.put(key)?;
        self.quoted_civil(wall)
    }

    #[inline(always)]
    fn civil_option<const N: usize>(
        &mut self,
        key: &[u8; N],
        wall: Option<Wall>,
    ) -> Result<(), Full> {
        self.put(key)?;
        match wall {
            Some(wall) => self.quoted_civil(wall),
            None => self.put(b"null"),
        }
    }

    fn quoted_civil(&mut self, wall: Wall) -> Result<(), Full> {
        let text = self.civil.quoted(wall);
        let room = std::mem::take(&mut self.room);
        let (place, rest) = room.split_first_chunk_mut().ok_or(Full)?;
        *place = *text;
        self.room = rest;
        Ok(())
    }

    #[inline(always)]
    fn address<const N: usize>(&mut self, key: &[u8; N], address: SocketAddr) -> Result<(), Full> {
        self.put(key)?;
        match address {
            SocketAddr::V4(address) => {
                let [first, rest @ ..] = address.ip().octets();
                self.octet(first)?;
                for octet in rest {
                    self.put(b".")?;
                    self.octet(octet)?;
                }
                self.put(b":")?;
                self.number(u64::from(address.port()))?;
            }
            // Digits, letters, colons and brackets: nothing to escape.
            SocketAddr::V6(address) => write!(self.room, "{address}").map_err(|_| Full)?,
        }
        self.put(b"\"")
    }

    #[inline(never)]
    fn escape(&mut self, octets: &[u8]) -> Result<(), Full> {
        if is_plain(octets) {
            return self.copy(octets);
        }
        for chunk in octets.utf8_chunks() {
            for c in chunk.valid().chars() {
                self.char(c)?;
            }
            for &octet in chunk.invalid() {
                self.put(b"\\\\x")?;
                self.put(&hex_octet(octet))?;
            }
        }
        Ok(())
    }

    fn char(&mut self, c: char) -> Result<(), Full> {
        match c {
            // The backslash of the first layer is two, and each is two again in JSON.
            '\\' => self.put(br"\\\\"),
            '"' => self.put(br#"\""#),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{feff}' => self.unicode(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                self.unicode(c)
            }
            c if c.is_control() => self.unicode(c),
            c => self.copy(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    fn unicode(&mut self, c: char) -> Result<(), Full> {
        let [_, _, high, low] = (c as u32).to_be_bytes();
        self.put(b"\\u")?;
        self.put(&hex_octet(high))?;
        self.put(&hex_octet(low))
    }
}

fn hex_octet(octet: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [octet >> 4, octet & 15].map(|digit| DIGITS[usize::from(digit)])
}
