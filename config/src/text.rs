//! A file's text, and where in it something stands.

use crate::Place;

/// A file's name and text, with the beginnings of its lines.
#[derive(Debug)]
pub(crate) struct Text<'t> {
    pub(crate) name: &'t str,
    text: &'t str,
    lines: Vec<usize>,
}

impl<'t> Text<'t> {
    pub(crate) fn new(name: &'t str, text: &'t str) -> Text<'t> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Text { name, text, lines }
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
