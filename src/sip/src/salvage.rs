//! The lines of a refused request that an answer can still copy.

use crate::HeaderId;
use crate::index::{Entry, Index, Span};
use crate::octets::{self, TOKEN};
use crate::parse::duplicate;

/// Finds the lines that an answer to a refused request can copy, whatever else is wrong.
///
/// Lines may end in a bare LF here, and a second From is passed over: the answer is made clean when
/// it is written.
pub(crate) fn salvage(bytes: &[u8], index: &mut Index) {
    let Some(first) = memchr::memchr(b'\n', bytes) else {
        return;
    };
    let mut at = first + 1;
    while at < bytes.len() {
        let mut next = at;
        loop {
            next = memchr::memchr(b'\n', &bytes[next..]).map_or(bytes.len(), |end| next + end + 1);
            if !matches!(bytes.get(next), Some(b' ' | b'\t')) {
                break;
            }
        }
        let name_end = octets::run(bytes, at, TOKEN);
        if name_end == at {
            if octets::trim(bytes, at, next).0 == next {
                return;
            }
        } else if let Some(colon) = salvaged_colon(bytes, name_end) {
            let id = HeaderId::of(&bytes[at..name_end]);
            let (start, end) = octets::trim(bytes, colon + 1, next);
            let is_wanted = id != HeaderId::Other && (duplicate(id).is_none() || !index.has(id));
            let line = Entry {
                start: at as u16,
                end: next as u16,
                value: Span::new(start, end),
            };
            if is_wanted {
                index.lines.note(id, line);
            }
        }
        at = next;
    }
}

fn salvaged_colon(bytes: &[u8], name_end: usize) -> Option<usize> {
    let mut at = name_end;
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    (bytes.get(at) == Some(&b':')).then_some(at)
}
