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

impl<'a> Identity<'a> {
    fn names(&self) -> [&'a [u8]; 7] {
        [
            self.call_id,
            self.from_uri,
            self.to_uri,
            self.request_uri,
            self.called,
            self.calling,
            self.prefix,
        ]
    }

    /// How many bytes [`Identity::write`] takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names()
            .iter()
            .map(|name| 2 + name.len().min(NAME_BYTES_MAX))
            .sum()
    }

    /// Whether every name is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names().iter().all(|name| name.is_empty())
    }

    /// Writes the names, each behind its length, into `out`, which has [`Identity::len`] bytes.
    pub fn write(&self, out: &mut [u8]) {
        let mut at = 0;
        for name in self.names() {
            let name = &name[..name.len().min(NAME_BYTES_MAX)];
            out[at..at + 2].copy_from_slice(&(name.len() as u16).to_le_bytes());
            out[at + 2..at + 2 + name.len()].copy_from_slice(name);
            at += 2 + name.len();
        }
    }

    /// Reads what [`Identity::write`] wrote. Names that are not there are empty.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Identity<'a> {
        let mut rest = bytes;
        let mut next = || {
            let Some((len, tail)) = rest.split_first_chunk::<2>() else {
                return &[][..];
            };
            let len = usize::from(u16::from_le_bytes(*len)).min(tail.len());
            let (name, tail) = tail.split_at(len);
            rest = tail;
            name
        };
        Identity {
            call_id: next(),
            from_uri: next(),
            to_uri: next(),
            request_uri: next(),
            called: next(),
            calling: next(),
            prefix: next(),
        }
    }
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
        let mut bytes = vec![0; identity.len()];
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
}
