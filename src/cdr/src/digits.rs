//! Numbers as decimal and hexadecimal digits, several at a time in one word.

/// The two digits of a number below 100.
#[inline]
pub(crate) fn two(value: u64) -> [u8; 2] {
    debug_assert!(value < 100, "two digits");
    let tens = value / 10;
    [b'0' + tens as u8, b'0' + (value - 10 * tens) as u8]
}

/// The eight digits of a number below 100,000,000.
#[inline]
pub(crate) fn eight(value: u64) -> [u8; 8] {
    (spread(value) | ZEROS).to_le_bytes()
}

/// The digits of a number below 100,000,000 without zeros before it, and how many there are.
#[inline]
pub(crate) fn up_to_eight(value: u64) -> ([u8; 8], usize) {
    let digits = spread(value);
    // The first digit is the lowest octet; the last one is written even if it is 0.
    let unused = (digits.trailing_zeros() / 8).min(7);
    let text = (digits | ZEROS) >> (8 * unused);
    (text.to_le_bytes(), 8 - unused as usize)
}

/// The digits of every octet's number without zeros before it, and how many there are.
pub(crate) static OCTETS: [([u8; 3], u8); 256] = {
    let mut all = [([b'0'; 3], 1); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let unused = match octet {
            0..=9 => 2,
            10..=99 => 1,
            _ => 0,
        };
        let mut at = unused;
        while at < 3 {
            all[octet].0[at - unused] = b'0' + digits[at] as u8;
            at += 1;
        }
        all[octet].1 = 3 - unused as u8;
        octet += 1;
    }
    all
};

/// The sixteen hexadecimal digits of a number.
pub(crate) fn hex(value: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&hex_eight((value >> 32) as u32));
    digits[8..].copy_from_slice(&hex_eight(value as u32));
    digits
}

/// The first number that has more than eight digits.
pub(crate) const EIGHT_DIGITS: u64 = 100_000_000;
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The values of eight decimal digits, the first in the lowest octet.
///
/// Halves are taken again and again, in all lanes at once: two numbers of four digits, four of two,
/// eight of one. 10,486 / 2^20 is a hundredth and 103 / 2^10 a tenth, as exact as their lanes ask.
#[inline]
fn spread(value: u64) -> u64 {
    debug_assert!(value < EIGHT_DIGITS, "eight digits");
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// The eight hexadecimal digits of a number.
fn hex_eight(value: u32) -> [u8; 8] {
    // Four bits into each octet, the last digit in the lowest.
    let value = u64::from(value);
    let halves = (value | value << 16) & 0x0000_ffff_0000_ffff;
    let octets = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (octets | octets << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // Adding 6 carries into the fifth bit from ten on: there the letters begin, 39 after the '9'.
    let letters = ((digits + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (digits + ZEROS + letters * 39).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_divide_exactly() {
        for value in 0..10_000 {
            // Both halves of the word, and every number of two digits in them.
            let text = format!("{value:04}{:04}", 9_999 - value);
            let both = value * 10_000 + 9_999 - value;
            assert_eq!(eight(both), text.as_bytes());
        }
        for value in 0..100 {
            assert_eq!(two(value), format!("{value:02}").as_bytes());
        }
    }

    #[test]
    fn numbers_are_written_as_the_library_does() {
        let mut values = vec![0];
        for digits in 0..8 {
            let power = 10_u64.pow(digits);
            values.extend([power - 1, power, power + 1, power / 7 * 9, 10 * power - 1]);
        }
        for value in values {
            let (text, len) = up_to_eight(value);
            assert_eq!(&text[..len], value.to_string().as_bytes());
        }
        for octet in 0..=u8::MAX {
            let (text, len) = OCTETS[usize::from(octet)];
            assert_eq!(&text[..usize::from(len)], octet.to_string().as_bytes());
        }
        for value in [0, 9, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(hex(value), format!("{value:016x}").as_bytes());
        }
    }
}
