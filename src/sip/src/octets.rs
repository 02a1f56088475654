//! Classes of octets, and the few loops that walk over them.
//!
//! Every loop of the parser that depends on the length of its input is one of these or counts its
//! steps as these do, so that the tests can show that work grows in line with length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::DIGITS_MAX;
use crate::{Error, ErrorKind};

/// Letters, digits and ``-.!%*_+`'~`` (RFC 3261 §25.1 `token`).
pub(crate) const TOKEN: u8 = 1;
/// What may stand in a URI that is only carried: all that is visible but `"<>`.
pub(crate) const URI: u8 = 2;
/// What may stand before the `@` of a SIP URI; more than the grammar has (`#` is common in dialled
/// strings), but nothing that could end the URI.
pub(crate) const USER: u8 = 4;
/// What may stand in a host name; `_` is not in the grammar, but in networks.
pub(crate) const HOST: u8 = 8;
/// What may stand in a parameter of a URI.
pub(crate) const URI_PARAM: u8 = 16;
/// What may stand in a display name without quotes: more than tokens (`&`, UTF-8), but nothing
/// that could be read as a separator.
pub(crate) const DISPLAY: u8 = 32;
/// What may stand in the unquoted value of a header parameter. `>` is not in the grammar, but in a
/// To of RFC 3666 (§3.3 F10), and does no harm there.
pub(crate) const VALUE: u8 = 64;
/// Space, tab, and the CR and LF of a fold: line ends were checked before.
pub(crate) const LWS: u8 = 128;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let octet = i as u8;
        let alphanumeric = octet.is_ascii_alphanumeric();
        let visible = octet > b' ' && octet < 0x7f;
        let high = octet >= 0x80;
        let bracket = matches!(octet, b'"' | b'<' | b'>');
        let mut class = 0;
        if alphanumeric
            || matches!(
                octet,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            )
        {
            class |= TOKEN;
        }
        if (visible || high) && !bracket {
            class |= URI;
        }
        if visible && !bracket && octet != b'@' {
            class |= USER;
        }
        if alphanumeric || matches!(octet, b'-' | b'.' | b'_') {
            class |= HOST;
        }
        if visible && !bracket && !matches!(octet, b'@' | b',' | b'?') {
            class |= URI_PARAM;
        }
        if (octet >= b' ' && octet != 0x7f || matches!(octet, b'\t' | b'\r' | b'\n'))
            && !bracket
            && !matches!(octet, b',' | b';' | b':')
        {
            class |= DISPLAY;
        }
        if (visible || high) && !matches!(octet, b'"' | b'<' | b',' | b';') {
            class |= VALUE;
        }
        if matches!(octet, b' ' | b'\t' | b'\r' | b'\n') {
            class |= LWS;
        }
        table[i] = class;
        i += 1;
    }
    table
}

/// Whether the octet is of one of the classes.
#[inline]
pub(crate) fn is(octet: u8, class: u8) -> bool {
    CLASS[octet as usize] & class != 0
}

/// Where the run of octets of the class that begins at `from` ends.
#[inline]
pub(crate) fn run(bytes: &[u8], from: usize, class: u8) -> usize {
    let rest = bytes.get(from..).unwrap_or(&[]);
    let length = rest
        .iter()
        .position(|&octet| CLASS[octet as usize] & class == 0)
        .unwrap_or(rest.len());
    work::add(length + 1);
    from + length
}

/// Whether all octets are of the class.
#[inline]
pub(crate) fn all(bytes: &[u8], class: u8) -> bool {
    run(bytes, 0, class) == bytes.len()
}

/// Where the octet stands first.
#[inline]
pub(crate) fn find(octet: u8, bytes: &[u8]) -> Option<usize> {
    let found = memchr::memchr(octet, bytes);
    work::add(found.map_or(bytes.len(), |at| at + 1));
    found
}

/// The bounds of `bytes[start..end]` without white space at both ends.
#[inline]
pub(crate) fn trim(bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && is(bytes[start], LWS) {
        start += 1;
        work::add(1);
    }
    while start < end && is(bytes[end - 1], LWS) {
        end -= 1;
        work::add(1);
    }
    (start, end)
}

/// The end of the quoted string that begins at `from`, past its closing quote.
pub(crate) fn quoted_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    while let Some(offset) = memchr::memchr2(b'"', b'\\', bytes.get(at..)?) {
        work::add(offset + 1);
        at += offset;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
    work::add(bytes.len().saturating_sub(at));
    None
}

/// The one reader of numbers: digits only, at most `max`, zeros in front allowed.
///
/// `kind` is what else than too many digits is refused as.
#[inline]
pub(crate) fn number(bytes: &[u8], max: u64, kind: ErrorKind, at: usize) -> Result<u64, Error> {
    match small_number(bytes) {
        Some(value) if u64::from(value) <= max => Ok(u64::from(value)),
        _ => any_number(bytes, max, kind, at),
    }
}

/// A number of one to nine digits.
#[inline]
pub(crate) fn small_number(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || bytes.len() > 9 {
        return None;
    }
    let mut value: u32 = 0;
    for &octet in bytes {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    Some(value)
}

#[cold]
fn any_number(bytes: &[u8], max: u64, kind: ErrorKind, at: usize) -> Result<u64, Error> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(Error::new(kind, at));
    }
    if bytes.len() > DIGITS_MAX {
        return Err(Error::new(ErrorKind::TooManyDigits, at));
    }
    let mut value: u64 = 0;
    for &octet in bytes {
        value = match value
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(octet - b'0')))
        {
            Some(next) if next <= max => next,
            _ => return Err(Error::new(kind, at)),
        };
    }
    Ok(value)
}

/// A port: 1 to 65,535.
pub(crate) fn port(bytes: &[u8], at: usize) -> Result<u16, Error> {
    match number(bytes, u64::from(u16::MAX), ErrorKind::Port, at)? {
        0 => Err(Error::new(ErrorKind::Port, at)),
        port => Ok(port as u16),
    }
}

/// A port of one to five digits, without anything else.
#[inline]
pub(crate) fn usual_port(bytes: &[u8]) -> Option<u16> {
    if let Some(&digits) = bytes.as_array() {
        return few_digits(digits, 4).filter(|&port| port > 0);
    }
    match small_number(bytes) {
        Some(port @ 1..=65_535) => Some(port as u16),
        _ => None,
    }
}

/// The number that the first `count` of four octets are, one to four digits, all of them at once.
#[inline(always)]
pub(crate) fn few_digits(octets: [u8; 4], count: usize) -> Option<u16> {
    let missing = 4_usize.wrapping_sub(count);
    if missing > 3 {
        return None;
    }
    // Zeros come in front, and what stands behind goes.
    let values = (u32::from_le_bytes(octets) ^ 0x3030_3030) << (8 * missing);
    if (values | values.wrapping_add(0x0606_0606)) & 0xf0f0_f0f0 != 0 {
        return None;
    }
    // Tens and ones become two numbers below a hundred, and these one.
    let pairs = (values * 10 + (values >> 8)) & 0x00ff_00ff;
    Some((pairs.wrapping_mul(100 << 16 | 1) >> 16) as u16)
}

/// A v4 address as nearly everybody writes it.
#[inline]
fn usual_v4(literal: &[u8]) -> Option<Ipv4Addr> {
    let (a, rest) = v4_part(literal)?;
    let (b, rest) = v4_part(rest.strip_prefix(b".")?)?;
    let (c, rest) = v4_part(rest.strip_prefix(b".")?)?;
    let (d, rest) = v4_part(rest.strip_prefix(b".")?)?;
    rest.is_empty().then(|| Ipv4Addr::new(a, b, c, d))
}

/// The number up to 255 that the text begins with, and what follows its one to three digits. `None`
/// too if it has a zero in front, which could be meant to be octal: whoever is strict decides.
#[inline(always)]
fn v4_part(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |octet: &u8| Some(octet.wrapping_sub(b'0')).filter(|&digit| digit <= 9);
    let (first, rest) = text.split_first()?;
    let first = digit(first)?;
    let Some(second) = rest.first().and_then(digit) else {
        return Some((first, rest));
    };
    if first == 0 {
        return None;
    }
    let two = first * 10 + second;
    match rest.get(1).and_then(digit) {
        None => Some((two, &rest[1..])),
        Some(third) => {
            let part = u16::from(two) * 10 + u16::from(third);
            Some((u8::try_from(part).ok()?, &rest[2..]))
        }
    }
}

/// The address that a literal without brackets stands for.
///
/// A v6 literal may have the three colons that the grammar of RFC 3261 led some to write (RFC 5118
/// §4.10); a v4-mapped one is the v4 address.
pub(crate) fn address(literal: &[u8]) -> Option<IpAddr> {
    match usual_v4(literal) {
        Some(v4) => Some(IpAddr::V4(v4)),
        None => any_address(literal),
    }
}

fn any_address(literal: &[u8]) -> Option<IpAddr> {
    let first = *literal.first()?;
    let may_be_v6 = (first.is_ascii_hexdigit() || first == b':') && literal.contains(&b':');
    if !may_be_v6 {
        if !first.is_ascii_digit() {
            return None;
        }
        let text = std::str::from_utf8(literal).ok()?;
        return text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let text = std::str::from_utf8(literal).ok()?;
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(v6).to_canonical());
    }
    let colons = memchr::memmem::find(literal, b":::")?;
    let mut mended = [0_u8; 48];
    let length = literal.len() - 1;
    let slot = mended.get_mut(..length)?;
    slot[..colons].copy_from_slice(&literal[..colons]);
    slot[colons..].copy_from_slice(&literal[colons + 1..]);
    let text = std::str::from_utf8(slot).ok()?;
    let v6 = text.parse::<Ipv6Addr>().ok()?;
    Some(IpAddr::V6(v6).to_canonical())
}

/// Steps counted under test; nothing at all in the product.
pub(crate) mod work {
    #[cfg(test)]
    std::thread_local! {
        static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    /// Counts octets looked at.
    #[inline(always)]
    pub(crate) fn add(_steps: usize) {
        #[cfg(test)]
        STEPS.with(|steps| steps.set(steps.get() + _steps as u64));
    }

    /// Takes the count and sets it back.
    #[cfg(test)]
    pub(crate) fn take() -> u64 {
        STEPS.with(|steps| steps.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_numbers() {
        for port in 0..100_000_u32 {
            let text = port.to_string();
            let want = u16::try_from(port).ok().filter(|&port| port > 0);
            assert_eq!(usual_port(text.as_bytes()), want, "{text}");
            let text = format!("{port:04}");
            assert_eq!(usual_port(text.as_bytes()), want, "{text}");
            for count in 1..=4 {
                let digits = *text.as_bytes().first_chunk().unwrap();
                assert_eq!(few_digits(digits, count), text[..count].parse().ok());
                assert_eq!([0, 5].map(|count| few_digits(digits, count)), [None; 2]);
            }
        }
        for at in 0..4 {
            for octet in (0..=255_u8).filter(|octet| !octet.is_ascii_digit()) {
                let mut digits = *b"5060";
                digits[at] = octet;
                assert_eq!(usual_port(&digits), None, "{digits:?}");
            }
        }
    }

    #[test]
    fn addresses_are_read_as_the_library_reads_them() {
        let parts = [
            "", "0", "7", "00", "01", "10", "99", "255", "256", "300", "1000", "x", "1.1",
        ];
        for a in parts {
            for b in parts {
                for rest in ["1.2", "255.255", "0.0", "1", "1.2.3", "1.", "1.256", "1.02"] {
                    let text = format!("{a}.{b}.{rest}");
                    let want = text.parse::<Ipv4Addr>().ok();
                    let got = usual_v4(text.as_bytes());
                    assert_eq!(got, want, "{text}");
                    assert_eq!(address(text.as_bytes()), want.map(IpAddr::V4), "{text}");
                }
            }
        }
    }
}
