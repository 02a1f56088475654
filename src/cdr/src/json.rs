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

use std::io::Write;
use std::net::SocketAddr;

use base::Wall;

use crate::{Attempt, Call, write_civil};

/// Appends the record as one line of JSON, with its line feed.
pub fn write_json(call: &Call<'_>, out: &mut Vec<u8>) {
    let mut o = Object::begin(out);
    o.text("id", call.id);
    o.text("node", call.node);
    o.number("generation", call.generation);
    o.civil("started", call.started);
    o.civil_option("ringing", call.ringing);
    o.civil_option("answered", call.answered);
    o.civil("ended", call.ended);
    o.number("duration_us", call.duration_us);
    o.number_option("pdd_us", call.pdd_us);
    o.number("status", u64::from(call.status));
    o.number("q850", u64::from(call.q850));
    o.text("cause", call.cause.name().as_bytes());
    o.text("hung_up", call.hung_up.name().as_bytes());
    o.text("call_id", call.call_id);
    o.text("from_uri", call.from_uri);
    o.text("to_uri", call.to_uri);
    o.text("request_uri", call.request_uri);
    o.text("calling", call.calling);
    o.text("called", call.called);
    o.text("ingress_trunk", call.ingress_trunk);
    o.text("ingress_carrier", call.ingress_carrier);
    o.address("source", call.source);
    o.text(
        "source_transport",
        call.source_transport.uri_name().as_bytes(),
    );
    o.text("egress_gateway", call.egress_gateway);
    o.text("egress_carrier", call.egress_carrier);
    o.text("route_prefix", call.route_prefix);
    o.key("attempts");
    o.out.push(b'[');
    for (i, attempt) in call.attempts.iter().enumerate() {
        if i > 0 {
            o.out.push(b',');
        }
        write_attempt(attempt, o.out);
    }
    o.out.push(b']');
    o.boolean("clipped", call.clipped);
    o.end();
    out.push(b'\n');
}

fn write_attempt(attempt: &Attempt<'_>, out: &mut Vec<u8>) {
    let mut o = Object::begin(out);
    o.number("number", u64::from(attempt.number));
    o.text("gateway", attempt.gateway);
    o.text("carrier", attempt.carrier);
    o.address("address", attempt.address);
    o.text("transport", attempt.transport.uri_name().as_bytes());
    o.civil("started", attempt.started);
    o.civil_option("progress", attempt.progress);
    o.civil_option("answered", attempt.answered);
    o.civil("ended", attempt.ended);
    o.number("status", u64::from(attempt.status));
    o.number("q850", u64::from(attempt.q850));
    o.text("cause", attempt.cause.name().as_bytes());
    o.end();
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

/// Which octets stand for themselves in both layers: printable ASCII but what [`write_char`] writes
/// otherwise.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut octet = b' ';
    while octet < 0x7f {
        plain[octet as usize] = !matches!(octet, b'\\' | b'"' | b'<' | b'>' | b'&');
        octet += 1;
    }
    plain
};

/// Writes one JSON object, field by field.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object {
            out,
            is_empty: true,
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        let separator: &[u8] = if self.is_empty { b"\"" } else { b",\"" };
        self.is_empty = false;
        self.out.extend_from_slice(separator);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, octets: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        // What carriers send is nearly always plain to the end: one look, one copy.
        let plain = octets.iter().position(|&octet| !PLAIN[usize::from(octet)]);
        let (plain, rest) = octets.split_at(plain.unwrap_or(octets.len()));
        self.out.extend_from_slice(plain);
        for chunk in rest.utf8_chunks() {
            for c in chunk.valid().chars() {
                write_char(c, self.out);
            }
            for &octet in chunk.invalid() {
                self.out.extend_from_slice(b"\\\\x");
                write_hex_octet(octet, self.out);
            }
        }
        self.out.push(b'"');
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        write_number(value, self.out);
    }

    fn number_option(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    fn civil(&mut self, key: &str, wall: Wall) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(&write_civil(wall));
        self.out.push(b'"');
    }

    fn civil_option(&mut self, key: &str, wall: Option<Wall>) {
        match wall {
            Some(wall) => self.civil(key, wall),
            None => self.null(key),
        }
    }

    fn address(&mut self, key: &str, address: SocketAddr) {
        self.key(key);
        self.out.push(b'"');
        match address {
            SocketAddr::V4(address) => {
                for (place, octet) in address.ip().octets().into_iter().enumerate() {
                    if place > 0 {
                        self.out.push(b'.');
                    }
                    write_number(u64::from(octet), self.out);
                }
                self.out.push(b':');
                write_number(u64::from(address.port()), self.out);
            }
            // Digits, letters, colons and brackets: nothing to escape.
            SocketAddr::V6(address) => {
                let _never_fails = write!(self.out, "{address}");
            }
        }
        self.out.push(b'"');
    }

    fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(word);
    }

    fn null(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
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

fn write_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20]; // u64::MAX has as many
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
