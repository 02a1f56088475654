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
    /// Each lies behind its length; but what the name before it says already is not said again: the
    /// Request-URI mostly begins To, and the numbers are in the URIs.
    ///
    /// ```text
    ///   0 ..= 250      so many octets follow
    ///   251, length    16 bits of length
    ///   252, a, n      n octets of the name before, from its a-th
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.call_id);
        put(out, self.from_uri);
        match part_of(cut(self.from_uri), self.calling) {
            Some(at) => put_part(out, at, self.calling),
            None => put(out, self.calling),
        }
        put(out, self.to_uri);
        let is_begin = self.request_uri.len() <= usize::from(u8::MAX)
            && cut(self.to_uri).starts_with(self.request_uri);
        match is_begin {
            true => put_part(out, 0, self.request_uri),
            false => put(out, self.request_uri),
        }
        match part_of(cut(self.request_uri), self.called) {
            Some(at) => put_part(out, at, self.called),
            None => put(out, self.called),
        }
        put(out, self.prefix);
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
const PART: u8 = 252;

fn cut(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME_BYTES_MAX)]
}

fn put(out: &mut Vec<u8>, name: &[u8]) {
    let name = cut(name);
    match u8::try_from(name.len()) {
        Ok(len) if len < LONG => out.push(len),
        _ => {
            out.push(LONG);
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        }
    }
    out.extend_from_slice(name);
}

fn put_part(out: &mut Vec<u8>, at: u8, name: &[u8]) {
    out.extend_from_slice(&[PART, at, name.len() as u8]);
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

fn next_name<'a>(rest: &mut &'a [u8], before: &'a [u8]) -> Option<&'a [u8]> {
    let (&kind, tail) = rest.split_first()?;
    *rest = tail;
    let len = match kind {
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
        let said = [1 + 29, 1 + 37, 3, 1 + 24, 3, 3, 1 + 2];
        assert_eq!(bytes.len(), said.iter().sum());
    }
}
