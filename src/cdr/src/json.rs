//! A record as one line of JSON.
//!
//! Peers choose most of what is in a record, so the line must stay one line of valid JSON and valid
//! UTF-8 whatever they sent, and the octets must be there for whoever asks what was on the wire.
//! Inside a string field the octets are written in two layers:
//!
//! 1. octets to text: UTF-8 stays as it is; a backslash becomes two; every octet that is not part
//!    of valid UTF-8 becomes `\xHH`. [`unescape`] undoes it.
//! 2. text to JSON: quotes, backslashes and everything that could act on a terminal, in a page or
//!    on the order of the text (controls, `<`, `>`, `&`, line separators, bidirectional marks)
//!    becomes `\uHHHH`, which every JSON reader undoes.
//!
//! Cost: what carriers send is nearly always plain, which one look at all texts of a frame tells
//! ([`is_plain`], 32 octets a step); each text is then one copy. Keys are slices of known length
//! with their punctuation, so that each is a few stores. Nothing is allocated once `out` has grown
//! to the longest line.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;

use base::Wall;
use wide::u8x32;

use crate::civil::Civil;
use crate::digits::write_number;
use crate::frame::{clip, open};
use crate::{Attempt, Call, DecodeError, Identity};

/// Appends the record as one line of JSON, with its line feed.
pub fn write_json(call: &Call<'_>, out: &mut Vec<u8>) {
    let attempts = call.attempts.iter().map(|&attempt| Ok(attempt));
    let Ok(()) = write_line_of::<Infallible>(call, attempts, Texts::Any, out);
}

/// Appends the record in a frame as one line of JSON: what [`crate::decode`] and [`write_json`]
/// do, in one pass. Never panics, whatever the bytes are.
///
/// # Errors
/// If the bytes are not exactly one frame that [`crate::encode`] can have written; `out` is then
/// as it was.
pub fn write_line(frame: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let begin = out.len();
    let (call, attempts, texts) = open(frame)?;
    let texts = match is_plain(texts) {
        true => Texts::Plain,
        false => Texts::Any,
    };
    let result = write_line_of(&call, attempts, texts, out);
    if result.is_err() {
        out.truncate(begin);
    }
    result
}

/// What is known of all texts of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// Every octet stands for itself.
    Plain,
    /// Nothing: each text is looked at.
    Any,
}

fn write_line_of<'a, E>(
    call: &Call<'a>,
    attempts: impl Iterator<Item = Result<Attempt<'a>, E>>,
    texts: Texts,
    out: &mut Vec<u8>,
) -> Result<(), E> {
    let identity = Identity::read(call.identity);
    let mut o = Line {
        out,
        texts,
        civil: Civil::new(call.started),
    };
    o.text(br#"{"id":""#, call.id);
    o.text(br#","node":""#, call.node);
    o.number(br#","generation":"#, call.generation);
    o.civil(br#","started":"#, call.started);
    o.civil_option(br#","ringing":"#, call.ringing);
    o.civil_option(br#","answered":"#, call.answered);
    o.civil(br#","ended":"#, call.ended);
    o.number(br#","duration_us":"#, call.duration_us);
    o.number_option(br#","pdd_us":"#, call.pdd_us);
    o.number(br#","status":"#, u64::from(call.status));
    o.number(br#","q850":"#, u64::from(call.q850));
    o.word(br#","cause":""#, call.cause.name());
    o.word(br#","hung_up":""#, call.hung_up.name());
    o.text(br#","call_id":""#, identity.call_id);
    o.text(br#","from_uri":""#, identity.from_uri);
    o.text(br#","to_uri":""#, identity.to_uri);
    o.text(br#","request_uri":""#, identity.request_uri);
    o.text(br#","calling":""#, identity.calling);
    o.text(br#","called":""#, identity.called);
    o.text(br#","ingress_trunk":""#, call.ingress_trunk);
    o.text(br#","ingress_carrier":""#, call.ingress_carrier);
    o.address(br#","source":""#, call.source);
    o.word(
        br#","source_transport":""#,
        call.source_transport.uri_name(),
    );
    o.text(br#","egress_gateway":""#, call.egress_gateway);
    o.text(br#","egress_carrier":""#, call.egress_carrier);
    o.text(br#","route_prefix":""#, identity.prefix);
    o.put(br#","attempts":["#);
    let begin = o.out.len();
    for attempt in attempts {
        if o.out.len() > begin {
            o.put(b",");
        }
        o.attempt(&attempt?);
    }
    match call.clipped || identity.is_long() {
        true => o.put(b"],\"clipped\":true}\n"),
        false => o.put(b"],\"clipped\":false}\n"),
    }
    Ok(())
}

/// The octets of a string field, once a JSON reader has given its text.
///
/// `None` if the text cannot have come from [`write_json`].
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            octets.push(byte);
            continue;
        }
        match *rest {
            [b'\\', ..] => {
                octets.push(b'\\');
                rest = &rest[1..];
            }
            [b'x', high, low, ..] => {
                octets.push(hex_value(high)? << 4 | hex_value(low)?);
                rest = &rest[3..];
            }
            _ => return None,
        }
    }
    Some(octets)
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Writes a line, field by field. A key comes with the punctuation around it.
struct Line<'o> {
    out: &'o mut Vec<u8>,
    texts: Texts,
    civil: Civil,
}

impl Line<'_> {
    #[inline(always)] // so that the length is known where it is copied
    fn put<const N: usize>(&mut self, octets: &[u8; N]) {
        self.out.extend_from_slice(octets);
    }

    /// What a peer or an operator chose.
    #[inline(always)]
    fn text<const N: usize>(&mut self, key: &[u8; N], octets: &[u8]) {
        self.put(key);
        let octets = clip(octets);
        match self.texts {
            Texts::Plain => self.out.extend_from_slice(octets),
            Texts::Any => escape(octets, self.out),
        }
        self.put(b"\"");
    }

    /// A word of ours.
    #[inline(always)]
    fn word<const N: usize>(&mut self, key: &[u8; N], word: &str) {
        self.put(key);
        self.out.extend_from_slice(word.as_bytes());
        self.put(b"\"");
    }

    #[inline(always)]
    fn number<const N: usize>(&mut self, key: &[u8; N], value: u64) {
        self.put(key);
        write_number(value, self.out);
    }

    #[inline(always)]
    fn number_option<const N: usize>(&mut self, key: &[u8; N], value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    #[inline(always)]
    fn civil<const N: usize>(&mut self, key: &[u8; N], wall: Wall) {
        self.put(key);
        self.quoted_civil(wall);
    }

    #[inline(always)]
    fn civil_option<const N: usize>(&mut self, key: &[u8; N], wall: Option<Wall>) {
        match wall {
            Some(wall) => self.civil(key, wall),
            None => self.null(key),
        }
    }

    #[inline(always)]
    fn null<const N: usize>(&mut self, key: &[u8; N]) {
        self.put(key);
        self.put(b"null");
    }

    fn quoted_civil(&mut self, wall: Wall) {
        let text = self.civil.write(wall);
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }

    #[inline(always)]
    fn address<const N: usize>(&mut self, key: &[u8; N], address: SocketAddr) {
        self.put(key);
        write_address(address, self.out);
        self.put(b"\"");
    }

    fn attempt(&mut self, attempt: &Attempt<'_>) {
        self.number(br#"{"number":"#, u64::from(attempt.number));
        self.text(br#","gateway":""#, attempt.gateway);
        self.text(br#","carrier":""#, attempt.carrier);
        self.address(br#","address":""#, attempt.address);
        self.word(br#","transport":""#, attempt.transport.uri_name());
        self.civil(br#","started":"#, attempt.started);
        self.civil_option(br#","progress":"#, attempt.progress);
        self.civil_option(br#","answered":"#, attempt.answered);
        self.civil(br#","ended":"#, attempt.ended);
        self.number(br#","status":"#, u64::from(attempt.status));
        self.number(br#","q850":"#, u64::from(attempt.q850));
        self.word(br#","cause":""#, attempt.cause.name());
        self.put(b"}");
    }
}

fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(address) => {
            let mut text = [0; 16];
            let mut at = 0;
            for octet in address.ip().octets() {
                let (digits, len) = OCTETS[usize::from(octet)];
                // Four octets each time; the next number is written over what is no digit or dot.
                text[at..at + 4].copy_from_slice(&digits);
                at += usize::from(len);
            }
            text[at - 1] = b':';
            let end = out.len() + at;
            out.extend_from_slice(&text);
            out.truncate(end);
            write_number(u64::from(address.port()), out);
        }
        // Digits, letters, colons and brackets: nothing to escape.
        SocketAddr::V6(address) => {
            let _never_fails = write!(out, "{address}");
        }
    }
}

/// Each octet's number with a dot behind it, and how long both are.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut all = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [
            b'0' + (octet / 100) as u8,
            b'0' + (octet / 10 % 10) as u8,
            b'0' + (octet % 10) as u8,
        ];
        let mut from = match octet {
            0..=9 => 2,
            10..=99 => 1,
            _ => 0,
        };
        let (text, len) = &mut all[octet];
        while from < 3 {
            text[*len as usize] = digits[from];
            *len += 1;
            from += 1;
        }
        *len += 1;
        octet += 1;
    }
    all
};

/// Whether octets stand for themselves in both layers: printable ASCII but what [`write_char`]
/// writes otherwise.
fn is_plain(octets: &[u8]) -> bool {
    const WIDTH: usize = 32;
    let Some(last) = octets.last_chunk::<WIDTH>() else {
        return octets.iter().all(|&octet| {
            matches!(octet, b' '..=b'~') && !matches!(octet, b'\\' | b'"' | b'<' | b'>' | b'&')
        });
    };
    // The last step looks again at what the one before has seen.
    let (steps, _) = octets.as_chunks::<WIDTH>();
    let marks = steps
        .iter()
        .fold(marks(last), |all, step| all | marks(step));
    marks.to_bitmask() == 0
}

/// All bits of a lane are set if its octet does not stand for itself.
#[inline(always)]
fn marks(octets: &[u8; 32]) -> u8x32 {
    let octets = u8x32::from(*octets);
    let is = |octets: u8x32, octet: u8| octets.simd_eq(u8x32::splat(octet));
    let printable = (octets - u8x32::splat(b' ')).saturating_sub(u8x32::splat(b'~' - b' '));
    // `<` and `>` differ in one bit, and so do `"` and `&`.
    !is(printable, 0)
        | is(octets | u8x32::splat(2), b'>')
        | is(octets | u8x32::splat(4), b'&')
        | is(octets, b'\\')
}

fn escape(octets: &[u8], out: &mut Vec<u8>) {
    if is_plain(octets) {
        out.extend_from_slice(octets);
        return;
    }
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            write_char(c, out);
        }
        for &octet in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            write_hex_octet(octet, out);
        }
    }
}

fn write_char(c: char, out: &mut Vec<u8>) {
    match c {
        // The backslash of the first layer is two, and each is two again in JSON.
        '\\' => out.extend_from_slice(br"\\\\"),
        '"' => out.extend_from_slice(br#"\""#),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{feff}' => write_unicode(c, out),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            write_unicode(c, out);
        }
        c if c.is_control() => write_unicode(c, out),
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn write_unicode(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u");
    let code = c as u32;
    write_hex_octet((code >> 8) as u8, out);
    write_hex_octet(code as u8, out);
}

fn write_hex_octet(octet: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(DIGITS[usize::from(octet >> 4)]);
    out.push(DIGITS[usize::from(octet & 15)]);
}
