//! A number as it is dialled, in a fixed place.

/// The most signs of a number.
pub const SIGNS_MAX: usize = 64;

/// A number: digits, `+`, `*`, `#`. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signs {
    signs: [u8; SIGNS_MAX],
    len: u8,
}

impl Signs {
    /// Reads the user part of a URI: its parameters (`;npdi`) are left out, `%` escapes undone and
    /// visual separators passed over (RFC 3966 §5.1.1). `None`: it is no number, or a longer one.
    #[must_use]
    pub fn read(user: &[u8]) -> Option<Signs> {
        let mut read = Signs {
            signs: [0; SIGNS_MAX],
            len: 0,
        };
        let mut octets = user.iter().take_while(|octet| **octet != b';');
        while let Some(&octet) = octets.next() {
            let sign = match octet {
                b'%' => hex(octets.next()?)? << 4 | hex(octets.next()?)?,
                octet => octet,
            };
            if !matches!(sign, b'-' | b'.' | b'(' | b')') {
                read.push(sign)?;
            }
        }
        (read.len > 0).then_some(read)
    }

    /// One more sign at the end. `None`: it is none, or there are too many.
    fn push(&mut self, sign: u8) -> Option<()> {
        if !is_sign(sign) {
            return None;
        }
        *self.signs.get_mut(usize::from(self.len))? = sign;
        self.len += 1;
        Some(())
    }

    /// The number.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.signs[..usize::from(self.len)]
    }

    /// The same for people.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("signs are ASCII")
    }

    /// Takes signs off at both ends and puts others there. The caller has looked whether one is left
    /// and all fit.
    pub(crate) fn change(&mut self, strip: usize, drop: usize, before: &[u8], behind: &[u8]) {
        let end = usize::from(self.len) - drop;
        let kept = end - strip;
        self.signs.copy_within(strip..end, before.len());
        self.signs[..before.len()].copy_from_slice(before);
        let end = before.len() + kept;
        self.signs[end..end + behind.len()].copy_from_slice(behind);
        self.len = (end + behind.len()) as u8;
    }
}

/// Whether a number may have it.
pub(crate) const fn is_sign(octet: u8) -> bool {
    octet.is_ascii_digit() || matches!(octet, b'+' | b'*' | b'#')
}

fn hex(octet: &u8) -> Option<u8> {
    char::from(*octet).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_part_is_read_as_it_was_dialled() {
        let longest = "1".repeat(SIGNS_MAX);
        let longer = "1".repeat(SIGNS_MAX + 1);
        for (user, want) in [
            ("+49301234", Some("+49301234")),
            ("0049(30)12-34", Some("0049301234")),
            ("%2B49301234", Some("+49301234")),
            ("1234%230049", Some("1234#0049")),
            ("+1202;npdi;rn=+1404", Some("+1202")),
            ("*100", Some("*100")),
            ("alice", None),
            ("49x", None),
            ("", None),
            ("--", None),
            ("49%", None),
            ("49%zz", None),
            (&longest, Some(&*longest)),
            (&longer, None),
        ] {
            let read = Signs::read(user.as_bytes());
            assert_eq!(read.as_ref().map(Signs::as_str), want, "{user}");
        }
    }
}
