//! `[[block]]`: whose calls to which numbers are not to be carried, by whom, why and until when.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::caps::{numbers, prefixes};
use crate::peers::{Names, name, names_of};
use crate::section::Section;
use crate::{Block, NumberList};

/// The most blocks.
pub const BLOCKS_MAX: usize = 1_024;
const WORDS_CHARS_MAX: usize = 200;

pub(crate) fn read(root: &Section<'_>, lists: &[NumberList]) -> Vec<Block> {
    let mut names = Names::new();
    let sections = root.tables("block");
    if let Some(first) = sections.get(BLOCKS_MAX) {
        let found = format!("{} blocks", sections.len());
        let expected = format!("at most {BLOCKS_MAX}");
        let remedy = "put the numbers of many into a [[list]]";
        root.report.add(first.at, found, expected, remedy);
    }
    sections
        .iter()
        .map(|section| block(section, lists, &mut names))
        .collect()
}

fn block(section: &Section<'_>, lists: &[NumberList], names: &mut Names) -> Block {
    let from = moment(section, "from");
    let until = moment(section, "until");
    if let (Some((from, _)), Some((until, _))) = (&from, &until)
        && until <= from
    {
        let (at, remedy) = (section.place_of("until"), "write a later one");
        let found = "`until` that is not after `from`";
        section
            .report
            .add(at, found, "a moment after `from`", remedy);
    }
    Block {
        name: name(section, "block", names),
        trunks: names_of(section, "trunks"),
        gateways: names_of(section, "gateways"),
        lists: numbers(section, lists),
        prefixes: prefixes(section),
        from: from.map(|(seconds, _)| seconds),
        until,
        reason: words(section, "reason", "why, in a few words"),
        owner: words(section, "owner", "who says so, and can be asked"),
    }
}

fn words(section: &Section<'_>, key: &str, expected: &str) -> String {
    let Some(text) = section.required(key, expected) else {
        return String::new();
    };
    let count = text.value.chars().count();
    let is_plain = !text.value.chars().any(char::is_control);
    if text.value.trim().is_empty() || count > WORDS_CHARS_MAX || !is_plain {
        let expected = format!("{expected}: 1 to {WORDS_CHARS_MAX} letters in a line");
        section.refuse(text, expected, "whoever finds it wants to know");
    }
    text.value.trim().to_owned()
}

/// A moment, in seconds since 1970, and how it was written.
fn moment(section: &Section<'_>, key: &str) -> Option<(i64, String)> {
    let text = section.text(key)?;
    let of_date = |date: Date| date.to_zoned(TimeZone::UTC).ok();
    let seconds = match text.value.parse::<Timestamp>() {
        Ok(moment) => Some(moment.as_second()),
        Err(_) => {
            // A day alone: with a time behind it there has to be a zone.
            let day = text.value.parse::<Date>().ok();
            let day = day.filter(|day| day.to_string() == text.value);
            let date = day.and_then(of_date);
            date.map(|date| date.timestamp().as_second())
        }
    };
    // Moments of prices and blocks are counted so far.
    let fit = seconds.filter(|seconds| (0..i64::from(u32::MAX)).contains(seconds));
    if fit.is_none() {
        let expected = "a moment (\"2026-12-01T12:00:00Z\", \"2026-12-01T12:00:00+01:00\") or the day that begins then in UTC (\"2026-12-01\")";
        section.refuse(
            text,
            expected,
            "write year, month, day; a time needs its zone",
        );
    }
    fit.map(|seconds| (seconds, text.value.to_owned()))
}
