//! What a record says of a call's names, kept beside the call as one run of bytes.

use crate::FIELD_BYTES_MAX;

/// The names of a call, borrowed: from the INVITE when it comes, from the kept run later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity<'a> {
    /// The caller's Call-ID.
    pub call_id: &'a [u8],
    /// The URI in From.
    pub from_uri: &'a [u8],
    /// The URI in To.
    pub to_uri: &'a [u8],
    /// The Request-URI as it came.
    pub request_uri: &'a [u8],
    /// The called number, normalised.
    pub called: &'a [u8],
    /// The calling number, as the caller wrote it.
    pub calling: &'a [u8],
    /// The prefix of the route that was chosen.
    pub prefix: &'a [u8],
    /// The cell of a cap that refused the call, or that it went beyond; empty if none did.
    pub cap: &'a [u8],
}

/// The most bytes of one name that are kept: one more than a record takes, so that it knows of a cut.
const NAME_BYTES_MAX: usize = FIELD_BYTES_MAX + 1;

const NAMES: usize = 8;

/// What comes before the texts in a run: a word for each name.
pub(crate) const WORDS_BYTES: usize = NAMES * 2;

/// The most octets that [`Identity::write`] takes.
pub const IDENTITY_BYTES_MAX: usize = WORDS_BYTES + NAMES * NAME_BYTES_MAX;

impl<'a> Identity<'a> {
    fn names(&self) -> [&'a [u8]; NAMES] {
        [
            self.call_id,
            self.from_uri,
            self.calling,
            self.to_uri,
            self.request_uri,
            self.called,
            self.prefix,
            self.cap,
        ]
    }

    /// Whether every name is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names().iter().all(|name| name.is_empty())
    }

    /// Whether a name is longer than a record keeps.
    pub(crate) fn is_long(&self) -> bool {
        self.names().iter().any(|name| name.len() > FIELD_BYTES_MAX)
    }

    /// Appends the names to `out`: eight words of 16 bits, then the texts.
    ///
    /// What the name before it says already is not said again: the Request-URI mostly begins To,
    /// and the numbers are in the URIs.
    ///
    /// ```text
    ///   0, length (15 bits)    so many octets of the texts
    ///   1, a (7), n (8)        n octets of the name before, from its a-th
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let words_at = out.len();
        out.extend_from_slice(&[0; WORDS_BYTES]);
        let mut text = |name: &[u8]| {
            let name = cut(name);
            out.extend_from_slice(name);
            name.len() as u16
        };
        let words = [
            text(self.call_id),
            text(self.from_uri),
            match part_of(cut(self.from_uri), self.calling) {
                Some(at) => part(at, self.calling),
                None => text(self.calling),
            },
            text(self.to_uri),
            match self.request_uri.len() <= usize::from(u8::MAX)
                && cut(self.to_uri).starts_with(self.request_uri)
            {
                true => part(0, self.request_uri),
                false => text(self.request_uri),
            },
            match part_of(cut(self.request_uri), self.called) {
                Some(at) => part(at, self.called),
                None => text(self.called),
            },
            text(self.prefix),
            text(self.cap),
        ];
        let room = &mut out[words_at..words_at + WORDS_BYTES];
        for (place, word) in room.chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads what [`Identity::write`] wrote. Names that are not there are empty.
    #[must_use]
    pub fn read(run: &'a [u8]) -> Identity<'a> {
        let Some((words, mut rest)) = run.split_first_chunk::<WORDS_BYTES>() else {
            return Identity::default();
        };
        let mut before = &[][..];
        let mut name = |number: usize| {
            let word = u16::from_le_bytes([words[2 * number], words[2 * number + 1]]);
            let len = usize::from(word & 0xff);
            before = if word & PART != 0 {
                let at = usize::from((word & !PART) >> 8);
                before.get(at..at + len).unwrap_or_default()
            } else {
                let (text, tail) = rest.split_at(usize::from(word).min(rest.len()));
                rest = tail;
                text
            };
            before
        };
        Identity {
            call_id: name(0),
            from_uri: name(1),
            calling: name(2),
            to_uri: name(3),
            request_uri: name(4),
            called: name(5),
            prefix: name(6),
            cap: name(7),
        }
    }
}

/// Marks the word of a name that is part of the name before it.
const PART: u16 = 0x8000;

fn part(at: u8, name: &[u8]) -> u16 {
    PART | u16::from(at) << 8 | name.len() as u16
}

fn cut(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME_BYTES_MAX)]
}

/// Where `name` begins in the user part of a URI, of which a plus sign or a prefix may come first.
fn part_of(uri: &[u8], name: &[u8]) -> Option<u8> {
    const SCHEME_BYTES_MAX: usize = 8;
    const SKIP_MAX: u8 = 4;
    if name.is_empty() || name.len() > usize::from(u8::MAX) {
        return None;
    }
    // `sip:` most often, then the number or a plus sign and the number.
    for at in [4, 5] {
        if uri.get(at..).is_some_and(|rest| rest.starts_with(name)) {
            return Some(at as u8);
        }
    }
    let scheme = &uri[..uri.len().min(SCHEME_BYTES_MAX)];
    let user = scheme.iter().position(|&octet| octet == b':')? as u8 + 1;
    (user..=user + SKIP_MAX).find(|&at| uri[usize::from(at).min(uri.len())..].starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = [b'x'; 3_000];
        let identity = Identity {
            call_id: b"a@b",
            from_uri: b"sip:+441@a.example",
            to_uri: &long,
            calling: b"+441",
            ..Identity::default()
        };
        let mut bytes = Vec::new();
        identity.write(&mut bytes);
        let read = Identity::read(&bytes);
        assert_eq!(
            read,
            Identity {
                to_uri: &long[..NAME_BYTES_MAX],
                ..identity
            }
        );
        for cut in 0..bytes.len() {
            let _ = Identity::read(&bytes[..cut]);
        }
    }

    /// An usual call's names: the URIs are the same, and the numbers are in them.
    #[test]
    fn what_was_said_before_is_not_said_again() {
        let identity = Identity {
            call_id: b"3848276298220188511@192.0.2.1",
            from_uri: b"sip:+12025550100@192.0.2.1;user=phone",
            calling: b"+12025550100",
            to_uri: b"sip:+4412345@192.0.2.100",
            request_uri: b"sip:+4412345@192.0.2.100",
            called: b"4412345",
            prefix: b"44",
            cap: b"premium/a",
        };
        let mut bytes = Vec::new();
        identity.write(&mut bytes);
        assert_eq!(Identity::read(&bytes), identity);
        assert_eq!(bytes.len(), WORDS_BYTES + 29 + 37 + 24 + 2 + 9);
    }
}
