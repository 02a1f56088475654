//! How one carrier writes its decks: which column is what, and how its numbers and dates are meant.
//!
//! A dialect is guessed once ([`crate::guess`]), looked at in the preview, and kept as a small file of
//! its own, so that the next deck of that carrier needs nobody.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use route::Steps;
use serde::{Deserialize, Serialize};

use crate::{DateOrder, Decimal};

/// What a column says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// The codes, one or several.
    Code,
    /// The country code that stands before each of them.
    Country,
    /// The destination in words.
    Destination,
    /// The price a minute.
    Rate,
    /// The price a minute within a region, kept for later.
    RateIntra,
    /// The price a minute between regions, kept for later.
    RateInter,
    /// The price a minute where it is not known whether within or between, kept for later.
    RateIndeterminate,
    /// What an answered call costs besides.
    ConnectFee,
    /// The least that is counted, in seconds.
    First,
    /// The step after it, in seconds.
    Next,
    /// Both in one: `60/6`.
    Steps,
    /// When the price begins.
    From,
    /// When it ends.
    Until,
    /// Whether the numbers are not to be had.
    Blocked,
    /// The currency, which must be the deck's.
    Currency,
}

impl Column {
    /// All of them, in the order of a dialect's file.
    pub const ALL: [Column; 15] = [
        Column::Code,
        Column::Country,
        Column::Destination,
        Column::Rate,
        Column::RateIntra,
        Column::RateInter,
        Column::RateIndeterminate,
        Column::ConnectFee,
        Column::First,
        Column::Next,
        Column::Steps,
        Column::From,
        Column::Until,
        Column::Blocked,
        Column::Currency,
    ];

    /// Its name in a dialect's file.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Column::Code => "code",
            Column::Country => "country",
            Column::Destination => "destination",
            Column::Rate => "rate",
            Column::RateIntra => "rate_intra",
            Column::RateInter => "rate_inter",
            Column::RateIndeterminate => "rate_indeterminate",
            Column::ConnectFee => "connect_fee",
            Column::First => "first",
            Column::Next => "next",
            Column::Steps => "steps",
            Column::From => "from",
            Column::Until => "until",
            Column::Blocked => "blocked",
            Column::Currency => "currency",
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// How a carrier writes its decks. Every key has a default, so a file says only what differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dialect {
    /// By what they say, the columns: their title, or `#3` for the third.
    pub columns: BTreeMap<Column, String>,
    /// The line of the titles, counted from 1; 0: there are none. Without, the first line that has
    /// all of them.
    pub titles_line: Option<u32>,
    /// The sheet of a workbook; without, the first with such columns.
    pub sheet: Option<String>,
    /// What parts the fields of a text file; without, what fits its first lines.
    pub delimiter: Option<char>,
    /// How a text file is encoded (`windows-1252`, `utf-16le`, …); without, UTF-8 if it is that, and
    /// else windows-1252.
    pub encoding: Option<String>,
    /// What stands between the whole and its fraction.
    pub decimal: Decimal,
    /// In which order a date is written.
    pub dates: DateOrder,
    /// The zone whose midnight a date is: a name of the tz database.
    pub zone: String,
    /// The currency of all prices: three letters.
    pub currency: String,
    /// What the prices are for.
    pub unit: Unit,
    /// How time is counted where no column says it: `1/1`.
    pub steps: String,
    /// What the column `blocked` says of numbers that are not to be had, in small letters.
    pub blocked: Vec<String>,
}

impl Default for Dialect {
    fn default() -> Dialect {
        let words = [
            "blocked",
            "block",
            "closed",
            "not available",
            "n/a",
            "yes",
            "y",
            "true",
            "1",
        ];
        Dialect {
            columns: BTreeMap::new(),
            titles_line: None,
            sheet: None,
            delimiter: None,
            encoding: None,
            decimal: Decimal::Point,
            dates: DateOrder::Dmy,
            zone: "UTC".to_owned(),
            currency: "USD".to_owned(),
            unit: Unit::Minute,
            steps: "1/1".to_owned(),
            blocked: words.map(str::to_owned).to_vec(),
        }
    }
}

/// What a price is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A minute, in units of the currency.
    #[default]
    Minute,
    /// A minute, in hundredths of it.
    CentsPerMinute,
    /// A second.
    Second,
}

/// What is wrong with a dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadDialect {
    /// Which key.
    pub key: String,
    /// What it says.
    pub found: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for BadDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: found {}; expected {}",
            self.key, self.found, self.expected
        )
    }
}

impl std::error::Error for BadDialect {}

impl Dialect {
    /// Reads a dialect's file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn of_text(text: &str) -> Result<Dialect, Vec<BadDialect>> {
        let dialect: Dialect = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            vec![BadDialect {
                key: format!("line {line}"),
                found: error.message().to_owned(),
                expected: "the keys of a dialect".to_owned(),
            }]
        })?;
        let faults = dialect.faults();
        match faults.is_empty() {
            true => Ok(dialect),
            false => Err(faults),
        }
    }

    /// The dialect as a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a dialect has only keys and texts")
    }

    /// The zone of its dates.
    ///
    /// # Panics
    /// If the dialect has faults.
    #[must_use]
    pub fn time_zone(&self) -> TimeZone {
        TimeZone::get(&self.zone).expect("a dialect was checked")
    }

    /// All that is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<BadDialect> {
        let mut faults = Vec::new();
        let mut check = |is_good: bool, key: &str, found: &str, expected: &str| {
            if !is_good {
                faults.push(BadDialect {
                    key: key.to_owned(),
                    found: format!("`{found}`"),
                    expected: expected.to_owned(),
                });
            }
        };
        let is_zone = TimeZone::get(&self.zone).is_ok();
        check(is_zone, "zone", &self.zone, "a name such as Europe/Berlin");
        let is_currency =
            self.currency.len() == 3 && self.currency.bytes().all(|it| it.is_ascii_uppercase());
        check(
            is_currency,
            "currency",
            &self.currency,
            "three capital letters, such as EUR",
        );
        let is_steps = steps(&self.steps).is_some();
        check(
            is_steps,
            "steps",
            &self.steps,
            "seconds and seconds, such as 60/1",
        );
        if let Some(encoding) = &self.encoding {
            let is_known = encoding_rs::Encoding::for_label(encoding.as_bytes()).is_some();
            check(
                is_known,
                "encoding",
                encoding,
                "a name such as windows-1252",
            );
        }
        if let Some(delimiter) = self.delimiter {
            let found = delimiter.to_string();
            check(
                delimiter.is_ascii(),
                "delimiter",
                &found,
                "one character of ASCII",
            );
        }
        for (column, title) in &self.columns {
            let is_number = title
                .strip_prefix('#')
                .is_none_or(|it| it.parse::<u16>().is_ok_and(|it| it > 0));
            let key = format!("columns.{column}");
            check(is_number, &key, title, "a title, or a number from #1 on");
        }
        faults
    }
}

/// Reads `60/6`, and `60/6/6` or `60+6` as some write it.
#[must_use]
pub fn steps(text: &str) -> Option<Steps> {
    let text = text.trim().trim_start_matches('\'');
    let mut parts = text
        .split(['/', '+', '-', ':'])
        .map(|part| part.trim().parse::<u16>());
    let first = parts.next()?.ok()?;
    let next = parts.next().unwrap_or(Ok(first)).ok()?;
    // The third of three repeats the second.
    let is_whole = parts.all(|part| part == Ok(next));
    Steps::new(first, next).filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_what_its_file_says() {
        let mut dialect = Dialect {
            decimal: Decimal::Comma,
            delimiter: Some(';'),
            unit: Unit::CentsPerMinute,
            zone: "Europe/Berlin".to_owned(),
            ..Dialect::default()
        };
        dialect.columns.insert(Column::Code, "Vorwahl".to_owned());
        dialect.columns.insert(Column::Rate, "#3".to_owned());
        assert_eq!(Dialect::of_text(&dialect.to_text()), Ok(dialect));
        assert_eq!(Dialect::of_text(""), Ok(Dialect::default()));
        for column in Column::ALL {
            let text = format!("[columns]\n{column} = \"x\"\n");
            assert!(
                Dialect::of_text(&text)
                    .unwrap()
                    .columns
                    .contains_key(&column)
            );
        }
    }

    #[test]
    fn all_faults_are_told() {
        let text = "zone = \"Berlin\"\ncurrency = \"Euro\"\nsteps = \"60/0\"\nencoding = \"klingon\"\ndelimiter = \"§\"\n[columns]\nrate = \"#0\"\n";
        let faults = Dialect::of_text(text).unwrap_err();
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "zone",
                "currency",
                "steps",
                "encoding",
                "delimiter",
                "columns.rate"
            ]
        );
        let unknown = Dialect::of_text("\ncolour = \"red\"\n").unwrap_err();
        assert!(
            unknown[0].key == "line 2" && unknown[0].found.contains("colour"),
            "{unknown:?}"
        );
    }

    #[test]
    fn steps_as_carriers_write_them() {
        for (text, want) in [
            ("60/6", Some((60, 6))),
            ("60/6/6", Some((60, 6))),
            (" 1 / 1 ", Some((1, 1))),
            ("30+6", Some((30, 6))),
            ("60", Some((60, 60))),
            ("0/1", Some((0, 1))),
            ("60/0", None),
            ("60/6/1", None),
            ("", None),
            ("x", None),
            ("70000/1", None),
        ] {
            let read = steps(text).map(|it| (it.first_seconds(), it.next_seconds()));
            assert_eq!(read, want, "{text:?}");
        }
    }
}
