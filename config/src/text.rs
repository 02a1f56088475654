//! A file's text, and where in it something stands.

use crate::{Part, Place};

/// A file's name and text, with the beginnings of its lines.
#[derive(Debug)]
pub(crate) struct Text<'t> {
    pub(crate) name: &'t str,
    text: &'t str,
    lines: Vec<usize>,
    /// Of which objects the text is made, if it is not that of a file.
    parts: &'t [Part],
}

impl<'t> Text<'t> {
    pub(crate) fn new(name: &'t str, text: &'t str) -> Text<'t> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Text {
            name,
            text,
            lines,
            parts: &[],
        }
    }

    pub(crate) fn of_parts(name: &'t str, text: &'t str, parts: &'t [Part]) -> Text<'t> {
        Text {
            parts,
            ..Text::new(name, text)
        }
    }

    /// Of what an offset is, and where in that: a line and column of a file; the object and key of a
    /// text that is made of objects.
    pub(crate) fn site(&self, at: usize) -> (String, Option<Place>) {
        match self.part(at) {
            None if self.parts.is_empty() => (self.name.to_owned(), Some(self.place(at))),
            None => (self.name.to_owned(), None),
            Some(part) => match self.key(part.at, at) {
                Some(key) => (format!("{}, {}, key `{key}`", self.name, part.what), None),
                None => (format!("{}, {}", self.name, part.what), None),
            },
        }
    }

    /// Where something is, for a sentence about something else of the same text.
    pub(crate) fn where_is(&self, at: usize) -> String {
        match self.part(at) {
            Some(part) => part.what.clone(),
            None => format!("line {}", self.place(at).line),
        }
    }

    fn part(&self, at: usize) -> Option<&'t Part> {
        let next = self.parts.partition_point(|part| part.at <= at);
        self.parts.get(next.checked_sub(1)?)
    }

    /// The key whose value an offset is in.
    fn key(&self, begin: usize, at: usize) -> Option<&'t str> {
        let end = self.text.get(at..)?.find('\n');
        let end = end.map_or(self.text.len(), |length| at + length);
        let is_bare = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
        let lines = self.text.get(begin..end)?.lines().rev();
        // Not beyond the title of a table: what stands before it is of another one.
        let lines = lines.take_while(|line| !line.trim_start().starts_with('['));
        let mut keys = lines.filter_map(|line| Some(line.split_once('=')?.0.trim()));
        keys.find(|key| !key.is_empty() && key.bytes().all(is_bare))
    }

    /// Line and column of an offset, both from 1; the column in characters.
    pub(crate) fn place(&self, at: usize) -> Place {
        let line = self.lines.partition_point(|&start| start <= at);
        let start = self.lines[line - 1];
        let before = self.text.get(start..at).unwrap_or_default();
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }

    /// What stands in a range, cut to one readable line.
    pub(crate) fn excerpt(&self, range: std::ops::Range<usize>) -> String {
        const CHARS_MAX: usize = 40;
        let line = self
            .text
            .get(range)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        match line.chars().count() > CHARS_MAX {
            true => line.chars().take(CHARS_MAX).chain(['…']).collect(),
            false => line.to_owned(),
        }
    }
}
