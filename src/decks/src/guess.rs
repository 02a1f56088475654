//! What an unknown deck most likely means: columns by their titles or by what stands in them, the
//! decimal mark, the order of dates, the currency. What cannot be told is said as a doubt.

use std::ops::ControlFlow;
use std::path::Path;

use crate::amount::{Decimal, amount};
use crate::codes::codes;
use crate::dialect::{Column, Dialect, Unit, steps};
use crate::lines::{Line, Source, Unreadable};
use crate::moment::DateOrder;
use crate::titles::{column_of, currency_of};

/// How many lines are looked at.
const LINES_MAX: usize = 400;
/// In how many of the first lines titles are looked for.
const TITLES_WITHIN: usize = 60;

/// What a deck seems to mean, to be looked at by somebody.
#[derive(Clone, PartialEq, Debug)]
pub struct Guess {
    /// The dialect.
    pub dialect: Dialect,
    /// What could not be told, each as a sentence that says what was assumed.
    pub doubts: Vec<String>,
    /// The first lines under the titles, by column of the dialect.
    pub sample: Vec<Vec<String>>,
}

/// Why nothing could be made of a deck.
#[derive(Debug)]
pub enum NoGuess {
    /// It cannot be read.
    Unreadable(Unreadable),
    /// No column looks like codes, or none like prices.
    NoColumns,
}

impl std::fmt::Display for NoGuess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoGuess::Unreadable(error) => error.fmt(f),
            NoGuess::NoColumns => f.write_str(
                "no column looks like codes beside one like prices; name them in a dialect",
            ),
        }
    }
}

impl std::error::Error for NoGuess {}

/// Guesses how a deck is meant; what `known` says already (an encoding, a sheet) is kept.
///
/// # Errors
/// Why nothing can be made of it.
pub fn guess(path: &Path, known: &Dialect) -> Result<Guess, NoGuess> {
    let source = Source::open(path, known).map_err(NoGuess::Unreadable)?;
    let delimiter = match known.delimiter {
        Some(delimiter) => delimiter as u8,
        None => source.delimiter().map_err(NoGuess::Unreadable)?,
    };
    let sheets = match &known.sheet {
        Some(sheet) => vec![sheet.clone()],
        None => source.sheets().map_err(NoGuess::Unreadable)?,
    };
    let mut best: Option<(usize, Guess)> = None;
    for sheet in sheets {
        let lines = first_lines(&source, &sheet, delimiter).map_err(NoGuess::Unreadable)?;
        let Some((score, columns, titles_line)) = columns_of(&lines) else {
            continue;
        };
        if best.as_ref().is_some_and(|(other, _)| *other >= score) {
            continue;
        }
        let columns = by_contents(columns, &lines, titles_line);
        let mut dialect = Dialect {
            titles_line: Some(titles_line),
            sheet: (!sheet.is_empty()).then_some(sheet),
            delimiter: Some(char::from(delimiter)),
            ..known.clone()
        };
        if dialect.sheet.is_some() {
            dialect.delimiter = None;
        }
        best = Some((score, of_columns(dialect, &columns, &lines)));
    }
    best.map(|(_, guess)| guess).ok_or(NoGuess::NoColumns)
}

/// A column of the deck: where it is, and its title if it has one.
struct Found {
    column: Column,
    place: usize,
    title: Option<String>,
}

fn first_lines(source: &Source, sheet: &str, delimiter: u8) -> Result<Vec<Line>, Unreadable> {
    let mut lines = Vec::new();
    source.each_line(sheet, delimiter, &mut |line| {
        lines.push(line.clone());
        match lines.len() < LINES_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(lines)
}

/// The line whose titles tell most, or what the cells look like where no line does.
fn columns_of(lines: &[Line]) -> Option<(usize, Vec<Found>, u32)> {
    let mut best: Option<(usize, Vec<Found>, u32)> = None;
    for line in lines.iter().take(TITLES_WITHIN) {
        let found = titled(line);
        let has = |column| found.iter().any(|it: &Found| it.column == column);
        if has(Column::Code)
            && has(Column::Rate)
            && best.as_ref().is_none_or(|(count, ..)| found.len() > *count)
        {
            best = Some((found.len(), found, line.number()));
        }
    }
    // Titles count more than looks.
    let titled = best.map(|(count, found, line)| (count + 100, found, line));
    titled.or_else(|| by_looks(lines).map(|found| (found.len(), found, 0)))
}

fn titled(line: &Line) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for place in 0..line.cells().len() {
        let title = line.text(place).trim().to_owned();
        let Some(column) = column_of(&title) else {
            continue;
        };
        // The first of two is meant: `New Rate`, then `Old Rate`.
        if !found.iter().any(|it| it.column == column) {
            found.push(Found {
                column,
                place,
                title: Some(title),
            });
        }
    }
    // A deck with nothing but country codes has no other codes.
    let has_code = found.iter().any(|it| it.column == Column::Code);
    if let (false, Some(country)) = (
        has_code,
        found.iter_mut().find(|it| it.column == Column::Country),
    ) {
        country.column = Column::Code;
    }
    found
}

/// A column that is called an increment and says `60/6` is about both steps.
fn by_contents(mut columns: Vec<Found>, lines: &[Line], titles_line: u32) -> Vec<Found> {
    let is_pair = |text: &str| text.contains('/') && steps(text).is_some();
    let has_pairs = |place: usize| {
        let body = lines.iter().filter(|line| line.number() > titles_line);
        let pairs = body
            .clone()
            .filter(|line| is_pair(&line.text(place)))
            .count();
        pairs * 2 > body.count()
    };
    if columns.iter().any(|it| it.column == Column::Steps) {
        return columns;
    }
    let seconds = |it: &&mut Found| matches!(it.column, Column::First | Column::Next);
    if let Some(found) = columns
        .iter_mut()
        .filter(seconds)
        .find(|it| has_pairs(it.place))
    {
        found.column = Column::Steps;
    }
    columns
}

/// Without titles: the first column of codes, the first of prices beside it, words for destinations.
fn by_looks(lines: &[Line]) -> Option<Vec<Found>> {
    let width = lines.iter().map(|line| line.cells().len()).max()?;
    let share = |fits: &dyn Fn(&str) -> bool, place: usize| {
        let hits = lines.iter().filter(|line| fits(&line.text(place))).count();
        hits * 10 >= lines.len() * 8
    };
    let is_code = |text: &str| codes("", text).is_ok();
    let is_price = |text: &str| {
        let reads = |decimal| amount(text, decimal).is_ok();
        text.contains(['.', ',']) && (reads(Decimal::Point) || reads(Decimal::Comma))
    };
    let is_word = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count() > 2;
    let is_steps = |text: &str| text.contains('/') && steps(text).is_some();
    let price = (0..width).find(|&place| share(&is_price, place))?;
    let code = (0..width)
        .find(|&place| place != price && share(&is_code, place) && !share(&is_price, place))?;
    let mut found = vec![(Column::Code, code), (Column::Rate, price)];
    let word = (0..width).find(|&place| share(&is_word, place));
    found.extend(word.map(|place| (Column::Destination, place)));
    let step = (0..width).find(|&place| share(&is_steps, place));
    found.extend(step.map(|place| (Column::Steps, place)));
    let found = found.into_iter().map(|(column, place)| Found {
        column,
        place,
        title: None,
    });
    Some(found.collect())
}

fn of_columns(mut dialect: Dialect, columns: &[Found], lines: &[Line]) -> Guess {
    let mut doubts = Vec::new();
    for found in columns {
        let by_number = || format!("#{}", found.place + 1);
        let is_unique = |title: &String| {
            let same = columns.iter().filter(|it| it.title.as_ref() == Some(title));
            same.count() == 1
        };
        let title = found
            .title
            .clone()
            .filter(is_unique)
            .filter(|it| !it.starts_with('#'));
        let name = title.unwrap_or_else(by_number);
        dialect.columns.insert(found.column, name);
    }
    let titles = dialect.titles_line.unwrap_or(0);
    let body: Vec<&Line> = lines.iter().filter(|line| line.number() > titles).collect();
    let cells = |column: Column| -> Vec<String> {
        let found = columns.iter().find(|it| it.column == column);
        let place = found.map(|it| it.place);
        let text = |place| move |line: &&Line| line.text(place).into_owned();
        place.map_or_else(Vec::new, |place| body.iter().map(text(place)).collect())
    };
    decide_decimal(&mut dialect, &mut doubts, &cells);
    decide_dates(&mut dialect, &mut doubts, &cells);
    decide_currency(&mut dialect, &mut doubts, columns, &cells);
    if !dialect.columns.contains_key(&Column::Steps)
        && !dialect.columns.contains_key(&Column::First)
    {
        doubts.push(format!(
            "no column says how time is counted: {} is assumed",
            dialect.steps
        ));
    }
    let sample = body.iter().take(5).map(|line| {
        let texts = columns
            .iter()
            .map(|found| line.text(found.place).into_owned());
        texts.collect()
    });
    let sample = sample.collect();
    Guess {
        dialect,
        doubts,
        sample,
    }
}

type Cells<'c> = &'c dyn Fn(Column) -> Vec<String>;

fn decide_decimal(dialect: &mut Dialect, doubts: &mut Vec<String>, cells: Cells<'_>) {
    let prices = [
        Column::Rate,
        Column::ConnectFee,
        Column::RateInter,
        Column::RateIntra,
    ];
    let prices: Vec<String> = prices.into_iter().flat_map(cells).collect();
    match Decimal::of_cells(prices.iter().map(String::as_str)) {
        Some(decimal) => dialect.decimal = decimal,
        None if prices.iter().any(|cell| cell.contains([',', '.'])) => {
            doubts.push(
                "prices may be meant with a point or with a comma: a point is assumed".to_owned(),
            );
        }
        None => {}
    }
}

fn decide_dates(dialect: &mut Dialect, doubts: &mut Vec<String>, cells: Cells<'_>) {
    let dates: Vec<String> = [Column::From, Column::Until]
        .into_iter()
        .flat_map(cells)
        .collect();
    match DateOrder::of_cells(dates.iter().map(String::as_str)) {
        Some(order) => dialect.dates = order,
        None if dates.iter().any(|cell| is_of_two_orders(cell)) => doubts
            .push("dates may be meant day first or month first: day first is assumed".to_owned()),
        None => {}
    }
    if dates.iter().any(|cell| !cell.trim().is_empty()) {
        doubts.push(format!("dates are taken as midnight in {}", dialect.zone));
    }
}

/// Whether a date reads otherwise with the month first.
fn is_of_two_orders(cell: &str) -> bool {
    let read = |order| {
        crate::moment(cell, order, &jiff::tz::TimeZone::UTC)
            .ok()
            .flatten()
    };
    let (day_first, month_first) = (read(DateOrder::Dmy), read(DateOrder::Mdy));
    day_first.is_some() && month_first.is_some() && day_first != month_first
}

fn decide_currency(
    dialect: &mut Dialect,
    doubts: &mut Vec<String>,
    columns: &[Found],
    cells: Cells<'_>,
) {
    let title = columns.iter().find(|it| it.column == Column::Rate);
    let title = title.and_then(|it| it.title.clone()).unwrap_or_default();
    let of_column = cells(Column::Currency)
        .into_iter()
        .find_map(|cell| currency_of(&cell));
    let of_price = || {
        cells(Column::Rate)
            .into_iter()
            .find_map(|cell| currency_of(&cell))
    };
    match of_column.or_else(|| currency_of(&title)).or_else(of_price) {
        Some(currency) => dialect.currency = currency,
        None => doubts.push(format!(
            "nothing names the currency: {} is assumed",
            dialect.currency
        )),
    }
    let lower = title.to_lowercase();
    if lower.contains("cent") || lower.contains('¢') {
        dialect.unit = Unit::CentsPerMinute;
    } else if lower.contains("sec") {
        dialect.unit = Unit::Second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn of(text: &str) -> Guess {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        guess(file.path(), &Dialect::default()).unwrap()
    }

    fn columns(guess: &Guess) -> String {
        let named = guess.dialect.columns.iter();
        let named = named.map(|(column, title)| format!("{column}={title}"));
        named.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_deck_with_a_letterhead() {
        let deck = of("Example Telecom Ltd,,,,\nWholesale price list,,,,\n,,,,\n\
            Country,Dial Code,Rate (USD/min),Effective Date,Billing Increment\n\
            Germany,49,0.0135,13/02/2026,1/1\nGermany Mobile,4915,0.021,01/02/2026,60/1\n");
        assert_eq!(
            columns(&deck),
            "code=Dial Code destination=Country rate=Rate (USD/min) steps=Billing Increment from=Effective Date"
        );
        assert_eq!(deck.dialect.titles_line, Some(4));
        assert_eq!(
            (deck.dialect.decimal, deck.dialect.dates),
            (Decimal::Point, DateOrder::Dmy)
        );
        assert_eq!(
            (deck.dialect.currency.as_str(), deck.dialect.unit),
            ("USD", Unit::Minute)
        );
        assert_eq!(deck.doubts, ["dates are taken as midnight in UTC"]);
        assert_eq!(deck.sample.len(), 2);
        assert_eq!(deck.dialect.faults(), []);
    }

    #[test]
    fn a_german_deck_in_cents() {
        let deck = of(
            "Ziel;Vorwahl;Preis/Min (Cent, EUR);Taktung\nDeutschland;49;1,35;1/1\nÖsterreich;43;12,5;60/1\n",
        );
        assert_eq!(
            columns(&deck),
            "code=Vorwahl destination=Ziel rate=Preis/Min (Cent, EUR) steps=Taktung"
        );
        assert_eq!(
            (deck.dialect.delimiter, deck.dialect.decimal),
            (Some(';'), Decimal::Comma)
        );
        assert_eq!(
            (deck.dialect.currency.as_str(), deck.dialect.unit),
            ("EUR", Unit::CentsPerMinute)
        );
        assert!(deck.doubts.is_empty(), "{:?}", deck.doubts);
    }

    #[test]
    fn a_deck_without_titles() {
        let deck = of("49,Germany,0.0135\n4915,Germany Mobile,0.021\n43,Austria,0.02\n");
        assert_eq!(columns(&deck), "code=#1 destination=#2 rate=#3");
        assert_eq!(deck.dialect.titles_line, Some(0));
        assert_eq!(deck.doubts.len(), 2, "{:?}", deck.doubts);
    }

    #[test]
    fn what_cannot_be_told_is_a_doubt() {
        let deck = of("Code,Rate,From\n49,1,01/02/2026\n43,2,03/04/2026\n");
        let doubts = deck.doubts.join("\n");
        for part in ["day first", "midnight", "currency", "time is counted"] {
            assert!(doubts.contains(part), "{part}: {doubts}");
        }
        let deck = of("Code;Rate EUR;Steps\n49;1,234;1/1\n43;5,678;1/1\n");
        assert!(
            deck.doubts[0].contains("a point or with a comma"),
            "{:?}",
            deck.doubts
        );
    }

    #[test]
    fn two_titles_alike_and_only_countries() {
        let deck = of("Country Code,Rate USD,Rate USD,Steps\n49,0.01,0.02,1/1\n");
        assert_eq!(
            columns(&deck),
            "code=Country Code rate=Rate USD steps=Steps"
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"Dear partner,\nplease find our new prices attached.\n")
            .unwrap();
        let none = guess(file.path(), &Dialect::default()).unwrap_err();
        assert!(matches!(none, NoGuess::NoColumns));
    }
}
