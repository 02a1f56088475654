//! What a caller wants nobody to know: the Privacy header (RFC 3323 §4.2).

use sip::{HeaderId, Message};

/// The words of a Privacy header. `none` has no field: without any other word nothing is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)] // each is the word of its name
pub(crate) struct Privacy {
    /// RFC 3325 §9.3.
    pub(crate) id: bool,
    pub(crate) user: bool,
    pub(crate) header: bool,
    pub(crate) session: bool,
    /// RFC 7044 §10.1.
    pub(crate) history: bool,
    pub(crate) critical: bool,
    /// A word that nobody here knows.
    pub(crate) other: bool,
}

impl Privacy {
    /// Of a message: what any of its Privacy lines says. A caller who says `none` and something else
    /// is taken at that: what was told cannot be taken back.
    pub(crate) fn of(message: &Message<'_>) -> Privacy {
        let mut privacy = Privacy::default();
        if !message.has(HeaderId::Privacy) {
            return privacy;
        }
        for line in message.line_values(HeaderId::Privacy) {
            for word in words(line) {
                privacy.note(word);
            }
        }
        privacy
    }

    fn note(&mut self, word: &[u8]) {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let field = if is(b"id") {
            &mut self.id
        } else if is(b"user") {
            &mut self.user
        } else if is(b"header") {
            &mut self.header
        } else if is(b"session") {
            &mut self.session
        } else if is(b"history") {
            &mut self.history
        } else if is(b"critical") {
            &mut self.critical
        } else if is(b"none") {
            return;
        } else {
            &mut self.other
        };
        *field = true;
    }
}

/// The words of a line. The grammar has semicolons between them, and senders write commas too.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|octet| matches!(octet, b';' | b',' | b' ' | b'\t' | b'\r' | b'\n'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Privacy {
        let mut privacy = Privacy::default();
        for word in lines.iter().flat_map(|line| words(line.as_bytes())) {
            privacy.note(word);
        }
        privacy
    }

    #[test]
    fn words_as_they_are_sent() {
        let id = Privacy {
            id: true,
            ..Privacy::default()
        };
        assert_eq!(read(&["id"]), id);
        assert_eq!(read(&["ID ;\r\n none"]), id);
        let both = Privacy {
            critical: true,
            ..id
        };
        assert_eq!(read(&["id;critical"]), both);
        assert_eq!(read(&["id, critical"]), both);
        assert_eq!(read(&["critical", "id"]), both);
        assert_eq!(read(&["none"]), Privacy::default());
        assert_eq!(read(&[";;"]), Privacy::default());
        let all = read(&["user;header;session;history;x-y"]);
        assert!(all.user && all.header && all.session && all.history && all.other && !all.id);
    }
}
