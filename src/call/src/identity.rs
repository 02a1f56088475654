//! What a record says of a call's names, kept beside the call as one run of bytes.

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
}

/// The most bytes of one name that are kept: one more than a record takes, so that it knows of a cut.
pub(crate) const NAME_BYTES_MAX: usize = cdr::FIELD_BYTES_MAX + 1;

/// The most octets that [`Identity::write`] takes.
pub const IDENTITY_BYTES_MAX: usize = 7 * (3 + NAME_BYTES_MAX);

impl<'a> Identity<'a> {
    fn names(&self) -> [&'a [u8]; 7] {
        [
            self.call_id,
            self.from_uri,
            self.calling,
            self.to_uri,
            self.request_uri,
            self.called,
            self.prefix,
        ]
    }

    /// Whether every name is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names().iter().all(|name| name.is_empty())
    }

    /// Appends the names to `out`.
    ///
    /// Each lies behind its length; but what the name before it says already is not said again: To
    /// is mostly the Request-URI, and the numbers are in the URIs.
    ///
    /// ```text
    ///   0 ..= 250      so many octets follow      252        the same as the name before
    ///   251, length    16 bits of length          253, a, n  n octets of the name before, from its a-th
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut before = &[][..];
        for name in self.names() {
            let name = &name[..name.len().min(NAME_BYTES_MAX)];
            if name.len() > 2 && name == before {
                out.push(SAME);
            } else if let Some(at) = part_of(before, name) {
                out.extend_from_slice(&[PART, at, name.len() as u8]);
            } else {
                match u8::try_from(name.len()) {
                    Ok(len) if len < LONG => out.push(len),
                    _ => {
                        out.push(LONG);
                        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
                    }
                }
                out.extend_from_slice(name);
            }
            before = name;
        }
    }

    /// Reads what [`Identity::write`] wrote. Names that are not there are empty.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Identity<'a> {
        let mut rest = bytes;
        let mut before = &[][..];
        let mut next = || {
            before = next_name(&mut rest, before).unwrap_or_default();
            before
        };
        Identity {
            call_id: next(),
            from_uri: next(),
            calling: next(),
            to_uri: next(),
            request_uri: next(),
            called: next(),
            prefix: next(),
        }
    }
}

const LONG: u8 = 251;
const SAME: u8 = 252;
const PART: u8 = 253;

/// Where `name` stands in the user part of a URI, behind what visual separators and a plus sign may
/// come first.
fn part_of(uri: &[u8], name: &[u8]) -> Option<u8> {
    const SKIP_MAX: usize = 8;
    if name.len() < 3 || name.len() > usize::from(u8::MAX) {
        return None;
    }
    let user = uri.iter().take(16).position(|&octet| octet == b':')? + 1;
    let at = (user..user + SKIP_MAX).find(|&at| {
        uri.get(at..at + name.len())
            .is_some_and(|part| part == name)
    })?;
    u8::try_from(at).ok()
}

fn next_name<'a>(rest: &mut &'a [u8], before: &'a [u8]) -> Option<&'a [u8]> {
    let (&kind, tail) = rest.split_first()?;
    *rest = tail;
    let len = match kind {
        SAME => return Some(before),
        PART => {
            let (&[at, len], tail) = rest.split_first_chunk::<2>()?;
            *rest = tail;
            return before.get(usize::from(at)..usize::from(at) + usize::from(len));
        }
        LONG => {
            let (len, tail) = rest.split_first_chunk::<2>()?;
            *rest = tail;
            usize::from(u16::from_le_bytes(*len))
        }
        len => usize::from(len),
    };
    let (name, tail) = rest.split_at(len.min(rest.len()));
    *rest = tail;
    Some(name)
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
        };
        let mut bytes = Vec::new();
        identity.write(&mut bytes);
        assert_eq!(Identity::read(&bytes), identity);
        assert_eq!(
            bytes.len(),
            (1 + 29) + (1 + 37) + 3 + (1 + 24) + 1 + 3 + (1 + 2)
        );
    }
}
