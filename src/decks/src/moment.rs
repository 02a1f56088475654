//! When a price begins or ends, as decks write it: `2026-12-01`, `01.12.2026`, `1-Dec-26`, `46357`.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use route::Moment;
use serde::{Deserialize, Serialize};

/// In which order a date of three numbers is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// `31/12/2026`.
    #[default]
    Dmy,
    /// `12/31/2026`.
    Mdy,
    /// `26/12/31`. With four digits first a year is taken for one in any order.
    Ymd,
}

impl DateOrder {
    /// What these cells can only mean: those where one number cannot be a month.
    /// `None` if all fit more than one order, or contradict each other.
    #[must_use]
    pub fn of_cells<'c>(cells: impl IntoIterator<Item = &'c str>) -> Option<DateOrder> {
        let mut left = vec![DateOrder::Dmy, DateOrder::Mdy, DateOrder::Ymd];
        let mut told = false;
        for cell in cells {
            if date_and_time(cell).is_none_or(|(date, _)| numbers(date).is_none()) {
                continue;
            }
            let fits: Vec<DateOrder> = (left.iter().copied())
                .filter(|&order| civil(cell, order).is_some())
                .collect();
            told = true;
            left = fits;
        }
        match (told, left.as_slice()) {
            (true, [one]) => Some(*one),
            _ => None,
        }
    }
}

/// Why a cell is no moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadMoment {
    /// It is no date.
    NotADate,
    /// A date that no deck can mean: before 1990 or after 2099.
    OutOfScale,
    /// An hour that the clocks of the zone leave out when they are put forward.
    NoSuchHour,
}

impl fmt::Display for BadMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadMoment::NotADate => "no date",
            BadMoment::OutOfScale => "a date before 1990 or after 2099",
            BadMoment::NoSuchHour => "an hour that the clocks leave out on that day",
        })
    }
}

/// Reads when a price begins; nothing, and words for "now", are `None`.
///
/// A date is its first second in the zone. An hour that comes twice is its first coming. A text with
/// a zone of its own (`2026-12-01T00:00:00Z`) keeps it.
///
/// # Errors
/// Why it is no date.
pub fn moment(cell: &str, order: DateOrder, zone: &TimeZone) -> Result<Option<Moment>, BadMoment> {
    let text = cell.trim().trim_start_matches('\'').trim();
    let is_now = [
        "",
        "-",
        "immediate",
        "immediately",
        "now",
        "current",
        "asap",
        "n/a",
    ];
    if is_now.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return of_second(stamp.as_second()).map(Some);
    }
    let civil = civil(text, order).ok_or(BadMoment::NotADate)?;
    of_civil(civil, zone).map(Some)
}

/// The moment of a spreadsheet's date: days since the last but one of 1899, and the day's share.
///
/// # Errors
/// Why it is no date.
pub fn moment_of_serial(days: f64, zone: &TimeZone) -> Result<Moment, BadMoment> {
    civil_of_serial(days)
        .ok_or(BadMoment::OutOfScale)
        .and_then(|civil| of_civil(civil, zone))
}

fn civil_of_serial(days: f64) -> Option<DateTime> {
    // From 1990 to 2099.
    if !(32_874.0..73_051.0).contains(&days) {
        return None;
    }
    let seconds = (days * 86_400.0).round() as i64;
    let zero = Date::new(1899, 12, 30).ok()?.at(0, 0, 0, 0);
    zero.checked_add(jiff::SignedDuration::from_secs(seconds))
        .ok()
}

fn of_civil(civil: DateTime, zone: &TimeZone) -> Result<Moment, BadMoment> {
    let ambiguous = zone.to_ambiguous_zoned(civil);
    // Where clocks are put forward at midnight the day begins after the hour that is left out.
    if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) && civil.time() != Time::midnight()
    {
        return Err(BadMoment::NoSuchHour);
    }
    let zoned = ambiguous.compatible().map_err(|_| BadMoment::OutOfScale)?;
    of_second(zoned.timestamp().as_second())
}

fn of_second(second: i64) -> Result<Moment, BadMoment> {
    // 1990-01-01 and 2100-01-01, UTC.
    let is_in_scale = (631_152_000..4_102_444_800).contains(&second);
    let second = u32::try_from(second).ok().filter(|_| is_in_scale);
    second.map(Moment).ok_or(BadMoment::OutOfScale)
}

fn civil(text: &str, order: DateOrder) -> Option<DateTime> {
    let (date, time) = date_and_time(text)?;
    let date = match numbers(date) {
        Some(parts) => of_numbers(parts, order)?,
        None => compact(date).or_else(|| with_month_name(date))?,
    };
    Some(date.to_datetime(time))
}

/// Parts a date from the time behind it.
fn date_and_time(text: &str) -> Option<(&str, Time)> {
    let text = text.trim();
    let Some(colon) = text.find(':') else {
        return Some((text, Time::midnight()));
    };
    let start = text[..colon].rfind([' ', 'T', 't'])?;
    let (date, clock) = (
        text[..start].trim_end_matches([' ', ',']),
        &text[start + 1..],
    );
    let (clock, half) = match clock.to_ascii_lowercase() {
        it if it.ends_with("am") => (it[..it.len() - 2].trim().to_owned(), Some(false)),
        it if it.ends_with("pm") => (it[..it.len() - 2].trim().to_owned(), Some(true)),
        it => (it, None),
    };
    let mut parts = clock.split([':', '.']).map(|part| part.parse::<i8>());
    let mut part = || parts.next().unwrap_or(Ok(0)).ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let hour = match half {
        Some(is_afternoon) if (1..=12).contains(&hour) => {
            hour % 12 + if is_afternoon { 12 } else { 0 }
        }
        Some(_) => return None,
        None => hour,
    };
    Some((date, Time::new(hour, minute, second, 0).ok()?))
}

/// Three numbers between points, strokes or dashes, with how many digits the first has.
fn numbers(date: &str) -> Option<([i16; 3], usize)> {
    let mark = ['.', '/', '-']
        .into_iter()
        .find(|&mark| date.contains(mark))?;
    let parts: Vec<&str> = date.split(mark).map(str::trim).collect();
    let [a, b, c] = parts.as_slice() else {
        return None;
    };
    let number = |text: &str| {
        let is_digits = text.bytes().all(|octet| octet.is_ascii_digit());
        text.parse::<i16>().ok().filter(|_| is_digits)
    };
    Some(([number(a)?, number(b)?, number(c)?], a.len()))
}

fn of_numbers(([a, b, c], first_digits): ([i16; 3], usize), order: DateOrder) -> Option<Date> {
    let (year, month, day) = match (first_digits, order) {
        (4, _) | (_, DateOrder::Ymd) => (a, b, c),
        (_, DateOrder::Dmy) => (c, b, a),
        (_, DateOrder::Mdy) => (c, a, b),
    };
    date(year, month, day)
}

/// Two digits of a year are of this century.
fn date(year: i16, month: i16, day: i16) -> Option<Date> {
    let year = if (0..100).contains(&year) {
        2_000 + year
    } else {
        year
    };
    Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()
}

/// `20261201`.
fn compact(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i16>().ok();
    date(number(0, 4)?, number(4, 6)?, number(6, 8)?)
}

/// `1-Dec-2026`, `Dec 1, 2026`, `1 décembre` is not among them: months in English and German.
fn with_month_name(text: &str) -> Option<Date> {
    let words: Vec<&str> = text
        .split([' ', '-', '/', ',', '.'])
        .filter(|word| !word.is_empty())
        .collect();
    let [a, b, c] = words.as_slice() else {
        return None;
    };
    let number = |word: &str| {
        word.trim_end_matches(['s', 't', 'n', 'd', 'r', 'h'])
            .parse::<i16>()
            .ok()
    };
    match (month_of(a), month_of(b)) {
        (Some(month), None) => date(number(c)?, month, number(b)?),
        (None, Some(month)) if a.len() == 4 => date(number(a)?, month, number(c)?),
        (None, Some(month)) => date(number(c)?, month, number(a)?),
        _ => None,
    }
}

fn month_of(word: &str) -> Option<i16> {
    const MONTHS: [[&str; 2]; 12] = [
        ["january", "januar"],
        ["february", "februar"],
        ["march", "märz"],
        ["april", "april"],
        ["may", "mai"],
        ["june", "juni"],
        ["july", "juli"],
        ["august", "august"],
        ["september", "september"],
        ["october", "oktober"],
        ["november", "november"],
        ["december", "dezember"],
    ];
    let word = word.to_lowercase();
    if word.chars().count() < 3 {
        return None;
    }
    let begins = |names: &[&str; 2]| names.iter().any(|name| name.starts_with(&word));
    let place = MONTHS.iter().position(begins)?;
    i16::try_from(place + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(cell: &str, order: DateOrder, zone: &str) -> Result<Option<String>, BadMoment> {
        let zone = TimeZone::get(zone).unwrap();
        let text = |it: Moment| {
            let stamp = jiff::Timestamp::from_second(i64::from(it.0)).unwrap();
            stamp.strftime("%F %T").to_string()
        };
        moment(cell, order, &zone).map(|moment| moment.map(text))
    }

    #[test]
    fn dates_as_carriers_write_them() {
        use DateOrder::{Dmy, Mdy, Ymd};
        for (cell, order) in [
            ("2026-12-01", Dmy),
            ("2026/12/01", Mdy),
            ("01.12.2026", Dmy),
            ("1.12.26", Dmy),
            ("12/01/2026", Mdy),
            ("12/1/26", Mdy),
            ("26-12-01", Ymd),
            ("20261201", Dmy),
            ("1-Dec-2026", Mdy),
            ("01-DEC-26", Dmy),
            ("Dec 1, 2026", Dmy),
            ("December 1st, 2026", Dmy),
            ("1. Dezember 2026", Dmy),
            ("2026-Dec-01", Dmy),
            ("2026-12-01 00:00:00", Dmy),
            ("2026-12-01T00:00", Dmy),
            ("12/1/2026 12:00:00 AM", Mdy),
            ("2026-12-01T00:00:00Z", Dmy),
            ("2026-12-01T02:00:00+02:00", Dmy),
            ("'2026-12-01", Dmy),
        ] {
            let want = Ok(Some("2026-12-01 00:00:00".to_owned()));
            assert_eq!(read(cell, order, "UTC"), want, "{cell}");
        }
        for now in ["", " ", "immediately", "NOW", "-"] {
            assert_eq!(read(now, Dmy, "UTC"), Ok(None), "{now:?}");
        }
        for (cell, order, want) in [
            ("31.02.2026", Dmy, BadMoment::NotADate),
            ("12/31/2026", Dmy, BadMoment::NotADate),
            ("tomorrow", Dmy, BadMoment::NotADate),
            ("2026-13-01", Dmy, BadMoment::NotADate),
            ("2026-12-01 25:00", Dmy, BadMoment::NotADate),
            ("1.2.3.4", Dmy, BadMoment::NotADate),
            ("01.12.1926", Dmy, BadMoment::OutOfScale),
            ("2126-12-01", Dmy, BadMoment::OutOfScale),
        ] {
            assert_eq!(read(cell, order, "UTC"), Err(want), "{cell}");
        }
    }

    #[test]
    fn days_begin_in_their_zone() {
        let dmy = DateOrder::Dmy;
        let utc = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            read("2026-12-01", dmy, "Europe/Berlin"),
            utc("2026-11-30 23:00:00")
        );
        assert_eq!(
            read("2026-07-01", dmy, "America/New_York"),
            utc("2026-07-01 04:00:00")
        );
        // 2026-03-29 has no 02:30 in Berlin; 2026-10-25 has two, of which the first counts.
        assert_eq!(
            read("2026-03-29 02:30:00", dmy, "Europe/Berlin"),
            Err(BadMoment::NoSuchHour)
        );
        assert_eq!(
            read("2026-10-25 02:30:00", dmy, "Europe/Berlin"),
            utc("2026-10-25 00:30:00")
        );
        // Beirut's clocks go forward at midnight: the day begins at one.
        assert_eq!(
            read("2026-03-29", dmy, "Asia/Beirut"),
            utc("2026-03-28 22:00:00")
        );
    }

    #[test]
    fn days_of_spreadsheets() {
        let utc = TimeZone::UTC;
        assert_eq!(moment_of_serial(46_357.0, &utc), Ok(Moment(1_796_083_200)));
        assert_eq!(
            read("2026-12-01", DateOrder::Dmy, "UTC").unwrap().unwrap(),
            "2026-12-01 00:00:00"
        );
        assert_eq!(
            moment("2026-12-01", DateOrder::Dmy, &utc),
            Ok(Some(Moment(1_796_083_200)))
        );
        assert_eq!(
            moment_of_serial(46_357.5, &utc),
            Ok(Moment(1_796_083_200 + 43_200))
        );
        for bad in [0.0, -1.0, 20_261_201.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                moment_of_serial(bad, &utc),
                Err(BadMoment::OutOfScale),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_column_tells_its_order() {
        let of = |cells: &[&str]| DateOrder::of_cells(cells.iter().copied());
        assert_eq!(of(&["01/02/2026", "13/02/2026"]), Some(DateOrder::Dmy));
        assert_eq!(of(&["01/02/2026", "02/13/2026"]), Some(DateOrder::Mdy));
        assert_eq!(of(&["01/02/2026", "x", ""]), None);
        assert_eq!(of(&["13/02/2026", "02/13/2026"]), None);
        assert_eq!(of(&["2026-02-01"]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_cell_is_a_date_or_not(cell in "\\PC{0,24}", digits in "[0-9./: TZapmDec-]{0,24}") {
            for order in [DateOrder::Dmy, DateOrder::Mdy, DateOrder::Ymd] {
                let _ = moment(&cell, order, &TimeZone::UTC);
                let _ = moment(&digits, order, &TimeZone::UTC);
            }
        }
    }
}
