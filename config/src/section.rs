//! One table of the file, read key by key; what does not fit goes into the report.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Report;
use crate::keys::{keys_of, nearest};
use crate::network::socket_address;

/// A value and the offset at which it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

/// A table of the file, or the absence of one.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) report: &'a Report<'a>,
    path: &'static str,
    table: Option<&'a DeTable<'a>>,
    /// Where it begins.
    pub(crate) at: usize,
}

type Value<'a> = &'a Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    pub(crate) fn root(report: &'a Report<'a>, table: &'a DeTable<'a>) -> Section<'a> {
        Section::new(report, "", table, 0)
    }

    /// The file's table, of which unknown keys are told by somebody else.
    pub(crate) fn root_quietly(report: &'a Report<'a>, table: &'a DeTable<'a>) -> Section<'a> {
        Section {
            report,
            path: "",
            table: Some(table),
            at: 0,
        }
    }

    fn new(
        report: &'a Report<'a>,
        path: &'static str,
        table: &'a DeTable<'a>,
        at: usize,
    ) -> Section<'a> {
        let keys = keys_of(path);
        let unknown = table
            .keys()
            .filter(|key| !keys.contains(&key.get_ref().as_ref()));
        for key in unknown {
            let word = key.get_ref().as_ref();
            let expected = match path {
                "" => format!("one of {}", keys.join(", ")),
                path => format!("a key of [{path}]: {}", keys.join(", ")),
            };
            let remedy = match nearest(word, keys.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "take it out; docs/configuration.md lists all keys".to_owned(),
            };
            report.add(
                key.span().start,
                format!("the unknown key `{word}`"),
                expected,
                remedy,
            );
        }
        Section {
            report,
            path,
            table: Some(table),
            at,
        }
    }

    /// The value of a key.
    fn value(&self, key: &str) -> Option<Value<'a>> {
        debug_assert!(
            keys_of(self.path).contains(&key),
            "{key} is not in the table of keys"
        );
        self.table?.get(key)
    }

    /// Refuses keys that have their place elsewhere.
    pub(crate) fn refuse_keys(&self, are: impl Fn(&str) -> bool, expected: &str, remedy: &str) {
        let keys = self.table.into_iter().flat_map(DeTable::keys);
        for key in keys.filter(|key| are(key.get_ref())) {
            let found = format!("`{}`", key.get_ref());
            self.report.add(key.span().start, found, expected, remedy);
        }
    }

    /// Whether a key is written.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// What type a key's value has, in TOML's words; `None` if it is not written.
    pub(crate) fn kind_of(&self, key: &str) -> Option<&'static str> {
        self.value(key).map(|value| value.get_ref().type_str())
    }

    /// How many items a list has, good and bad; `None` if it is no list.
    pub(crate) fn len_of(&self, key: &str) -> Option<usize> {
        Some(self.value(key)?.get_ref().as_array()?.len())
    }

    /// Where a key's value stands; without one, where the section does.
    pub(crate) fn place_of(&self, key: &str) -> usize {
        self.value(key).map_or(self.at, |value| value.span().start)
    }

    fn wrong(&self, value: Value<'a>, expected: impl Into<String>, remedy: impl Into<String>) {
        let excerpt = self.report.text.excerpt(value.span());
        self.report
            .add(value.span().start, format!("`{excerpt}`"), expected, remedy);
    }

    fn wrong_type(&self, key: &str, value: Value<'a>, expected: &str) {
        let kind = value.get_ref().type_str();
        let excerpt = self.report.text.excerpt(value.span());
        let found = match excerpt.is_empty() {
            true => format!("a value of type {kind}"),
            false => format!("`{excerpt}`, a value of type {kind}"),
        };
        let remedy = format!("give `{key}` {expected}");
        self.report.add(value.span().start, found, expected, remedy);
    }

    /// Says that a key has to be there.
    pub(crate) fn missing(&self, key: &str, expected: &str) {
        let found = format!("[{}] without `{key}`", self.path);
        self.report.add(
            self.at,
            found,
            format!("`{key}`: {expected}"),
            format!("add `{key}`"),
        );
    }

    /// The path of a table in this one.
    fn path_below(&self, key: &str) -> &'static str {
        let path = match self.path {
            "" => key.to_owned(),
            above => format!("{above}.{key}"),
        };
        let found = crate::SECTIONS.iter().find(|(it, _)| **it == *path);
        found.expect("every section that is read is in the table").0
    }

    /// A table in this one. If there is none, all its keys have their defaults.
    pub(crate) fn table(&self, key: &str) -> Section<'a> {
        let path = self.path_below(key);
        let none = Section {
            report: self.report,
            path,
            table: None,
            at: self.at,
        };
        let Some(value) = self.value(key) else {
            return none;
        };
        match value.get_ref().as_table() {
            Some(table) => Section::new(self.report, path, table, value.span().start),
            None => {
                self.wrong_type(key, value, "a table");
                none
            }
        }
    }

    /// The tables of an array of tables.
    pub(crate) fn tables(&self, key: &str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let path = self.path_below(key);
        let Some(array) = value.get_ref().as_array() else {
            let expected = format!("an array of tables, each under [[{key}]]");
            self.wrong_type(key, value, &expected);
            return Vec::new();
        };
        let section = |item: Value<'a>| match item.get_ref().as_table() {
            Some(table) => Some(Section::new(self.report, path, table, item.span().start)),
            None => {
                self.wrong_type(key, item, "a table");
                None
            }
        };
        array.iter().filter_map(section).collect()
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Option<At<&'a str>> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(At {
                value: text,
                at: value.span().start,
            }),
            None => {
                self.wrong_type(key, value, "a text in quotes");
                None
            }
        }
    }

    /// A text that has to be there.
    pub(crate) fn required(&self, key: &str, expected: &str) -> Option<At<&'a str>> {
        if !self.has(key) {
            self.missing(key, expected);
        }
        self.text(key)
    }

    /// Refuses a name that is not among those of a kind of section.
    pub(crate) fn check_known<'n>(
        &self,
        name: At<&str>,
        kind: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        if !known.clone().any(|it| it == name.value) {
            let expected = format!("the name of a [[{kind}]]");
            self.refuse(name, expected, &meant(name.value, known));
        }
    }

    /// A text, or this one.
    pub(crate) fn text_or(&self, key: &str, default: &str) -> String {
        self.text(key).map_or(default, |text| text.value).to_owned()
    }

    /// A list of texts; `None` if it is not written.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<At<&'a str>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of texts in quotes");
            return Some(Vec::new());
        };
        let text = |item: Value<'a>| match item.get_ref().as_str() {
            Some(text) => Some(At {
                value: text,
                at: item.span().start,
            }),
            None => {
                self.wrong_type(key, item, "a text in quotes");
                None
            }
        };
        Some(array.iter().filter_map(text).collect())
    }

    /// A list of pairs of texts: `[["00493", "+493"], …]`. What is none is reported and left out.
    pub(crate) fn pairs(&self, key: &str) -> Vec<(At<&'a str>, At<&'a str>)> {
        let expected = "a list of pairs of texts: [[\"before\", \"after\"], …]";
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, expected);
            return Vec::new();
        };
        let text = |item: Value<'a>| {
            Some(At {
                value: item.get_ref().as_str()?,
                at: item.span().start,
            })
        };
        let pair = |item: Value<'a>| {
            let pair = item.get_ref().as_array().filter(|pair| pair.len() == 2);
            let pair = pair.and_then(|pair| Some((text(pair.first()?)?, text(pair.get(1)?)?)));
            if pair.is_none() {
                self.wrong(
                    item,
                    expected,
                    "write what comes in and what is to come out",
                );
            }
            pair
        };
        array.iter().filter_map(pair).collect()
    }

    /// A list of texts and tables, or one of either alone.
    pub(crate) fn mixed(&self, key: &str) -> Vec<Mixed<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let path = self.path_below(key);
        let one = |item: Value<'a>| match item.get_ref() {
            DeValue::String(text) => Some(Mixed::Text(At {
                value: text.as_ref(),
                at: item.span().start,
            })),
            DeValue::Table(table) => Some(Mixed::Table(Section::new(
                self.report,
                path,
                table,
                item.span().start,
            ))),
            _ => {
                self.wrong_type(key, item, "a text in quotes or a table");
                None
            }
        };
        match value.get_ref().as_array() {
            Some(array) => array.iter().filter_map(one).collect(),
            None => one(value).into_iter().collect(),
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        let Some(value) = self.value(key) else {
            return default;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(key, value, "true or false");
            default
        })
    }

    /// A whole number in a range; `None` if it is not written or at fault.
    pub(crate) fn number<T: TryFrom<i128>>(
        &self,
        key: &str,
        range: RangeInclusive<i128>,
    ) -> Option<T> {
        let value = self.value(key)?;
        self.whole(key, value, range)
    }

    /// A whole number in a range, or this one.
    pub(crate) fn number_or<T: TryFrom<i128>>(
        &self,
        key: &str,
        default: T,
        range: RangeInclusive<i128>,
    ) -> T {
        self.number(key, range).unwrap_or(default)
    }

    fn whole<T: TryFrom<i128>>(
        &self,
        key: &str,
        value: Value<'a>,
        range: RangeInclusive<i128>,
    ) -> Option<T> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, &expected);
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(value, &expected, format!("set `{key}` within its range"));
        }
        number.and_then(|number| T::try_from(number).ok())
    }

    /// A list of whole numbers in a range; `None` if it is not written.
    pub(crate) fn numbers<T: TryFrom<i128>>(
        &self,
        key: &str,
        range: RangeInclusive<i128>,
    ) -> Option<Vec<At<T>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of whole numbers");
            return Some(Vec::new());
        };
        let number = |item: Value<'a>| {
            let value = self.whole(key, item, range.clone())?;
            Some(At {
                value,
                at: item.span().start,
            })
        };
        Some(array.iter().filter_map(number).collect())
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> T {
        self.word_of(key, words).unwrap_or(default)
    }

    /// One of a few words; `None` if it is not written or at fault.
    pub(crate) fn word_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let expected = format!("one of \"{}\"", known.join("\", \""));
        self.refuse(text, expected, &meant(text.value, known.iter().copied()));
        None
    }

    /// An address and a port; the port of SIP if none is written.
    pub(crate) fn address(&self, key: &str) -> Option<At<SocketAddr>> {
        let text = self.text(key)?;
        let expected =
            "an IP address and a port such as \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\"";
        match socket_address(text.value) {
            Some(address) if address.port() == 0 => {
                self.refuse(
                    text,
                    "a port from 1 to 65535",
                    "write the port that is meant",
                );
                None
            }
            Some(value) => Some(At { value, at: text.at }),
            None => {
                self.refuse(text, expected, "names are not looked up: write the address");
                None
            }
        }
    }

    /// Says what is wrong with a text.
    pub(crate) fn refuse(&self, text: At<&str>, expected: impl Into<String>, remedy: &str) {
        self.report
            .add(text.at, format!("`{}`", cut(text.value)), expected, remedy);
    }

    /// Says that something is there twice.
    pub(crate) fn twice(&self, at: usize, what: impl Display, first: usize) {
        let first = self.report.text.where_is(first);
        let found = format!("{what} again: it is in {first} already");
        self.report
            .add(at, found, "each once", "take one of them out or change it");
    }
}

/// An item of a list that holds texts and tables.
pub(crate) enum Mixed<'a> {
    Text(At<&'a str>),
    Table(Section<'a>),
}

/// The remedy for a word that is not known.
pub(crate) fn meant<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    match nearest(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "write one of those that there are".to_owned(),
    }
}

/// A text of the file, short enough for a line.
pub(crate) fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    match text.chars().count() > CHARS_MAX {
        true => text.chars().take(CHARS_MAX).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
