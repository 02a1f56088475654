//! A deck, read by its dialect: each line becomes codes with a price, or a fault with its place.
//!
//! All faults of a file come out of one reading. A line with a fault gives nothing; whether the rest
//! may be used is for the caller to say, after looking at the [`Report`].

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use base::Money;
use jiff::tz::TimeZone;
use route::{Code, Moment, Rate, Steps};

use crate::amount::{Amount, BadAmount, Decimal, amount};
use crate::codes::{BadCodes, codes};
use crate::dialect::{Column, Dialect, Unit, steps};
use crate::lines::{Cell, Line, Source, Unreadable};
use crate::moment::{BadMoment, moment, moment_of_serial};
use crate::titles::currency_of;

/// The most faults that are told; the others are counted.
pub const FAULTS_MAX: usize = 1_000;
/// The longest name of a destination that is kept, in characters.
pub const DESTINATION_CHARS_MAX: usize = 120;

/// What a line of a deck says.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    /// Which line.
    pub line: u32,
    /// About which numbers.
    pub codes: &'e [Code],
    /// In words.
    pub destination: &'e str,
    /// For how much.
    pub rate: Rate,
    /// Within a region, between regions, and where it is not known, if the deck tells them apart.
    pub by_region: ByRegion,
    /// From when on; `None` for as soon as the deck is used.
    pub from: Option<Moment>,
    /// Before when; `None` for until something else is said.
    pub until: Option<Moment>,
}

/// Prices a minute that depend on where a call comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ByRegion {
    /// Caller and called are in one.
    pub intra: Option<Money>,
    /// They are in two.
    pub inter: Option<Money>,
    /// It is not known.
    pub indeterminate: Option<Money>,
}

/// Something wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which line, from 1.
    pub line: u32,
    /// What the cell should say.
    pub column: Column,
    /// Which column it is in, from 1.
    pub place: usize,
    /// What is there.
    pub found: String,
    /// How to go on.
    pub remedy: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, place, column) = (self.line, self.place, self.column);
        write!(
            f,
            "line {line}, column {place} ({column}): found {}; {}",
            self.found, self.remedy
        )
    }
}

/// What a reading came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Lines with a price.
    pub entries_count: u64,
    /// Codes of those lines.
    pub codes_count: u64,
    /// Lines that say nothing about prices: letterheads and footnotes.
    pub remarks_count: u64,
    /// Prices with more decimals than are kept.
    pub rounded_count: u64,
    /// What is wrong, the first [`FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// How many faults there are in all.
    pub faults_count: u64,
}

/// Why a deck was not read at all.
#[derive(Debug)]
pub enum NotRead {
    /// It cannot be.
    Unreadable(Unreadable),
    /// Columns of the dialect are not in it.
    NoColumns {
        /// What they say and how they are called.
        missing: Vec<(Column, String)>,
        /// The titles that there are.
        there: Vec<String>,
    },
    /// The dialect says neither where codes are nor where prices are.
    NoDialect,
    /// Whoever asked has enough.
    Stopped,
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRead::Unreadable(error) => error.fmt(f),
            NotRead::NoColumns { missing, there } => {
                let missing: Vec<String> = missing
                    .iter()
                    .map(|(column, title)| format!("`{title}` ({column})"))
                    .collect();
                write!(f, "has no column {}", missing.join(", "))?;
                match there.is_empty() {
                    true => f.write_str(" and no line that looks like titles"),
                    false => write!(f, "; its titles are {}", there.join(" | ")),
                }
            }
            NotRead::NoDialect => {
                f.write_str("cannot be read without the columns `code` and `rate` in its dialect")
            }
            NotRead::Stopped => f.write_str("was not read to its end"),
        }
    }
}

impl std::error::Error for NotRead {}

impl From<Unreadable> for NotRead {
    fn from(error: Unreadable) -> NotRead {
        NotRead::Unreadable(error)
    }
}

/// Reads a deck: `each` gets every line that is right, and may stop the reading.
///
/// # Errors
/// Why there is nothing to report.
pub fn read(
    path: &Path,
    dialect: &Dialect,
    each: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
) -> Result<Report, NotRead> {
    let needed = [Column::Code, Column::Rate];
    if !dialect.faults().is_empty() || needed.iter().any(|it| !dialect.columns.contains_key(it)) {
        return Err(NotRead::NoDialect);
    }
    let source = Source::open(path, dialect)?;
    let delimiter = match dialect.delimiter {
        Some(delimiter) => delimiter as u8,
        None => source.delimiter()?,
    };
    let sheets = match &dialect.sheet {
        Some(sheet) => vec![sheet.clone()],
        None => source.sheets()?,
    };
    let mut nowhere = None;
    for sheet in sheets {
        let mut reading = Reading::new(dialect);
        let mut is_stopped = false;
        source.each_line(&sheet, delimiter, &mut |line| {
            let flow = reading.take(line, each);
            is_stopped |= flow.is_break();
            flow
        })?;
        if is_stopped {
            return Err(NotRead::Stopped);
        }
        match reading.places {
            Some(_) => return Ok(reading.report),
            None => nowhere = nowhere.or(Some(reading.nearest)),
        }
    }
    let there = nowhere.unwrap_or_default();
    let is_missing = |(_, title): &(&Column, &String)| !there.contains(title);
    let missing = dialect.columns.iter().filter(is_missing);
    Err(NotRead::NoColumns {
        missing: missing
            .map(|(column, title)| (*column, title.clone()))
            .collect(),
        there,
    })
}

/// Where each column of the dialect is, by [`Column`] as a number.
type Places = [Option<usize>; Column::ALL.len()];

struct Reading<'d> {
    dialect: &'d Dialect,
    zone: TimeZone,
    steps: Steps,
    places: Option<Places>,
    /// The titles of the line that had most of those that were looked for.
    nearest: Vec<String>,
    nearest_hits: usize,
    report: Report,
}

/// A cell that is not what its column should be.
struct Bad {
    column: Column,
    found: String,
    remedy: &'static str,
}

impl<'d> Reading<'d> {
    fn new(dialect: &'d Dialect) -> Reading<'d> {
        let mut reading = Reading {
            dialect,
            zone: dialect.time_zone(),
            steps: steps(&dialect.steps).expect("a dialect was checked"),
            places: None,
            nearest: Vec::new(),
            nearest_hits: 0,
            report: Report::default(),
        };
        if dialect.titles_line == Some(0) || dialect.columns.values().all(|it| it.starts_with('#'))
        {
            reading.places = reading.by_titles(&[]).ok();
        }
        reading
    }

    fn take(
        &mut self,
        line: &Line,
        each: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(places) = self.places else {
            self.look_for_titles(line);
            return ControlFlow::Continue(());
        };
        if self
            .dialect
            .titles_line
            .is_some_and(|titles| line.number() <= titles)
        {
            return ControlFlow::Continue(());
        }
        let line = Placed { line, places };
        // Footnotes, and lines that only name a group of those below.
        let says_nothing = |column| line.text(column).trim().is_empty();
        let is_alone = || line.line.filled() <= 1 && line_codes(&line).is_err();
        if says_nothing(Column::Rate) && says_nothing(Column::Code) || is_alone() {
            self.report.remarks_count += 1;
            return ControlFlow::Continue(());
        }
        match self.entry(&line) {
            Ok((codes, rest)) => {
                self.report.entries_count += 1;
                self.report.codes_count += codes.len() as u64;
                let destination = line.text(Column::Destination);
                let mut destination = destination.trim();
                if let Some((end, _)) = destination.char_indices().nth(DESTINATION_CHARS_MAX) {
                    destination = &destination[..end];
                }
                each(&Entry {
                    codes: &codes,
                    destination,
                    ..rest
                })
            }
            Err(faults) => {
                for bad in faults {
                    self.fault(&line, bad);
                }
                ControlFlow::Continue(())
            }
        }
    }

    fn fault(&mut self, line: &Placed<'_>, bad: Bad) {
        self.report.faults_count += 1;
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(Fault {
                line: line.line.number(),
                column: bad.column,
                place: line.places[bad.column as usize].unwrap_or(0) + 1,
                found: bad.found,
                remedy: bad.remedy,
            });
        }
    }

    fn look_for_titles(&mut self, line: &Line) {
        if let Some(titles) = self.dialect.titles_line
            && line.number() != titles
        {
            return;
        }
        let texts: Vec<String> = (0..line.cells().len())
            .map(|place| line.text(place).trim().to_owned())
            .collect();
        match self.by_titles(&texts) {
            Ok(places) => self.places = Some(places),
            Err(hits) => {
                let is_first = self.nearest.is_empty() && line.filled() > 1;
                if hits > self.nearest_hits || is_first || self.dialect.titles_line.is_some() {
                    (self.nearest, self.nearest_hits) = (texts, hits);
                }
            }
        }
    }

    /// Where the columns are, if all are there; else how many are.
    fn by_titles(&self, titles: &[String]) -> Result<Places, usize> {
        let mut places: Places = [None; Column::ALL.len()];
        let mut hits = 0;
        for (column, title) in &self.dialect.columns {
            let by_number = || {
                title
                    .strip_prefix('#')?
                    .parse::<usize>()
                    .ok()?
                    .checked_sub(1)
            };
            let same = |it: &String| it.eq_ignore_ascii_case(title.trim());
            let place = by_number().or_else(|| titles.iter().position(same));
            hits += usize::from(place.is_some());
            places[*column as usize] = place;
        }
        match hits == self.dialect.columns.len() {
            true => Ok(places),
            false => Err(hits),
        }
    }

    /// All of a line, or all that is wrong with it.
    fn entry(&mut self, line: &Placed<'_>) -> Result<(Vec<Code>, Entry<'static>), Vec<Bad>> {
        let mut bad = Vec::new();
        let codes = keep(line_codes(line), &mut bad);
        let steps = keep(self.steps_of(line), &mut bad);
        let rate = keep(self.rate(line, steps.unwrap_or(self.steps)), &mut bad);
        let from = keep(self.moment(line, Column::From), &mut bad).flatten();
        let until = keep(self.moment(line, Column::Until), &mut bad).flatten();
        let by_region = ByRegion {
            intra: keep(self.regional(line, Column::RateIntra), &mut bad).flatten(),
            inter: keep(self.regional(line, Column::RateInter), &mut bad).flatten(),
            indeterminate: keep(self.regional(line, Column::RateIndeterminate), &mut bad).flatten(),
        };
        keep(self.currency(line), &mut bad);
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            bad.push(Bad {
                column: Column::Until,
                found: format!(
                    "`{}`, which is not after the beginning",
                    line.text(Column::Until)
                ),
                remedy: "correct one of the two dates",
            });
        }
        match (codes, rate) {
            (Some(codes), Some(rate)) if bad.is_empty() => Ok((
                codes,
                Entry {
                    line: line.line.number(),
                    codes: &[],
                    destination: "",
                    rate,
                    by_region,
                    from,
                    until,
                },
            )),
            _ => Err(bad),
        }
    }

    fn rate(&mut self, line: &Placed<'_>, steps: Steps) -> Result<Rate, Bad> {
        let blocked = line.text(Column::Blocked).trim().to_lowercase();
        let mut is_blocked = !blocked.is_empty() && self.dialect.blocked.contains(&blocked);
        // Some write it where the price should be.
        let in_price = line.text(Column::Rate).trim().to_lowercase();
        is_blocked |= ["blocked", "closed", "not available"].contains(&in_price.as_str());
        let per_minute = match self.amount(line, Column::Rate) {
            Ok(money) => money,
            // What is not to be had needs no price.
            Err(_) if is_blocked => Money::ZERO,
            Err(bad) => return Err(bad),
        };
        let per_minute = per_unit(per_minute, self.dialect.unit).ok_or(Bad {
            column: Column::Rate,
            found: BadAmount::TooLarge.to_string(),
            remedy: "look at the `unit` of the dialect",
        })?;
        let connect_fee = match line.text(Column::ConnectFee).trim() {
            "" => Money::ZERO,
            _ => {
                let fee = self.amount(line, Column::ConnectFee)?;
                let is_cents = self.dialect.unit == Unit::CentsPerMinute;
                if is_cents {
                    fee.scaled(1, 100).unwrap_or(fee)
                } else {
                    fee
                }
            }
        };
        Ok(Rate {
            per_minute,
            connect_fee,
            steps,
            is_blocked,
        })
    }

    fn amount(&mut self, line: &Placed<'_>, column: Column) -> Result<Money, Bad> {
        let read = match line.cell(column) {
            Some(Cell::Number(number)) => amount(&number.to_string(), Decimal::Point),
            Some(Cell::Text(text)) => amount(text, self.dialect.decimal),
            None => Err(BadAmount::Empty),
        };
        let Amount { money, was_rounded } = read.map_err(|error| Bad {
            column,
            found: match error {
                BadAmount::Empty => error.to_string(),
                _ => format!("`{}`, {error}", line.text(column).trim()),
            },
            remedy: match error {
                BadAmount::OtherDecimal => "set `decimal` in the dialect to what the deck uses",
                BadAmount::Negative => "ask the carrier what it means",
                BadAmount::Empty | BadAmount::NotANumber | BadAmount::TooLarge => "write a price",
            },
        })?;
        // A workbook's numbers are binary: what is cut off there was never written.
        let is_written = matches!(line.cell(column), Some(Cell::Text(_)));
        self.report.rounded_count += u64::from(was_rounded && is_written);
        Ok(money)
    }

    fn regional(&mut self, line: &Placed<'_>, column: Column) -> Result<Option<Money>, Bad> {
        if line.text(column).trim().is_empty() {
            return Ok(None);
        }
        let money = self.amount(line, column)?;
        Ok(per_unit(money, self.dialect.unit))
    }

    fn steps_of(&self, line: &Placed<'_>) -> Result<Steps, Bad> {
        let bad = |column| Bad {
            column,
            found: format!("`{}`, which is no time", line.text(column).trim()),
            remedy: "write seconds, such as 60/1",
        };
        let whole = line.text(Column::Steps);
        if !whole.trim().is_empty() {
            return steps(&whole).ok_or_else(|| bad(Column::Steps));
        }
        let seconds = |column, usual: u16| match line.text(column).trim() {
            "" => Ok(usual),
            text => text
                .strip_suffix(".0")
                .unwrap_or(text)
                .parse::<u16>()
                .map_err(|_| bad(column)),
        };
        let first = seconds(Column::First, self.steps.first_seconds())?;
        let next = seconds(Column::Next, self.steps.next_seconds())?;
        Steps::new(first, next).ok_or_else(|| bad(Column::Next))
    }

    fn moment(&self, line: &Placed<'_>, column: Column) -> Result<Option<Moment>, Bad> {
        let read = match line.cell(column) {
            Some(Cell::Number(days)) => moment_of_serial(*days, &self.zone).map(Some),
            Some(Cell::Text(text)) => moment(text, self.dialect.dates, &self.zone),
            None => Ok(None),
        };
        read.map_err(|error| Bad {
            column,
            found: format!("`{}`, {error}", line.text(column).trim()),
            remedy: match error {
                BadMoment::NotADate => "write a date, or set `dates` in the dialect to its order",
                BadMoment::OutOfScale => "correct the year",
                BadMoment::NoSuchHour => "name an hour that there is, or set `zone` in the dialect",
            },
        })
    }

    fn currency(&self, line: &Placed<'_>) -> Result<(), Bad> {
        let cell = line.text(Column::Currency);
        let text = cell.trim();
        let is_same = text.is_empty()
            || text.eq_ignore_ascii_case(&self.dialect.currency)
            || currency_of(text).is_some_and(|it| it == self.dialect.currency);
        match is_same {
            true => Ok(()),
            false => Err(Bad {
                column: Column::Currency,
                found: format!("`{text}`, where the dialect says {}", self.dialect.currency),
                remedy: "put each currency into a deck of its own",
            }),
        }
    }
}

fn keep<T>(read: Result<T, Bad>, bad: &mut Vec<Bad>) -> Option<T> {
    read.map_err(|error| bad.push(error)).ok()
}

/// A price a minute.
fn per_unit(money: Money, unit: Unit) -> Option<Money> {
    match unit {
        Unit::Minute => Some(money),
        Unit::CentsPerMinute => money.scaled(1, 100),
        Unit::Second => money.scaled(60, 1),
    }
}

fn line_codes(line: &Placed<'_>) -> Result<Vec<Code>, Bad> {
    let country = line.text(Column::Country);
    codes(&country, &line.text(Column::Code)).map_err(|error| Bad {
        column: Column::Code,
        remedy: match error {
            BadCodes::Shortened(_) => "format the column as text and write the digits again",
            BadCodes::BadRange(_) => "write both ends with the same number of digits",
            BadCodes::TooMany => "write shorter codes",
            BadCodes::Empty | BadCodes::NotACode(_) | BadCodes::TooLong(_) => "write digits",
        },
        found: error.to_string(),
    })
}

/// A line whose columns are known.
struct Placed<'l> {
    line: &'l Line,
    places: Places,
}

impl<'l> Placed<'l> {
    fn cell(&self, column: Column) -> Option<&'l Cell> {
        let place = self.places[column as usize]?;
        self.line.cells().get(place)
    }

    fn text(&self, column: Column) -> std::borrow::Cow<'l, str> {
        match self.places[column as usize] {
            Some(place) => self.line.text(place),
            None => "".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn dialect(columns: &[(Column, &str)]) -> Dialect {
        let columns = columns
            .iter()
            .map(|(column, title)| (*column, (*title).to_owned()));
        Dialect {
            columns: columns.collect(),
            ..Dialect::default()
        }
    }

    fn read_text(text: &str, dialect: &Dialect) -> (Vec<String>, Result<Report, NotRead>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut entries = Vec::new();
        let report = read(file.path(), dialect, &mut |entry| {
            let codes = entry
                .codes
                .iter()
                .map(Code::to_string)
                .collect::<Vec<_>>()
                .join("+");
            let steps = entry.rate.steps;
            entries.push(format!(
                "{} {codes} {:?} {}+{} {}/{}{} {:?} {:?}",
                entry.line,
                entry.destination,
                entry.rate.per_minute,
                entry.rate.connect_fee,
                steps.first_seconds(),
                steps.next_seconds(),
                if entry.rate.is_blocked {
                    " blocked"
                } else {
                    ""
                },
                entry.from.map(|it| it.0),
                entry.until.map(|it| it.0),
            ));
            ControlFlow::Continue(())
        });
        (entries, report)
    }

    const BASIC: &[(Column, &str)] = &[(Column::Code, "Code"), (Column::Rate, "Rate")];

    #[test]
    fn every_column_is_read() {
        let all = dialect(&[
            (Column::Country, "CC"),
            (Column::Code, "Area"),
            (Column::Destination, "Name"),
            (Column::Rate, "Rate"),
            (Column::ConnectFee, "Fee"),
            (Column::Steps, "Steps"),
            (Column::From, "From"),
            (Column::Until, "Until"),
            (Column::Blocked, "Blocked"),
            (Column::Currency, "Cur"),
        ]);
        let (entries, report) = read_text(
            "Prices of tomorrow\nName,CC,Area,Rate,Fee,Steps,From,Until,Blocked,Cur\n\
             Germany,49,,0.0135,,,,,,\n\
             \" Berlin \",49,\"30,31\",0.02,0.05,60/6,2026-12-01,2027-01-01,no,usd\n\
             Oddland,999,1,,,,,,yes,\n\
             All prices are in USD\n",
            &all,
        );
        assert_eq!(
            entries,
            [
                "3 49 \"Germany\" 0.0135+0.00 1/1 None None",
                "4 4930+4931 \"Berlin\" 0.02+0.05 60/6 Some(1796083200) Some(1798761600)",
                "5 9991 \"Oddland\" 0.00+0.00 1/1 blocked None None",
            ]
        );
        let report = report.unwrap();
        let counts = (
            report.entries_count,
            report.codes_count,
            report.remarks_count,
            report.faults_count,
        );
        assert_eq!(counts, (3, 4, 1, 0));
    }

    #[test]
    fn all_faults_of_all_lines_with_their_places() {
        let columns = [
            BASIC,
            &[
                (Column::From, "From"),
                (Column::Until, "Until"),
                (Column::Next, "Step"),
                (Column::Currency, "Cur"),
            ],
        ]
        .concat();
        let (entries, report) = read_text(
            "Code,Rate,From,Until,Step,Cur\n49,0.01,,,,\n4x,cheap,31.02.2026,,0,\n43,\"0,01\",,,,EUR\n44,-1,2026-02-01,2026-01-01,,\n41,,,,,\n",
            &dialect(&columns),
        );
        assert_eq!(entries.len(), 1);
        let report = report.unwrap();
        let faults: Vec<String> = report.faults.iter().map(Fault::to_string).collect();
        let parts = [
            "line 3, column 1 (code): found `4x`, which is no code; write digits",
            "line 3, column 5 (next): found `0`, which is no time; write seconds",
            "line 3, column 2 (rate): found `cheap`, no number",
            "line 3, column 3 (from): found `31.02.2026`, no date",
            "line 4, column 2 (rate): found `0,01`, a number with the other decimal mark; set `decimal`",
            "line 4, column 6 (currency): found `EUR`, where the dialect says USD",
            "line 5, column 2 (rate): found `-1`, a price below zero",
            "line 5, column 4 (until): found `2026-01-01`, which is not after the beginning",
        ];
        assert_eq!(faults.len(), 9, "{faults:#?}");
        for (fault, part) in faults.iter().zip(parts) {
            assert!(fault.starts_with(part), "{fault} / {part}");
        }
        assert_eq!((report.faults_count, report.entries_count), (9, 1));
        assert!(
            faults[8].starts_with("line 6, column 2 (rate): found no price"),
            "{}",
            faults[8]
        );
    }

    #[test]
    fn titles_are_found_wherever_they_are_or_said_to_be_missing() {
        let (_, report) = read_text("a,b\nc,d\n", &dialect(BASIC));
        let told = report.unwrap_err().to_string();
        assert_eq!(
            told,
            "has no column `Code` (code), `Rate` (rate); its titles are a | b"
        );
        let (_, report) = read_text("a\nc\n", &dialect(BASIC));
        let told = report.unwrap_err().to_string();
        assert_eq!(
            told,
            "has no column `Code` (code), `Rate` (rate) and no line that looks like titles"
        );
        let (_, report) = read_text("Carrier\nCode,Price\n49,1\n", &dialect(BASIC));
        let told = report.unwrap_err().to_string();
        assert_eq!(
            told,
            "has no column `Rate` (rate); its titles are Code | Price"
        );
        let by_number = Dialect {
            titles_line: Some(1),
            ..dialect(&[(Column::Code, "#2"), (Column::Rate, "#1")])
        };
        let (entries, report) = read_text("x,y\n0.5,49\n", &by_number);
        assert_eq!((entries.len(), report.unwrap().faults_count), (1, 0));
        let (_, report) = read_text("Code,Rate\n49,1\n", &Dialect::default());
        assert!(matches!(report, Err(NotRead::NoDialect)));
    }

    #[test]
    fn units_and_marks_of_the_dialect() {
        let german = Dialect {
            unit: Unit::CentsPerMinute,
            decimal: Decimal::Comma,
            currency: "EUR".to_owned(),
            ..dialect(BASIC)
        };
        let (entries, report) =
            read_text("Code;Rate\n49;1,35\n43;€ 2\n41;0,00000123456\n", &german);
        assert_eq!(entries[0], "2 49 \"\" 0.0135+0.00 1/1 None None");
        assert_eq!(entries[1], "3 43 \"\" 0.02+0.00 1/1 None None");
        assert_eq!(report.unwrap().rounded_count, 1);
        let per_second = Dialect {
            unit: Unit::Second,
            ..dialect(BASIC)
        };
        let (entries, _) = read_text("Code,Rate\n49,0.001\n", &per_second);
        assert_eq!(entries, ["2 49 \"\" 0.06+0.00 1/1 None None"]);
    }

    #[test]
    fn a_flood_of_faults_is_counted_and_a_reader_may_stop() {
        let mut text = "Code,Rate\n".to_owned();
        for _ in 0..FAULTS_MAX + 7 {
            text.push_str("x,1\n");
        }
        let (_, report) = read_text(&text, &dialect(BASIC));
        let report = report.unwrap();
        assert_eq!(
            (report.faults.len(), report.faults_count),
            (FAULTS_MAX, FAULTS_MAX as u64 + 7)
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"Code,Rate\n49,1\n43,1\n").unwrap();
        let stopped = read(
            file.path(),
            &dialect(BASIC),
            &mut |_| ControlFlow::Break(()),
        );
        assert!(matches!(stopped, Err(NotRead::Stopped)));
    }
}
