//! What peers sent: which octets stand for themselves in a line, and how the others are had back.

use wide::u8x32;

/// Whether octets stand for themselves in both layers: printable ASCII but what a line
/// writes otherwise.
pub(crate) fn is_plain(octets: &[u8]) -> bool {
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

/// The octets of a string field, once a JSON reader has given its text.
///
/// `None` if the text cannot have come from [`Lines`].
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
